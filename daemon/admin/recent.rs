//! What came lately, for `check --online`: when each phone system was last heard, and which of our numbers the last calls
//! and texts had. Which of them the settings name is for who asks to see.

use super::Admin;
use super::answer::{Answer, broken};
use crate::calls::filter;
use crate::calls::intake::problem::Problem;
use crate::calls::judge::Subject;
use crate::clock;
use crate::offload::off_the_runtime;
use crate::store::StoreFault;
use crate::terms::party::Contact;
use axum::Json;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::IntoResponse;
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;

/// Calls and texts that are looked at, at most: some seconds' work.
const CALLS_MAX: usize = 10_000;
/// Events that are looked at for each call asked for: a call that is told live has some twenty.
const EVENTS_A_CALL: usize = 20;

#[derive(Deserialize)]
pub(super) struct HowMany {
    calls: usize,
}

/// The last `calls` calls and texts.
pub(super) async fn recent(
    State(admin): State<Arc<Admin>>,
    Query(how_many): Query<HowMany>,
) -> Answer {
    let calls = how_many.calls.min(CALLS_MAX);
    let looked = off_the_runtime(move || look(&admin, calls)).await;
    let looked = looked.map_err(|error| {
        Problem::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "not-looked",
            error.to_string(),
        )
    })?;
    Ok(Json(looked.map_err(broken)?).into_response())
}

/// Our numbers of one kind: how many calls or texts, and each number once, as read and as sent.
#[derive(Default)]
struct Numbers {
    count: u64,
    ours: BTreeSet<(Option<String>, String)>,
}

impl Numbers {
    fn add(&mut self, ours: &Contact) {
        self.count += 1;
        let number = ours.number().map(ToString::to_string);
        self.ours.insert((number, ours.raw.clone()));
    }

    fn json(self) -> Value {
        let ours = self.ours.into_iter();
        let ours = ours.map(|(number, raw)| json!({"number": number, "raw": raw}));
        json!({"count": self.count, "ours": ours.collect::<Vec<_>>()})
    }
}

fn look(admin: &Admin, wanted: usize) -> Result<Value, StoreFault> {
    let (mut heard, mut known) = (BTreeMap::new(), HashSet::new());
    let (mut calls, mut texts) = (Numbers::default(), Numbers::default());
    let events = wanted.saturating_mul(EVENTS_A_CALL);
    let mut looked_at = 0_u64;
    for seq in (1..=admin.journal.last_seq()).rev().take(events) {
        if known.len() >= wanted {
            break;
        }
        let Some(event) = admin.journal.get(seq)? else {
            continue;
        };
        looked_at += 1;
        let last = heard
            .entry(event.posted.pbx)
            .or_insert(event.posted.received);
        *last = event.posted.received.max(*last);
        let key = admin.ledger.mark(seq)?.and_then(|mark| mark.key);
        let record = key.map(|key| admin.ledger.record(&key)).transpose()?;
        let Some(record) = record.flatten() else {
            continue;
        };
        if !known.insert(record.key.clone()) {
            continue;
        }
        match admin.judge.subject(&record, &admin.journal, clock::now())? {
            Some(Subject::Call(call)) => calls.add(&filter::connected(&call)),
            Some(Subject::Text(text)) => texts.add(text.ours()),
            None => {}
        }
    }
    let heard: BTreeMap<_, _> = heard
        .into_iter()
        .map(|(pbx, at)| (pbx, at.to_string()))
        .collect();
    Ok(json!({
        "events": looked_at,
        "heard": heard,
        "calls": calls.json(),
        "texts": texts.json(),
    }))
}
