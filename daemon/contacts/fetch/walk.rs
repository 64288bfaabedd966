//! Where the reading of customers goes on: which search is next, and what its page says about the one after it. Pure.
//!
//! Each page is asked for as the first one of a new search, from the time of the last row on: a row that is changed
//! meanwhile leaves its place, and in a numbered page the row behind it would slip past. Where a page ends in many rows of
//! one time, asking from that time on would read them all twice: the next numbered page is asked for then, and if the
//! total isn't what it was, it goes back to what is sure. Rows of one time that fill all pages a search has are read by when
//! they were created.
//! Source: Kustomer: Search (100 pages of 500 rows, index lag, two years).

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// Search shows a write about a minute later (`search_lag`): what is younger isn't asked for yet.
pub const INDEX_LAG: SignedDuration = SignedDuration::from_secs(60);
/// Read again at each look, for writes that the index shows later than that.
pub const OVERLAP: SignedDuration = SignedDuration::from_mins(5);
/// So far our clock may be ahead of Kustomer's, if its replies don't tell the time: a look begins no later than this (and the overlap) before the end of the
/// last one, if no row said that Kustomer was further.
pub const CLOCK_AHEAD: SignedDuration = SignedDuration::from_mins(10);
/// What wasn't updated for so long is in the archive alone.
pub const HORIZON: SignedDuration = SignedDuration::from_hours(2 * 365 * 24);
/// The archive is read so much further than the horizon: it moves on while an import runs.
const HORIZON_MARGIN: SignedDuration = SignedDuration::from_hours(7 * 24);
/// A page that ends in at most one in so many rows of one time is followed from that time on: so much is read twice.
const TIES_ONE_IN: usize = 100;
/// Where servers of this kind stop counting, unless asked not to: no total, then.
const TOTAL_CAP: u64 = 10_000;

/// How much one search gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Paging {
    /// On a page: 500 at most.
    pub rows: u32,
    /// Of one search: 100 at most.
    pub pages: u32,
}

impl Default for Paging {
    fn default() -> Self {
        Self {
            rows: 500,
            pages: 100,
        }
    }
}

/// Whence to ask on. Stored in one commit with the rows it came with, so that a kill goes on at the page. The default has
/// read nothing: a full import.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
pub struct Cursor {
    phase: Phase,
    walk: Walk,
    /// The newest update that is read.
    newest: Option<Timestamp>,
    /// Rows read by this import, or by this look.
    done: u64,
}

#[derive(Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq)]
enum Phase {
    /// All that search has.
    #[default]
    Import,
    /// What is older than that.
    Archive { below: Timestamp },
    /// What has changed.
    Follow,
}

/// A way through rows in the order of their updates.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
struct Walk {
    /// All that was updated before it is read.
    from: Option<Timestamp>,
    /// So is what was updated at that time.
    past: bool,
    /// Rows of the one time `from`, in the order of their creation.
    tie: Option<Tie>,
    /// Under way through the numbered pages of one search.
    pages: Option<Pages>,
}

#[derive(Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq)]
struct Tie {
    /// All that was created before it is read.
    from: Option<Timestamp>,
}

#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq)]
struct Pages {
    next: u32,
    /// Of the search they are pages of.
    until: Timestamp,
    total: Option<u64>,
    /// What the page before ended with: sure to be read up to there.
    reached: Option<Timestamp>,
}

/// One search to send.
#[derive(Clone, Debug, PartialEq)]
pub struct Search {
    pub archive: bool,
    pub query: Value,
    pub page: u32,
    /// Rows updated from then on aren't part of it.
    pub until: Timestamp,
    /// Sorted by `createdAt`, else by `updatedAt`.
    pub by_creation: bool,
}

/// What came of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Listed {
    /// What the rows are sorted by. A row can be newer than the index that it was found in: those from `until` on are left
    /// out.
    pub keys: Vec<Timestamp>,
    pub rows: usize,
    pub total: Option<u64>,
}

/// How far it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Rows read by this import, or by this look for changes.
    pub done: u64,
    /// Of how many, as far as that was told: what is in the archive is known once the rest is read.
    pub total: Option<u64>,
    pub importing: bool,
}

enum Step {
    /// With how many of the rows that were read coming again.
    On(Walk, usize),
    End,
}

impl Cursor {
    /// The next search; none while there is nothing that search could know yet, which it does after `lag`.
    pub fn search(&self, now: Timestamp, lag: SignedDuration) -> Option<Search> {
        let lag = to_millisecond(now.checked_sub(lag).unwrap_or(now));
        let (archive, until) = match self.phase {
            Phase::Import | Phase::Follow => (false, lag),
            Phase::Archive { below } => (true, below),
        };
        let until = self.walk.pages.map_or(until, |pages| pages.until);
        let waits = self.walk.from.is_some_and(|from| from >= until);
        (self.walk.tie.is_some() || !waits).then(|| Search {
            archive,
            query: self.walk.query(until),
            page: self.walk.page(),
            until,
            by_creation: self.walk.tie.is_some(),
        })
    }

    /// `now`, or, if a search at that time would have nothing to ask for, the first moment after at which there is.
    pub fn not_before(&self, now: Timestamp, lag: SignedDuration) -> Timestamp {
        let from = self.walk.from.unwrap_or(Timestamp::MIN);
        let first = from.checked_add(lag + SignedDuration::from_millis(1));
        now.max(first.unwrap_or(now))
    }

    /// The cursor behind a page, and whether more is to be read right away. `now` is Kustomer's time, if it is known.
    ///
    /// # Errors
    /// In words: what makes the page unusable.
    pub fn after(
        &self,
        search: &Search,
        listed: &Listed,
        now: Timestamp,
        paging: Paging,
    ) -> Result<(Self, bool), &'static str> {
        let mut next = self.clone();
        let step = self.walk.step(search.until, listed, paging)?;
        let newest = listed.keys.last().copied().filter(|_| !search.by_creation);
        if !search.archive {
            next.newest = self.newest.max(newest);
        }
        next.done += count(listed.rows);
        match step {
            Step::On(walk, again) => {
                next.walk = walk;
                next.done = next.done.saturating_sub(count(again));
                Ok((next, true))
            }
            Step::End => Ok(next.ended(search.until, now)),
        }
    }

    /// The cursor where there is no archive.
    pub fn without_archive(&self, search: &Search, now: Timestamp) -> (Self, bool) {
        self.clone().ended(search.until, now)
    }

    pub const fn progress(&self, total: Option<u64>) -> Progress {
        let importing = !matches!(self.phase, Phase::Follow);
        Progress {
            done: self.done,
            total,
            importing,
        }
    }

    /// Of how many rows the ones read are, by what a page of this cursor's search says.
    pub fn total(&self, search: &Search, listed: &Listed, paging: Paging) -> Option<u64> {
        let before = u64::from(search.page.saturating_sub(1)) * u64::from(paging.rows);
        let total = known(listed.total)?.saturating_sub(before);
        (!search.by_creation).then(|| self.done.saturating_add(total))
    }

    /// A whole search was read. If our clock was ahead, it asked for more than there is yet.
    fn ended(mut self, until: Timestamp, now: Timestamp) -> (Self, bool) {
        let until = until.min(now);
        self.walk = Walk::default();
        match self.phase {
            Phase::Import => {
                self.newest = self.newest.max(until.checked_sub(CLOCK_AHEAD).ok());
                let edge = now.checked_sub(HORIZON - HORIZON_MARGIN);
                let below = edge.unwrap_or(Timestamp::MIN);
                self.phase = Phase::Archive { below };
                (self, true)
            }
            Phase::Follow => {
                self.newest = self.newest.max(until.checked_sub(CLOCK_AHEAD).ok());
                (self.following(), false)
            }
            Phase::Archive { .. } => (self.following(), false),
        }
    }

    fn following(mut self) -> Self {
        self.phase = Phase::Follow;
        self.done = 0;
        self.walk.from = self
            .newest
            .map(|newest| to_millisecond(newest.checked_sub(OVERLAP).unwrap_or(Timestamp::MIN)));
        self
    }
}

impl Walk {
    fn page(&self) -> u32 {
        self.pages.map_or(1, |pages| pages.next)
    }

    /// What the rows of its search aren't below.
    fn lowest(&self) -> Option<Timestamp> {
        self.tie.map_or(self.from, |tie| tie.from)
    }

    fn query(&self, until: Timestamp) -> Value {
        let updated = |operator: &str, at| json!({"customer_updated_at": {operator: time(at)}});
        let mut and = Vec::new();
        if let Some(from) = self.from {
            and.push(updated(if self.past { "gt" } else { "gte" }, from));
        }
        let sort = match (self.tie, self.from) {
            (Some(tie), Some(at)) => {
                and.push(updated("lte", at));
                if let Some(from) = tie.from {
                    and.push(json!({"customer_created_at": {"gte": time(from)}}));
                }
                "customer_created_at"
            }
            (Some(_) | None, _) => {
                and.push(updated("lt", until));
                "customer_updated_at"
            }
        };
        json!({
            "queryContext": "customer",
            "and": and,
            "sort": [{sort: "asc"}],
            "includeDeleted": true,
        })
    }

    /// The same walk from a key on.
    fn from(&self, key: Option<Timestamp>) -> Self {
        let mut walk = Self {
            pages: None,
            ..self.clone()
        };
        match &mut walk.tie {
            Some(tie) => tie.from = key,
            None => {
                walk.past = walk.past && key == walk.from;
                walk.from = key;
            }
        }
        walk
    }

    /// Behind the last row of its search.
    fn ended(&self) -> Step {
        if self.tie.is_none() {
            return Step::End;
        }
        // The times behind the one that had so many rows.
        let walk = Self {
            from: self.from,
            past: true,
            ..Self::default()
        };
        Step::On(walk, 0)
    }

    /// What a page says about the search after it.
    fn step(
        &self,
        until: Timestamp,
        listed: &Listed,
        paging: Paging,
    ) -> Result<Step, &'static str> {
        let (page, total) = (self.page(), known(listed.total));
        let lowest = self.lowest();
        if !listed.keys.is_sorted()
            || listed
                .keys
                .first()
                .copied()
                .is_some_and(|key| Some(key) < lowest)
        {
            return Err("rows that weren't asked for, or not in that order");
        }
        if let Some(pages) = self.pages.filter(|pages| pages.total != total) {
            return Ok(Step::On(self.from(pages.reached), 0));
        }
        let before = u64::from(page.saturating_sub(1)) * u64::from(paging.rows);
        let rows = count(listed.rows);
        let is_short = rows < u64::from(paging.rows);
        let is_end = total.map_or(is_short, |total| before + rows >= total);
        if is_end {
            return Ok(self.ended());
        }
        let last = listed.keys.last().copied().max(lowest);
        let ties = listed.keys.iter().rev();
        let ties = ties.take_while(|key| Some(**key) == last).count();
        let few = ties <= (listed.rows / TIES_ONE_IN).max(1);
        let is_last_page = page >= paging.pages;
        if last > lowest && (few || is_short || is_last_page || total.is_none()) {
            return Ok(Step::On(self.from(last), ties));
        }
        if is_short {
            return Err("fewer rows than it says there are");
        }
        if !is_last_page && (total.is_some() || self.tie.is_some()) {
            let pages = Pages {
                next: page + 1,
                until,
                total,
                reached: last,
            };
            let walk = Self {
                pages: Some(pages),
                ..self.clone()
            };
            return Ok(Step::On(walk, 0));
        }
        if self.tie.is_some() || last.is_none() {
            return Err("more rows of one time than search can list");
        }
        let walk = Self {
            from: last,
            past: false,
            tie: Some(Tie::default()),
            pages: None,
        };
        let read = usize::try_from(before).unwrap_or(usize::MAX);
        Ok(Step::On(walk, read.saturating_add(listed.rows)))
    }
}

fn known(total: Option<u64>) -> Option<u64> {
    total.filter(|total| *total != TOTAL_CAP)
}

fn count(rows: usize) -> u64 {
    u64::try_from(rows).unwrap_or(u64::MAX)
}

/// Kustomer's own times have milliseconds: what is compared with them must not be finer.
fn to_millisecond(at: Timestamp) -> Timestamp {
    Timestamp::from_millisecond(at.as_millisecond()).unwrap_or(at)
}

fn time(at: Timestamp) -> String {
    format!("{at:.3}")
}
