//! The journal's promises: dense numbers in order, one event for a repeat, numbers never given twice.

use crate::store::copy;
use bytes::Bytes;
use jiff::Timestamp;
use tieline::calls::journal::{Journal, Posted, QUEUE_POSTS_DEFAULT};
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
    let store = Store::open(dir, StoreOptions::default()).unwrap();
    Journal::open(store, QUEUE_POSTS_DEFAULT).unwrap()
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

/// Ids are written behind the pages: whatever the number of events at the stop, every one is known again afterwards.
#[tokio::test]
async fn every_event_is_known_again_wherever_the_ids_on_disk_end() {
    let dir = tempfile::tempdir().unwrap();
    let mut count = 0;
    for (round, more) in [1_i64, 100, 138, 1, 1, 250, 700].into_iter().enumerate() {
        let journal = open(dir.path());
        let tasks: Vec<_> = (count..count + more)
            .map(|number| {
                let journal = journal.clone();
                // Every tenth is larger than a page.
                let body = number
                    .to_string()
                    .repeat(if number % 10 == 0 { 9000 } else { 3 });
                tokio::spawn(async move { journal.append(posted("hq", &body, 0)).await.unwrap() })
            })
            .collect();
        for task in tasks {
            assert!(!task.await.unwrap().repeat);
        }
        count += more;
        drop(journal);
        let journal = open(dir.path());
        let all = journal.after(0, usize::MAX).unwrap();
        assert_eq!(i64::try_from(all.len()).unwrap(), count, "round {round}");
        for entry in all {
            let again = journal.append(entry.posted.clone()).await.unwrap();
            assert_eq!((again.seq, again.repeat), (entry.seq, true));
            assert_eq!(journal.get(entry.seq).unwrap().as_ref(), Some(&entry));
            assert_eq!(journal.find(entry.id).unwrap(), Some(entry));
        }
    }
}

#[tokio::test]
async fn what_was_removed_is_gone_from_pages_and_ids_and_may_come_again() {
    let dir = tempfile::tempdir().unwrap();
    let body = |number: i64| format!("secret-{number}-secret");
    {
        let journal = open(dir.path());
        let tasks: Vec<_> = (0..600)
            .map(|number| {
                let (journal, posted) = (journal.clone(), posted("hq", &body(number), number));
                tokio::spawn(async move { journal.append(posted).await.unwrap() })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
        let all = journal.after(0, 1000).unwrap();
        let odd = all.iter().filter(|entry| entry.seq % 2 == 1);
        let odd = odd.map(|entry| (entry.seq, entry.id)).collect();
        journal.remove(odd).await.unwrap();
        // Those that are not on disk by id yet, too: their record comes later.
        journal.append(posted("hq", "later", 0)).await.unwrap();
    }
    let journal = open(dir.path());
    let left: Vec<u64> = journal
        .after(0, 1000)
        .unwrap()
        .iter()
        .map(|entry| entry.seq)
        .collect();
    let even: Vec<u64> = (1..=601)
        .filter(|seq| seq % 2 == 0 || *seq == 601)
        .collect();
    assert_eq!(left, even);
    assert_eq!(journal.get(1).unwrap(), None);
    let first = journal.after(0, 1).unwrap();
    let first = first.first().unwrap();
    assert!(journal.append(first.posted.clone()).await.unwrap().repeat);
    let mut fresh = 0;
    for number in 0..600 {
        let accepted = journal
            .append(posted("hq", &body(number), number))
            .await
            .unwrap();
        fresh += usize::from(!accepted.repeat);
    }
    assert_eq!(fresh, 300);
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
    let store = Store::open(dir.path(), StoreOptions::default()).unwrap();
    let journal = Journal::open(store.clone(), 1).unwrap();
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
    let append = |body: &str| {
        let (journal, posted) = (journal.clone(), posted("hq", body, 0));
        tokio::spawn(async move { journal.append(posted).await })
    };
    // The first is on its way to the disk, the second waits.
    let first = append("1");
    tokio::task::yield_now().await;
    tokio::task::yield_now().await;
    let second = append("2");
    tokio::task::yield_now().await;
    assert_eq!(
        journal.append(posted("hq", "3", 0)).await,
        Err(StoreFault::Busy)
    );
    release.send(()).unwrap();
    assert_eq!(first.await.unwrap().unwrap().seq, 1);
    writer_busy.await.unwrap().unwrap();
    assert_eq!(second.await.unwrap().unwrap().seq, 2);
    assert_eq!(journal.append(posted("hq", "3", 0)).await.unwrap().seq, 3);
}
