//! A small, strict Kustomer on loopback, for tests, the demo and trying filters without an account. A real HTTP
//! server that holds everything in memory; it shares no code with the client, so that an error in one is not
//! confirmed by the other. Started by `tests/`, `cli/sandbox` and `cli/demo`.
//!
//! ```text
//! server (accept, body, budget, fault) -> routes (role, schema) -> customers | conversations | entries | search | bulk | webhooks
//!                                                                   -> state (records, indexes, what search sees)
//! ```
//!
//! Outside tests and administrators use `/_sandbox`, which needs no key and is not counted:
//!
//! | request | what it does |
//! | --- | --- |
//! | `POST /_sandbox/faults` | adds one fault or a list, e.g. `{"method":"POST","path":"/v1/*/notes","after":1,"count":2,"kind":"commit_then_close"}`; kinds: `status` (status, body, headers), `close_before`, `commit_then_close`, `commit_then_status` (status), `delay` (ms), `commit_then_delay` (ms), `garbage` (status, commit), `cut`; of bulk jobs: `bulk_items` (every, commit), `bulk_delay` (ms), `bulk_silent`, `bulk_vanish` |
//! | `GET`, `DELETE /_sandbox/faults` | the faults with how often each matched and fired; removes them |
//! | `GET`, `DELETE /_sandbox/requests` | counts by route and all arrival times; starts counting again |
//! | `GET`, `POST /_sandbox/webhooks` | the registered webhooks, tokens included; `{"enabled":false}` turns all off, as Kustomer does |
//! | `GET /_sandbox/counts` | how many customers, conversations, notes, messages and requests |
//! | `GET /_sandbox/dump` | everything, as resource objects |
//! | `POST /_sandbox/seed` | `{"users":[{"name","email"}],"customers":[create bodies, `updatedAt` allowed]}` |

mod admin;
mod attributes;
mod bulk;
mod catalog;
mod clock;
mod conversations;
mod customer_schema;
mod customers;
mod deliveries;
mod entries;
mod faults;
mod limits;
mod lock;
mod merges;
mod options;
mod paging;
mod record;
mod reply;
mod requests;
mod roles;
mod routes;
mod rules;
mod schemas;
mod search;
mod server;
mod state;
mod webhooks;

use std::io;
use std::sync::Arc;

use serde_json::Value;
use tokio::io::DuplexStream;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

pub use deliveries::Connect;
pub use faults::{FAULTS_MAX, Fault, FaultKind};
pub use limits::LimitOptions;
pub use options::{ApiKey, Counts, MergedRead, SANDBOX_KEY, SandboxOptions};
pub use requests::{Arrival, Requests};
pub use webhooks::{Posted, WebhookOptions};

use deliveries::Way;
use lock::Shared;
use record::Kind;
use reply::Refusal;
use state::State;

/// What a connection within the process holds that nobody has read yet: as much as a socket.
const PIPE_BYTES: usize = 64 * 1024;

/// A running sandbox; dropping it closes its listener and connections.
pub struct Sandbox {
    url: String,
    shared: Arc<Shared>,
    changes: watch::Receiver<()>,
    /// None within the process.
    server: Option<JoinHandle<()>>,
    poster: JoinHandle<()>,
}

impl Sandbox {
    /// Binds, seeds and serves. Errors: the address is taken, not valid or not loopback, or a seed breaks a rule.
    pub async fn start(options: SandboxOptions) -> io::Result<Sandbox> {
        let listener = bind(&options.listen).await?;
        let url = format!("http://{}", listener.local_addr()?);
        Ok(Self::open(options, url, Way::Network)?.listening(listener))
    }

    /// One that is reached through `connect` alone, and posts its webhooks into connections that `posts` opens: for a
    /// simulation. Errors: a seed breaks a rule.
    pub fn within(options: SandboxOptions, posts: Arc<Connect>) -> io::Result<Sandbox> {
        Self::open(options, "http://127.0.0.1".to_owned(), Way::Within(posts))
    }

    fn open(options: SandboxOptions, url: String, way: Way) -> io::Result<Sandbox> {
        let (changed, changes) = watch::channel(());
        let (users, customers) = (options.users.clone(), options.customers.clone());
        let mut state = State::new(options, changed);
        for user in users {
            admin::seed_user(&mut state, user)
                .map_err(|refusal| io::Error::other(refusal.line()))?;
        }
        for customer in customers {
            admin::seed_customer(&mut state, customer)
                .map_err(|refusal| io::Error::other(refusal.line()))?;
        }
        Ok(Self::of(state, changes, url, way))
    }

    /// Another sandbox on a free port that holds what this one holds now: records, keys and bulk jobs; neither faults nor
    /// webhooks, and its budgets and counters are fresh. `meanwhile` runs at that very moment, while no request has an
    /// effect on either. Errors: no port is free.
    pub async fn fork(&self, meanwhile: impl FnOnce()) -> io::Result<Sandbox> {
        let (changed, changes) = watch::channel(());
        let listener = bind("127.0.0.1:0").await?;
        let url = format!("http://{}", listener.local_addr()?);
        let state = {
            let state = self.shared.lock();
            meanwhile();
            state.copy(changed)
        };
        Ok(Self::of(state, changes, url, Way::Network).listening(listener))
    }

    fn listening(mut self, listener: TcpListener) -> Sandbox {
        let server = server::accept(listener, Arc::clone(&self.shared));
        self.server = Some(tokio::spawn(server));
        self
    }

    fn of(mut state: State, changes: watch::Receiver<()>, url: String, way: Way) -> Sandbox {
        let inbox = state.hooks.take_inbox();
        let shared = Arc::new(Shared::new(state));
        let posting = Arc::clone(&shared);
        let poster = tokio::spawn(async move {
            if let Some(inbox) = inbox {
                deliveries::run(posting, way, inbox).await;
            }
        });
        Sandbox {
            url,
            shared,
            changes,
            server: None,
            poster,
        }
    }

    /// A connection within this process.
    pub fn connect(&self) -> DuplexStream {
        let (ours, theirs) = tokio::io::duplex(PIPE_BYTES);
        tokio::spawn(server::converse(theirs, Arc::clone(&self.shared)));
        ours
    }

    /// `http://127.0.0.1:port`, without a slash at the end.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Adds a rule behind the others; beyond `FAULTS_MAX` it is left out and false is returned.
    pub fn add_fault(&self, fault: Fault) -> bool {
        self.shared.lock().faults.add(fault)
    }

    /// Removes all rules.
    pub fn clear_faults(&self) {
        self.shared.lock().faults.clear();
    }

    /// The counters so far.
    pub fn requests(&self) -> Requests {
        self.shared.lock().requests.clone()
    }

    /// Starts the counters again.
    pub fn reset_requests(&self) {
        self.shared.lock().requests = Requests::default();
    }

    /// How much there is.
    pub fn counts(&self) -> Counts {
        self.shared.lock().counts()
    }

    /// Resource objects (`type`, `id`, `attributes`, `relationships`) in order of creation, deleted ones left out.
    pub fn customers(&self) -> Vec<Value> {
        self.shared.lock().dump(Kind::Customer)
    }

    /// As `customers`.
    pub fn tags(&self) -> Vec<Value> {
        self.shared.lock().dump(Kind::Tag)
    }

    /// As `customers`.
    pub fn conversations(&self) -> Vec<Value> {
        self.shared.lock().dump(Kind::Conversation)
    }

    /// As `customers`.
    pub fn notes(&self) -> Vec<Value> {
        self.shared.lock().dump(Kind::Note)
    }

    /// The oldest note with this externalId.
    pub fn note(&self, external_id: &str) -> Option<Value> {
        let state = self.shared.lock();
        let found = state.find(Kind::Note, "externalId", external_id);
        found.map(|note| note.json())
    }

    /// As `customers`.
    pub fn messages(&self) -> Vec<Value> {
        self.shared.lock().dump(Kind::Message)
    }

    /// Adds a customer from a create body (`updatedAt` allowed besides); the id. Error: the rule it breaks.
    pub fn seed_customer(&self, body: Value) -> Result<String, String> {
        admin::seed_customer(&mut self.shared.lock(), body)
            .map_err(|refusal: Refusal| refusal.line())
    }

    /// Adds a team {name}; the id.
    pub fn seed_team(&self, body: Value) -> Result<String, String> {
        admin::seed_team(&mut self.shared.lock(), body).map_err(|refusal: Refusal| refusal.line())
    }

    /// Replaces the metadata of custom attributes, as an administrator of the organisation would change it.
    pub fn define(&self, custom: Value) {
        self.shared.lock().options.custom = custom;
    }

    /// Adds a user {name, email}; the id.
    pub fn seed_user(&self, body: Value) -> Result<String, String> {
        admin::seed_user(&mut self.shared.lock(), body).map_err(|refusal: Refusal| refusal.line())
    }

    /// The registered webhooks, tokens included.
    pub fn webhooks(&self) -> Vec<Value> {
        self.shared.lock().hooks.dump()
    }

    /// Every try to deliver a webhook, in order.
    pub fn webhook_posts(&self) -> Vec<Posted> {
        self.shared.lock().hooks.posted.clone()
    }

    /// Turns all webhooks on or off, as Kustomer or a person would.
    pub fn switch_webhooks(&self, on: bool) {
        self.shared.lock().hooks.switch(on);
    }

    /// Returns the counts as soon as `reached` holds for them; looks after every request and every change.
    pub async fn wait_until(&self, reached: impl Fn(&Counts) -> bool) -> Counts {
        let mut changes = self.changes.clone();
        loop {
            changes.borrow_and_update();
            let counts = self.counts();
            if reached(&counts) {
                return counts;
            }
            if changes.changed().await.is_err() {
                // The sender lives in the state, which `self` keeps alive.
                return counts;
            }
        }
    }

    /// Closes the listener and every connection, and returns when they are closed.
    pub async fn shutdown(mut self) {
        self.poster.abort();
        if let Some(server) = self.server.take() {
            server.abort();
            // The only outcome of an aborted task is that it was aborted.
            let _ = server.await;
        }
    }
}

async fn bind(listen: &str) -> io::Result<TcpListener> {
    let listener = TcpListener::bind(listen).await?;
    let address = listener.local_addr()?;
    if !address.ip().is_loopback() {
        // `/_sandbox` asks nobody for a key.
        let text = format!("the sandbox listens on loopback only, not on {address}");
        return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
    }
    Ok(listener)
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        self.poster.abort();
        if let Some(server) = &self.server {
            server.abort();
        }
    }
}

/// Starts a sandbox and serves until the future is dropped. Errors as `Sandbox::start`.
pub async fn serve(options: SandboxOptions) -> io::Result<()> {
    let _sandbox = Sandbox::start(options).await?;
    std::future::pending().await
}
