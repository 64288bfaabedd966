//! The journal's promises: dense numbers in order, one event for a repeat, numbers never given twice.

use crate::store::copy;
use bytes::Bytes;
use jiff::Timestamp;
use tieline::calls::journal::{Journal, Posted};
use tieline::store::{Store, StoreFault, StoreOptions};

fn posted(pbx: &str, body: &str, second: i64) -> Posted {
    Posted {
        pbx: pbx.to_owned(),
        received: Timestamp::from_second(1_795_177_469 + second).unwrap(),
        content_type: Some("application/json".to_owned()),
        query: Some("uuid=1".to_owned()),
        body: Bytes::copy_from_slice(body.as_bytes()),
    }
}

fn open(dir: &std::path::Path) -> Journal {
    Journal::open(Store::open(dir, StoreOptions::default()).unwrap()).unwrap()
}

#[tokio::test]
async fn events_get_dense_numbers_and_come_back_as_sent() {
    let dir = tempfile::tempdir().unwrap();
    let journal = open(&dir.path().join("store"));
    let mut watch = journal.watch();
    let tasks: Vec<_> = (0..200)
        .map(|number| {
            let journal = journal.clone();
            tokio::spawn(async move {
                journal
                    .append(posted("hq", &format!("{number}"), number))
                    .await
                    .unwrap()
            })
        })
        .collect();
    let mut seqs = Vec::new();
    for task in tasks {
        let accepted = task.await.unwrap();
        assert!(!accepted.repeat);
        seqs.push(accepted.seq);
    }
    seqs.sort_unstable();
    assert_eq!(seqs, (1..=200).collect::<Vec<u64>>());
    assert_eq!(*watch.borrow_and_update(), 200);

    // Invariant 1: what was answered is in the files as they are, without a close.
    copy(&dir.path().join("store"), &dir.path().join("copy"));
    let copied = open(&dir.path().join("copy"));
    assert_eq!(copied.last_seq(), 200);
    let entries = copied.after(0, 1000).unwrap();
    assert_eq!(entries, journal.after(0, 1000).unwrap());
    assert_eq!(entries.len(), 200);
    for entry in &entries {
        let number: i64 = std::str::from_utf8(&entry.posted.body)
            .unwrap()
            .parse()
            .unwrap();
        assert_eq!(entry.posted, posted("hq", &number.to_string(), number));
        assert_eq!(copied.find(entry.id).unwrap().as_ref(), Some(entry));
    }
    assert_eq!(
        journal
            .after(198, 1)
            .unwrap()
            .first()
            .map(|entry| entry.seq),
        Some(199)
    );
}

#[tokio::test]
async fn a_repeat_is_one_event_at_once_later_and_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    {
        let journal = open(dir.path());
        // Together, so that some meet in one group.
        let tasks: Vec<_> = (0..20)
            .map(|second| {
                let journal = journal.clone();
                tokio::spawn(
                    async move { journal.append(posted("hq", "same", second)).await.unwrap() },
                )
            })
            .collect();
        let mut firsts = 0;
        for task in tasks {
            let accepted = task.await.unwrap();
            assert_eq!(accepted.seq, 1);
            firsts += usize::from(!accepted.repeat);
        }
        assert_eq!(firsts, 1);
        assert_eq!(
            journal
                .append(posted("branch", "same", 0))
                .await
                .unwrap()
                .seq,
            2,
            "another phone system's is another"
        );
    }
    let journal = open(dir.path());
    let again = journal.append(posted("hq", "same", 99)).await.unwrap();
    assert_eq!((again.seq, again.repeat), (1, true));
    assert_eq!(
        journal.append(posted("hq", "other", 99)).await.unwrap().seq,
        3
    );
}

#[tokio::test]
async fn removing_leaves_the_rest_and_never_gives_a_number_twice() {
    let dir = tempfile::tempdir().unwrap();
    {
        let journal = open(dir.path());
        for second in 0..10 {
            journal
                .append(posted("hq", &second.to_string(), second))
                .await
                .unwrap();
        }
        let all = journal.after(0, 100).unwrap();
        let ids = |keep: &[u64]| -> Vec<_> {
            let gone = all.iter().filter(|entry| !keep.contains(&entry.seq));
            gone.map(|entry| (entry.seq, entry.id)).collect()
        };
        journal.remove(ids(&[3, 9, 10])).await.unwrap();
        let left: Vec<_> = journal
            .after(0, 100)
            .unwrap()
            .iter()
            .map(|entry| entry.seq)
            .collect();
        assert_eq!(left, [3, 9, 10]);
        journal.remove(ids(&[])).await.unwrap();
    }
    let journal = open(dir.path());
    assert_eq!(journal.last_seq(), 10);
    assert!(!journal.append(posted("hq", "0", 0)).await.unwrap().repeat);
    assert_eq!(journal.last_seq(), 11);
}

#[tokio::test]
async fn a_full_queue_refuses_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(
        dir.path(),
        StoreOptions {
            queue: 1,
            ..StoreOptions::default()
        },
    )
    .unwrap();
    let journal = Journal::open(store.clone()).unwrap();
    let (started, running) = tokio::sync::oneshot::channel();
    let (release, held) = std::sync::mpsc::channel::<()>();
    let writer_busy = tokio::spawn(async move {
        store
            .commit(move |_| {
                let _ = started.send(());
                let _ = held.recv();
                Ok(())
            })
            .await
    });
    running.await.unwrap();
    let first = tokio::spawn({
        let journal = journal.clone();
        async move { journal.append(posted("hq", "1", 0)).await }
    });
    tokio::task::yield_now().await;
    assert_eq!(
        journal.append(posted("hq", "2", 0)).await,
        Err(StoreFault::Busy)
    );
    release.send(()).unwrap();
    assert_eq!(first.await.unwrap().unwrap().seq, 1);
    writer_busy.await.unwrap().unwrap();
    assert_eq!(journal.append(posted("hq", "2", 0)).await.unwrap().seq, 2);
}
