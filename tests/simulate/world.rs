//! The simulated world around the daemon: its disk and sockets, Kustomer, the phone system that posts and posts again, the
//! people who edit; and what is known of each event.

use super::fate::Fate;
use super::history::{CALLERS, CUSTOMERS_AT_START, History, OURS};
use super::odds::Odds;
use super::wires::Wires;
use bytes::Bytes;
use fastrand::Rng;
use http_body_util::Full;
use hyper::Request;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use tempfile::TempDir;
use tieline::app::{Ground, Pipe, Simulated, Wish};
use tieline::cli::ask::{self, Answer};
use tieline::clock;
use tieline::sandbox::{Fault, FaultKind, SANDBOX_KEY, Sandbox, SandboxOptions};
use tieline::settings::load::{Sources, load};
use tieline::settings::types::Settings;
use tieline::store::{MemoryDisk, Moment};
use tokio::sync::mpsc;
use tokio::time::Instant;

/// When every run begins: a Friday before Central Europe's clocks go back.
pub const START: &str = "2026-10-23T09:00:00Z";
/// A whole request to Kustomer, as the settings say.
pub const TIMEOUT: Duration = Duration::from_secs(10);
/// How long somebody waits for an answer of the daemon.
const PATIENCE: Duration = Duration::from_secs(30);

pub struct World {
    pub fate: Arc<Fate>,
    pub disk: MemoryDisk,
    pub sandbox: Arc<Sandbox>,
    pub wires: Arc<Wires>,
    pub events: Arc<Pipe>,
    pub admin: Arc<Pipe>,
    pub odds: Odds,
    /// Which file of settings the next reload reads; none: a faulty one.
    pub settings: Arc<Mutex<Option<Settings>>>,
    /// Those without a fault.
    pub good: Settings,
    pub wishes: Mutex<Option<mpsc::Sender<Wish>>>,
    /// How the next death goes: percent of what isn't synced that stays, and how long nothing runs.
    crash: Mutex<(u8, Duration)>,
    /// When people's requests reached Kustomer.
    people: Mutex<BTreeSet<u64>>,
    began: Instant,
    known: Mutex<Known>,
    _folder: TempDir,
}

/// What was sent, and what must come of it.
#[derive(Default)]
pub struct Known {
    /// Every event that was sent at least once.
    pub sent: BTreeSet<String>,
    pub acknowledged: BTreeSet<String>,
    pub subjects: BTreeMap<String, Subject>,
    pub junk: u64,
    /// Words that no log may hold.
    pub private: BTreeSet<String>,
    /// Numbers that are shared, or WhatsApp's.
    pub special: BTreeSet<String>,
    /// Numbers of contacts that a clerk removed.
    pub removed: BTreeSet<String>,
    /// Whether a clerk may have removed a contact: its customer stays without one.
    pub contact_removed: bool,
    /// Whether customers may have been merged: numbers moved.
    pub merged: bool,
}

/// A call or text, and what must come of it.
#[derive(Clone, Default)]
pub struct Subject {
    pub is_text: bool,
    /// Whether it is to be logged.
    pub wanted: bool,
    /// What its note must say, because it was told of later.
    pub late: Option<String>,
}

/// The number of a caller.
pub fn caller(index: usize) -> String {
    format!("+49171123{:04}", 1000 + index)
}

pub fn ours(index: usize) -> String {
    format!("+4921155500{}00", index + 1)
}

impl World {
    pub async fn new(history: &History) -> Arc<Self> {
        let odds = history.odds.clone();
        let fate = Arc::new(Fate::new(history.seed, odds.slowness_ms));
        let at_moment = Arc::clone(&fate);
        let disk = MemoryDisk::new(Arc::new(move |_: Moment| {
            let fate = Arc::clone(&at_moment);
            let moved: Pin<Box<dyn Future<Output = ()> + Send>> =
                Box::pin(async move { fate.moved().await });
            moved
        }));
        let (events, admin) = (Arc::new(Pipe::default()), Arc::new(Pipe::default()));
        let hooks = Arc::clone(&events);
        let sandbox = Sandbox::within(sandbox(history), Arc::new(move || hooks.connect())).unwrap();
        let sandbox = Arc::new(sandbox);
        let folder = tempfile::tempdir().unwrap();
        let token = hook(&sandbox, odds.hooks).await;
        sandbox.reset_requests();
        let settings = settings(folder.path(), &odds, &token);
        let mut known = Known::default();
        known.private.extend((0..CALLERS).map(caller));
        known.private.extend((0..OURS).map(ours));
        known.private.insert("Is my order ready".to_owned());
        let wires = Wires {
            sandbox: Arc::clone(&sandbox),
            fate: Arc::clone(&fate),
            cut: AtomicBool::new(false),
            locked: AtomicBool::new(false),
            timeout: TIMEOUT,
        };
        let world = Self {
            fate,
            disk,
            sandbox,
            wires: Arc::new(wires),
            events,
            admin,
            odds,
            settings: Arc::new(Mutex::new(Some(settings.clone()))),
            good: settings,
            wishes: Mutex::default(),
            crash: Mutex::default(),
            people: Mutex::default(),
            began: clock::monotonic(),
            known: Mutex::new(known),
            _folder: folder,
        };
        world.arm();
        Arc::new(world)
    }

    pub fn ground(&self) -> Ground {
        let carrier = Arc::clone(&self.wires);
        Ground::Simulated(Simulated {
            disk: self.disk.clone(),
            carrier,
            events: Arc::clone(&self.events),
            admin: Arc::clone(&self.admin),
        })
    }

    pub fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap()
    }

    pub fn expect(&self, name: String, subject: Subject) {
        self.known().subjects.insert(name, subject);
    }

    pub fn wish(&self, wish: Wish) {
        if let Some(wishes) = self.wishes.lock().unwrap().as_ref() {
            let _ = wishes.try_send(wish);
        }
    }

    /// Nothing goes wrong any more.
    pub fn calm(&self) {
        self.fate.calm();
        self.disk.fill(false);
        self.sandbox.clear_faults();
        self.wires.cut.store(false, Ordering::Relaxed);
        self.wires.locked.store(false, Ordering::Relaxed);
        self.sandbox.switch_webhooks(true);
    }

    /// Asks the daemon's administrator's interface; none when it doesn't answer.
    pub async fn ask(&self, method: &str, path: &str, body: &Value) -> Option<Answer> {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", "tieline")
            .header("content-type", "application/json");
        send(&self.admin, request, body).await
    }

    /// Sends a request to the public listener.
    pub async fn post(&self, method: &str, path: &str, body: &Value) -> Option<Answer> {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", "tieline")
            .header("content-type", "application/json")
            .header("authorization", "Bearer token");
        send(&self.events, request, body).await
    }

    /// How the next death goes.
    pub fn crash(&self, kept: u8, down: Duration) {
        *self.crash.lock().unwrap() = (kept, down);
    }

    pub fn kept(&self) -> usize {
        let (kept, _) = *self.crash.lock().unwrap();
        self.disk.unsynced() * usize::from(kept) / 100
    }

    pub fn down_for(&self) -> Duration {
        self.crash.lock().unwrap().1
    }

    /// Whether it was a person who asked Kustomer at that moment.
    pub fn of_people(&self, at_ms: u64) -> bool {
        self.people.lock().unwrap().contains(&at_ms)
    }

    /// A person's request to Kustomer.
    pub async fn kustomer(&self, method: &str, path: &str, body: &Value) -> Value {
        let now = u64::try_from(self.began.elapsed().as_millis()).unwrap();
        self.people.lock().unwrap().insert(now);
        kustomer(&self.sandbox, method, path, body).await
    }

    /// The phone system posts an event until it is told that it was taken.
    pub async fn deliver(self: Arc<Self>, event: Value, mut chance: Rng) {
        let body = event.to_string();
        self.known().sent.insert(body.clone());
        loop {
            let answer = self.post("POST", "/v1/pbx/script/events", &event).await;
            let taken = answer.is_some_and(|answer| answer.status.as_u16() == 202);
            let lost = chance.u32(0..1000) < self.odds.reply_lost;
            if taken {
                self.known().acknowledged.insert(body.clone());
            }
            if taken && !lost {
                break;
            }
            tokio::time::sleep(Duration::from_millis(chance.u64(200..20_000))).await;
        }
    }

    fn arm(&self) {
        let late = u64::try_from(TIMEOUT.as_millis()).unwrap();
        let status = |status| FaultKind::Status {
            status,
            body: None,
            headers: BTreeMap::new(),
        };
        let odds = &self.odds;
        let faults = [
            (odds.refused_400, status(400)),
            (odds.error_500, status(503)),
            (odds.busy_429, status(429)),
            (odds.closed_before, FaultKind::CloseBefore),
            (odds.closed_after, FaultKind::CommitThenClose),
            (
                odds.failed_after,
                FaultKind::CommitThenStatus { status: 502 },
            ),
            (odds.late, FaultKind::Delay { ms: late * 3 / 2 }),
            (
                odds.answered_late,
                FaultKind::CommitThenDelay { ms: late * 3 / 2 },
            ),
            (
                odds.garbage,
                FaultKind::Garbage {
                    status: 200,
                    commit: true,
                },
            ),
            (odds.cut, FaultKind::Cut),
            (
                odds.bulk_items,
                FaultKind::BulkItems {
                    every: 3,
                    commit: true,
                },
            ),
            (odds.bulk_late, FaultKind::BulkDelay { ms: 40_000 }),
            (odds.bulk_silent, FaultKind::BulkSilent),
            (odds.bulk_gone, FaultKind::BulkVanish),
        ];
        for (thousandths, kind) in faults {
            if thousandths > 0 {
                let path = if matches!(
                    kind,
                    FaultKind::BulkItems { .. }
                        | FaultKind::BulkDelay { .. }
                        | FaultKind::BulkSilent
                        | FaultKind::BulkVanish
                ) {
                    "/v1/*/bulk"
                } else {
                    "/v1/"
                };
                let fault = Fault::on(path, kind).probability(f64::from(thousandths) / 1000.0);
                assert!(self.sandbox.add_fault(fault));
            }
        }
    }
}

fn sandbox(history: &History) -> SandboxOptions {
    let odds = &history.odds;
    let mut options = SandboxOptions::empty();
    options.seed = history.seed;
    options.started_at = Some(START.parse().unwrap());
    options.unique_external_ids = odds.unique_external_ids;
    options.tells_time = odds.tells_time;
    options.search_lag = Duration::from_secs(odds.search_lag_s);
    options.bulk_delay = Duration::from_secs(2);
    options.webhooks.duplicate = odds.hooks_doubled;
    options.webhooks.reorder = odds.hooks_reordered;
    options.users = vec![json!({"name": "Grace", "email": "grace@example.org"})];
    options.customers = (0..CUSTOMERS_AT_START)
        .map(|index| {
            json!({"name": format!("Person {index}"), "phones": [{"type": "mobile", "phone": caller(index)}]})
        })
        .collect();
    options
}

/// Registers the webhook, if Kustomer is to have one; the token that it signs with.
async fn hook(sandbox: &Sandbox, wanted: bool) -> String {
    if !wanted {
        return "none".to_owned();
    }
    let body = json!({
        "name": "tieline support",
        "url": "http://127.0.0.1/v1/kustomer/support/webhook",
        "events": ["kustomer.customer.create", "kustomer.customer.update"],
    });
    let made = kustomer(sandbox, "POST", "/v1/outbound-webhooks", &body).await;
    made["data"]["attributes"]["token"]
        .as_str()
        .unwrap()
        .to_owned()
}

fn settings(folder: &Path, odds: &Odds, token: &str) -> Settings {
    for (name, secret) in [("key", SANDBOX_KEY), ("token", "token"), ("hook", token)] {
        fs::write(folder.join(name), secret).unwrap();
    }
    let hooks = if odds.hooks {
        "[kustomer.webhook]\nsecret_file = \"hook\""
    } else {
        ""
    };
    let text = format!(
        r#"[daemon]
state_dir = "state"
admin = "unix:admin.sock"
default_region = "DE"
area_code = "211"
keep = "{keep}"

[[pbx]]
name = "script"
dialect = "tieline"
auth = {{ kind = "bearer", token_file = "token" }}
extensions = ["100-199"]

[[client]]
name = "people"
token_file = "token"
may = ["lookup", "contacts:read", "contacts:write"]

[agents]
"101" = "grace@example.org"

[[kustomer]]
name = "support"
url = "http://127.0.0.1"
api_key_file = "key"
requests_per_minute = {budget}
timeout = "{timeout}s"
[kustomer.calls]
connected_numbers = ["{first}", "{second}"]
voice_message = {messages}
[kustomer.texts]
connected_numbers = ["{first}", "{second}"]
window = "{window}"
text_message = {messages}
[kustomer.contacts]
search_lag = "{lag}s"
max_changes = {{ count = 100000, percent = 100 }}
{hooks}
[[kustomer]]
name = "unused"
active = false
url = "http://127.0.0.1"
api_key_file = "key"
"#,
        budget = odds.budget,
        keep = if odds.kept_for_an_hour {
            "1h"
        } else {
            "30 days"
        },
        messages = odds.messages,
        window = if odds.texts_joined { "1h" } else { "0s" },
        timeout = TIMEOUT.as_secs(),
        first = ours(0),
        second = ours(1),
        lag = odds.search_lag_s,
    );
    let file = folder.join("tieline.toml");
    fs::write(&file, text).unwrap();
    let sources = Sources {
        configs: vec![file],
        ..Sources::default()
    };
    load(&sources).unwrap_or_else(|faults| panic!("{faults}"))
}

async fn kustomer(sandbox: &Sandbox, method: &str, path: &str, body: &Value) -> Value {
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header("host", "sandbox")
        .header("content-type", "application/json")
        .header("authorization", format!("Bearer {SANDBOX_KEY}"));
    let body = if body.is_null() {
        String::new()
    } else {
        body.to_string()
    };
    let request = request.body(Full::new(Bytes::from(body))).unwrap();
    match ask::send(sandbox.connect(), request).await {
        Ok(answer) => answer.body,
        // A fault of the sandbox's hits people too.
        Err(_) => Value::Null,
    }
}

async fn send(pipe: &Pipe, request: hyper::http::request::Builder, body: &Value) -> Option<Answer> {
    let body = if body.is_null() {
        String::new()
    } else {
        body.to_string()
    };
    let request = request.body(Full::new(Bytes::from(body))).unwrap();
    let stream = pipe.connect().ok()?;
    let answer = tokio::time::timeout(PATIENCE, ask::send(stream, request)).await;
    answer.ok()?.ok()
}
