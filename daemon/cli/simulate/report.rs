//! What became of it: the answers to the posts, and how the daemon says that each call ended.

use super::{Played, Tally};
use crate::cli::{ask, table};
use crate::settings::types::AdminAddress;
use hyper::Method;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::Write;
use std::time::Duration;

/// How often it is asked whether a call has ended, and how long all are waited for.
const LOOK_EVERY: Duration = Duration::from_millis(200);
const LOOKS_MAX: usize = 5 * 60;

/// One call, as the daemon has it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct End {
    pub what: String,
    /// The event's id, or the call's.
    pub id: String,
    /// `incoming missed (busy)`, or text.
    pub understood: String,
    pub end: String,
    pub why: String,
    pub conversation: Option<String>,
}

/// The end of each call, waited for; nothing without an admin address, or if nobody answers there.
pub async fn ends(
    admin: Option<&AdminAddress>,
    pbx: &str,
    calls: &[Played],
    tally: &Tally,
) -> Vec<End> {
    let Some(admin) = admin else {
        return Vec::new();
    };
    let (mut ends, mut looks) = (Vec::new(), 0);
    for (number, call) in calls.iter().enumerate() {
        let known = || call.told.key.as_ref().map(|key| format!("{pbx}:{key}"));
        let Some(id) = tally.events.get(&number).cloned().or_else(known) else {
            continue;
        };
        loop {
            let path = format!("/explain?of={}", ask::segment(&id));
            let explained = ask::ask(admin, Method::GET, &path, None).await;
            let Ok(explained) = explained else {
                return ends;
            };
            let end = end_of(&call.what, &id, &explained.body);
            looks += 1;
            if end.end != IN_FLIGHT || looks > LOOKS_MAX {
                ends.push(end);
                break;
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }
    ends
}

const IN_FLIGHT: &str = "in flight";

fn end_of(what: &str, id: &str, explained: &Value) -> End {
    let text = |path: &str| explained.pointer(path).and_then(Value::as_str);
    let ends = explained.get("ends").and_then(Value::as_array);
    let all = || ends.into_iter().flatten();
    let word = |end: &Value| {
        end.get("end")
            .and_then(Value::as_str)
            .unwrap_or(IN_FLIGHT)
            .to_owned()
    };
    // One event of a call is logged, the others join it.
    let best = all()
        .find(|end| word(end) == "logged")
        .or_else(|| all().next());
    let understood = match (text("/call/type"), text("/call/reason")) {
        (Some(kind), Some(reason)) => format!("{kind} ({reason})"),
        (Some(kind), None) => kind.to_owned(),
        (None, _) if explained.get("text").is_some_and(|text| !text.is_null()) => "text".to_owned(),
        (None, _) => "not understood".to_owned(),
    };
    let integrations = explained.get("integrations").and_then(Value::as_array);
    let mut deliveries = integrations.into_iter().flatten();
    let conversation = deliveries.find_map(|one| one.pointer("/delivery/conversation")?.as_str());
    End {
        what: what.to_owned(),
        id: id.to_owned(),
        understood,
        end: best.map_or_else(|| IN_FLIGHT.to_owned(), word),
        why: best
            .and_then(|end| end.get("why")?.as_str())
            .unwrap_or_default()
            .to_owned(),
        conversation: conversation.map(str::to_owned),
    }
}

/// Prints it, for people or for programs.
pub fn write(
    json: bool,
    seed: u64,
    tally: &Tally,
    ends: &[End],
    out: &mut dyn Write,
) -> anyhow::Result<()> {
    let seconds = tally.took.as_secs_f64();
    let rate = if seconds > 0.0 {
        tally.posts as f64 / seconds
    } else {
        0.0
    };
    if json {
        writeln!(out, "{}", as_json(seed, rate, tally, ends))?;
        return Ok(());
    }
    let row = [
        tally.posts.to_string(),
        tally.accepted.to_string(),
        tally.repeats.to_string(),
        tally.refusals().to_string(),
        tally.retried.to_string(),
        format!("{rate:.0}/s"),
        seed.to_string(),
    ];
    let head = [
        "posts",
        "accepted",
        "repeats",
        "refused",
        "tried again",
        "rate",
        "seed",
    ];
    table::write(out, &head, &[row.to_vec()])?;
    for ((status, detail), count) in &tally.refused {
        writeln!(out, "{count} refused: {status} {detail}")?;
    }
    // Alike ones together: a thousand calls have a few kinds of end.
    let mut alike: BTreeMap<[&str; 4], Vec<&str>> = BTreeMap::new();
    for end in ends {
        let kind = [end.what.as_str(), &end.understood, &end.end, &end.why];
        alike.entry(kind).or_default().push(&end.id);
    }
    if alike.is_empty() {
        return Ok(());
    }
    writeln!(out)?;
    let row = |(kind, ids): (&[&str; 4], &Vec<&str>)| {
        let [what, understood, end, why] = kind.map(str::to_owned);
        // One of them, for `explain`.
        let id = ids.first().copied().unwrap_or_default().to_owned();
        vec![what, ids.len().to_string(), understood, end, id, why]
    };
    let rows: Vec<_> = alike.iter().map(row).collect();
    let head = ["played", "calls", "understood as", "end", "such as", "why"];
    table::write(out, &head, &rows)?;
    Ok(())
}

fn as_json(seed: u64, rate: f64, tally: &Tally, ends: &[End]) -> Value {
    let refused = tally.refused.iter();
    let refused: Vec<Value> = refused
        .map(
            |((status, detail), count)| json!({"status": status, "detail": detail, "count": count}),
        )
        .collect();
    let end = |end: &End| {
        json!({"what": end.what, "id": end.id, "understood": end.understood, "end": end.end, "why": end.why,
            "conversation": end.conversation})
    };
    let calls: Vec<Value> = ends.iter().map(end).collect();
    json!({"posts": tally.posts, "accepted": tally.accepted, "repeats": tally.repeats, "refused": refused,
        "tried_again": tally.retried, "seconds": tally.took.as_secs_f64(), "rate": rate, "seed": seed, "calls": calls})
}
