//! What is old and ended goes, with its call and its deliveries; what is dead, in flight or fresh stays.

use jiff::{Timestamp, ToSpan};
use std::time::Duration;
use tieline::calls::directory::Directory;
use tieline::calls::exchange::{self, Pair};
use tieline::calls::journal::{Journal, Posted, QUEUE_POSTS_DEFAULT};
use tieline::calls::lately::Lately;
use tieline::calls::ledger::{CallRecord, Changes, End, EventMark, Ledger, Stage, Taker};
use tieline::calls::outbox::Outbox;
use tieline::calls::retention::Retention;
use tieline::store::{Store, StoreOptions};

#[tokio::test]
async fn only_what_is_old_and_ended_goes() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), StoreOptions::default()).unwrap();
    let journal = Journal::open(store.clone(), QUEUE_POSTS_DEFAULT).unwrap();
    let ledger = Ledger::open(&store, &Outbox::open(&store));
    let now: Timestamp = "2026-11-20T12:00:00Z".parse().unwrap();
    let old = now - 800.hours();
    let dead = || End::Dead {
        why: "test".to_owned(),
    };
    let events = [
        (old, Some(End::Logged)),
        (old, Some(dead())),
        (old, None),
        (now - 1.hour(), Some(End::Logged)),
    ];
    let mut changes = Changes::default();
    for (number, (received, end)) in events.into_iter().enumerate() {
        let posted = Posted {
            pbx: "hq".to_owned(),
            received,
            content_type: None,
            query: None,
            body: number.to_string().into(),
        };
        let seq = journal.append(posted).await.unwrap().seq;
        let key = format!("call:hq:{seq}");
        let mut record = CallRecord::new(key.clone(), "hq", received);
        record.events = vec![seq];
        record.takers = vec![Taker {
            integration: "support".to_owned(),
            end: end.clone(),
        }];
        record.stage = if end.is_some() {
            Stage::Ended
        } else {
            Stage::Owed
        };
        changes.records.insert(key.clone(), record);
        changes.marks.insert(
            seq,
            EventMark {
                key: Some(key),
                end,
            },
        );
    }
    let pair = |other: &str| Pair {
        integration: "support".to_owned(),
        pbx: "hq".to_owned(),
        ours: "+4921155500100".to_owned(),
        other: other.to_owned(),
    };
    for (other, until) in [("+491711234567", old), ("+491711234568", now - 1.hour())] {
        let key = format!("text:hq:{other}");
        let (_, exchange) = exchange::place(None, &key, until, Duration::from_secs(60));
        changes.exchanges.insert(pair(other), exchange.unwrap());
    }
    ledger.write(changes).await.unwrap();

    let retention = retention(&store, &journal, &ledger);
    assert_eq!(retention.prune(now).await.unwrap(), 1);
    let left: Vec<u64> = journal
        .after(0, 10)
        .unwrap()
        .iter()
        .map(|event| event.seq)
        .collect();
    assert_eq!(left, [2, 3, 4]);
    assert!(ledger.record("call:hq:1").unwrap().is_none());
    assert!(ledger.mark(1).unwrap().is_none());
    assert!(ledger.record("call:hq:2").unwrap().is_some());
    assert!(ledger.exchange(&pair("+491711234567")).unwrap().is_none());
    assert!(ledger.exchange(&pair("+491711234568")).unwrap().is_some());
    assert_eq!(
        retention.prune(now).await.unwrap(),
        0,
        "nothing more to remove"
    );
}

fn retention(store: &Store, journal: &Journal, ledger: &Ledger) -> Retention {
    Retention {
        lately: Lately::open(store),
        keep: Duration::from_secs(720 * 60 * 60),
        journal: journal.clone(),
        ledger: ledger.clone(),
        directory: Directory::open(store),
    }
}

#[tokio::test]
async fn where_little_is_kept_it_is_looked_for_more_often() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), StoreOptions::default()).unwrap();
    let journal = Journal::open(store.clone(), QUEUE_POSTS_DEFAULT).unwrap();
    let ledger = Ledger::open(&store, &Outbox::open(&store));
    let mut retention = retention(&store, &journal, &ledger);
    let minute = Duration::from_secs(60);
    assert_eq!(retention.every(), 60 * minute);
    retention.keep = 60 * minute;
    assert_eq!(retention.every(), 5 * minute);
}

#[tokio::test]
async fn a_call_takes_along_what_is_left_of_those_that_came_home_to_it() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), StoreOptions::default()).unwrap();
    let journal = Journal::open(store.clone(), QUEUE_POSTS_DEFAULT).unwrap();
    let ledger = Ledger::open(&store, &Outbox::open(&store));
    let now: Timestamp = "2026-11-20T12:00:00Z".parse().unwrap();
    let received = now - 800.hours();
    let posted = Posted {
        pbx: "hq".to_owned(),
        received,
        content_type: None,
        query: None,
        body: "one".into(),
    };
    let seq = journal.append(posted).await.unwrap().seq;
    let (home, part, other) = ("call:hq:a", "call:hq:b", "call:hq:c");
    let record = |key: &str, stage: Stage| {
        let mut record = CallRecord::new(key.to_owned(), "hq", received);
        record.stage = stage;
        (key.to_owned(), record)
    };
    let mut changes = Changes::default();
    changes.records.extend([
        record(home, Stage::Ended),
        record(part, Stage::Ended),
        record(other, Stage::Gathering),
    ]);
    let call = changes.records.get_mut(home).unwrap();
    call.events = vec![seq];
    call.legs = vec![part.to_owned(), other.to_owned()];
    changes.records.get_mut(part).unwrap().home = Some(home.to_owned());
    let mark = EventMark {
        key: Some(home.to_owned()),
        end: Some(End::Logged),
    };
    changes.marks.insert(seq, mark);
    ledger.write(changes).await.unwrap();
    let retention = retention(&store, &journal, &ledger);
    assert_eq!(retention.prune(now).await.unwrap(), 1);
    assert!(ledger.record(home).unwrap().is_none());
    assert!(ledger.record(part).unwrap().is_none());
    assert!(ledger.record(other).unwrap().is_some(), "it is open");
}
