//! What came since some time, for `filter test`: each call and text with its events as they were posted and what the rules
//! in force say of it, one JSON object a line. Who asks reads the events by rules of his own.

use super::Admin;
use super::answer::{Answer, Part, Parts};
use crate::calls::filter::SkipReason;
use crate::calls::judge::Subject;
use crate::calls::ledger::{CallRecord, Stage};
use crate::clock;
use crate::offload::off_the_runtime;
use crate::store::StoreFault;
use axum::body::Body;
use axum::extract::{Query, State};
use axum::http::{HeaderValue, header};
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::Arc;
use tokio::sync::mpsc;

/// Lines that wait for the reader.
const PARTS_WAITING: usize = 16;

#[derive(Deserialize)]
pub(super) struct Since {
    since: Timestamp,
}

/// Calls and texts that were decided and whose last event came since then, in the order of their keys.
pub(super) async fn past(State(admin): State<Arc<Admin>>, Query(from): Query<Since>) -> Answer {
    let (parts, waiting) = mpsc::channel(PARTS_WAITING);
    tokio::spawn(off_the_runtime(move || {
        if let Err(fault) = write(&admin, from.since, &parts) {
            // The reader sees that it isn't whole. Nobody reads: nothing to tell.
            let _ = parts.blocking_send(Err(fault));
        }
    }));
    let mut response = Response::new(Body::new(Parts::new(None, waiting)));
    let kind = HeaderValue::from_static("application/jsonl");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    Ok(response)
}

fn write(admin: &Admin, since: Timestamp, parts: &mpsc::Sender<Part>) -> Result<(), StoreFault> {
    for record in admin.ledger.records() {
        let record = record?;
        if record.last_event < since || record.stage == Stage::Gathering || record.is_empty() {
            continue;
        }
        let Some(line) = line(admin, &record)? else {
            continue;
        };
        if parts
            .blocking_send(Ok(Bytes::from(format!("{line}\n"))))
            .is_err()
        {
            return Ok(());
        }
    }
    Ok(())
}

/// None where its events make nothing.
fn line(admin: &Admin, record: &CallRecord) -> Result<Option<Value>, StoreFault> {
    let Some(subject) = admin.judge.subject(record, &admin.journal, clock::now())? else {
        return Ok(None);
    };
    let at = match &subject {
        Subject::Call(call) => call.started,
        Subject::Text(text) => text.at,
    };
    let decisions = admin.judge.decisions(&subject).into_iter();
    let decisions: Vec<Value> = decisions
        .map(|(integration, decision)| {
            let why = decision.trace.last().map(|step| step.detail.as_str());
            json!({
                "integration": integration,
                "skip": decision.skip.map(SkipReason::key),
                "why": why.filter(|_| decision.skip.is_some()),
            })
        })
        .collect();
    let mut events = Vec::new();
    for seq in &record.events {
        let Some(event) = admin.journal.get(*seq)? else {
            continue;
        };
        let posted = event.posted;
        events.push(json!({
            "received": posted.received.to_string(),
            "content_type": posted.content_type,
            "query": posted.query,
            "body": STANDARD.encode(&posted.body),
        }));
    }
    Ok(Some(json!({
        "key": record.key,
        "pbx": record.pbx,
        "at": at.to_string(),
        "decisions": decisions,
        "events": events,
    })))
}
