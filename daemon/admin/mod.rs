//! The admin interface: health, metrics, status, explain, dead letters, replay, lookup. Served on a unix socket or
//! loopback only; `cli/` is its main reader. Owns nothing: it shows what the parts know and passes wishes on.

mod explain;
mod lookup;
mod metrics;

use crate::calls::directory::Directory;
use crate::calls::dispatch::DispatchStatus;
use crate::calls::intake::IntakeStats;
use crate::calls::intake::problem::Problem;
use crate::calls::journal::{Entry, Journal};
use crate::calls::judge::Judge;
use crate::calls::ledger::{CallRecord, Counts, End, Ledger};
use crate::calls::line::{LineStats, Notice, Order};
use crate::calls::outbox::Outbox;
use crate::clock;
use crate::kustomer::client::Client;
use crate::settings::types::{KustomerSettings, Settings};
use crate::store::{Store, StoreFault};
use crate::terms::ids::EventId;
use axum::extract::{Path, Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};

/// Dead events listed at most: more than a person reads, less than memory minds.
const DEAD_LISTED_MAX: usize = 10_000;

/// A group commit that takes longer than this is stuck: disks that slow answer no phone system in time either.
const WRITE_TIME_MAX: Duration = Duration::from_secs(30);

/// One integration as `status` sees it.
#[derive(Clone)]
pub struct Integration {
    pub settings: Arc<KustomerSettings>,
    pub client: Client,
    pub status: Arc<Mutex<DispatchStatus>>,
    pub orders: mpsc::UnboundedSender<Order>,
}

/// Everything the admin interface shows or passes wishes to.
pub struct Admin {
    pub settings: Arc<Settings>,
    pub store: Store,
    pub journal: Journal,
    pub ledger: Ledger,
    pub outbox: Outbox,
    pub directory: Directory,
    pub judge: Judge,
    pub integrations: Vec<Integration>,
    pub notices: mpsc::UnboundedSender<Notice>,
    pub line: Arc<LineStats>,
    pub intake: Arc<IntakeStats>,
    /// When the settings were last read again, or why the new ones are not in force; none since the start.
    pub reloaded: Option<Result<Timestamp, String>>,
}

/// How the accepted events divide up right now (invariant 2).
pub struct Accounting {
    pub accepted: u64,
    pub counts: Counts,
    pub in_flight: u64,
    /// Not read yet, and in open calls: what in flight must be made of.
    pub unread: u64,
    pub open: u64,
}

impl Accounting {
    /// accepted = the sum of the ends + in flight, counted from two sides. Meaningful while nothing is being read.
    pub const fn adds_up(&self) -> bool {
        self.in_flight == self.unread + self.open
    }
}

impl Admin {
    pub fn accounting(&self) -> Result<Accounting, StoreFault> {
        let counts = self.ledger.counts()?;
        let accepted = self.journal.last_seq();
        let in_flight = accepted.saturating_sub(counts.ended());
        let unread = accepted.saturating_sub(counts.cursor);
        let open = self.line.open_events.load(Ordering::Relaxed);
        Ok(Accounting {
            accepted,
            in_flight,
            unread,
            open,
            counts,
        })
    }

    /// One line for `systemctl status` and the log.
    pub fn headline(&self) -> String {
        let counts = self.accounting().map_or_else(
            |fault| fault.to_string(),
            |sums| {
                let dead = sums.counts.dead;
                format!(
                    "{} events accepted, {} in flight, {dead} dead",
                    sums.accepted, sums.in_flight
                )
            },
        );
        let held = self.integrations.iter().filter_map(|part| {
            let status = part.status.lock().unwrap_or_else(PoisonError::into_inner);
            status
                .held
                .as_ref()
                .map(|why| format!("; {}: {why}, {} wait", part.settings.name, status.owed))
        });
        let reload = match &self.reloaded {
            Some(Err(_)) => "; the new settings are wrong, the old ones are in force",
            Some(Ok(_)) | None => "",
        };
        format!("{counts}{}{reload}", held.collect::<String>())
    }

    /// An event by its id.
    fn find_event(&self, id: &str) -> Result<Option<Entry>, StoreFault> {
        match EventId::parse(id) {
            Some(id) => self.journal.find(id),
            None => Ok(None),
        }
    }

    /// A call or text by its key, as stored (`call:hq:a1`) or as people write it (`hq:a1`).
    fn find_record(&self, key: &str) -> Result<Option<CallRecord>, StoreFault> {
        for candidate in [key.to_owned(), format!("call:{key}"), format!("text:{key}")] {
            if let Some(record) = self.ledger.record(&candidate)? {
                return Ok(Some(record));
            }
        }
        Ok(None)
    }

    /// Healthy: the store writes and the line moves.
    pub fn healthy(&self, turn_age_max: Duration) -> Result<(), String> {
        let store = self.store.health();
        if let Some(why) = store.broken {
            return Err(format!("the store is broken: {why}"));
        }
        if let Some(stuck) = store.writing_for.filter(|time| *time > WRITE_TIME_MAX) {
            return Err(format!(
                "the store has been writing for {} s",
                stuck.as_secs()
            ));
        }
        let turned = self.line.turned_at.load(Ordering::Relaxed);
        let age = clock::now().as_second().saturating_sub(turned);
        if turned > 0 && u64::try_from(age).unwrap_or_default() > turn_age_max.as_secs() {
            return Err(format!("the processing loop has not moved for {age} s"));
        }
        Ok(())
    }
}

/// The routes.
pub fn router(admin: Arc<Admin>) -> Router {
    Router::new()
        .route("/health", get(health))
        .route("/ready", get(ready))
        .route("/metrics", get(show_metrics))
        .route("/status", get(status))
        .route("/explain", get(show_explain))
        .route("/lookup", get(show_lookup))
        .route("/dead", get(dead))
        .route("/dead/{id}", get(dead_one))
        .route("/dead/retry", post(dead_retry))
        .route("/dead/drop", post(dead_drop))
        .route("/replay", post(replay))
        .with_state(admin)
}

type Answer = Result<Response, Problem>;

/// Longest silence of the loop that `/health` accepts; the watchdog's limit is `app.rs`'s.
const HEALTH_TURN_AGE_MAX: Duration = Duration::from_secs(60);

async fn health(State(admin): State<Arc<Admin>>) -> Answer {
    match admin.healthy(HEALTH_TURN_AGE_MAX) {
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
    let integrations: Vec<Value> = admin.integrations.iter().map(integration_status).collect();
    let settings = match &admin.reloaded {
        None => json!({"in_force": "since the start"}),
        Some(Ok(at)) => json!({"in_force": at.to_string()}),
        Some(Err(faults)) => json!({"in_force": "the old ones", "refused": faults}),
    };
    Ok(Json(json!({
        "version": env!("CARGO_PKG_VERSION"),
        "healthy": admin.healthy(HEALTH_TURN_AGE_MAX).is_ok(),
        "why_unhealthy": admin.healthy(HEALTH_TURN_AGE_MAX).err(),
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
            "adds_up": sums.adds_up(),
        },
        "open_calls": admin.line.open_calls.load(Ordering::Relaxed),
        "integrations": integrations,
        "store": {
            "bytes": admin.store.size_on_disk().map_err(broken)?,
            "disk_full": health.disk_full,
            "broken": health.broken,
        },
        "settings": settings,
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
    json!({
        "name": part.settings.name,
        "active": part.settings.active,
        "owed": status.owed,
        "in_flight": status.in_flight,
        "settled_since_start": status.logged,
        "dead_since_start": status.dead,
        "held": status.held,
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
        None => Err(not_found(&what.of)),
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

async fn dead(State(admin): State<Arc<Admin>>) -> Answer {
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

fn why_ended(end: &crate::calls::outbox::DeliveryEnd) -> String {
    use crate::calls::outbox::DeliveryEnd;
    match end {
        DeliveryEnd::Logged => "logged".to_owned(),
        DeliveryEnd::Skipped { why, .. } | DeliveryEnd::Dead { why } => why.clone(),
    }
}

async fn dead_one(State(admin): State<Arc<Admin>>, Path(id): Path<String>) -> Answer {
    if let Some((integration, key)) = id.split_once('/') {
        let delivery = admin
            .outbox
            .get(integration, key)
            .map_err(broken)?
            .ok_or_else(|| not_found(&id))?;
        return Ok(
            Json(json!({"id": id, "kind": "delivery", "delivery": delivery})).into_response(),
        );
    }
    let event = admin
        .find_event(&id)
        .map_err(broken)?
        .ok_or_else(|| not_found(&id))?;
    let mark = admin.ledger.mark(event.seq).map_err(broken)?;
    let posted = &event.posted;
    Ok(Json(json!({"id": id, "kind": "event", "number": event.seq, "phone_system": posted.pbx,
        "received": posted.received.to_string(), "content_type": posted.content_type, "query": posted.query,
        "body": String::from_utf8_lossy(&posted.body), "mark": mark}))
    .into_response())
}

#[derive(Deserialize)]
struct Ids {
    ids: Vec<String>,
}

async fn dead_retry(State(admin): State<Arc<Admin>>, Json(Ids { ids }): Json<Ids>) -> Answer {
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

async fn retry_delivery(admin: &Admin, integration: &str, key: &str) -> Result<bool, Problem> {
    let Some(part) = admin
        .integrations
        .iter()
        .find(|part| part.settings.name == integration)
    else {
        return Ok(false);
    };
    let Some(mut delivery) = admin.outbox.get(integration, key).map_err(broken)? else {
        return Ok(false);
    };
    if !matches!(
        delivery.end,
        Some(crate::calls::outbox::DeliveryEnd::Dead { .. })
    ) {
        return Ok(false);
    }
    delivery.revive(clock::now());
    admin.outbox.keep(&delivery).await.map_err(broken)?;
    Ok(part.orders.send(Order::Retry(key.to_owned())).is_ok())
}

async fn dead_drop(State(admin): State<Arc<Admin>>, Json(Ids { ids }): Json<Ids>) -> Answer {
    let mut dropped = 0;
    for id in &ids {
        if let Some(event) = admin.find_event(id).map_err(broken)? {
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
struct Wanted {
    what: Vec<String>,
    #[serde(default)]
    dead: bool,
    #[serde(default)]
    filtered: bool,
}

async fn replay(State(admin): State<Arc<Admin>>, Json(wanted): Json<Wanted>) -> Answer {
    let mut events = Vec::new();
    for what in &wanted.what {
        match admin.find_event(what).map_err(broken)? {
            Some(event) => events.push(event.seq),
            None => events.extend(
                admin
                    .find_record(what)
                    .map_err(broken)?
                    .ok_or_else(|| not_found(what))?
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

fn not_found(what: &str) -> Problem {
    Problem::new(
        StatusCode::NOT_FOUND,
        "not-found",
        format!("no event, call or text is known as \"{what}\""),
    )
}

#[expect(clippy::needless_pass_by_value, reason = "used in map_err")]
fn broken(fault: StoreFault) -> Problem {
    Problem::new(
        StatusCode::INTERNAL_SERVER_ERROR,
        "store",
        format!("the store can't be read: {fault}"),
    )
}
