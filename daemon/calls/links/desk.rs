//! What both protocols need beside the wire: the journal, what is remembered over restarts, the gap and what is done about
//! it, and the status.

use super::fault::LinkFault;
use super::gap_csv;
use super::memory::{Gap, Memory};
use super::pen::Pen;
use super::roll::Roll;
use super::status::{LinkState, Seen};
use crate::calls::decode::LegFacts;
use crate::clock;
use crate::settings::types::LinkSettings;
use crate::store::StoreFault;
use bytes::Bytes;
use jiff::{SignedDuration, Timestamp};
use secrecy::SecretString;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;

/// Without a word for so many thirds of the time between two pings the connection is dead: two pings without an answer,
/// and time for the second one's.
const SILENCE_THIRDS: u32 = 8;

/// From the connection to the login's answer.
pub const LOGIN_TIME_MAX: Duration = Duration::from_secs(10);

/// How often to see what is due.
pub const TICK: Duration = Duration::from_secs(1);

/// So long after a gap the file of call records is read on: calls that the gap hit may end later.
const RECORDS_FOR: Duration = Duration::from_secs(10 * 60);

pub struct Desk {
    pub pbx: String,
    pub link: LinkSettings,
    pub secret: SecretString,
    pub pen: Pen,
    pub memory: Memory,
    pub roll: Roll,
    pub seen: Seen,
    pub stop: watch::Receiver<bool>,
    /// Records are read until then.
    pub records_until: Option<Instant>,
    /// The end of the file at the last ping; it becomes the mark with the next one, so that a row of a call whose last
    /// events were on their way isn't left out.
    pub records_end: Option<super::memory::Mark>,
    pub pinged: Instant,
}

/// What a login finds.
#[derive(Default)]
pub struct Opening {
    /// When somebody listened last, and which legs were going on then. None when nobody ever did.
    pub before: Option<(Timestamp, Vec<LegFacts>)>,
}

impl Desk {
    /// Logged in: notes the gap, and which legs went on before it. Nothing of the new events may be journaled before.
    pub async fn logged_in(&mut self) -> Result<Opening, LinkFault> {
        let now = clock::now();
        let since = self.memory.now.alive;
        let mut opening = Opening::default();
        if let Some(from) = since {
            opening.before = Some((from, self.roll.live(&self.pbx).await?));
            let gap = Gap {
                from,
                to: now.max(from),
            };
            self.memory.now.add(gap);
            let seconds = gap.to.duration_since(gap.from).as_secs_f64();
            tracing::warn!(pbx = self.pbx, from = %gap.from, to = %gap.to, seconds, "nobody listened for a while");
            self.records_until = clock::monotonic().checked_add(RECORDS_FOR);
        }
        self.memory.now.alive = Some(now);
        self.read_records().await?;
        self.memory.keep().await?;
        self.pinged = clock::monotonic();
        let mut status = self.seen.change();
        status.state = LinkState::Connected(now);
        status.logins += 1;
        status.gaps.clone_from(&self.memory.now.gaps);
        status.gap_count = self.memory.now.gap_count;
        status.gap_seconds = self.memory.now.gap_seconds;
        tracing::info!(
            pbx = self.pbx,
            address = status.address,
            "connected to the phone system"
        );
        Ok(opening)
    }

    /// Whether it was silent for so long that the connection is dead.
    ///
    /// # Errors
    /// `Silent` if it was.
    pub fn check_alive(&self, heard: Instant) -> Result<(), LinkFault> {
        let most = self.link.keep_alive * SILENCE_THIRDS / 3;
        if clock::monotonic().duration_since(heard) > most {
            return Err(LinkFault::Silent(most));
        }
        Ok(())
    }

    /// Whether a ping is due; then it is also written down until when the connection was alive: its last word.
    pub async fn beat(&mut self, heard: Instant) -> Result<bool, StoreFault> {
        let now = clock::monotonic();
        if now.duration_since(self.pinged) < self.link.keep_alive {
            return Ok(false);
        }
        self.pinged = now;
        self.memory.now.alive = self.memory.now.alive.max(Some(time_of(heard)));
        if self.records_until.is_none()
            && let Some(file) = self.link.gap_csv.clone()
        {
            self.memory.now.csv = self.records_end.take().or(self.memory.now.csv);
            self.records_end = gap_csv::end_aside(file).await.ok();
        }
        self.memory.keep().await?;
        Ok(true)
    }

    /// The connection ended; it was alive until `alive`.
    pub async fn left(&mut self, alive: Timestamp, why: &LinkFault) -> Result<(), StoreFault> {
        let connected = matches!(self.seen.change().state, LinkState::Connected(_));
        if connected {
            self.memory.now.alive = self.memory.now.alive.max(Some(alive));
            self.memory.keep().await?;
        }
        let mut status = self.seen.change();
        let since = match &status.state {
            LinkState::Down(since, _) => *since,
            LinkState::Connected(_) | LinkState::Connecting => alive,
        };
        status.state = LinkState::Down(since, why.to_string());
        Ok(())
    }

    /// Reads what is new in the file of call records, while that is due.
    pub async fn read_records(&mut self) -> Result<(), StoreFault> {
        let Some(file) = self.link.gap_csv.clone() else {
            return Ok(());
        };
        if self.memory.now.csv.is_none() {
            self.memory.now.csv = gap_csv::end_aside(file).await.ok();
            return Ok(());
        }
        let due = self
            .records_until
            .is_some_and(|until| clock::monotonic() < until);
        if !due {
            self.records_until = None;
            return Ok(());
        }
        loop {
            let before = self.memory.now.csv;
            let part = match gap_csv::read_on_aside(file.clone(), before).await {
                Ok(part) => part,
                Err(error) => {
                    tracing::warn!(pbx = self.pbx, file = %file.display(), %error, "the call records can't be read");
                    return Ok(());
                }
            };
            if part.lost {
                tracing::warn!(pbx = self.pbx, file = %file.display(), "the file was rotated away: its last rows are not read");
            }
            let rows = part.rows.len() as u64;
            self.pen.write_all(part.rows).await?;
            self.seen.change().rows += rows;
            self.memory.now.csv = part.mark;
            if part.mark != before {
                self.memory.keep().await?;
            }
            if !part.more {
                return Ok(());
            }
        }
    }

    /// Says of each leg that went on before the gap and isn't there any more that its end was missed.
    pub async fn report_gone(
        &mut self,
        before: Option<(Timestamp, Vec<LegFacts>)>,
        there: impl Fn(&str) -> bool,
        say: impl Fn(&LegFacts, Timestamp, Timestamp) -> String,
    ) -> Result<(), StoreFault> {
        let Some((since, legs)) = before else {
            return Ok(());
        };
        let now = clock::now();
        let gone = legs.iter().filter(|leg| !there(&leg.leg));
        let bodies: Vec<Bytes> = gone.map(|leg| Bytes::from(say(leg, since, now))).collect();
        let count = bodies.len() as u64;
        if count > 0 {
            tracing::warn!(
                pbx = self.pbx,
                legs = count,
                "legs ended while nobody listened"
            );
        }
        self.seen.change().missed_ends += count;
        self.pen.write_all(bodies).await
    }
}

/// The time of day of a moment that has passed.
pub fn time_of(moment: Instant) -> Timestamp {
    let now = clock::now();
    let ago = clock::monotonic().duration_since(moment);
    let ago = SignedDuration::try_from(ago).unwrap_or(SignedDuration::ZERO);
    now.checked_sub(ago).unwrap_or(now)
}
