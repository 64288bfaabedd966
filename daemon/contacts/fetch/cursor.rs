//! How far Kustomer's customers were read, and what is asked next. Pure.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// Most rows of a page of a search (Kustomer: Search).
pub const ROWS_MAX: u32 = 500;

/// Most pages of one search; only rows of one and the same time are ever asked for by page (Kustomer: Search).
const PAGES_MAX: u32 = 100;

/// A write is found by a search about a minute later.
pub const INDEX_LAG: SignedDuration = SignedDuration::from_secs(60);

/// So far a window reaches back into the last one: the index may lag longer, and clocks differ.
const OVERLAP: SignedDuration = SignedDuration::from_mins(5);

/// What wasn't changed for longer is only in the archive (two years), with a day to spare.
const ARCHIVE_AGE: SignedDuration = SignedDuration::from_hours((2 * 365 - 1) * 24);

/// How far the customers were read. Its default has read nothing: the first import.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cursor {
    stage: Stage,
    /// Rows changed from then on.
    since: Option<Timestamp>,
    /// Rows changed before then; none: a new window begins.
    until: Option<Timestamp>,
    /// Pages read of the rows since `since`, where one page didn't get past that time.
    pages: u32,
    /// Rows read by the import.
    done: u64,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Stage {
    /// The first import: what nobody changed for two years.
    #[default]
    Archive,
    /// The first import: the rest.
    Import,
    /// What changed since.
    Follow,
}

/// How far the first import is, in rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    pub done: u64,
    /// Kustomer's searches don't say reliably.
    pub total: Option<u64>,
    pub importing: bool,
}

/// One page to ask for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Read {
    pub archive: bool,
    since: Option<Timestamp>,
    until: Timestamp,
    pub page: u32,
}

impl Read {
    /// The search's body.
    pub fn query(&self) -> Value {
        let written = |at: Timestamp| format!("{at:.3}");
        let mut all = vec![json!({"customer_updated_at": {"lt": written(self.until)}})];
        if let Some(since) = self.since {
            all.push(json!({"customer_updated_at": {"gte": written(since)}}));
        }
        json!({
            "queryContext": "customer",
            "and": all,
            "sort": [{"customer_updated_at": "asc"}],
            "includeDeleted": true,
        })
    }
}

impl Cursor {
    pub fn is_importing(&self) -> bool {
        self.stage != Stage::Follow
    }

    pub fn progress(&self) -> Progress {
        Progress {
            done: self.done,
            total: None,
            importing: self.is_importing(),
        }
    }

    /// What is asked next.
    pub fn read(&self, now: Timestamp, lag: SignedDuration) -> Read {
        let age = match self.stage {
            Stage::Archive => ARCHIVE_AGE,
            Stage::Import | Stage::Follow => lag,
        };
        Read {
            archive: self.stage == Stage::Archive,
            since: self.since,
            until: self.until.unwrap_or_else(|| before(now, age)),
            page: self.pages.saturating_add(1),
        }
    }

    /// The cursor after a page whose rows were changed and made at these times, in that order, and whether there is more at
    /// once. `full`: the page had as many rows as fit.
    pub fn after(&self, read: &Read, times: &[(Timestamp, Timestamp)], full: bool) -> (Self, bool) {
        let mut next = self.clone();
        next.until = Some(read.until);
        if self.is_importing() {
            next.done += times.len() as u64;
        }
        let last = times.iter().map(|(updated, _)| *updated).max();
        if let Some(last) = last.filter(|_| full) {
            if next.since.is_some_and(|since| last <= since) && read.page < PAGES_MAX {
                // A page of rows of one time: the next ones are only reached by page.
                next.pages = read.page;
            } else {
                next.since = Some(beyond(last, next.since));
                next.pages = 0;
            }
            return (next, true);
        }
        next.pages = 0;
        next.until = None;
        match self.stage {
            Stage::Archive => {
                next.stage = Stage::Import;
                next.since = None;
            }
            Stage::Import | Stage::Follow => {
                next.stage = Stage::Follow;
                next.since = Some(before(read.until, OVERLAP));
            }
        }
        (next, self.stage == Stage::Archive)
    }
}

/// The last row's time; a millisecond later where 100 pages of one time are read, for a search shows no more of them.
fn beyond(last: Timestamp, since: Option<Timestamp>) -> Timestamp {
    if since == Some(last) {
        last.checked_add(SignedDuration::from_millis(1))
            .unwrap_or(last)
    } else {
        last
    }
}

fn before(at: Timestamp, wait: SignedDuration) -> Timestamp {
    at.checked_sub(wait).unwrap_or(Timestamp::MIN)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn rows(seconds: &[i64]) -> Vec<(Timestamp, Timestamp)> {
        seconds.iter().map(|second| (at(*second), at(0))).collect()
    }

    /// A cursor that is past the archive.
    fn importing() -> Cursor {
        let cursor = Cursor::default();
        let read = cursor.read(at(1_000_000_000), INDEX_LAG);
        assert!(read.archive);
        let (cursor, more) = cursor.after(&read, &[], false);
        assert!(more && cursor.is_importing());
        cursor
    }

    #[test]
    fn pages_go_on_from_the_last_rows_time_and_windows_overlap() {
        let now = at(1_000_000_000);
        let (cursor, more) = {
            let cursor = importing();
            let read = cursor.read(now, INDEX_LAG);
            assert_eq!((read.since, read.page), (None, 1));
            cursor.after(&read, &rows(&[5, 7]), true)
        };
        let read = cursor.read(at(2_000_000_000), INDEX_LAG);
        assert_eq!((more, read.since, read.page), (true, Some(at(7)), 1));
        assert_eq!(read.until, before(now, INDEX_LAG), "a window's end stays");
        let (cursor, more) = cursor.after(&read, &rows(&[7]), false);
        assert_eq!((more, cursor.is_importing()), (false, false));
        let later = cursor.read(at(1_000_000_100), INDEX_LAG);
        assert_eq!(later.since, Some(before(read.until, OVERLAP)));
        assert_eq!(cursor.progress().done, 3);
    }

    #[test]
    fn rows_of_one_time_are_read_by_page_and_end() {
        let now = at(1_000_000_000);
        let mut cursor = importing();
        for page in 1..=PAGES_MAX + 1 {
            let read = cursor.read(now, INDEX_LAG);
            let expected = if page == 1 { 1 } else { page - 1 };
            assert_eq!(read.page, expected);
            let (next, more) = cursor.after(&read, &rows(&[9, 9]), true);
            assert!(more);
            cursor = next;
        }
        assert!(cursor.read(now, INDEX_LAG).since > Some(at(9)));
    }
}
