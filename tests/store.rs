//! The store's promises: what is acknowledged is on disk (invariant 1), a job is written whole or not at all, and
//! every fault says what is wrong.

use crate::recovery::files::{closed, line};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::ops::Bound;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use tieline::store::{BackupReader, CONFIGURATION, Record, Store, StoreFault, StoreOptions};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Text(String);

impl Record for Text {
    const VERSION: u16 = 1;
}

fn open(dir: &Path) -> Store {
    Store::open(dir, StoreOptions::default()).unwrap()
}

/// A value of about that many bytes, different for each seed.
fn text(seed: usize, bytes: usize) -> Text {
    Text(format!("{seed}-").repeat(bytes / 3 + 1))
}

async fn put(store: &Store, key: &'static str, value: Text) -> Result<(), StoreFault> {
    let tree = store.tree::<Text>("texts");
    store
        .commit(move |writes| writes.put(&tree, key.as_bytes(), &value))
        .await
}

/// What a machine that lost power would find: the files as they are now, copied while the store is open.
pub fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

#[tokio::test]
async fn what_is_committed_is_in_the_files_without_a_close() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir.path().join("store"));
    for (key, size) in [("a", 10), ("b", 6 * 1024), ("c", 300_000), ("d", 3_000_000)] {
        put(&store, key, text(1, size)).await.unwrap();
    }
    copy(&dir.path().join("store"), &dir.path().join("copy"));
    let tree = open(&dir.path().join("copy")).tree::<Text>("texts");
    for (key, size) in [("a", 10), ("b", 6 * 1024), ("c", 300_000), ("d", 3_000_000)] {
        assert_eq!(
            tree.get(key.as_bytes()).unwrap(),
            Some(text(1, size)),
            "{key}"
        );
    }
    // sled never syncs these files, so none may ever be made.
    assert_eq!(
        std::fs::read_dir(dir.path().join("store/blobs"))
            .unwrap()
            .count(),
        0
    );
}

#[tokio::test]
async fn a_failing_job_writes_nothing_and_the_others_of_its_group_stand() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let tree = store.tree::<Text>("texts");
    let jobs = (0..50_usize).map(|number| {
        let (store, tree) = (store.clone(), tree.clone());
        tokio::spawn(async move {
            let work = move |writes: &mut tieline::store::Writes<'_>| {
                writes.put(&tree, &number.to_be_bytes(), &text(number, 20_000))?;
                assert_eq!(
                    writes.get(&tree, &number.to_be_bytes())?,
                    Some(text(number, 20_000))
                );
                if number.is_multiple_of(3) {
                    Err(StoreFault::NotEmpty)
                } else {
                    Ok(number)
                }
            };
            store.commit(work).await
        })
    });
    for (number, job) in jobs.collect::<Vec<_>>().into_iter().enumerate() {
        let expected = if number.is_multiple_of(3) {
            Err(StoreFault::NotEmpty)
        } else {
            Ok(number)
        };
        assert_eq!(job.await.unwrap(), expected);
        let held = tree.get(&number.to_be_bytes()).unwrap();
        assert_eq!(held.is_some(), expected.is_ok());
    }
    let stats = store.stats();
    assert!(
        stats.syncs.load(Relaxed) < stats.jobs.load(Relaxed),
        "jobs that wait together share a sync"
    );
}

#[tokio::test]
async fn a_reader_never_sees_a_large_value_half_replaced() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    put(&store, "k", text(0, 50_000)).await.unwrap();
    let done = Arc::new(AtomicBool::new(false));
    let reader = std::thread::spawn({
        let (tree, done) = (store.tree::<Text>("texts"), Arc::clone(&done));
        move || {
            while !done.load(Relaxed) {
                let Text(value) = tree.get(b"k").unwrap().unwrap();
                let seed = value.split('-').next().unwrap();
                assert!(
                    value.split('-').all(|part| part == seed || part.is_empty()),
                    "a mix of two values"
                );
            }
        }
    });
    for seed in 1..100 {
        put(&store, "k", text(seed, 50_000)).await.unwrap();
    }
    done.store(true, Relaxed);
    reader.join().unwrap();
}

#[tokio::test]
async fn the_trees_agree_with_a_map_after_any_writes_and_a_restart() {
    let seed = 20_261_120;
    let mut chance = fastrand::Rng::with_seed(seed);
    let dir = tempfile::tempdir().unwrap();
    let mut model: BTreeMap<(&str, Vec<u8>), Text> = BTreeMap::new();
    for _ in 0..4 {
        let store = open(dir.path());
        for _ in 0..60 {
            let name = if chance.bool() { "a" } else { "ab" };
            let tree = store.tree::<Text>(name);
            let key = vec![chance.u8(0..4); chance.usize(0..3)];
            if chance.u8(0..3) == 0 {
                model.remove(&(name, key.clone()));
                store
                    .commit(move |writes| writes.remove(&tree, &key))
                    .await
                    .unwrap();
            } else {
                let value = text(chance.usize(..), chance.usize(0..40_000));
                model.insert((name, key.clone()), value.clone());
                store
                    .commit(move |writes| writes.put(&tree, &key, &value))
                    .await
                    .unwrap();
            }
        }
        for name in ["a", "ab"] {
            let tree = store.tree::<Text>(name);
            let expected: Vec<_> = model
                .iter()
                .filter(|((of, _), _)| *of == name)
                .map(|((_, key), value)| (key.clone(), value.clone()))
                .collect();
            assert_eq!(
                tree.prefix(&[]).collect::<Result<Vec<_>, _>>().unwrap(),
                expected,
                "seed {seed}"
            );
            assert_eq!(
                tree.range(&[], Bound::Unbounded)
                    .collect::<Result<Vec<_>, _>>()
                    .unwrap(),
                expected,
                "seed {seed}"
            );
            let part: Vec<_> = expected
                .iter()
                .filter(|(key, _)| **key >= [1][..] && **key < [2][..])
                .cloned()
                .collect();
            let found = tree
                .range(&[1], Bound::Excluded(&[2]))
                .collect::<Result<Vec<_>, _>>()
                .unwrap();
            assert_eq!(found, part, "seed {seed}");
        }
    }
}

#[tokio::test]
async fn a_second_owner_a_wrong_folder_and_damage_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store");
    let store = open(&path);
    let second = Store::open(&path, StoreOptions::default()).err().unwrap();
    assert_eq!(second, StoreFault::InUse { dir: path.clone() });
    assert!(second.to_string().contains(path.to_str().unwrap()));
    put(&store, "k", text(1, 100_000)).await.unwrap();
    drop(store);

    let file = dir.path().join("file");
    std::fs::write(&file, "").unwrap();
    for wrong in [file.clone(), file.join("below")] {
        let fault = Store::open(&wrong, StoreOptions::default()).err().unwrap();
        assert!(
            matches!(&fault, StoreFault::NotWritable { dir, .. } if *dir == wrong),
            "{fault}"
        );
    }

    std::fs::write(
        path.join("conf"),
        "what is this, it is no sled configuration",
    )
    .unwrap();
    let fault = Store::open(&path, StoreOptions::default()).err().unwrap();
    assert!(
        matches!(&fault, StoreFault::Damaged { dir, .. } if *dir == path),
        "{fault}"
    );
}

/// A start that is killed while sled writes its snapshot leaves a part of one beside the finished one.
#[tokio::test]
async fn the_snapshot_of_an_interrupted_start_costs_nothing() {
    let dir = tempfile::tempdir().unwrap();
    drop(open(dir.path()));
    let store = open(dir.path());
    put(&store, "a", text(1, 10)).await.unwrap();
    drop(store);
    let snapshot = || {
        let entries = std::fs::read_dir(dir.path()).unwrap();
        let mut paths = entries.map(|entry| entry.unwrap().path());
        paths.find(|path| path.to_string_lossy().contains("snap."))
    };
    let whole = std::fs::read(snapshot().expect("sled has written a snapshot")).unwrap();
    // Sorted behind the finished one, as a newer one is.
    let unfinished = dir.path().join("snap.FFFFFFFFFFFFFFFF.generating");
    for cut in [0, 1, 13, whole.len() - 1, whole.len()] {
        std::fs::write(&unfinished, whole.get(..cut).unwrap()).unwrap();
        let store = open(dir.path());
        let tree = store.tree::<Text>("texts");
        assert_eq!(tree.get(b"a").unwrap(), Some(text(1, 10)), "cut at {cut}");
        drop((tree, store));
        assert!(!unfinished.exists());
    }
}

/// What a power cut leaves of sled's `conf` in the first moments of a store, and what it is when it is whole.
#[tokio::test]
async fn a_configuration_that_was_cut_off_costs_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let conf = dir.path().join("conf");
    let store = open(dir.path());
    put(&store, "a", text(1, 10)).await.unwrap();
    drop(store);
    assert_eq!(std::fs::read(&conf).unwrap(), CONFIGURATION);
    for cut in 0..CONFIGURATION.len() {
        let mut zeros = CONFIGURATION.to_vec();
        zeros[cut..].fill(0);
        for left in [&CONFIGURATION[..cut], &zeros] {
            std::fs::write(&conf, left).unwrap();
            let store = open(dir.path());
            let tree = store.tree::<Text>("texts");
            assert_eq!(tree.get(b"a").unwrap(), Some(text(1, 10)), "cut at {cut}");
            drop((tree, store));
            assert_eq!(std::fs::read(&conf).unwrap(), CONFIGURATION);
        }
    }
    let mut turned = CONFIGURATION.to_vec();
    turned[14] ^= 1;
    std::fs::write(&conf, turned).unwrap();
    let fault = Store::open(dir.path(), StoreOptions::default()).err();
    assert!(
        matches!(fault, Some(StoreFault::Damaged { .. })),
        "{fault:?}"
    );
}

#[tokio::test]
async fn a_full_disk_refuses_and_recovers_by_itself() {
    let disk = tempfile::tempdir().unwrap();
    let size = 64 * 1024 * 1024;
    let mounted = std::process::Command::new("mount")
        .args([
            "-t",
            "tmpfs",
            "-o",
            &format!("size={size}"),
            "tmpfs",
            disk.path().to_str().unwrap(),
        ])
        .status()
        .is_ok_and(|status| status.success());
    if !mounted {
        // Without the right to mount, a reserve larger than any disk stands for a full one.
        let options = StoreOptions {
            disk_reserve: u64::MAX,
            ..StoreOptions::default()
        };
        let store = Store::open(&disk.path().join("store"), options).unwrap();
        assert!(matches!(
            put(&store, "k", text(1, 10)).await,
            Err(StoreFault::DiskFull { .. })
        ));
        return;
    }
    let options = StoreOptions {
        disk_reserve: 16 * 1024 * 1024,
        ..StoreOptions::default()
    };
    let store = Store::open(&disk.path().join("store"), options).unwrap();
    put(&store, "before", text(1, 10)).await.unwrap();
    let filler = disk.path().join("filler");
    std::fs::write(&filler, vec![0; 50 * 1024 * 1024]).unwrap();
    let full = put(&store, "during", text(1, 10)).await;
    let health = store.health();
    std::fs::remove_file(&filler).unwrap();
    let after = put(&store, "after", text(1, 10)).await;
    let tree = store.tree::<Text>("texts");
    let keys: Vec<_> = tree
        .prefix(&[])
        .map(|found| String::from_utf8(found.unwrap().0).unwrap())
        .collect();
    drop((tree, store));
    let unmounted = std::process::Command::new("umount")
        .args(["-l", disk.path().to_str().unwrap()])
        .status();
    assert!(unmounted.unwrap().success());

    assert!(
        matches!(
            full,
            Err(StoreFault::DiskFull {
                reserve: 16_777_216,
                ..
            })
        ),
        "{full:?}"
    );
    assert!(health.disk_full && health.broken.is_none());
    assert_eq!(after, Ok(()));
    assert_eq!(keys, ["after", "before"]);
}

async fn import(store: &Store, lines: &[u8]) -> Result<u64, StoreFault> {
    let mut reader = BackupReader::open(lines)?;
    let done = store.import(&mut reader, &["texts"]).await?;
    Ok(done.records)
}

/// What a backup is written to.
#[derive(Clone, Default)]
struct Kept(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Kept {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

async fn backup(store: &Store) -> Vec<u8> {
    let kept = Kept::default();
    store.backup(kept.clone()).await.unwrap();
    let bytes = kept.0.lock().unwrap();
    bytes.clone()
}

#[tokio::test]
async fn a_backup_comes_back_whole_and_a_cut_or_changed_one_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir.path().join("a"));
    for (key, size) in [("a", 10), ("b", 100_000), ("c", 0)] {
        put(&store, key, text(7, size)).await.unwrap();
    }
    let lines = backup(&store).await;
    assert_eq!(import(&store, &lines).await, Err(StoreFault::NotEmpty));

    let other = open(&dir.path().join("b"));
    assert_eq!(import(&other, &lines).await, Ok(3));
    let again = backup(&other).await;
    let body = |lines: &[u8]| -> Vec<String> {
        let text = String::from_utf8(lines.to_vec()).unwrap();
        let all: Vec<String> = text.lines().map(str::to_owned).collect();
        all[1..all.len() - 1].to_vec()
    };
    assert_eq!(body(&lines), body(&again));

    let text = String::from_utf8(lines).unwrap();
    let cut = text.rsplitn(3, '\n').last().unwrap().to_owned();
    let changed = text.replacen("\"key\":\"YQ==\"", "\"key\":\"eA==\"", 1);
    for (number, wrong) in [
        cut,
        changed,
        text.replacen("{\"tieline_store\":2", "{\"tieline_store\":3", 1),
        String::new(),
    ]
    .into_iter()
    .enumerate()
    {
        let store = open(&dir.path().join(format!("c{number}")));
        let fault = import(&store, wrong.as_bytes()).await.unwrap_err();
        assert!(
            matches!(fault, StoreFault::Export { .. }),
            "{number}: {fault}"
        );
    }
}

/// Format 1 had no removals, and nothing in its first line but its number.
#[tokio::test]
async fn a_backup_of_the_first_format_is_read() {
    let record = line("texts", b"a", b"\x00\x01\"old\"");
    let lines = closed(&["{\"tieline_store\":1}".to_owned(), record]);
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    assert_eq!(import(&store, lines.as_bytes()).await, Ok(1));
    let tree = store.tree::<Text>("texts");
    assert_eq!(tree.get(b"a").unwrap(), Some(Text("old".to_owned())));
}

/// Pairs that are always written and removed together, and a count of all that was done: a backup has a whole number of
/// turns, however many went on meanwhile.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_under_load_is_of_one_moment() {
    const PAIRS: usize = 400;
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir.path().join("a"));
    let done = Arc::new(AtomicBool::new(false));
    let turns = Arc::new(AtomicUsize::new(0));
    let writer = tokio::spawn({
        let (store, done, turns) = (store.clone(), Arc::clone(&done), Arc::clone(&turns));
        async move {
            let mut chance = fastrand::Rng::with_seed(5);
            while !done.load(Relaxed) {
                let tree = store.tree::<Text>("texts");
                let turn = turns.load(Relaxed) + 1;
                let (pair, remove) = (chance.usize(..PAIRS), chance.u8(..4) == 0);
                let size = if chance.u8(..10) == 0 { 20_000 } else { 50 };
                let work = move |writes: &mut tieline::store::Writes<'_>| {
                    for side in ["left", "right"] {
                        let key = format!("{side}{pair}");
                        if remove {
                            writes.remove(&tree, key.as_bytes())?;
                        } else {
                            writes.put(&tree, key.as_bytes(), &text(turn, size))?;
                        }
                    }
                    writes.put(&tree, b"turn", &Text(turn.to_string()))
                };
                store.commit(work).await.unwrap();
                turns.store(turn, Relaxed);
            }
        }
    });
    for round in 0..5 {
        while turns.load(Relaxed) < (round + 1) * 300 {
            tokio::task::yield_now().await;
        }
        let before = turns.load(Relaxed);
        let lines = backup(&store).await;
        let after = turns.load(Relaxed);
        let copy = open(&dir.path().join(format!("copy{round}")));
        import(&copy, &lines).await.unwrap();
        let tree = copy.tree::<Text>("texts");
        let Text(turn) = tree.get(b"turn").unwrap().unwrap();
        let turn: usize = turn.parse().unwrap();
        assert!(
            (before..=after + 1).contains(&turn),
            "{before} {turn} {after}"
        );
        let mut newest = 0;
        for pair in 0..PAIRS {
            let side = |side: &str| tree.get(format!("{side}{pair}").as_bytes()).unwrap();
            let (left, right) = (side("left"), side("right"));
            assert_eq!(left, right, "half of pair {pair}");
            if let Some(Text(value)) = left {
                newest = newest.max(value.split('-').next().unwrap().parse().unwrap());
            }
        }
        assert!(
            newest <= turn,
            "a write of turn {newest} in a backup of turn {turn}"
        );
        println!(
            "round {round}: turns {before} to {after}, {} bytes",
            lines.len()
        );
    }
    done.store(true, Relaxed);
    writer.await.unwrap();
}

#[tokio::test]
async fn one_backup_at_a_time_and_one_that_fails_ends_for_good() {
    struct Full;
    impl std::io::Write for Full {
        fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
            Err(std::io::ErrorKind::StorageFull.into())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    put(&store, "a", text(1, 100_000)).await.unwrap();
    let failed = store.backup(Full).await;
    assert!(
        matches!(failed, Err(StoreFault::Export { .. })),
        "{failed:?}"
    );
    let (held, taken) = tokio::join!(store.backup(Kept::default()), store.backup(Kept::default()));
    assert!(held.is_ok(), "{held:?}");
    assert_eq!(taken, Err(StoreFault::BackupRuns));
    store.backup(Kept::default()).await.unwrap();
}
