//! Builds every part from the settings, spawns the loops, owns the order of start, reload and stop.
//!
//! The store and the listeners live as long as the process; everything else is built anew when the settings are read
//! again (SIGHUP), so that a reload and a start are the same code (invariant 8).

mod fetching;
mod ground;
mod hooks;
mod integrations;
mod listeners;
mod syncing;

use crate::admin::{self, Admin, WRITE_TIME_MAX};
use crate::calls::dispatch::Dispatch;
use crate::calls::intake::server::ServeLimits;
use crate::calls::intake::{Front, Intake, or_unknown};
use crate::calls::journal::Journal;
use crate::calls::judge::Judge;
use crate::calls::line::{Line, LineStats};
use crate::calls::links::LinkParts;
use crate::calls::retention::Retention;
use crate::clock;
use crate::contacts::webhooks::door::{Door, Reception};
use crate::phonebook::api::{Api, Desk};
use crate::phonebook::directory::ContactBook;
use crate::settings::types::{AdminAddress, Settings};
use crate::store::{Store, StoreFault};
use crate::systemd;
use crate::trace;
use fetching::Fetching;
use integrations::{Built, Counter, Shelves};
use listeners::Listeners;
use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use syncing::Syncing;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tracing::Instrument as _;

pub use ground::{Ground, Simulated};
pub use listeners::Pipe;

/// Status line and watchdog are refreshed at least this often.
const PULSE: Duration = Duration::from_secs(5);

/// Why the daemon could not start or go on.
#[derive(Debug, thiserror::Error)]
pub enum AppFault {
    #[error(transparent)]
    Store(#[from] StoreFault),
    #[error("{what} {place}: {source}")]
    Listen {
        what: &'static str,
        place: String,
        source: io::Error,
    },
    #[error(transparent)]
    Handed(#[from] systemd::SocketFault),
    #[error("{0}")]
    Secret(String),
    #[error("signals: {0}")]
    Signals(io::Error),
    #[error("{part} stopped: {why}")]
    Part { part: &'static str, why: String },
}

/// What a running daemon shows of itself; tests and the demo hold it too.
#[derive(Clone)]
pub struct Running {
    pub address: SocketAddr,
    pub admin: AdminAddress,
}

/// What somebody wants of a running daemon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    Stop,
    /// Read the settings again.
    Reload,
}

/// Runs until SIGTERM or SIGINT; SIGHUP calls `reload` and goes on with what it returns, or with the old settings.
pub async fn run(
    settings: Settings,
    reload: impl Fn() -> Result<Settings, String> + Send + 'static,
) -> Result<(), AppFault> {
    let (wishes, wished) = mpsc::channel(4);
    let mut stop = signal(SignalKind::terminate()).map_err(AppFault::Signals)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(AppFault::Signals)?;
    let mut hangup = signal(SignalKind::hangup()).map_err(AppFault::Signals)?;
    tokio::spawn(async move {
        loop {
            let wish = tokio::select! {
                _ = stop.recv() => Wish::Stop,
                _ = interrupt.recv() => Wish::Stop,
                _ = hangup.recv() => Wish::Reload,
            };
            if wishes.send(wish).await.is_err() {
                return;
            }
        }
    });
    live(&Ground::Machine, settings, reload, wished, |_| {}).await
}

/// Runs until `stop` is dropped or told; for the demo and for tests within one process. `started` gets the addresses.
pub async fn run_until(
    settings: Settings,
    mut stop: watch::Receiver<bool>,
    started: impl Fn(Running) + Send,
) -> Result<(), AppFault> {
    let (wishes, wished) = mpsc::channel(1);
    tokio::spawn(async move {
        // A dropped sender is a wish to stop too.
        let _ = stop.wait_for(|stop| *stop).await;
        let _ = wishes.send(Wish::Stop).await;
    });
    live(
        &Ground::Machine,
        settings,
        || Err("no file to read again".to_owned()),
        wished,
        started,
    )
    .await
}

/// The daemon's life on `ground`: ends at the first `Wish::Stop`, or when nobody can wish any more.
///
/// # Errors
/// Why it could not start or go on.
pub async fn live(
    ground: &Ground,
    mut settings: Settings,
    reload: impl Fn() -> Result<Settings, String> + Send,
    mut wishes: mpsc::Receiver<Wish>,
    started: impl Fn(Running) + Send,
) -> Result<(), AppFault> {
    let store = ground.store(&settings).await?;
    let journal = Journal::open(store.clone(), settings.daemon.intake.queue)?;
    let mut listeners = ground.listeners(&settings).await?;
    started(listeners.running()?);
    let mut reloaded = None;
    loop {
        #[cfg(feature = "otel")]
        let export = trace::otel::Export::start(&settings.daemon);
        let mut parts = Parts::build(ground, &settings, &store, &journal)?;
        parts.admin.reloaded = reloaded.take();
        parts.admin.certificate.clone_from(&listeners.certificate);
        let wish = parts.run(&settings, &listeners, &mut wishes).await?;
        // A loop that was cut off at the deadline may have a write under way; what is built next must not miss it.
        store.settled().await?;
        match wish {
            Wish::Stop => {
                #[cfg(feature = "otel")]
                export.stop().await;
                break;
            }
            Wish::Reload => {
                systemd::reloading();
                match reload() {
                    Ok(new) => match listeners.rebind(&settings, &new).await {
                        Ok(bound) => {
                            (listeners, settings) = (bound, new);
                            reloaded = Some(Ok(clock::now()));
                            tracing::info!("settings read again");
                        }
                        Err(fault) => reloaded = Some(Err(refused(fault.to_string()))),
                    },
                    Err(faults) => reloaded = Some(Err(refused(faults))),
                }
            }
        }
    }
    // The last handle to go waits for the writer.
    drop(journal);
    drop(store);
    tracing::info!("stopped");
    Ok(())
}

/// Bad settings never replace good ones (invariant 8).
fn refused(faults: String) -> String {
    tracing::error!(%faults, "the new settings can't be used; the old ones stay in force");
    faults
}

/// Everything that is built from one version of the settings.
struct Parts {
    line: Line,
    dispatches: Vec<Dispatch>,
    intake: Intake,
    contacts: Api,
    doors: BTreeMap<String, Door>,
    fetching: Fetching,
    syncing: Syncing,
    admin: Admin,
}

impl Parts {
    fn build(
        ground: &Ground,
        settings: &Settings,
        store: &Store,
        journal: &Journal,
    ) -> Result<Self, AppFault> {
        let shelves = Shelves::open(store)?;
        let shared = Arc::new(settings.clone());
        let judge = Judge::new(Arc::clone(&shared), shelves.outbox.clone());
        let (notices, heard) = mpsc::unbounded_channel();
        let counter = Counter {
            shelves: &shelves,
            notices: &notices,
            store,
            ground,
        };
        let Built {
            integrations,
            dispatches,
            doors,
            syncing,
        } = counter.build(settings)?;
        let stats = Arc::new(LineStats::default());
        let line = Line::open(
            journal.clone(),
            shelves.ledger.clone(),
            judge.clone(),
            integrations::orders(&integrations),
            heard,
            Arc::clone(&stats),
        )?;
        let intake = intake(settings, journal)?;
        let contacts = contacts_api(settings, &shelves.book)?;
        let parts = LinkParts {
            store: store.clone(),
            journal: journal.clone(),
            ledger: shelves.ledger.clone(),
            judge: judge.clone(),
        };
        let fetching = Fetching::build(settings, &parts)?;
        let admin = Admin {
            settings: shared,
            store: store.clone(),
            journal: journal.clone(),
            ledger: shelves.ledger,
            outbox: shelves.outbox,
            directory: shelves.directory,
            lately: shelves.lately,
            judge,
            integrations,
            notices,
            line: stats,
            intake: intake.stats(),
            links: fetching.seen.clone(),
            book: shelves.book,
            lookups: contacts.stats(),
            reloaded: None,
            certificate: None,
        };
        Ok(Self {
            line,
            dispatches,
            intake,
            contacts,
            doors,
            fetching,
            syncing,
            admin,
        })
    }

    /// Runs all loops until somebody wishes otherwise, then stops them in order under one deadline: intake first, so
    /// that nothing new comes; then the line and the couriers finish what is in their hands.
    async fn run(
        self,
        settings: &Settings,
        listeners: &Listeners,
        wishes: &mut mpsc::Receiver<Wish>,
    ) -> Result<Wish, AppFault> {
        let (stop_intake, intake_stop) = watch::channel(false);
        let (stop_loops, loops_stop) = watch::channel(false);
        let mut intakes = JoinSet::new();
        let mut loops: JoinSet<Result<(), AppFault>> = JoinSet::new();
        let limits = serve_limits(settings);
        let admin = Arc::new(self.admin);
        self.fetching.spawn(&mut intakes, &intake_stop);
        let rest = or_unknown(axum::Router::new());
        let desk = Desk::new(self.contacts, intake_stop.clone(), rest);
        let reception = Reception::new(self.doors, settings.daemon.intake, desk);
        let events = Front::new(self.intake, reception);
        let (public, private) = (listeners.clone(), listeners.admin.clone());
        intakes.spawn(public.serve_events(events, limits, intake_stop.clone()));
        let shown = admin::router(Arc::clone(&admin));
        intakes.spawn(private.serve(shown, limits, intake_stop));
        self.syncing.spawn(&mut loops, &loops_stop);
        let line_stop = loops_stop.clone();
        loops.spawn(async move { Ok(self.line.run(line_stop).await?) });
        for dispatch in self.dispatches {
            let stop = loops_stop.clone();
            loops.spawn(async move { Ok(dispatch.run(stop).await?) });
        }
        for part in &admin.integrations {
            let watch = part.attributes.clone();
            let (client, stop) = (part.client.clone(), loops_stop.clone());
            let span = trace::integration("attributes", &part.settings.name);
            loops.spawn(async move {
                watch.watch(client, stop).instrument(span).await;
                Ok(())
            });
        }
        hooks::watch(&admin, &mut loops, &loops_stop);
        let retention = Retention {
            keep: settings.daemon.keep,
            journal: admin.journal.clone(),
            ledger: admin.ledger.clone(),
            directory: admin.directory.clone(),
            lately: admin.lately.clone(),
        };
        loops.spawn(async move { Ok(retention.run(loops_stop).await?) });
        systemd::ready(&admin.headline());
        let address = listeners.running()?.address;
        tracing::info!(%address, status = admin.headline(), "taking events");
        let outcome = watch_over(&admin, wishes, &mut loops, &mut intakes).await;
        systemd::status("stopping: finishing what is in hand");
        let deadline = clock::monotonic() + settings.daemon.grace;
        let _ = stop_intake.send(true);
        drain(&mut intakes, deadline, "connections").await;
        let _ = stop_loops.send(true);
        for part in &admin.integrations {
            part.client.close();
        }
        drain(&mut loops, deadline, "deliveries").await;
        outcome
    }
}

/// The life between start and stop: pulse, watchdog, wishes; a loop that ends by itself ends the process.
async fn watch_over(
    admin: &Arc<Admin>,
    wishes: &mut mpsc::Receiver<Wish>,
    loops: &mut JoinSet<Result<(), AppFault>>,
    intakes: &mut JoinSet<Result<(), AppFault>>,
) -> Result<Wish, AppFault> {
    let watchdog = systemd::watchdog_limit();
    // Half of it: one sign of life may be late (sd_watchdog_enabled(3)).
    let pulse = watchdog.map_or(PULSE, |limit| PULSE.min(limit / 2));
    let write_time_max = watchdog.map_or(WRITE_TIME_MAX, |limit| WRITE_TIME_MAX.min(limit));
    let mut pulses = tokio::time::interval(pulse);
    loop {
        tokio::select! {
            biased;
            wish = wishes.recv() => return Ok(wish.unwrap_or(Wish::Stop)),
            Some(ended) = loops.join_next() => return Err(fault_of(ended)),
            Some(ended) = intakes.join_next() => return Err(fault_of(ended)),
            _ = pulses.tick() => {
                if let Some(why) = &admin.store.health().broken {
                    return Err(AppFault::Part { part: "the store", why: why.clone() });
                }
                systemd::status(&admin.headline());
                if admin.healthy(write_time_max).is_ok() {
                    systemd::alive();
                }
            }
        }
    }
}

fn fault_of(ended: Result<Result<(), AppFault>, tokio::task::JoinError>) -> AppFault {
    match ended {
        Ok(Err(fault)) => fault,
        Ok(Ok(())) => AppFault::Part {
            part: "a loop",
            why: "it ended".to_owned(),
        },
        Err(error) => AppFault::Part {
            part: "a loop",
            why: error.to_string(),
        },
    }
}

/// Waits for all of them until the deadline, then lets go: what they had in hand is on disk and goes on at the next start.
async fn drain<T: 'static>(tasks: &mut JoinSet<T>, deadline: tokio::time::Instant, what: &str) {
    let all = async { while tasks.join_next().await.is_some() {} };
    if tokio::time::timeout_at(deadline, all).await.is_err() {
        tracing::warn!(
            what,
            "not finished within the grace period; they go on at the next start"
        );
        tasks.abort_all();
    }
}

const fn serve_limits(settings: &Settings) -> ServeLimits {
    let intake = &settings.daemon.intake;
    ServeLimits {
        connections: intake.connections,
        header_timeout: intake.header_timeout,
        idle_timeout: intake.idle_timeout,
        grace: settings.daemon.grace,
    }
}

fn intake(settings: &Settings, journal: &Journal) -> Result<Intake, AppFault> {
    let intake = Intake::new(&settings.pbxs, settings.daemon.intake, journal.clone());
    intake.map_err(|fault| AppFault::Secret(fault.to_string()))
}

fn contacts_api(settings: &Settings, book: &ContactBook) -> Result<Api, AppFault> {
    let (plan, limits) = (&settings.daemon.plan, settings.daemon.intake);
    let api = Api::build(&settings.clients, plan, limits, book.clone());
    api.map_err(|fault| AppFault::Secret(fault.to_string()))
}
