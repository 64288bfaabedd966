//! The store's files changed behind the daemon's back: cut short, with bits turned over, gone. It says so and ends, or it
//! has lost nothing; it never goes on with less than was acknowledged, and nothing is logged twice.

use crate::store::copy;
use crate::support::{Config, World, call, logs, seed};
use fastrand::Rng;
use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

const CALLS: usize = 40;
/// Runs with one bit turned over.
const FLIPS: usize = 12;

/// What must come of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Must {
    /// It ends and says that the files are damaged.
    End,
    /// It goes on, and everything is there.
    GoOn,
    /// One of both: it depends on what was hit.
    Either,
}

struct Case {
    what: String,
    must: Must,
    damage: Box<dyn Fn(&Path)>,
}

fn case(what: &str, must: Must, damage: impl Fn(&Path) + 'static) -> Case {
    Case {
        what: what.to_owned(),
        must,
        damage: Box::new(damage),
    }
}

/// sled's log is as long as its last segment; what was written ends before.
fn written(db: &Path) -> u64 {
    let bytes = fs::read(db).unwrap();
    let last = bytes.iter().rposition(|byte| *byte != 0).unwrap();
    last as u64
}

fn cut(db: &Path, length: u64) {
    let file = OpenOptions::new().write(true).open(db).unwrap();
    file.set_len(length).unwrap();
}

fn turn_over(db: &Path, at: u64, bit: u8) {
    let file = File::options().read(true).write(true).open(db).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).unwrap();
    byte[0] ^= 1 << bit;
    file.write_all_at(&byte, at).unwrap();
}

fn snapshot(store: &Path) -> PathBuf {
    let files = fs::read_dir(store)
        .unwrap()
        .map(|file| file.unwrap().path());
    let mut snapshots = files.filter(|path| path.to_string_lossy().contains("/snap."));
    snapshots.next().unwrap()
}

fn cases(db: &Path, chance: &mut Rng) -> Vec<Case> {
    let end = written(db);
    let mut cases = vec![
        case("the log is gone", Must::End, |store| {
            fs::remove_file(store.join("db")).unwrap();
        }),
        case("the log is empty", Must::End, |store| {
            cut(&store.join("db"), 0);
        }),
        case("the snapshot is gone", Must::GoOn, |store| {
            fs::remove_file(snapshot(store)).unwrap();
        }),
        case("the snapshot is cut", Must::End, |store| {
            cut(&snapshot(store), 10);
        }),
        case("the configuration is gone", Must::GoOn, |store| {
            fs::remove_file(store.join("conf")).unwrap();
        }),
    ];
    for percent in [10, 50, 90, 99] {
        let what = format!("the log is cut at {percent} %");
        let length = end * percent / 100;
        cases.push(case(&what, Must::End, move |store| {
            cut(&store.join("db"), length);
        }));
    }
    for _ in 0..FLIPS {
        let (at, bit) = (chance.u64(..end), chance.u8(..8));
        let what = format!("bit {bit} of byte {at} of {end} is turned over");
        let damage = move |store: &Path| turn_over(&store.join("db"), at, bit);
        cases.push(case(&what, Must::Either, damage));
    }
    let many: Vec<(u64, u8)> = (0..200)
        .map(|_| (chance.u64(..end), chance.u8(..8)))
        .collect();
    cases.push(case(
        "two hundred bits are turned over",
        Must::End,
        move |store| {
            for (at, bit) in &many {
                turn_over(&store.join("db"), *at, *bit);
            }
        },
    ));
    cases
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn damaged_files_are_told_or_have_cost_nothing() {
    let mut chance = Rng::with_seed(seed());
    let (world, daemon) = World::running(&Config::default()).await;
    for number in 0..CALLS {
        daemon
            .post(&call(&format!("d{number}"), "+491711234567"))
            .await;
    }
    daemon.at_rest("the calls are logged").await;
    assert!(daemon.stop().await.success());
    // The next start writes a snapshot.
    assert!(world.place.start().await.stop().await.success());
    let (store, good) = (
        world.place.folder.join("state/store"),
        world.place.folder.join("good"),
    );
    copy(&store, &good);
    for Case { what, must, damage } in cases(&good.join("db"), &mut chance) {
        fs::remove_dir_all(&store).unwrap();
        copy(&good, &store);
        damage(&store);
        fs::write(world.place.folder.join("log"), "").unwrap();
        match world.place.spawn().ready().await {
            Ok(daemon) => {
                let status = daemon.at_rest(&what).await;
                let events = &status["events"];
                println!("{what}: goes on with {events}");
                assert_ne!(must, Must::End, "{what}: {events}");
                assert_eq!(events["accepted"], CALLS, "{what}");
                assert_eq!(events["logged"], CALLS, "{what}");
                assert!(daemon.stop().await.success(), "{what}");
            }
            Err(ended) => {
                let log = world.place.log();
                let said = log.lines().last().unwrap_or_default();
                println!("{what}: {said}");
                assert_ne!(must, Must::GoOn, "{what}: {log}");
                assert_eq!(ended.code(), Some(1), "{what}: {log}");
                assert!(
                    said.contains("damaged") && said.contains("backup"),
                    "{what}: {log}"
                );
            }
        }
    }
    let logged = logs(&world.sandbox);
    assert_eq!(logged.len(), CALLS);
    assert!(
        logged.values().all(|counts| *counts == (1, 1)),
        "{logged:?}"
    );
}
