//! An Asterisk as its manager interface shows it: logs in, lists channels, and plays recorded events to whoever is connected.
//! Whoever isn't misses them, as with a real one. It can be cut anywhere, be slow, and be somebody else.

use md5::{Digest as _, Md5};
use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncWrite, AsyncWriteExt as _, BufReader};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

pub const USER: &str = "tieline";
pub const SECRET: &str = "manager-secret";
const CHALLENGE: &str = "840415273";

/// How it behaves; each field is one fault.
#[derive(Clone)]
pub struct Manner {
    pub greeting: String,
    /// Knows the MD5 challenge.
    pub challenge: bool,
    pub secret: String,
    /// May be asked for channels.
    pub may_list: bool,
    /// Read classes of the user.
    pub classes: Vec<&'static str>,
    /// After so many bytes a connection is cut; one for each connection, then never.
    pub cuts: VecDeque<usize>,
    /// Bytes written at once.
    pub piece: usize,
    /// Answers no ping.
    pub mute: bool,
}

impl Default for Manner {
    fn default() -> Self {
        Self {
            greeting: "Asterisk Call Manager/11.0.0\r\n".to_owned(),
            challenge: true,
            secret: SECRET.to_owned(),
            may_list: true,
            classes: vec!["call", "agent", "cdr", "dialplan", "system"],
            cuts: VecDeque::new(),
            piece: usize::MAX,
            mute: false,
        }
    }
}

#[derive(Default)]
struct State {
    manner: Manner,
    /// Unique id -> the keys of its last event, and its bridge.
    channels: BTreeMap<String, (BTreeMap<String, String>, String)>,
    listeners: Vec<(mpsc::UnboundedSender<Vec<u8>>, Vec<String>)>,
    actions: Vec<String>,
}

#[derive(Clone)]
pub struct Manager {
    pub address: SocketAddr,
    state: Arc<Mutex<State>>,
    connections: Arc<Mutex<Vec<JoinHandle<()>>>>,
}

impl Manager {
    pub async fn start(manner: Manner) -> Self {
        Self::start_with(manner, None).await
    }

    pub async fn start_with(manner: Manner, tls: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let state = State {
            manner,
            ..State::default()
        };
        let manager = Self {
            address: listener.local_addr().unwrap(),
            state: Arc::new(Mutex::new(state)),
            connections: Arc::default(),
        };
        let accepting = manager.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (one, tls) = (accepting.clone(), tls.clone());
                let task = tokio::spawn(async move {
                    match tls {
                        None => one.serve(stream).await,
                        Some(tls) => {
                            if let Ok(stream) = tls.accept(stream).await {
                                one.serve(stream).await;
                            }
                        }
                    }
                });
                accepting.connections.lock().unwrap().push(task);
            }
        });
        manager
    }

    pub fn change(&self, change: impl FnOnce(&mut Manner)) {
        change(&mut self.state.lock().unwrap().manner);
    }

    /// The names of the actions that came.
    pub fn actions(&self) -> Vec<String> {
        self.state.lock().unwrap().actions.clone()
    }

    pub fn listeners(&self) -> usize {
        let mut state = self.state.lock().unwrap();
        state.listeners.retain(|(to, _)| !to.is_closed());
        state.listeners.len()
    }

    /// Cuts every connection now.
    pub fn cut(&self) {
        self.state.lock().unwrap().listeners.clear();
        for task in self.connections.lock().unwrap().drain(..) {
            task.abort();
        }
    }

    /// An event happens: whoever listens, and may, hears it.
    pub fn play(&self, event: &[u8]) {
        let text = String::from_utf8_lossy(event).into_owned();
        let keys = keys(&text);
        let get = |key: &str| keys.get(key).cloned().unwrap_or_default();
        let class = get("Privilege").split(',').next().unwrap().to_owned();
        let mut state = self.state.lock().unwrap();
        let id = get("Uniqueid");
        match get("Event").as_str() {
            "Newchannel" => drop(state.channels.insert(id, (keys.clone(), String::new()))),
            "Hangup" => drop(state.channels.remove(&id)),
            name => {
                if let Some((known, bridge)) = state.channels.get_mut(&id) {
                    if keys.contains_key("Linkedid") && class == "call" {
                        known.extend(keys.clone());
                    }
                    match name {
                        "BridgeEnter" => *bridge = get("BridgeUniqueid"),
                        "BridgeLeave" => bridge.clear(),
                        _ => {}
                    }
                }
            }
        }
        state.listeners.retain(|(to, classes)| {
            if !classes.contains(&class) {
                return !to.is_closed();
            }
            to.send(event.to_vec()).is_ok()
        });
    }

    /// Sends these bytes to whoever is connected, whatever they are.
    pub fn blurt(&self, bytes: &[u8]) {
        let state = self.state.lock().unwrap();
        for (to, _) in &state.listeners {
            let _ = to.send(bytes.to_vec());
        }
    }

    async fn serve<S: AsyncRead + AsyncWrite + Send + 'static>(self, stream: S) {
        let (from, mut to) = tokio::io::split(stream);
        let (say, mut said) = mpsc::unbounded_channel::<Vec<u8>>();
        let (cut, piece) = {
            let mut state = self.state.lock().unwrap();
            let _ = say.send(state.manner.greeting.clone().into_bytes());
            (state.manner.cuts.pop_front(), state.manner.piece)
        };
        let mut left = cut.unwrap_or(usize::MAX);
        let writing = async move {
            while let Some(bytes) = said.recv().await {
                for part in bytes.chunks(piece) {
                    let part = &part[..part.len().min(left)];
                    left -= part.len();
                    if to.write_all(part).await.is_err() || to.flush().await.is_err() || left == 0 {
                        return;
                    }
                }
            }
        };
        let reading = async move {
            let mut lines = BufReader::new(from).lines();
            let mut action = String::new();
            while let Ok(Some(line)) = lines.next_line().await {
                if !line.is_empty() {
                    action.push_str(&line);
                    action.push('\n');
                    continue;
                }
                self.act(&std::mem::take(&mut action), &say);
            }
        };
        // Whatever ends first ends the connection.
        tokio::select! {
            () = writing => {}
            () = reading => {}
        }
    }

    fn act(&self, action: &str, say: &mpsc::UnboundedSender<Vec<u8>>) {
        let keys = keys(action);
        let get = |key: &str| keys.get(key).cloned().unwrap_or_default();
        let id = get("ActionID");
        let mut state = self.state.lock().unwrap();
        let answer = |success: bool, rest: &str| {
            let word = if success { "Success" } else { "Error" };
            let text = format!("Response: {word}\r\nActionID: {id}\r\n{rest}\r\n\r\n");
            let _ = say.send(text.into_bytes());
        };
        state.actions.push(get("Action"));
        match get("Action").as_str() {
            "Challenge" if state.manner.challenge => {
                answer(true, &format!("Challenge: {CHALLENGE}"));
            }
            "Challenge" => answer(false, "Message: Must specify AuthType"),
            "Login" => {
                let key: String = Md5::digest(format!("{CHALLENGE}{}", state.manner.secret))
                    .iter()
                    .map(|byte| format!("{byte:02x}"))
                    .collect();
                let by_key = state.manner.challenge && get("Key") == key;
                let right =
                    get("Username") == USER && (by_key || get("Secret") == state.manner.secret);
                if right {
                    answer(true, "Message: Authentication accepted");
                } else {
                    answer(false, "Message: Authentication failed");
                }
            }
            "Events" => {
                let wanted = get("EventMask");
                let wanted = wanted.split(',').map(str::to_owned);
                let classes = wanted
                    .filter(|class| state.manner.classes.contains(&class.as_str()))
                    .collect();
                answer(true, "Events: On");
                state.listeners.push((say.clone(), classes));
            }
            "Ping" if state.manner.mute => {}
            "Ping" => answer(true, "Ping: Pong"),
            "CoreShowChannels" if !state.manner.may_list => {
                answer(false, "Message: Permission denied");
            }
            "CoreShowChannels" => {
                answer(true, "EventList: start\r\nMessage: Channels will follow");
                for (channel, bridge) in state.channels.values() {
                    let mut text = format!("Event: CoreShowChannel\r\nActionID: {id}\r\n");
                    for key in [
                        "Channel",
                        "ChannelState",
                        "ChannelStateDesc",
                        "CallerIDNum",
                        "CallerIDName",
                        "ConnectedLineNum",
                        "ConnectedLineName",
                        "Language",
                        "AccountCode",
                        "Context",
                        "Exten",
                        "Priority",
                        "Uniqueid",
                        "Linkedid",
                    ] {
                        text.push_str(&format!(
                            "{key}: {}\r\n",
                            channel.get(key).cloned().unwrap_or_default()
                        ));
                    }
                    text.push_str(&format!("Application: Dial\r\nApplicationData: \r\nDuration: 00:00:01\r\nBridgeId: {bridge}\r\n\r\n"));
                    let _ = say.send(text.into_bytes());
                }
                let count = state.channels.len();
                let text = format!(
                    "Event: CoreShowChannelsComplete\r\nActionID: {id}\r\nEventList: Complete\r\nListItems: {count}\r\n\r\n"
                );
                let _ = say.send(text.into_bytes());
            }
            other => answer(false, &format!("Message: Invalid/unknown command: {other}")),
        }
    }
}

fn keys(packet: &str) -> BTreeMap<String, String> {
    let pair = |line: &str| {
        let (key, value) = line.split_once(':')?;
        Some((key.to_owned(), value.trim().to_owned()))
    };
    packet.lines().filter_map(pair).collect()
}
