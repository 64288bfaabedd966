//! The admin interface's routes but the dead letters' and the contacts': health, readiness, metrics, status, explain, lookup.

use super::answer::{Answer, EVENT, broken, not_found};
use super::{
    Admin, Integration, WRITE_TIME_MAX, accounts, backup, contacts, dead, explain, hooks, links,
    lookup, metrics, past, recent, sync,
};
use crate::calls::intake::problem::Problem;
use crate::clock;
use axum::extract::{Query, State};
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};

/// The routes.
pub fn router(admin: Arc<Admin>) -> Router {
    Router::new()
        .route("/health", get(health))
        .route("/ready", get(ready))
        .route("/metrics", get(show_metrics))
        .route("/status", get(status))
        .route("/explain", get(show_explain))
        .route("/lookup", get(show_lookup))
        .route("/recent", get(recent::recent))
        .route("/past", get(past::past))
        .route("/backup", get(backup::backup))
        .route("/contacts", get(contacts::list))
        .route("/contacts/import", post(contacts::import))
        .route("/contacts/export", get(contacts::export))
        .route("/contacts/{contact}", get(contacts::show))
        .route("/sync/plan", get(sync::plan))
        .route("/sync/now", post(sync::now))
        .route("/sync/links", get(sync::links))
        .route("/sync/conflicts", get(sync::conflicts))
        .route("/sync/unmerge", post(sync::unmerge))
        .route("/dead", get(dead::list))
        .route("/dead/{id}", get(dead::one))
        .route("/dead/retry", post(dead::retry))
        .route("/dead/drop", post(dead::drop_events))
        .route("/replay", post(dead::replay))
        .with_state(admin)
}

async fn health(State(admin): State<Arc<Admin>>) -> Answer {
    match admin.healthy(WRITE_TIME_MAX) {
        Ok(()) => Ok(Json(json!({"healthy": true})).into_response()),
        Err(why) => Err(Problem::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "not-healthy",
            why,
        )),
    }
}

async fn ready(State(admin): State<Arc<Admin>>) -> Answer {
    if admin.store.health().disk_full {
        let detail = "the store's disk is full: events are answered 503 until there is space";
        return Err(Problem::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "disk-full",
            detail,
        ));
    }
    Ok(Json(json!({"ready": true})).into_response())
}

async fn show_metrics(State(admin): State<Arc<Admin>>) -> Answer {
    let text = metrics::text(&admin).map_err(broken)?;
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    Ok(([(header::CONTENT_TYPE, kind)], text).into_response())
}

async fn status(State(admin): State<Arc<Admin>>) -> Answer {
    let sums = admin.accounting().map_err(broken)?;
    let health = admin.store.health();
    let size = admin.book.size().map_err(broken)?;
    let integrations: Vec<Value> = admin.integrations.iter().map(integration_status).collect();
    let settings = match &admin.reloaded {
        None => json!({"in_force": "since the start"}),
        Some(Ok(at)) => json!({"in_force": at.to_string()}),
        Some(Err(faults)) => json!({"in_force": "the old ones", "refused": faults}),
    };
    Ok(Json(json!({
        "version": env!("CARGO_PKG_VERSION"),
        "healthy": admin.healthy(WRITE_TIME_MAX).is_ok(),
        "why_unhealthy": admin.healthy(WRITE_TIME_MAX).err(),
        "events": {
            "accepted": sums.accepted,
            "logged": sums.counts.logged,
            "joined": sums.counts.joined,
            "filtered": sums.counts.filtered,
            "dead": sums.counts.dead,
            "erased": sums.counts.erased,
            "in_flight": sums.in_flight,
            "unread": sums.unread,
            "in_open_calls": sums.open,
            "adds_up": sums.differs.is_empty(),
        },
        "accounts": accounts::shown(&admin, &sums),
        "open_calls": admin.line.open_calls.load(Ordering::Relaxed),
        "integrations": integrations,
        "store": {
            "bytes": admin.store.size_on_disk().map_err(broken)?,
            "disk_full": health.disk_full,
            "broken": health.broken,
        },
        "contacts": size.contacts,
        "settings": settings,
        "tls": admin.certificate.as_ref().map(|certificate| json!({
            "expires": certificate.expires.map(|at| at.to_string()),
            "doubt": certificate.doubt(clock::now()),
        })),
        "connections": links::connections(&admin.links),
        "folders": links::folders(&admin.links),
        "phone_systems": admin.settings.pbxs.iter().map(|pbx| pbx.name.as_str()).collect::<Vec<_>>(),
    }))
    .into_response())
}

fn integration_status(part: &Integration) -> Value {
    let status = part
        .status
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .clone();
    let stats = part.client.stats();
    let attributes = part.attributes.status();
    json!({
        "name": part.settings.name,
        "active": part.settings.active,
        "owed": status.owed,
        "in_flight": status.in_flight,
        "settled_since_start": status.logged,
        "dead_since_start": status.dead,
        "held": status.held.as_ref().map(ToString::to_string),
        "behind": status.behind,
        "bulk": {"groups": status.groups, "rests": status.bulk_rests},
        "attributes": {"left_out": attributes.left_out, "unread": attributes.unread},
        "webhook": part.hook.as_ref().map(hooks::hook),
        "contacts": part.sync.as_ref().map(sync::status_json),
        "last_success": stats.last_success.map(|at| at.to_string()),
        "last_fault": stats.last_failure.map(|(at, why)| json!({"at": at.to_string(), "why": why})),
        "requests": {
            "window_limit": part.settings.requests_per_minute,
            "used": part.client.requests().used,
        },
    })
}

#[derive(Deserialize)]
struct What {
    of: String,
    #[serde(default)]
    online: bool,
}

async fn show_explain(State(admin): State<Arc<Admin>>, Query(what): Query<What>) -> Answer {
    match explain::explain(&admin, &what.of).map_err(broken)? {
        Some(explained) => Ok(Json(explained).into_response()),
        None => Err(not_found(&what.of, EVENT)),
    }
}

async fn show_lookup(State(admin): State<Arc<Admin>>, Query(what): Query<What>) -> Answer {
    Ok(Json(
        lookup::lookup(&admin, &what.of, what.online)
            .await
            .map_err(broken)?,
    )
    .into_response())
}
