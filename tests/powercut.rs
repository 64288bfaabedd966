//! The power cut (invariants 1 and 3): the daemon's writes and syncs are recorded while calls and contacts come in and
//! Kustomer loses replies. Of some moments the disk is rebuilt as a power cut would have left it: with what was synced, and
//! of everything else nothing, all, or any pages of it in any order. A daemon that starts on it, beside Kustomer as it was at
//! that moment, must have everything that anybody was told is taken, and log it exactly once.
//!
//! `TIELINE_CUTS` sets how many moments, `TIELINE_SEED` replays the chances (not the threads' order).

mod disk;
mod log;

use crate::crash::{generous, post, quick};
use crate::directory::desk::request as api;
use crate::support::{Config, Place, World, address, call, live, logs, seed};
use disk::{Disk, Unsynced};
use log::{Log, Step};
use serde_json::{Value, json};
use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tieline::sandbox::{Fault, FaultKind, Sandbox, SandboxOptions};

const CUTS: u64 = 6;
/// Lines of a phone system that post at the same time, and programs that write contacts.
const POSTERS: u64 = 4;
const WRITERS: u64 = 2;
/// Notes of calls are as long as this at most: the store's segments (512 KiB) fill within seconds.
const NOTE_BYTES: usize = 8 * 1024;
const PROOF: (&str, &str) = ("authorization", "Bearer client-token");

/// What may be left of that which nobody has synced.
const LEFT: [Unsynced; 5] = [
    Unsynced::Lost,
    Unsynced::Kept,
    Unsynced::Pages(0.2),
    Unsynced::Pages(0.5),
    Unsynced::Pages(0.9),
];

fn config() -> Config {
    Config {
        daemon: "[[client]]\nname = \"pbx\"\ntoken_file = \"client-token\"\nmay = [\"lookup\", \"contacts:read\", \"contacts:write\"]".to_owned(),
        ..quick()
    }
}

/// Compiles the recorder with the machine's own compiler, which building tieline needs too.
fn recorder(folder: &Path) -> PathBuf {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/powercut/recorder.c");
    let library = folder.join("recorder.so");
    let compiled = Command::new("cc")
        .args(["-shared", "-fPIC", "-O1", "-Wall", "-Wextra", "-Werror"])
        .arg("-o")
        .args([&library, &source])
        .arg("-lpthread")
        .output()
        .expect("a C compiler (cc)");
    let said = String::from_utf8_lossy(&compiled.stderr);
    assert!(compiled.status.success(), "{said}");
    library
}

/// What comes in: who was told what stands in the log, behind what the daemon had done until then.
struct Load {
    place: Place,
    log: Log,
    over: AtomicBool,
    next: AtomicU64,
    /// Each call's events: of those that were not all taken at a cut the phone system posts all of them again.
    events: Mutex<HashMap<String, Vec<Value>>>,
}

impl Load {
    async fn calls(self: Arc<Self>, mut chance: fastrand::Rng) {
        while !self.over.load(Ordering::Relaxed) {
            let id = format!("c{}", self.next.fetch_add(1, Ordering::Relaxed));
            let from = if chance.bool() {
                "+491711234567".to_owned()
            } else {
                format!("+4915112345{:03}", chance.u16(..400))
            };
            let mut events = match chance.u8(..4) {
                0 => live(&id, &from),
                _ => vec![call(&id, &from)],
            };
            for event in &mut events {
                event["note"] = json!("n".repeat(chance.usize(..NOTE_BYTES)));
            }
            let logged_as = format!("tieline:script:{id}");
            let kept = (logged_as.clone(), events.clone());
            self.events.lock().unwrap().extend([kept]);
            self.log.began(&logged_as);
            post_events(&self.place, &events).await;
            self.log.acknowledged(&logged_as);
        }
    }

    async fn contacts(self: Arc<Self>, mut chance: fastrand::Rng) {
        while !self.over.load(Ordering::Relaxed) {
            let id = format!("p{}", self.next.fetch_add(1, Ordering::Relaxed));
            let path = format!("/v1/contacts/{id}");
            let body = json!({"name": id, "company": "n".repeat(chance.usize(..200))}).to_string();
            let reply = api(self.place.listen, "PUT", &path, &[PROOF], &body).await;
            assert_eq!(reply.status, 201, "{reply:?}");
            self.log.acknowledged(&path);
            tokio::time::sleep(Duration::from_millis(chance.u64(..50))).await;
        }
    }
}

async fn post_events(place: &Place, events: &[Value]) {
    for event in events {
        let (json, body) = (Some("application/json"), event.to_string());
        post(place, "script", None, json, body.as_bytes()).await;
    }
}

/// What was recorded, Kustomer as it was at each cut, and what was posted.
struct Recording {
    steps: Vec<Step>,
    kustomers: Vec<Sandbox>,
    events: HashMap<String, Vec<Value>>,
    world: World,
}

/// Runs the daemon under the recorder and a load, and ends it with SIGKILL.
async fn recorded(cuts: u64, chance: &mut fastrand::Rng) -> Recording {
    let options = SandboxOptions {
        seed: chance.u64(..),
        ..generous()
    };
    let world = World::with(&config(), options).await;
    for kind in [FaultKind::CommitThenClose, FaultKind::CloseBefore] {
        let fault = Fault::on("/v1/", kind).method("POST").probability(0.1);
        world.sandbox.add_fault(fault);
    }
    let folder = world.place.folder.canonicalize().unwrap();
    fs::write(folder.join("client-token"), "client-token\n").unwrap();
    // systemd makes it (StateDirectory); its own name isn't tieline's to sync.
    let state = folder.join("state");
    fs::create_dir(&state).unwrap();
    let (record, library) = (folder.join("record"), recorder(&folder));
    let environment: [(&str, &Path); 3] = [
        ("LD_PRELOAD", &library),
        ("RECORDER_FOLDER", &state),
        ("RECORDER_LOG", &record),
    ];
    let log = Log::open(&record);
    let daemon = world.place.spawn_with(&environment).ready().await;
    let daemon = daemon.unwrap_or_else(|ended| panic!("{ended}: {}", world.place.log()));
    let load = Arc::new(Load {
        place: world.place.clone(),
        log: Log::open(&record),
        over: AtomicBool::new(false),
        next: AtomicU64::new(0),
        events: Mutex::default(),
    });
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..POSTERS {
        tasks.spawn(Arc::clone(&load).calls(chance.fork()));
    }
    for _ in 0..WRITERS {
        tasks.spawn(Arc::clone(&load).contacts(chance.fork()));
    }
    let mut kustomers = Vec::new();
    for _ in 0..cuts {
        tokio::time::sleep(Duration::from_millis(chance.u64(50..1500))).await;
        kustomers.push(world.sandbox.fork(|| log.cut()).await.unwrap());
    }
    load.over.store(true, Ordering::Relaxed);
    while let Some(done) = tasks.join_next().await {
        done.unwrap();
    }
    daemon.kill();
    let events = std::mem::take(&mut *load.events.lock().unwrap());
    Recording {
        steps: log::read(&record),
        kustomers,
        events,
        world,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_power_cut_everything_acknowledged_is_there_and_logged_once() {
    let cuts = std::env::var("TIELINE_CUTS")
        .map_or(CUTS, |cuts| cuts.parse().expect("TIELINE_CUTS is a number"));
    let mut chance = fastrand::Rng::with_seed(seed());
    let recording = recorded(cuts, &mut chance).await;
    let folder = recording.world.place.folder.join("cut");
    let (mut disk, mut moment) = (Disk::default(), Moment::default());
    let mut kustomers = recording.kustomers.into_iter();
    for step in recording.steps {
        match step {
            Step::Began(call) => moment.open.extend([call]),
            Step::Acknowledged(what) => {
                moment.open.remove(&what);
                moment.acknowledged.push(what);
            }
            Step::Cut => {
                moment.number += 1;
                println!("{moment}; so far {:?}", disk.seen);
                let kustomer = kustomers.next().expect("a Kustomer for each cut");
                for unsynced in LEFT {
                    let what = format!("{moment}; what isn't synced: {unsynced:?}");
                    disk.cut(unsynced, &mut chance, &folder.join("state"));
                    let kustomer = kustomer.fork(|| ()).await.unwrap();
                    goes_on(&what, &folder, &kustomer, &moment, &recording.events).await;
                    fs::remove_dir_all(&folder).unwrap();
                }
            }
            step => disk.take(step),
        }
    }
    assert!(moment.number == cuts && kustomers.next().is_none());
    assert!(disk.seen.syncs > 0 && !moment.acknowledged.is_empty());
}

/// Who has been told what when the power goes.
#[derive(Default)]
struct Moment {
    number: u64,
    acknowledged: Vec<String>,
    /// Calls of which not every event is taken.
    open: BTreeSet<String>,
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            number,
            acknowledged,
            open,
        } = self;
        let (taken, open) = (acknowledged.len(), open.len());
        write!(f, "cut {number}: {taken} acknowledged, {open} not yet")
    }
}

/// Starts a daemon on these files and looks at what it makes of them.
async fn goes_on(
    what: &str,
    folder: &Path,
    kustomer: &Sandbox,
    moment: &Moment,
    events: &HashMap<String, Vec<Value>>,
) {
    let place = Place {
        folder: folder.to_owned(),
        listen: address(),
    };
    config().write(folder, place.listen, kustomer.url());
    fs::write(folder.join("client-token"), "client-token\n").unwrap();
    let started = place.spawn().ready().await;
    let daemon = started.unwrap_or_else(|ended| panic!("{what}: {ended}: {}", place.log()));
    for call in &moment.open {
        post_events(&place, &events[call]).await;
    }
    let status = daemon.at_rest(what).await;
    let logs = logs(kustomer);
    let wrong: Vec<_> = logs.iter().filter(|(_, made)| **made != (1, 1)).collect();
    assert!(wrong.is_empty(), "{what}: not exactly one: {wrong:?}");
    for one in moment.acknowledged.iter().chain(&moment.open) {
        if one.starts_with("/v1/contacts/") {
            let reply = api(place.listen, "GET", one, &[PROOF], "").await;
            assert_eq!(reply.status, 200, "{what}: {one} is gone: {reply:?}");
            let id = one.rsplit('/').next().unwrap();
            assert_eq!(reply.json()["name"], json!(id), "{what}");
        } else {
            assert!(logs.contains_key(one), "{what}: {one} isn't logged");
        }
    }
    let events: &Value = &status["events"];
    assert_eq!(events["dead"], 0, "{what}: {events}");
    assert!(daemon.stop().await.success(), "{what}: {}", place.log());
}
