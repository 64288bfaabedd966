//! `filter test --days`: what the running daemon has of the last days, by its rules and by others.

use super::super::{EXIT_PLANNED, ask};
use super::changes::{Change, Outcome, Turn, changes};
use crate::calls::journal::Posted;
use crate::calls::known::Facts;
use crate::calls::picture;
use crate::calls::reader::{self, Reader, Subject};
use crate::clock;
use crate::settings::types::{AdminAddress, Settings};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::collections::BTreeMap;
use std::io::{self, Write};
use std::process::ExitCode;

/// A line of the daemon's answer.
#[derive(Deserialize)]
struct Line {
    key: String,
    pbx: String,
    at: Timestamp,
    decisions: Vec<Decided>,
    events: Vec<Event>,
}

#[derive(Deserialize)]
struct Decided {
    integration: String,
    skip: Option<String>,
    why: Option<String>,
}

#[derive(Deserialize)]
struct Event {
    received: Timestamp,
    content_type: Option<String>,
    query: Option<String>,
    body: String,
}

/// A call or text with a change.
#[derive(Serialize)]
struct Changed {
    key: String,
    at: Timestamp,
    /// What it is, for people: direction, and whose number.
    what: String,
    #[serde(flatten)]
    change: Change,
}

/// Reads the answer as it comes; of each call or text only what changes is kept.
struct Comparison<'a> {
    settings: &'a Settings,
    reader: Reader,
    begun: Vec<u8>,
    looked_at: u64,
    changed: Vec<Changed>,
}

/// Asks the daemon and shows what would change.
pub fn test(
    admin: &AdminAddress,
    settings: &Settings,
    days: u16,
    as_json: bool,
    out: &mut dyn Write,
) -> anyhow::Result<ExitCode> {
    let hours = i64::from(days).saturating_mul(24);
    let since = clock::now().saturating_sub(SignedDuration::from_hours(hours))?;
    let mut comparison = Comparison {
        settings,
        reader: Reader::new(&settings.pbxs),
        begun: Vec::new(),
        looked_at: 0,
        changed: Vec::new(),
    };
    let path = format!("/past?since={}", ask::segment(&since.to_string()));
    ask::download(admin, &path, &mut comparison)?;
    let Comparison {
        looked_at,
        mut changed,
        ..
    } = comparison;
    changed.sort_by(|one, other| (one.at, &one.key).cmp(&(other.at, &other.key)));
    let count = |turn: Turn| changed.iter().filter(|one| one.change.turn == turn).count();
    let [logged, not_logged, other_rule] =
        [Turn::Logged, Turn::NotLogged, Turn::OtherRule].map(count);
    if as_json {
        let shown = json!({
            "looked_at": looked_at,
            "logged": logged,
            "not_logged": not_logged,
            "other_rule": other_rule,
            "changes": changed,
        });
        writeln!(out, "{}", serde_json::to_string_pretty(&shown)?)?;
    } else {
        print(&changed, out)?;
        writeln!(
            out,
            "{looked_at} calls and texts of the last {days} days: {logged} would be logged that aren't, {not_logged} would not be logged that are, {other_rule} would be filtered by another rule"
        )?;
    }
    Ok(if changed.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(EXIT_PLANNED)
    })
}

fn print(changed: &[Changed], out: &mut dyn Write) -> io::Result<()> {
    for one in changed {
        let (key, at, what) = (&one.key, one.at, &one.what);
        let Change {
            integration,
            old,
            new,
            ..
        } = &one.change;
        writeln!(out, "{at} {key} {what}, {integration}")?;
        writeln!(out, "  now:  {}", old.words())?;
        writeln!(out, "  then: {}", new.words())?;
    }
    Ok(())
}

impl Comparison<'_> {
    fn compare(&mut self, line: &[u8]) -> Result<(), serde_json::Error> {
        let line: Line = serde_json::from_slice(line)?;
        self.looked_at += 1;
        let old = line.decisions.iter().map(|decided| {
            let outcome = Outcome::new(decided.skip.as_deref(), decided.why.as_deref());
            (decided.integration.clone(), outcome)
        });
        let old: BTreeMap<String, Outcome> = old.collect();
        let read = self.read(&line);
        let new = match &read {
            Ok(subject) => {
                let decisions = reader::decisions(&self.settings.kustomers, subject);
                let decisions = decisions.iter();
                decisions
                    .map(|(name, decision)| (name.clone(), Outcome::of(decision)))
                    .collect()
            }
            Err(why) => {
                let unread = Outcome::new(Some("unread"), Some(why));
                let all = self.settings.kustomers.iter();
                all.map(|one| (one.name.clone(), unread.clone())).collect()
            }
        };
        let what = read.as_ref().map_or_else(|_| String::new(), what);
        let changed = changes(&old, &new).into_iter().map(|change| Changed {
            key: line.key.clone(),
            at: line.at,
            what: what.clone(),
            change,
        });
        self.changed.extend(changed);
        Ok(())
    }

    /// What these settings make of its events; as in the daemon, one that can't be read is left out.
    fn read(&self, line: &Line) -> Result<Subject, String> {
        let (mut stated, mut unread) = (Vec::new(), None);
        for event in &line.events {
            let body = STANDARD.decode(&event.body);
            let posted = Posted {
                pbx: line.pbx.clone(),
                received: event.received,
                content_type: event.content_type.clone(),
                query: event.query.clone(),
                body: body.map_err(|error| error.to_string())?.into(),
            };
            match self.reader.decode(&posted) {
                Ok(facts) => stated.extend(facts),
                Err(why) => unread = Some(why),
            }
        }
        let facts = Facts::of(&line.key, stated);
        let subject = reader::subject(&line.key, &facts, clock::now());
        subject.ok_or_else(|| unread.unwrap_or_else(|| "they make no call or text".to_owned()))
    }
}

/// Direction or type, and whose number.
fn what(subject: &Subject) -> String {
    match subject {
        Subject::Call(call) => {
            format!(
                "{}, {}",
                call.call_type.words(),
                picture::address(&call.other)
            )
        }
        Subject::Text(text) => {
            format!(
                "text {}, {}",
                text.direction.word(),
                picture::address(text.other())
            )
        }
    }
}

impl Write for Comparison<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            self.begun.extend_from_slice(piece);
            if piece.ends_with(b"\n") {
                let line = std::mem::take(&mut self.begun);
                self.compare(&line).map_err(io::Error::other)?;
            }
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
