//! FreeSWITCH's event socket (ESL, TCP 8021): login, subscription, heartbeats, the list of channels after a gap, and the
//! events, each of which goes into the journal as the JSON object that came.
//!
//! Source: mod_event_socket of 1.10.12. Frames are headers, an empty line, and `Content-Length` bytes.

use super::desk::{Desk, Opening, TICK};
use super::fault::LinkFault;
use super::life::{stopped, within_login_time};
use super::wire::{Line, Wire};
use crate::calls::decode::LegFacts;
use crate::calls::decode::freeswitch::live;
use crate::clock;
use bytes::Bytes;
use jiff::Timestamp;
use secrecy::ExposeSecret as _;
use serde_json::Value;
use std::collections::HashSet;
use tokio::time::MissedTickBehavior;

/// What we listen to: a leg's life, who is joined with whom, recordings, queues.
const EVENTS: [&str; 8] = [
    "CHANNEL_CREATE",
    "CHANNEL_ORIGINATE",
    "CHANNEL_ANSWER",
    "CHANNEL_BRIDGE",
    "CHANNEL_UNBRIDGE",
    "CHANNEL_HANGUP_COMPLETE",
    "RECORD_START",
    "RECORD_STOP",
];

/// The same for events of modules.
const SUBCLASS: &str = "callcenter::info";

/// Most headers of one frame; real ones have three.
const HEADERS_MAX: usize = 50;

/// Most bytes of one event: one at a leg's end has some 10 KB, with many variables ten times that.
const EVENT_BYTES_MAX: usize = 1024 * 1024;

/// Most bytes of an answer: the list of a thousand channels has half a megabyte.
const ANSWER_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Of a stranger's greeting so much is shown.
const GREETING_SHOWN: usize = 40;

/// Logs in and listens; answers why it ended.
pub async fn listen(desk: &mut Desk, wire: &mut Wire) -> LinkFault {
    let mut session = Session {
        wire,
        frames: Frames::default(),
        before: None,
        ended: HashSet::new(),
    };
    let stop = desk.stop.clone();
    let opened = match within_login_time(&stop, session.log_in(desk)).await {
        Ok(()) => desk.logged_in().await,
        Err(fault) => Err(fault),
    };
    let ended = match opened {
        Ok(opening) => session.hold(desk, opening).await,
        Err(fault) => Err(fault),
    };
    match ended {
        Ok(()) => LinkFault::Stopped,
        Err(fault) => fault,
    }
}

/// One frame.
#[derive(Debug, Default)]
struct Frame {
    kind: String,
    /// `+OK accepted`
    reply: String,
    body: Bytes,
}

/// A frame in the making.
#[derive(Default)]
struct Frames {
    frame: Frame,
    headers: usize,
    length: usize,
    /// The headers are whole, the body is coming.
    body: bool,
    /// So much of a body that is too large has still to be thrown away.
    skip: usize,
}

enum Found {
    Frame(Frame),
    Oversized,
    /// Headers without end, or lines that are none: not this protocol.
    Garbled(String),
    Open,
}

impl Frames {
    /// Takes the next frame out of what was read.
    fn next(&mut self, wire: &mut Wire) -> Found {
        loop {
            if self.skip > 0 {
                self.skip -= wire.discard(self.skip);
                if self.skip > 0 {
                    return Found::Open;
                }
                *self = Self::default();
                return Found::Oversized;
            }
            if self.body {
                let Some(body) = wire.block(self.length) else {
                    return Found::Open;
                };
                let mut frame = std::mem::take(self).frame;
                frame.body = body;
                return Found::Frame(frame);
            }
            let line = match wire.line() {
                Line::Open => return Found::Open,
                Line::Oversized => return Found::Garbled(String::new()),
                Line::Whole(line) => line,
            };
            let text = String::from_utf8_lossy(&line);
            let text = text.trim();
            if text.is_empty() {
                self.body = !self.frame.kind.is_empty();
                let limit = if self.frame.kind == "text/event-json" {
                    EVENT_BYTES_MAX
                } else {
                    ANSWER_BYTES_MAX
                };
                if self.body && self.length > limit {
                    self.skip = self.length;
                }
                continue;
            }
            self.headers += 1;
            let Some((name, value)) = text
                .split_once(": ")
                .filter(|_| self.headers <= HEADERS_MAX)
            else {
                return Found::Garbled(text.to_owned());
            };
            match name.to_ascii_lowercase().as_str() {
                "content-type" => value.clone_into(&mut self.frame.kind),
                "reply-text" => value.clone_into(&mut self.frame.reply),
                "content-length" => match value.parse() {
                    Ok(length) => self.length = length,
                    Err(_) => return Found::Garbled(text.to_owned()),
                },
                _ => {}
            }
        }
    }
}

struct Session<'a> {
    wire: &'a mut Wire,
    frames: Frames,
    before: Option<(Timestamp, Vec<LegFacts>)>,
    /// Hung up since the list was asked for.
    ended: HashSet<String>,
}

impl Session<'_> {
    async fn log_in(&mut self, desk: &Desk) -> Result<(), LinkFault> {
        let whose = "event_socket.conf.xml (password, apply-inbound-acl)";
        let refused = |why: &str| LinkFault::Refused {
            why: why.to_owned(),
            whose,
        };
        let greeting = self.frame().await?;
        match greeting.kind.as_str() {
            "auth/request" => {}
            "text/rude-rejection" => return Err(refused("this address isn't allowed")),
            kind => return Err(stranger(kind)),
        }
        let secret = desk.secret.expose_secret();
        let proof = if desk.link.user.is_empty() {
            format!("auth {secret}\n\n")
        } else {
            format!("userauth {}:{secret}\n\n", desk.link.user)
        };
        self.wire.send(&proof).await?;
        let reply = self.reply().await?;
        if !reply.starts_with("+OK") {
            return Err(refused(reply.trim_start_matches("-ERR ")));
        }
        let names = EVENTS.join(" ");
        // Names behind CUSTOM are subclasses.
        let subscribe = format!("event json {names} HEARTBEAT CUSTOM {SUBCLASS}\n\n");
        self.wire.send(&subscribe).await?;
        let reply = self.reply().await?;
        if reply.starts_with("+OK") {
            return Ok(());
        }
        Err(refused(&reply))
    }

    /// The next frame that answers a command. Events may come before it, and are kept by the phone system's own order: none
    /// comes before the subscription is answered.
    async fn reply(&mut self) -> Result<String, LinkFault> {
        loop {
            let frame = self.frame().await?;
            match frame.kind.as_str() {
                "command/reply" => return Ok(frame.reply),
                "text/disconnect-notice" | "text/rude-rejection" => return Err(LinkFault::Closed),
                _ => {}
            }
        }
    }

    async fn frame(&mut self) -> Result<Frame, LinkFault> {
        loop {
            match self.frames.next(self.wire) {
                Found::Frame(frame) => return Ok(frame),
                Found::Oversized => {}
                Found::Garbled(line) => return Err(stranger(&line)),
                Found::Open => self.wire.read().await?,
            }
        }
    }

    /// Listens until told to stop.
    async fn hold(&mut self, desk: &mut Desk, opening: Opening) -> Result<(), LinkFault> {
        self.before = opening.before;
        if self.before.is_some() {
            self.wire.send("api show channels as json\n\n").await?;
        }
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut stop = desk.stop.clone();
        loop {
            self.take(desk).await?;
            tokio::select! {
                read = self.wire.read() => read?,
                _ = ticks.tick() => {
                    desk.check_alive(self.wire.heard)?;
                    if desk.beat(self.wire.heard).await? {
                        self.wire.send("api uptime\n\n").await?;
                    }
                }
                () = stopped(&mut stop) => return Ok(()),
            }
        }
    }

    /// Takes all frames that were read: events are on disk when it answers.
    async fn take(&mut self, desk: &mut Desk) -> Result<(), LinkFault> {
        let (mut bodies, mut left_out, mut malformed) = (Vec::new(), 0, 0);
        let mut lists = Vec::new();
        let mut over = None;
        loop {
            let frame = match self.frames.next(self.wire) {
                Found::Open => break,
                Found::Oversized => {
                    malformed += 1;
                    continue;
                }
                Found::Garbled(_) => {
                    let why = "what came is no frame of the event socket".to_owned();
                    over = Some(LinkFault::Broken(why));
                    break;
                }
                Found::Frame(frame) => frame,
            };
            match frame.kind.as_str() {
                "text/event-json" => match self.event(&frame.body) {
                    Some(true) => bodies.push(frame.body),
                    Some(false) => left_out += 1,
                    None => malformed += 1,
                },
                "api/response" => lists.extend(channels(&frame.body)),
                "text/disconnect-notice" => over = Some(LinkFault::Closed),
                _ => {}
            }
        }
        if malformed > 0 {
            tracing::warn!(
                pbx = desk.pbx,
                malformed,
                "frames that are too long or no events; they are left out"
            );
        }
        let events = bodies.len() as u64;
        desk.pen.write_all(bodies).await?;
        if events > 0 {
            // Waiting for the disk is no silence of theirs.
            self.wire.heard = clock::monotonic();
        }
        {
            let mut status = desk.seen.change();
            status.events += events;
            status.left_out += left_out;
            status.malformed += malformed;
        }
        for mut there in lists {
            there.extend(self.ended.drain());
            let before = self.before.take();
            desk.report_gone(before, |leg| there.contains(leg), live::gone)
                .await?;
        }
        over.map_or(Ok(()), Err)
    }

    /// Whether an event says something of calls; none if it is no event.
    fn event(&mut self, body: &[u8]) -> Option<bool> {
        let event: Value = serde_json::from_slice(body).ok()?;
        let text = |name: &str| event.get(name).and_then(Value::as_str);
        let name = text("Event-Name")?;
        if name == "CHANNEL_HANGUP_COMPLETE" && self.before.is_some() {
            self.ended.extend(text("Unique-ID").map(str::to_owned));
        }
        let custom = name == "CUSTOM" && text("Event-Subclass") == Some(SUBCLASS);
        Some(custom || EVENTS.contains(&name))
    }
}

/// The ids of the channels that are there; none if the answer is to another question.
fn channels(body: &[u8]) -> Option<HashSet<String>> {
    let list: Value = serde_json::from_slice(body).ok()?;
    list.get("row_count")?;
    let rows = list.get("rows").and_then(Value::as_array);
    let id = |row: &Value| row.get("uuid")?.as_str().map(str::to_owned);
    Some(rows.into_iter().flatten().filter_map(id).collect())
}

fn stranger(said: &str) -> LinkFault {
    let shown = said.chars().filter(|c| c.is_ascii() && !c.is_control());
    LinkFault::Stranger {
        what: "event socket of a FreeSWITCH",
        greeting: shown.take(GREETING_SHOWN).collect(),
    }
}
