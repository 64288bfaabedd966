//! Dead letters and replay over the admin interface: what could not be read or logged, tried again or given up.

use super::answer::{Answer, EVENT, broken, not_found};
use super::{Admin, Integration};
use crate::calls::intake::problem::Problem;
use crate::calls::ledger::End;
use crate::calls::line::{Notice, Order};
use crate::calls::outbox::{Delivery, DeliveryEnd};
use crate::clock;
use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::IntoResponse;
use serde::Deserialize;
use serde_json::json;
use std::sync::Arc;
use tokio::sync::oneshot;

/// Dead events listed at most: more than a person reads, less than memory minds.
const DEAD_LISTED_MAX: usize = 10_000;

pub(super) async fn list(State(admin): State<Arc<Admin>>) -> Answer {
    let mut rows = Vec::new();
    for (seq, mark) in admin.ledger.dead_events(DEAD_LISTED_MAX).map_err(broken)? {
        // A dead delivery is listed with its call, where it can be retried; its events are no rows of their own.
        if mark.key.is_some() {
            continue;
        }
        if let Some(event) = admin.journal.get(seq).map_err(broken)? {
            let why = mark
                .end
                .as_ref()
                .and_then(End::why)
                .unwrap_or_default()
                .to_owned();
            rows.push(
                json!({"id": event.id.to_string(), "kind": "event", "from": event.posted.pbx,
                "since": event.posted.received.to_string(), "why": why}),
            );
        }
    }
    for part in &admin.integrations {
        for delivery in admin.outbox.dead(&part.settings.name).map_err(broken)? {
            let why = delivery.end.as_ref().map(why_ended).unwrap_or_default();
            rows.push(json!({"id": format!("{}/{}", delivery.integration, delivery.key), "kind": "delivery",
                "from": delivery.integration, "since": delivery.first_try.map(|at| at.to_string()), "why": why}));
        }
    }
    Ok(Json(json!({"dead": rows})).into_response())
}

fn why_ended(end: &DeliveryEnd) -> String {
    match end {
        DeliveryEnd::Logged => "logged".to_owned(),
        DeliveryEnd::Dropped => "dropped".to_owned(),
        DeliveryEnd::Skipped { why, .. } | DeliveryEnd::Dead { why } => why.clone(),
    }
}

pub(super) async fn one(State(admin): State<Arc<Admin>>, Path(id): Path<String>) -> Answer {
    if let Some((integration, key)) = id.split_once('/') {
        let delivery = admin
            .outbox
            .get(integration, key)
            .map_err(broken)?
            .ok_or_else(|| not_found(&id, EVENT))?;
        return Ok(
            Json(json!({"id": id, "kind": "delivery", "delivery": delivery})).into_response(),
        );
    }
    let event = admin
        .find_event(&id)
        .map_err(broken)?
        .ok_or_else(|| not_found(&id, EVENT))?;
    let mark = admin.ledger.mark(event.seq).map_err(broken)?;
    let posted = &event.posted;
    Ok(Json(json!({"id": id, "kind": "event", "number": event.seq, "phone_system": posted.pbx,
        "received": posted.received.to_string(), "content_type": posted.content_type, "query": posted.query,
        "body": String::from_utf8_lossy(&posted.body), "mark": mark}))
    .into_response())
}

#[derive(Deserialize)]
pub(super) struct Ids {
    ids: Vec<String>,
}

pub(super) async fn retry(State(admin): State<Arc<Admin>>, Json(Ids { ids }): Json<Ids>) -> Answer {
    let mut retried = 0;
    let mut events = Vec::new();
    for id in &ids {
        match id.split_once('/') {
            Some((integration, key)) => {
                retried += usize::from(retry_delivery(&admin, integration, key).await?);
            }
            None => events.extend(admin.find_event(id).map_err(broken)?.map(|event| event.seq)),
        }
    }
    retried += take_up(&admin, events).await?;
    Ok(Json(json!({"retried": retried})).into_response())
}

/// A dead delivery, with the integration it belongs to.
fn dead_delivery<'a>(
    admin: &'a Admin,
    integration: &str,
    key: &str,
) -> Result<Option<(&'a Integration, Delivery)>, Problem> {
    let part = admin
        .integrations
        .iter()
        .find(|part| part.settings.name == integration);
    let delivery = admin.outbox.get(integration, key).map_err(broken)?;
    let dead = delivery.filter(|delivery| matches!(delivery.end, Some(DeliveryEnd::Dead { .. })));
    Ok(part.zip(dead))
}

async fn drop_delivery(admin: &Admin, integration: &str, key: &str) -> Result<bool, Problem> {
    let Some((_, mut delivery)) = dead_delivery(admin, integration, key)? else {
        return Ok(false);
    };
    delivery.end = Some(DeliveryEnd::Dropped);
    admin.outbox.keep(&delivery).await.map_err(broken)?;
    let settled = Notice::Settled {
        integration: integration.to_owned(),
        key: key.to_owned(),
        end: DeliveryEnd::Dropped,
    };
    Ok(admin.notices.send(settled).is_ok())
}

async fn retry_delivery(admin: &Admin, integration: &str, key: &str) -> Result<bool, Problem> {
    let Some((part, mut delivery)) = dead_delivery(admin, integration, key)? else {
        return Ok(false);
    };
    delivery.revive(clock::now());
    admin.outbox.keep(&delivery).await.map_err(broken)?;
    // Before the order, so that the line hears of it before it hears of its end.
    let (integration, owed) = (integration.to_owned(), key.to_owned());
    let revived = Notice::Revived {
        integration,
        key: owed,
    };
    if admin.notices.send(revived).is_err() {
        return Ok(false);
    }
    Ok(part.orders.send(Order::Retry(key.to_owned())).is_ok())
}

pub(super) async fn drop_events(
    State(admin): State<Arc<Admin>>,
    Json(Ids { ids }): Json<Ids>,
) -> Answer {
    let mut dropped = 0;
    for id in &ids {
        if let Some((integration, key)) = id.split_once('/') {
            dropped += usize::from(drop_delivery(&admin, integration, key).await?);
        } else if let Some(event) = admin.find_event(id).map_err(broken)? {
            let (answer, answered) = oneshot::channel();
            if admin
                .notices
                .send(Notice::Drop {
                    event: event.seq,
                    answer,
                })
                .is_ok()
            {
                dropped += usize::from(answered.await.unwrap_or(false));
            }
        }
    }
    Ok(Json(json!({"dropped": dropped})).into_response())
}

#[derive(Deserialize)]
pub(super) struct Wanted {
    what: Vec<String>,
    #[serde(default)]
    dead: bool,
    #[serde(default)]
    filtered: bool,
}

pub(super) async fn replay(State(admin): State<Arc<Admin>>, Json(wanted): Json<Wanted>) -> Answer {
    let mut events = Vec::new();
    for what in &wanted.what {
        match admin.find_event(what).map_err(broken)? {
            Some(event) => events.push(event.seq),
            None => events.extend(
                admin
                    .find_record(what)
                    .map_err(broken)?
                    .ok_or_else(|| not_found(what, EVENT))?
                    .events,
            ),
        }
    }
    if wanted.dead || wanted.filtered {
        let ended = admin
            .ledger
            .ended_events(wanted.dead, wanted.filtered)
            .map_err(broken)?;
        events.extend(ended);
    }
    let replayed = take_up(&admin, events).await?;
    Ok(Json(json!({"replayed": replayed})).into_response())
}

async fn take_up(admin: &Admin, events: Vec<u64>) -> Result<usize, Problem> {
    if events.is_empty() {
        return Ok(0);
    }
    let (answer, answered) = oneshot::channel();
    let stopping = || {
        Problem::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "stopping",
            "the daemon is about to stop",
        )
    };
    admin
        .notices
        .send(Notice::Replay { events, answer })
        .map_err(|_| stopping())?;
    answered.await.map_err(|_| stopping())
}
