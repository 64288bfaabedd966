//! The life of a connection: connect, log in, listen, and again, with longer and longer waits while it doesn't work.

use super::desk::{Desk, LOGIN_TIME_MAX, time_of};
use super::fault::LinkFault;
use super::memory::Memory;
use super::pen::Pen;
use super::roll::Roll;
use super::status::{LinkState, LinkStatus, Links, Seen};
use super::wire::Wire;
use super::{ami, esl};
use crate::backoff::{self, Retry};
use crate::calls::intake::proof::read_secret;
use crate::calls::journal::Journal;
use crate::calls::judge::Judge;
use crate::calls::ledger::Ledger;
use crate::clock;
use crate::settings::types::{LinkSettings, PbxSettings, Protocol};
use crate::store::{Store, StoreFault};
use jiff::Timestamp;
use secrecy::SecretString;
use std::time::Duration;
use tokio::sync::watch;

/// Waits before the first, second, … new connection. A restart of the phone system takes seconds, so the first come soon;
/// the last is what a phone system that is away for good is asked.
const WAITS: [Duration; 6] = [
    Duration::from_millis(250),
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(5),
    Duration::from_secs(10),
    Duration::from_secs(30),
];

/// So many of them have failed already, as it were, when a person has to change something first: phone systems lock out
/// who tries a wrong password too often.
const ATTEMPTS_REFUSED: u32 = 6;

/// What all connections need.
#[derive(Clone)]
pub struct LinkParts {
    pub store: Store,
    pub journal: Journal,
    pub ledger: Ledger,
    pub judge: Judge,
}

/// One connection.
pub struct Link {
    desk: Desk,
}

impl Link {
    /// The phone system's connection, if it has one; its status is added to `links`.
    ///
    /// # Errors
    /// A fault of the store.
    pub fn open(
        pbx: &PbxSettings,
        parts: &LinkParts,
        links: &mut Links,
    ) -> Result<Option<Self>, StoreFault> {
        let Some(link) = pbx.link.clone() else {
            return Ok(None);
        };
        let memory = Memory::open(&parts.store, &pbx.name)?;
        let mut status = LinkStatus::new(&pbx.name, address(&link));
        status.gaps.clone_from(&memory.now.gaps);
        status.gap_count = memory.now.gap_count;
        status.gap_seconds = memory.now.gap_seconds;
        let seen = Seen::new(status);
        links.links.push(seen.clone());
        let desk = Desk {
            pbx: pbx.name.clone(),
            link,
            secret: SecretString::from(""),
            pen: Pen {
                journal: parts.journal.clone(),
                pbx: pbx.name.clone(),
            },
            memory,
            roll: Roll {
                journal: parts.journal.clone(),
                ledger: parts.ledger.clone(),
                judge: parts.judge.clone(),
            },
            seen,
            // Replaced when it runs.
            stop: watch::Sender::new(false).subscribe(),
            records_until: None,
            records_end: None,
            pinged: clock::monotonic(),
        };
        Ok(Some(Self { desk }))
    }

    /// Runs until `stop` turns true.
    ///
    /// # Errors
    /// A fault of the store that doesn't pass.
    pub async fn run(mut self, stop: watch::Receiver<bool>) -> Result<(), StoreFault> {
        self.desk.stop = stop;
        let mut attempts = 0_u32;
        loop {
            let events = self.desk.seen.change().events;
            let (fault, alive) = self.live_once().await;
            // It worked. A login alone doesn't count: who is let in and thrown out again must not hammer at the door.
            if self.desk.seen.change().events > events {
                attempts = 0;
            }
            attempts = match &fault {
                fault if fault.needs_a_person() => ATTEMPTS_REFUSED,
                _ => attempts.saturating_add(1),
            };
            match fault {
                LinkFault::Store(fault) => return Err(fault),
                LinkFault::Stopped => return self.desk.left(alive, &LinkFault::Stopped).await,
                fault => {
                    self.say(&fault);
                    self.desk.left(alive, &fault).await?;
                }
            }
            let mut stop = self.desk.stop.clone();
            tokio::select! {
                () = tokio::time::sleep(wait(attempts)) => {}
                () = stopped(&mut stop) => return Ok(()),
            }
        }
    }

    /// One connection from its beginning to its end: why it ended, and until when it was alive.
    async fn live_once(&mut self) -> (LinkFault, Timestamp) {
        let mut wire = match self.connect().await {
            Ok(wire) => wire,
            Err(fault) => return (fault, clock::now()),
        };
        let fault = match self.desk.link.protocol {
            Protocol::Ami => ami::listen(&mut self.desk, &mut wire).await,
            Protocol::Esl => esl::listen(&mut self.desk, &mut wire).await,
        };
        // What was silent died with its last word.
        let alive = match &fault {
            LinkFault::Silent(_) => time_of(wire.heard),
            _ => clock::now(),
        };
        (fault, alive)
    }

    async fn connect(&mut self) -> Result<Wire, LinkFault> {
        // Read each time: a new password takes effect with the next attempt.
        let secret = read_secret(&self.desk.link.secret_file);
        self.desk.secret = secret.map_err(|fault| LinkFault::Refused {
            why: fault.to_string(),
            whose: "that file",
        })?;
        let mut stop = self.desk.stop.clone();
        tokio::select! {
            opened = Wire::open(&self.desk.link) => opened,
            () = stopped(&mut stop) => Err(LinkFault::Stopped),
        }
    }

    /// The first failure of a kind is a warning, repeats of it aren't.
    fn say(&self, fault: &LinkFault) {
        let pbx = &self.desk.pbx;
        let known = match &self.desk.seen.change().state {
            LinkState::Down(_, why) => *why == fault.to_string(),
            LinkState::Connecting | LinkState::Connected(_) => false,
        };
        if known {
            tracing::debug!(pbx, %fault, "still no connection to the phone system");
        } else {
            tracing::warn!(pbx, %fault, "no connection to the phone system; it is tried again");
        }
    }
}

/// Waits until it is time to stop; the sender's end is a stop too.
pub async fn stopped(stop: &mut watch::Receiver<bool>) {
    let _ = stop.wait_for(|stop| *stop).await;
}

/// Ends a login that takes too long, or that somebody wants to stop.
pub async fn within_login_time<T>(
    stop: &watch::Receiver<bool>,
    login: impl Future<Output = Result<T, LinkFault>>,
) -> Result<T, LinkFault> {
    let mut stop = stop.clone();
    tokio::select! {
        done = tokio::time::timeout(LOGIN_TIME_MAX, login) => {
            done.unwrap_or(Err(LinkFault::SlowLogin(LOGIN_TIME_MAX)))
        }
        () = stopped(&mut stop) => Err(LinkFault::Stopped),
    }
}

fn wait(attempts: u32) -> Duration {
    let now = clock::now();
    let retry = backoff::next_attempt(
        &WAITS,
        Duration::MAX,
        now,
        attempts,
        now,
        clock::chance(),
        None,
    );
    let last = WAITS.last().copied().unwrap_or_default();
    match retry {
        Retry::At(at) => Duration::try_from(at.duration_since(now)).unwrap_or(last),
        Retry::GiveUp => last,
    }
}

fn address(link: &LinkSettings) -> String {
    let scheme = match (link.protocol, link.tls) {
        (Protocol::Ami, false) => "ami",
        (Protocol::Ami, true) => "amis",
        (Protocol::Esl, _) => "esl",
    };
    let host = &link.host;
    if host.contains(':') {
        format!("{scheme}://[{host}]:{}", link.port)
    } else {
        format!("{scheme}://{host}:{}", link.port)
    }
}
