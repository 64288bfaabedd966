//! What is owed and stays owed, in a real store.

use crate::samples::integration;
use jiff::{SignedDuration, Timestamp};
use tempfile::TempDir;
use tieline::calls::outbox::{Create, Delivery, DeliveryEnd, Outbox};
use tieline::clock;
use tieline::kustomer::reserve::{Notebook as _, counts_for};
use tieline::store::{Store, StoreOptions};

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

/// A store and its outbox; the folder goes with it.
struct Owed {
    outbox: Outbox,
    store: Store,
    _folder: TempDir,
}

impl Owed {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&folder.path().join("store"), StoreOptions::default()).unwrap();
        Self {
            outbox: Outbox::open(&store),
            store,
            _folder: folder,
        }
    }

    /// Owes it; answers what is owed by now.
    async fn owe(&self, delivery: &Delivery) -> Delivery {
        let (outbox, owed) = (self.outbox.clone(), delivery.clone());
        let done = self.store.commit(move |writes| outbox.owe(writes, &owed));
        done.await.unwrap();
        let held = self.outbox.get("support", &delivery.key);
        held.unwrap().unwrap()
    }
}

/// A delivery to `support` of the call `id`, with this note.
fn delivery(id: &str, note: &str) -> Delivery {
    let entry = serde_json::json!({
        "external_id": format!("tieline:hq:{id}"), "note_external_id": format!("tieline:hq:{id}:note"), "name": note,
        "direction": "in", "status": "done", "created_at": at(0), "agent": null, "tags": [], "note": note, "message": null,
        "create": null,
    });
    let entry = serde_json::from_value(entry).unwrap();
    let customer = Some("nobody".to_owned());
    Delivery::new(
        "support",
        format!("call:hq:{id}"),
        entry,
        None,
        customer,
        at(0),
    )
}

fn dead() -> Option<DeliveryEnd> {
    Some(DeliveryEnd::Dead {
        why: "refused".to_owned(),
    })
}

fn skipped() -> Option<DeliveryEnd> {
    Some(DeliveryEnd::Skipped {
        rule: "unknown_customer".to_owned(),
        why: "nobody has the number".to_owned(),
    })
}

#[tokio::test]
async fn what_is_owed_already_is_left_alone_unless_it_was_given_up_or_filtered() {
    let owed = Owed::new();
    let outbox = &owed.outbox;
    for (number, (end, taken_up)) in [
        (None, false),
        (Some(DeliveryEnd::Logged), false),
        (Some(DeliveryEnd::Dropped), false),
        (dead(), true),
        (skipped(), true),
    ]
    .into_iter()
    .enumerate()
    {
        let mut old = owed.owe(&delivery(&number.to_string(), "first")).await;
        (old.end, old.attempts) = (end.clone(), 3);
        outbox.keep(&old).await.unwrap();
        let again = owed.owe(&delivery(&number.to_string(), "second")).await;
        if taken_up {
            assert_eq!((&again.end, again.attempts), (&None, 0), "{end:?}");
            assert_eq!(again.entry.note, "second", "{end:?}");
        } else {
            assert_eq!(again, old, "{end:?}");
        }
    }
}

#[tokio::test]
async fn of_what_is_taken_up_again_what_may_stand_in_kustomer_stays_as_it_was_promised() {
    let owed = Owed::new();
    let outbox = &owed.outbox;
    let conversation = Some("conversation".to_owned());
    // Whether the conversation and whether the note are as they are decided now.
    for (number, (made, noted, intent, anew)) in [
        (None, None, None, [true, true]),
        (None, None, Some(Create::Conversation), [false, true]),
        (None, None, Some(Create::Customer), [false, true]),
        (conversation.clone(), None, None, [false, true]),
        (
            conversation.clone(),
            None,
            Some(Create::Note),
            [false, false],
        ),
        (conversation.clone(), Some("note"), None, [false, false]),
        (
            conversation,
            Some("note"),
            Some(Create::Message),
            [false, false],
        ),
    ]
    .into_iter()
    .enumerate()
    {
        let mut old = owed.owe(&delivery(&number.to_string(), "first")).await;
        (old.conversation, old.note) = (made, noted.map(str::to_owned));
        (old.intent, old.end) = (intent, dead());
        outbox.keep(&old).await.unwrap();
        let again = owed.owe(&delivery(&number.to_string(), "second")).await;
        let now = [&again.entry.name, &again.entry.note].map(|text| text == "second");
        assert_eq!(now, anew, "case {number}: {old:?}");
        assert_eq!((again.intent, again.end), (intent, None));
    }
}

#[tokio::test]
async fn dead_is_what_was_given_up_alone() {
    let owed = Owed::new();
    let outbox = &owed.outbox;
    assert!(!outbox.is_dead("support", "call:hq:a").unwrap());
    for (end, is) in [
        (None, false),
        (Some(DeliveryEnd::Logged), false),
        (skipped(), false),
        (dead(), true),
    ] {
        let mut one = delivery("a", "n");
        one.end = end.clone();
        outbox.keep(&one).await.unwrap();
        assert_eq!(outbox.is_dead("support", &one.key).unwrap(), is, "{end:?}");
        assert_eq!(outbox.dead("support").unwrap().len() == 1, is, "{end:?}");
    }
    assert!(!outbox.is_dead("other", "call:hq:a").unwrap());
}

#[tokio::test]
async fn what_was_sent_before_a_start_counts_for_a_window_and_never_for_more_than_the_budget() {
    let owed = Owed::new();
    let outbox = &owed.outbox;
    let mut to = integration();
    to.requests_per_minute = 100;
    let now = clock::now();
    assert_eq!(outbox.sent_before(&to, now).unwrap(), 0);
    assert!(outbox.usage_of(&to.name).note(40).await);
    let noted = clock::now();
    let counts = SignedDuration::try_from(counts_for(to.budget_window)).unwrap();
    for (at, used) in [
        (noted, 40),
        // A clock that was set back says nothing of how long ago it was.
        (noted - SignedDuration::from_hours(1), 40),
        (now + counts - SignedDuration::from_millis(1), 40),
        (noted + counts, 0),
    ] {
        assert_eq!(outbox.sent_before(&to, at).unwrap(), used, "{at}");
    }
    assert!(outbox.usage_of(&to.name).note(400).await);
    assert_eq!(outbox.sent_before(&to, clock::now()).unwrap(), 100);
    to.name = "other".to_owned();
    assert_eq!(outbox.sent_before(&to, clock::now()).unwrap(), 0);
}

#[tokio::test]
async fn after_a_restore_all_that_is_owed_or_given_up_is_doubted_and_so_is_what_is_old_enough() {
    let owed = Owed::new();
    let outbox = &owed.outbox;
    // More than one page of it.
    let mut all: Vec<Delivery> = (0..300).map(|id| delivery(&id.to_string(), "n")).collect();
    all[0].end = dead();
    all[1].end = dead();
    all[2].end = Some(DeliveryEnd::Logged);
    all[3].intent = Some(Create::Note);
    outbox.keep_all(all).await.unwrap();
    assert_eq!(outbox.note_restored(at(500)).await.unwrap(), 299);
    assert_eq!(outbox.all().count(), 300);
    for one in outbox.all() {
        let one = one.unwrap();
        let doubted = one.doubts_since(Create::Note);
        let logged = one.end == Some(DeliveryEnd::Logged);
        assert_eq!(doubted, (!logged).then(|| at(500)), "{one:?}");
        assert_eq!(one.intent, None);
    }
    let apart = SignedDuration::from_hours(24);
    for (created_at, doubted) in [
        (at(0), true),
        (at(500) + apart - SignedDuration::from_secs(1), true),
        (at(500) + apart, false),
        (at(500) + apart * 2, false),
    ] {
        let mut new = delivery(&created_at.to_string(), "n");
        new.entry.created_at = created_at;
        let new = owed.owe(&new).await;
        assert_eq!(
            new.doubts_since(Create::Note).is_some(),
            doubted,
            "{created_at}"
        );
    }
}
