//! Asterisk's manager interface (AMI, TCP 5038): login, which events we want, pings, the list of channels after a gap, and
//! the events, which go into the journal as they came.
//!
//! Source: docs.asterisk.org, AMI actions Challenge, Login, Events, Ping, CoreShowChannels. Actions and answers belong
//! together by their ActionID; events come at any time, also between an action and its answer.

use super::batch::Batch;
use super::desk::{Desk, Opening, TICK};
use super::fault::LinkFault;
use super::life::{stopped, within_login_time};
use super::packet::{Found, Packets, value};
use super::privileges::{Listed, Privileges};
use super::wire::{Line, Wire};
use crate::calls::decode::LegFacts;
use crate::calls::decode::asterisk::live::{self, Heading};
use crate::clock;
use crate::store::StoreFault;
use bytes::Bytes;
use jiff::{SignedDuration, Timestamp};
use md5::{Digest as _, Md5};
use secrecy::ExposeSecret as _;
use std::collections::HashSet;
use std::time::Duration;
use tokio::time::{Instant, MissedTickBehavior};

/// What every manager greets with, and a version behind it.
const GREETING: &[u8] = b"Asterisk Call Manager/";

/// Of a stranger's greeting so much is shown.
const GREETING_SHOWN: usize = 40;

/// The classes whose events say something of calls. `cdr` brings the recording's name and our number where
/// `cdr_manager.conf` maps them; the dial plan's events are half of all, and say nothing more.
const CLASSES: &str = "call,agent,cdr";

/// The list of channels is asked for this often: it shows what the user isn't allowed to see.
const LIST_EVERY: Duration = Duration::from_secs(60);

/// Logs in and listens; answers why it ended.
pub async fn listen(desk: &mut Desk, wire: &mut Wire) -> LinkFault {
    let mut session = Session {
        wire,
        packets: Packets::default(),
        actions: 0,
        list: None,
        listed_at: clock::monotonic(),
        before: None,
        privileges: Privileges::default(),
        stamped: Timestamp::UNIX_EPOCH,
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

struct Session<'a> {
    wire: &'a mut Wire,
    packets: Packets,
    /// The last ActionID.
    actions: u32,
    /// The list of channels that is coming.
    list: Option<List>,
    listed_at: Instant,
    /// Until the first list is whole.
    before: Option<(Timestamp, Vec<LegFacts>)>,
    privileges: Privileges,
    /// The last time that an event without one got from us.
    stamped: Timestamp,
}

struct List {
    action: String,
    channels: Vec<Listed>,
    /// Hung up while the list came.
    ended: HashSet<String>,
    /// The one after the login: what it shows is journaled.
    first: bool,
}

impl Session<'_> {
    async fn log_in(&mut self, desk: &Desk) -> Result<(), LinkFault> {
        let greeting = self.greeting().await?;
        if !greeting.starts_with(GREETING) {
            let shown = greeting.iter().take(GREETING_SHOWN);
            let shown = shown
                .map(|byte| char::from(*byte))
                .filter(|c| !c.is_control());
            return Err(LinkFault::Stranger {
                what: "manager interface of an Asterisk",
                greeting: shown.filter(char::is_ascii).collect(),
            });
        }
        let user = desk.link.user.clone();
        let answer = self.ask("Challenge", &[("AuthType", "MD5")]).await?;
        let challenge = value(&answer, "Challenge").map(str::to_owned);
        let answer = match challenge {
            Some(challenge) if succeeded(&answer) => {
                let key = md5_key(&challenge, desk.secret.expose_secret());
                let proof = [
                    ("AuthType", "MD5"),
                    ("Username", user.as_str()),
                    ("Key", key.as_str()),
                ];
                self.ask("Login", &proof).await?
            }
            _ if desk.link.plain_login => {
                let secret = desk.secret.expose_secret();
                self.ask("Login", &[("Username", &user), ("Secret", secret)])
                    .await?
            }
            _ => return Err(LinkFault::NoChallenge(message(&answer))),
        };
        if succeeded(&answer) {
            return Ok(());
        }
        Err(LinkFault::Refused {
            why: message(&answer),
            whose: "manager.conf (the user's secret, deny and permit)",
        })
    }

    async fn greeting(&mut self) -> Result<Bytes, LinkFault> {
        loop {
            match self.wire.line() {
                Line::Whole(line) => return Ok(line),
                Line::Oversized => return Ok(Bytes::new()),
                Line::Open => self.wire.read().await?,
            }
        }
    }

    /// Sends an action and waits for its answer; for the login, while no events come.
    async fn ask(&mut self, action: &str, keys: &[(&str, &str)]) -> Result<String, LinkFault> {
        let id = self.send(action, keys).await?;
        loop {
            match self.packets.next(self.wire) {
                Found::Packet(packet) => {
                    let text = String::from_utf8_lossy(&packet);
                    let ours = value(&text, "ActionID").is_none_or(|known| known == id);
                    if ours && value(&text, "Response").is_some() {
                        return Ok(text.into_owned());
                    }
                }
                Found::Oversized => {}
                Found::Open => self.wire.read().await?,
            }
        }
    }

    async fn send(&mut self, action: &str, keys: &[(&str, &str)]) -> Result<String, LinkFault> {
        self.actions += 1;
        let id = format!("tieline-{}", self.actions);
        let mut text = format!("Action: {action}\r\nActionID: {id}\r\n");
        for (key, value) in keys {
            text.extend([key, ": ", value, "\r\n"]);
        }
        text.push_str("\r\n");
        self.wire.send(&text).await?;
        Ok(id)
    }

    /// Listens until told to stop.
    async fn hold(&mut self, desk: &mut Desk, opening: Opening) -> Result<(), LinkFault> {
        self.before = opening.before;
        self.send("Events", &[("EventMask", CLASSES)]).await?;
        self.ask_for_list(true).await?;
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut stop = desk.stop.clone();
        loop {
            self.take(desk).await?;
            tokio::select! {
                read = self.wire.read() => read?,
                _ = ticks.tick() => self.tick(desk).await?,
                () = stopped(&mut stop) => return Ok(()),
            }
        }
    }

    async fn tick(&mut self, desk: &mut Desk) -> Result<(), LinkFault> {
        let now = clock::monotonic();
        desk.check_alive(self.wire.heard)?;
        if desk.beat(self.wire.heard).await? {
            self.send("Ping", &[]).await?;
        }
        if self.list.is_none() && now.duration_since(self.listed_at) >= LIST_EVERY {
            self.ask_for_list(false).await?;
        }
        desk.read_records().await?;
        Ok(())
    }

    async fn ask_for_list(&mut self, first: bool) -> Result<(), LinkFault> {
        self.listed_at = clock::monotonic();
        let action = self.send("CoreShowChannels", &[]).await?;
        self.list = Some(List {
            action,
            channels: Vec::new(),
            ended: HashSet::new(),
            first,
        });
        Ok(())
    }

    /// Takes all packets that were read: events that say something of calls are on disk when it answers.
    async fn take(&mut self, desk: &mut Desk) -> Result<(), LinkFault> {
        let (mut batch, mut left_out, mut malformed) = (Batch::default(), 0, 0);
        let mut lists = Vec::new();
        loop {
            let packet = match self.packets.next(self.wire) {
                Found::Open => break,
                Found::Oversized => {
                    malformed += 1;
                    continue;
                }
                Found::Packet(packet) => packet,
            };
            let text = String::from_utf8_lossy(&packet);
            if value(&text, "Response").is_some() && !text.starts_with("Event:") {
                self.answered(desk, &text);
            } else if let Some(heading) = live::heading(&text) {
                let whole = self.list_goes_on(&heading, &text);
                lists.extend(whole);
                if heading.tells && self.wanted(&heading, &text) {
                    batch.add(&heading.call, &self.stamp(&heading, &packet));
                } else {
                    left_out += 1;
                }
            } else {
                malformed += 1;
            }
        }
        if malformed > 0 {
            tracing::warn!(
                pbx = desk.pbx,
                malformed,
                "packets that are too long or no events; they are left out"
            );
        }
        let events = batch.events();
        desk.pen.write_all(batch.bodies()).await?;
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
        for list in lists {
            self.list_is_whole(desk, list).await?;
        }
        Ok(())
    }

    /// An answer to an action. Pings and events have nothing to say; the list may be forbidden.
    fn answered(&mut self, desk: &Desk, text: &str) {
        let action = value(text, "ActionID").unwrap_or_default();
        let of_list = self.list.as_ref().is_some_and(|list| list.action == action);
        if of_list && !succeeded(text) {
            self.list = None;
            let what =
                "write class reporting (or system): it can't be asked which channels are there";
            let fresh = desk.seen.change().lacking.insert(what.to_owned());
            if fresh {
                tracing::warn!(
                    pbx = desk.pbx,
                    lacking = what,
                    answer = message(text),
                    "the manager's user lacks a right"
                );
            }
        }
    }

    /// Follows the list of channels; gives it when it is whole.
    fn list_goes_on(&mut self, heading: &Heading, text: &str) -> Option<List> {
        self.privileges.told(&heading.name, &heading.channel);
        let list = self.list.as_mut()?;
        let ours = || value(text, "ActionID").is_some_and(|action| action == list.action);
        match heading.name.as_str() {
            "CoreShowChannel" if ours() => list.channels.push(Listed {
                channel: heading.channel.clone(),
                in_queue: value(text, "Application") == Some("Queue"),
            }),
            "Hangup" => drop(list.ended.insert(heading.channel.clone())),
            "CoreShowChannelsComplete" if ours() => return self.list.take(),
            _ => {}
        }
        None
    }

    /// Of the lists only the first says something new.
    fn wanted(&self, heading: &Heading, text: &str) -> bool {
        let of = |list: &List| {
            list.first && value(text, "ActionID").is_some_and(|action| action == list.action)
        };
        heading.name != "CoreShowChannel" || self.list.as_ref().is_some_and(of)
    }

    async fn list_is_whole(&mut self, desk: &mut Desk, list: List) -> Result<(), StoreFault> {
        for lacking in self.privileges.listed(&list.channels) {
            let fresh = desk.seen.change().lacking.insert(lacking.to_owned());
            if fresh {
                tracing::warn!(
                    pbx = desk.pbx,
                    lacking,
                    "channels are there that no event told of: the manager's user lacks a right"
                );
            }
        }
        let there: HashSet<&str> = list
            .channels
            .iter()
            .map(|one| one.channel.as_str())
            .chain(list.ended.iter().map(String::as_str))
            .collect();
        let before = self.before.take();
        desk.report_gone(before, |leg| there.contains(leg), live::gone)
            .await
    }

    /// The event as it came; without a time of its own with the time at which it came, never the same twice, or two
    /// events in the same words would be taken for one.
    fn stamp(&mut self, heading: &Heading, packet: &Bytes) -> Bytes {
        if heading.timed {
            return packet.clone();
        }
        let next = self.stamped.checked_add(SignedDuration::from_nanos(1));
        self.stamped = next.unwrap_or(self.stamped).max(clock::now());
        let line = live::received_line(self.stamped);
        let lines = packet.trim_ascii_end();
        Bytes::from([lines, b"\r\n", line.as_bytes(), b"\r\n"].concat())
    }
}

fn succeeded(answer: &str) -> bool {
    value(answer, "Response").is_some_and(|word| word.eq_ignore_ascii_case("Success"))
}

fn message(answer: &str) -> String {
    value(answer, "Message")
        .unwrap_or("no reason given")
        .to_owned()
}

/// What proves the secret: hex of MD5 over challenge and secret.
fn md5_key(challenge: &str, secret: &str) -> String {
    let mut sum = Md5::new();
    sum.update(challenge.as_bytes());
    sum.update(secret.as_bytes());
    sum.finalize()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}
