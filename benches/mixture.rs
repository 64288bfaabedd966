//! The soak's load: each kind at its own pace, all at once, over kept connections. The rates are a busy phone system's of
//! some hundred phones; the daemon needs a fraction of a core for them.

use super::events;
use super::load::TOKEN;
use super::people;
use super::process::Fault;
use hyper::Method;
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;
use tieline::cli::ask;
use tieline::sandbox::SANDBOX_KEY;
use tieline::settings::types::AdminAddress;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

/// Customers, each with one number, who call and are edited.
pub const PEOPLE: u64 = 400;
/// Of phone system `fs`.
pub const PASSWORD: &str = "secret";
/// The token of the phone book's client.
pub const CLIENT: &str = "client-token";
const OURS: &str = "+4921155500100";
/// A phone system posts again what wasn't taken, as after a reload that closed its connection.
const POST_AGAIN: Duration = Duration::from_millis(200);
const TRIES: u32 = 20;

/// How often each kind comes.
const CALLS_EVERY: Duration = Duration::from_millis(250);
const LIVE_EVERY: Duration = Duration::from_millis(1000);
const FREESWITCH_EVERY: Duration = Duration::from_millis(1000);
const TEXTS_EVERY: Duration = Duration::from_millis(500);
const CONTACTS_EVERY: Duration = Duration::from_millis(1000);
const CUSTOMERS_EVERY: Duration = Duration::from_millis(1000);
const LOOKUPS_EVERY: Duration = Duration::from_millis(50);
const READS_EVERY: Duration = Duration::from_secs(2);
const RELOAD_EVERY: Duration = Duration::from_secs(150);

/// What was done, by kind.
pub type Counts = [(&'static str, u64); 8];

const KINDS: [&str; 8] = [
    "calls told whole",
    "calls told live",
    "FreeSWITCH calls",
    "texts",
    "contact edits",
    "customer edits",
    "lookups",
    "admin reads",
];

pub struct Mixture {
    address: SocketAddr,
    admin: AdminAddress,
    daemon: u32,
    kustomer: String,
    http: reqwest::Client,
    done: [AtomicU64; 8],
}

impl Mixture {
    pub fn new(
        address: SocketAddr,
        admin: AdminAddress,
        daemon: u32,
        kustomer: &str,
    ) -> Result<Self, Fault> {
        let http = reqwest::Client::builder().no_proxy().build()?;
        Ok(Self {
            address,
            admin,
            daemon,
            kustomer: kustomer.to_owned(),
            http,
            done: std::array::from_fn(|_| AtomicU64::new(0)),
        })
    }

    pub fn counts(&self) -> Counts {
        std::array::from_fn(|kind| {
            let done = self.done.get(kind).map_or(0, |done| done.load(Relaxed));
            (KINDS.get(kind).copied().unwrap_or_default(), done)
        })
    }

    /// Runs until something is refused for good.
    pub async fn run(self: Arc<Self>) -> Fault {
        let (a, b, c, d) = (self.clone(), self.clone(), self.clone(), self.clone());
        let (e, f, g, h) = (self.clone(), self.clone(), self.clone(), self.clone());
        let outcome = tokio::select! {
            end = paced(CALLS_EVERY, move |n| a.clone().whole_call(n)) => end,
            end = paced(LIVE_EVERY, move |n| b.clone().live_call(n)) => end,
            end = paced(FREESWITCH_EVERY, move |n| c.clone().freeswitch_call(n)) => end,
            end = paced(TEXTS_EVERY, move |n| d.clone().text(n)) => end,
            end = paced(CONTACTS_EVERY, move |n| e.clone().edit_contact(n)) => end,
            end = paced(CUSTOMERS_EVERY, move |n| f.clone().edit_customer(n)) => end,
            end = paced(LOOKUPS_EVERY, move |n| g.clone().look_up(n)) => end,
            end = paced(READS_EVERY, move |n| h.clone().read(n)) => end,
            end = paced(RELOAD_EVERY, move |n| std::future::ready(self.reload(n))) => end,
        };
        outcome.err().unwrap_or_else(|| "the load ended".into())
    }

    fn did(&self, kind: usize) {
        if let Some(done) = self.done.get(kind) {
            done.fetch_add(1, Relaxed);
        }
    }

    async fn whole_call(self: Arc<Self>, number: u64) -> Result<(), Fault> {
        self.post_ours(&events::call(&format!("w{number}"), &caller(number)))
            .await?;
        self.did(0);
        Ok(())
    }

    async fn live_call(self: Arc<Self>, number: u64) -> Result<(), Fault> {
        for event in events::live(&format!("l{number}"), &caller(number + 7)) {
            self.post_ours(&event).await?;
        }
        self.did(1);
        Ok(())
    }

    async fn freeswitch_call(self: Arc<Self>, number: u64) -> Result<(), Fault> {
        let (_, posts) = events::recorded_post("01-inbound-answered", u16::try_from(number)?);
        for post in posts {
            let mut request = self
                .http
                .post(self.url(&match &post.query {
                    Some(query) => format!("/v1/pbx/fs/events?{query}"),
                    None => "/v1/pbx/fs/events".to_owned(),
                }))
                .basic_auth("fs", Some(PASSWORD));
            if let Some(kind) = &post.content_type {
                request = request.header("content-type", kind);
            }
            taken(request.body(post.body)).await?;
        }
        self.did(2);
        Ok(())
    }

    async fn text(self: Arc<Self>, number: u64) -> Result<(), Fault> {
        let (id, other) = (format!("t{number}"), caller(number / 3));
        let text = if number.is_multiple_of(3) {
            events::text(&id, "out", OURS, &other)
        } else {
            events::text(&id, "in", &other, OURS)
        };
        self.post_ours(&text).await?;
        self.did(3);
        Ok(())
    }

    async fn post_ours(&self, event: &Value) -> Result<(), Fault> {
        let request = self.http.post(self.url("/v1/pbx/hq/events"));
        let request = request.bearer_auth(TOKEN);
        taken(request.json(event)).await
    }

    /// The company of a contact, whichever has that number by now.
    async fn edit_contact(self: Arc<Self>, number: u64) -> Result<(), Fault> {
        let path = format!("/v1/lookup?number={}", escaped(&caller(number * 3)));
        let found = self.http.get(self.url(&path)).bearer_auth(CLIENT);
        let found: Value = sent(found).await?.json().await?;
        // Not imported yet, in the first seconds.
        let Some(id) = found["contact"]["id"].as_str() else {
            return Ok(());
        };
        let change = json!({"company": format!("Muster {number} GmbH")});
        let path = format!("/v1/contacts/{id}");
        let request = self.http.patch(self.url(&path)).bearer_auth(CLIENT);
        let answer = sent(request.json(&change)).await?;
        // 404: the sync has just replaced it.
        if !answer.status().is_success() && answer.status() != 404 {
            return Err(format!("a contact's edit: {}", answer.text().await?).into());
        }
        self.did(4);
        Ok(())
    }

    /// The name of a customer, as a person at Kustomer would; the sandbox may lose this too.
    async fn edit_customer(self: Arc<Self>, number: u64) -> Result<(), Fault> {
        let person = (number * 5 + 1) % PEOPLE;
        let phone = people::number(person);
        let path = format!("{}/v1/customers/phone={}", self.kustomer, escaped(&phone));
        let Ok(found) = self.http.get(path).bearer_auth(SANDBOX_KEY).send().await else {
            return Ok(());
        };
        let found: Value = found.json().await.unwrap_or_default();
        let customer = match &found["data"] {
            Value::Array(all) => all.first().cloned().unwrap_or_default(),
            one => one.clone(),
        };
        let Some(id) = customer["id"].as_str() else {
            return Ok(());
        };
        let path = format!("{}/v1/customers/{id}", self.kustomer);
        let name = format!("Person {person} Mustermann {}", number % 100);
        let edit = self.http.put(path).bearer_auth(SANDBOX_KEY);
        if let Ok(answer) = edit.json(&json!({"name": name})).send().await
            && answer.status().is_success()
        {
            self.did(5);
        }
        Ok(())
    }

    async fn look_up(self: Arc<Self>, number: u64) -> Result<(), Fault> {
        // Every fourth is nobody's.
        let person = number * 13 % (PEOPLE * 4 / 3);
        let form = if number.is_multiple_of(2) {
            "text"
        } else {
            "json"
        };
        let phone = people::number(person);
        let path = format!("/v1/lookup?number={}&format={form}", escaped(&phone));
        let answer = sent(self.http.get(self.url(&path)).bearer_auth(CLIENT)).await?;
        if !answer.status().is_success() {
            return Err(format!("a lookup: {}", answer.status()).into());
        }
        answer.bytes().await?;
        self.did(6);
        Ok(())
    }

    async fn read(self: Arc<Self>, number: u64) -> Result<(), Fault> {
        match number % 4 {
            0 => drop(self.ask("/status").await),
            1 => self.metrics().await?,
            2 => drop(self.ask("/sync/plan").await),
            _ => drop(self.ask(&format!("/explain?of=w{}", number * 8)).await),
        }
        self.did(7);
        Ok(())
    }

    /// What is refused is an answer too: the plan while the sync works, a call that isn't kept any more.
    async fn ask(&self, path: &str) -> Option<Value> {
        let answer = ask::ask(&self.admin, Method::GET, path, None).await;
        answer.ok()?.ok().ok()
    }

    async fn metrics(&self) -> Result<(), Fault> {
        let AdminAddress::Unix(path) = &self.admin else {
            return Err("the admin interface has no unix socket".into());
        };
        let mut text = String::new();
        // As for posts: a reload closes a connection that has just asked.
        for _ in 0..TRIES {
            if let Ok(answer) = scraped(path).await {
                text = answer;
            }
            if text.contains("tieline_events_accepted_total") {
                return Ok(());
            }
            tokio::time::sleep(POST_AGAIN).await;
        }
        Err(format!("no metrics: {text}").into())
    }

    /// The first tick of a pace comes at once: no reload then, for the daemon has just started.
    fn reload(&self, number: u64) -> Result<(), Fault> {
        if number == 0 {
            return Ok(());
        }
        let pid = i32::try_from(self.daemon)?;
        let pid = rustix::process::Pid::from_raw(pid).ok_or("no process")?;
        Ok(rustix::process::kill_process(
            pid,
            rustix::process::Signal::HUP,
        )?)
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }
}

/// As it stands in an address.
fn escaped(number: &str) -> String {
    number.replace('+', "%2B")
}

async fn scraped(admin: &Path) -> std::io::Result<String> {
    let mut stream = UnixStream::connect(admin).await?;
    let request = "GET /metrics HTTP/1.1\r\nhost: tieline\r\nconnection: close\r\n\r\n";
    stream.write_all(request.as_bytes()).await?;
    let mut text = String::new();
    stream.read_to_string(&mut text).await?;
    Ok(text)
}

fn caller(number: u64) -> String {
    people::number(number % PEOPLE)
}

/// Calls it at that pace, one after the other; with its number, from 0.
async fn paced<F>(every: Duration, mut work: impl FnMut(u64) -> F) -> Result<(), Fault>
where
    F: Future<Output = Result<(), Fault>>,
{
    let mut ticks = tokio::time::interval(every);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    for number in 0.. {
        ticks.tick().await;
        work(number).await?;
    }
    Ok(())
}

/// Posts until it is taken.
async fn taken(request: reqwest::RequestBuilder) -> Result<(), Fault> {
    let answer = sent(request).await?;
    if answer.status() == 202 {
        answer.bytes().await?;
        return Ok(());
    }
    Err(format!("{}: {}", answer.status(), answer.text().await?).into())
}

/// The answer; asked again after a connection that was closed, and after 503.
async fn sent(request: reqwest::RequestBuilder) -> Result<reqwest::Response, Fault> {
    let mut last = String::new();
    for _ in 0..TRIES {
        match request.try_clone().ok_or("a stream")?.send().await {
            Ok(answer) if answer.status() == 503 => last = "503".to_owned(),
            Ok(answer) => return Ok(answer),
            Err(fault) => last = fault.to_string(),
        }
        tokio::time::sleep(POST_AGAIN).await;
    }
    Err(format!("tried {TRIES} times: {last}").into())
}
