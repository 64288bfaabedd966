//! For daemons that connect (`connect = "ami://…"`, `"esl://…"`): a manager interface or an event socket that takes any
//! login, plays its events at a chosen rate to whoever listens, and knows which channels are there.

use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::tcp::OwnedWriteHalf;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Interval, interval};

/// What the events are written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interface {
    /// Asterisk's manager interface.
    Ami,
    /// FreeSWITCH's event socket.
    Esl,
}

/// The events that are left, and the channels that those before them opened. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Show {
    interface: Interface,
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    events: Vec<Vec<u8>>,
    next: usize,
    /// Id -> how a list of channels shows it.
    channels: BTreeMap<String, String>,
}

impl Show {
    /// Each event as it goes over the wire, without what frames it.
    pub fn new(interface: Interface, events: Vec<Vec<u8>>) -> Self {
        let state = State {
            events,
            ..State::default()
        };
        Self {
            interface,
            state: Arc::new(Mutex::new(state)),
        }
    }

    /// How many events were played, of how many.
    pub fn played(&self) -> (usize, usize) {
        self.with(|state| (state.next, state.events.len()))
    }

    fn with<T>(&self, look: impl FnOnce(&mut State) -> T) -> T {
        look(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The next event; from then on its channel is in lists, or not any more.
    fn next(&self) -> Option<Vec<u8>> {
        self.with(|state| {
            let event = state.events.get(state.next).cloned()?;
            state.next += 1;
            match self.interface {
                Interface::Ami => state.manager(&String::from_utf8_lossy(&event)),
                Interface::Esl => state.socket(&event),
            }
            Some(event)
        })
    }

    /// Serves until the listener fails; an event that was sent is not sent again to the next who connects.
    ///
    /// # Errors
    /// The listener's.
    pub async fn serve(self, listener: TcpListener, rate: f64) -> io::Result<()> {
        loop {
            let (stream, _) = listener.accept().await?;
            let show = self.clone();
            tokio::spawn(async move {
                // Whoever hangs up is gone: the next one hears what is left.
                let _ = show.talk(stream, rate).await;
            });
        }
    }

    async fn talk(&self, stream: TcpStream, rate: f64) -> io::Result<()> {
        let (from, mut to) = stream.into_split();
        let mut lines = BufReader::new(from).lines();
        to.write_all(match self.interface {
            Interface::Ami => b"Asterisk Call Manager/11.0.0\r\n",
            Interface::Esl => b"Content-Type: auth/request\n\n",
        })
        .await?;
        let mut pace: Option<Interval> = None;
        let mut action = String::new();
        loop {
            let line = tokio::select! {
                line = lines.next_line() => line?,
                () = tick(&mut pace) => {
                    match self.next() {
                        Some(event) => self.tell(&mut to, &event).await?,
                        None => pace = None,
                    }
                    continue;
                }
            };
            let Some(line) = line else { return Ok(()) };
            if !line.is_empty() {
                action.push_str(&line);
                action.push('\n');
                continue;
            }
            let asked = std::mem::take(&mut action);
            let listens = match self.interface {
                Interface::Ami => self.act(&mut to, &asked).await?,
                Interface::Esl => self.obey(&mut to, asked.trim()).await?,
            };
            if listens && pace.is_none() {
                pace = Some(interval(Duration::from_secs_f64(1.0 / rate)));
            }
        }
    }

    async fn tell(&self, to: &mut OwnedWriteHalf, event: &[u8]) -> io::Result<()> {
        match self.interface {
            Interface::Ami => {
                to.write_all(event.trim_ascii_end()).await?;
                to.write_all(b"\r\n\r\n").await
            }
            Interface::Esl => frame(to, "Content-Type: text/event-json", event).await,
        }
    }

    /// Answers an action of the manager interface; whether it asked for events.
    async fn act(&self, to: &mut OwnedWriteHalf, action: &str) -> io::Result<bool> {
        let (name, id) = (value(action, "Action"), value(action, "ActionID"));
        let rest = match name {
            "Challenge" => "Challenge: 840415273",
            "Login" => "Message: Authentication accepted",
            "Events" => "Events: On",
            "CoreShowChannels" => "EventList: start\r\nMessage: Channels will follow",
            _ => "Ping: Pong",
        };
        let mut answer = format!("Response: Success\r\nActionID: {id}\r\n{rest}\r\n\r\n");
        if name == "CoreShowChannels" {
            let channels = self.with(|state| state.channels.clone());
            for keys in channels.values() {
                answer += &format!("Event: CoreShowChannel\r\nActionID: {id}\r\n{keys}\r\n");
            }
            let count = channels.len();
            answer += &format!(
                "Event: CoreShowChannelsComplete\r\nActionID: {id}\r\nEventList: Complete\r\nListItems: {count}\r\n\r\n"
            );
        }
        to.write_all(answer.as_bytes()).await?;
        Ok(name == "Events")
    }

    /// Answers a command of the event socket; whether it asked for events.
    async fn obey(&self, to: &mut OwnedWriteHalf, command: &str) -> io::Result<bool> {
        if command.starts_with("api show channels") {
            let rows: Vec<Value> = self.with(|state| {
                let ids = state.channels.keys();
                ids.map(|id| json!({"uuid": id})).collect()
            });
            let list = json!({"row_count": rows.len(), "rows": rows}).to_string();
            frame(to, "Content-Type: api/response", list.as_bytes()).await?;
        } else if command.starts_with("api ") {
            frame(to, "Content-Type: api/response", b"+OK").await?;
        } else {
            let head = "Content-Type: command/reply\nReply-Text: +OK accepted";
            frame(to, head, b"").await?;
        }
        Ok(command.starts_with("event "))
    }
}

impl State {
    fn manager(&mut self, event: &str) {
        let id = value(event, "Uniqueid").to_owned();
        match value(event, "Event") {
            "Newchannel" => {
                let keys = [
                    "Channel",
                    "ChannelState",
                    "CallerIDNum",
                    "CallerIDName",
                    "Context",
                    "Exten",
                    "Uniqueid",
                    "Linkedid",
                ];
                let lines = keys.map(|key| format!("{key}: {}\r\n", value(event, key)));
                let shown = format!("{}Application: Dial\r\nBridgeId: \r\n", lines.concat());
                self.channels.insert(id, shown);
            }
            "BridgeEnter" => self.bridge(&id, value(event, "BridgeUniqueid")),
            "BridgeLeave" => self.bridge(&id, ""),
            "Hangup" => drop(self.channels.remove(&id)),
            _ => {}
        }
    }

    fn bridge(&mut self, id: &str, bridge: &str) {
        if let Some(shown) = self.channels.get_mut(id) {
            let before = shown.split("BridgeId:").next().unwrap_or_default();
            *shown = format!("{before}BridgeId: {bridge}\r\n");
        }
    }

    fn socket(&mut self, event: &[u8]) {
        let event: Value = serde_json::from_slice(event).unwrap_or_default();
        let text = |name: &str| event.get(name).and_then(Value::as_str).unwrap_or_default();
        let id = text("Unique-ID").to_owned();
        match text("Event-Name") {
            "CHANNEL_CREATE" => drop(self.channels.insert(id, String::new())),
            "CHANNEL_HANGUP_COMPLETE" | "CHANNEL_DESTROY" => drop(self.channels.remove(&id)),
            _ => {}
        }
    }
}

/// The next turn; never while nobody listens.
async fn tick(pace: &mut Option<Interval>) {
    match pace {
        Some(pace) => drop(pace.tick().await),
        None => std::future::pending().await,
    }
}

async fn frame(to: &mut OwnedWriteHalf, head: &str, body: &[u8]) -> io::Result<()> {
    let length = if body.is_empty() {
        String::new()
    } else {
        format!("Content-Length: {}\n", body.len())
    };
    to.write_all(format!("{length}{head}\n\n").as_bytes())
        .await?;
    to.write_all(body).await
}

/// A key's value; empty if there is none.
fn value<'a>(packet: &'a str, key: &str) -> &'a str {
    let mut values = packet.lines().filter_map(|line| line.split_once(':'));
    values
        .find(|(name, _)| *name == key)
        .map_or("", |(_, value)| value.trim())
}
