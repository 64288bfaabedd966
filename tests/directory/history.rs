//! What changed: the whole phone book first, then each change once; waiting; removals that are forgotten; what the sync
//! sees of the same history.

use super::super::support::LOOK_EVERY;
use super::desk::{Served, serve, serve_with};
use jiff::SignedDuration;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::Duration;
use tieline::phonebook::directory::{Condition, Memory, Outcome};
use tieline::phonebook::{Draft, PhonebookFault};
use tieline::terms::contact::{ContactId, Fields, Phone, PhoneKind, Source};

/// Long before a wait of a minute is over by itself.
const SOON: Duration = Duration::from_secs(30);

/// A phone system's copy, kept up to date by what it is told.
#[derive(Default)]
struct Copy {
    contacts: BTreeMap<String, Value>,
    since: String,
}

impl Copy {
    /// Reads on until there is nothing more; how many changes came.
    async fn follow(&mut self, served: &Served, limit: usize) -> usize {
        let mut seen = 0;
        loop {
            let path = format!("/v1/contacts/changes?limit={limit}{}", self.since);
            let part = served.ask("GET", &path, "").await;
            assert_eq!(part.status, 200, "{part:?}");
            let count = self.take(&part.json());
            seen += count;
            if count == 0 {
                return seen;
            }
        }
    }

    fn take(&mut self, part: &Value) -> usize {
        let changes = part["changes"].as_array().unwrap();
        for change in changes {
            let id = change["id"].as_str().unwrap().to_owned();
            if change["deleted"] == true {
                assert_eq!(change["contact"], Value::Null);
                self.contacts.remove(&id);
            } else {
                self.contacts.insert(id, change["contact"].clone());
            }
        }
        self.since = format!("&since={}", part["next"].as_str().unwrap());
        changes.len()
    }
}

/// Everything, by the list.
async fn all(served: &Served) -> BTreeMap<String, Value> {
    let list = served
        .ask("GET", "/v1/contacts?limit=1000", "")
        .await
        .json();
    let contacts = list["contacts"].as_array().unwrap().iter();
    contacts
        .map(|one| (one["id"].as_str().unwrap().to_owned(), one.clone()))
        .collect()
}

fn number(n: usize) -> String {
    format!("+492115550{n:04}")
}

#[tokio::test]
async fn a_copy_follows_every_change_once() {
    let served = serve().await;
    let mut copy = Copy::default();
    for n in 0..12 {
        served.put(&format!("c{n}"), "C", &number(n)).await;
    }
    served.put("c3", "Again", &number(3)).await;
    served.ask("DELETE", "/v1/contacts/c5", "").await;
    assert_eq!(
        copy.follow(&served, 4).await,
        11,
        "each contact once, no removal of what it never saw"
    );
    assert_eq!(copy.contacts, all(&served).await);

    served.put("c3", "Third", &number(3)).await;
    served.put("c3", "Fourth", &number(3)).await;
    served.ask("DELETE", "/v1/contacts/c6", "").await;
    served.put("c5", "Back", &number(5)).await;
    assert_eq!(
        copy.follow(&served, 100).await,
        3,
        "of several changes of one contact the last"
    );
    assert_eq!(copy.contacts, all(&served).await);
    assert_eq!(copy.follow(&served, 100).await, 0);
    // The same content is no change.
    served.put("c3", "Fourth", &number(3)).await;
    assert_eq!(copy.follow(&served, 100).await, 0);
}

#[tokio::test]
async fn a_walk_ends_only_when_it_has_seen_what_moved_meanwhile() {
    let served = serve().await;
    for n in 0..10 {
        served.put(&format!("c{n}"), "C", &number(n)).await;
    }
    let mut copy = Copy::default();
    let mut parts = 0;
    // Between the parts, contacts that the walk has not come to move to the end, and others go.
    loop {
        let path = format!("/v1/contacts/changes?limit=3{}", copy.since);
        let part = served.ask("GET", &path, "").await.json();
        if copy.take(&part) == 0 {
            break;
        }
        parts += 1;
        if parts < 4 {
            served
                .put(&format!("c{}", 9 - parts), "Moved", &number(9 - parts))
                .await;
            served
                .ask("DELETE", &format!("/v1/contacts/c{}", parts - 1), "")
                .await;
        }
    }
    assert_eq!(copy.contacts, all(&served).await);
    assert!(
        !copy.since.contains('w'),
        "the walk is over: {}",
        copy.since
    );
}

#[tokio::test]
async fn a_wait_is_woken_by_a_write() {
    let served = serve().await;
    let mut copy = Copy::default();
    served.put("eva", "Eva", &number(1)).await;
    copy.follow(&served, 100).await;
    let path = format!("/v1/contacts/changes?wait=60s{}", copy.since);
    let waiting = served.ask("GET", &path, "");
    let writing = async {
        while served.book.waiting() == 0 {
            tokio::time::sleep(LOOK_EVERY).await;
        }
        served.put("max", "Max", &number(2)).await
    };
    let both = async { tokio::join!(waiting, writing) };
    let (part, _) = tokio::time::timeout(SOON, both).await.expect("woken");
    assert_eq!(part.json()["changes"][0]["id"], "max");
    copy.take(&part.json());

    // Without a write it ends by itself, with the same place to go on from.
    let path = format!("/v1/contacts/changes?wait=0.2s{}", copy.since);
    let part = served.ask("GET", &path, "").await.json();
    assert_eq!(part["changes"], json!([]));
    assert_eq!(
        format!("&since={}", part["next"].as_str().unwrap()),
        copy.since
    );

    // And when the daemon stops.
    let path = format!("/v1/contacts/changes?wait=60s{}", copy.since);
    let stopping = async {
        // Its place is taken when somebody listens for changes.
        while served.book.waiting() == 0 {
            tokio::time::sleep(LOOK_EVERY).await;
        }
        served.stop.send(true).unwrap();
    };
    let both = async { tokio::join!(served.ask("GET", &path, ""), stopping) };
    let (part, ()) = tokio::time::timeout(SOON, both).await.expect("ended");
    assert_eq!(
        (part.status, part.json()["changes"].clone()),
        (200, json!([]))
    );
}

#[tokio::test]
async fn only_so_many_wait_at_once() {
    let served = serve().await;
    let mut waiting = tokio::task::JoinSet::new();
    for _ in 0..70 {
        let address = served.address;
        waiting.spawn(async move {
            let headers = [("authorization", super::ALL)];
            let path = "/v1/contacts/changes?wait=60s";
            super::request(address, "GET", path, &headers, "").await
        });
    }
    // Those for whom there is no place hear so; the others wait for the write.
    for _ in 0..6 {
        let reply = waiting.join_next().await.unwrap().unwrap();
        assert_eq!((reply.status, reply.kind().as_str()), (503, "busy"));
        assert!(!reply.header("retry-after").is_empty());
    }
    served.put("eva", "Eva", &number(1)).await;
    for reply in waiting.join_all().await {
        assert_eq!(reply.json()["changes"][0]["id"], "eva", "{reply:?}");
    }
}

#[tokio::test]
async fn forgotten_removals_are_said() {
    let memory = Memory {
        tombstones: 3,
        age: SignedDuration::from_hours(1),
    };
    let served = serve_with(memory, true).await;
    for n in 0..10 {
        served.put(&format!("c{n}"), "C", &number(n)).await;
    }
    let mut late = Copy::default();
    late.follow(&served, 100).await;
    for n in 0..3 {
        served
            .ask("DELETE", &format!("/v1/contacts/c{n}"), "")
            .await;
    }
    let mut early = Copy::default();
    early.follow(&served, 100).await;
    for n in 3..5 {
        served
            .ask("DELETE", &format!("/v1/contacts/c{n}"), "")
            .await;
    }
    assert_eq!(served.book.size().unwrap().tombstones, 3);
    let reply = served
        .ask("GET", &format!("/v1/contacts/changes?{}", late.since), "")
        .await;
    assert_eq!((reply.status, reply.kind().as_str()), (410, "start-over"));
    assert_eq!(
        early.follow(&served, 100).await,
        2,
        "nothing that it needs is forgotten"
    );
    assert_eq!(early.contacts, all(&served).await);
    // Starting over, page by page, although much was forgotten before.
    let mut again = Copy::default();
    again.follow(&served, 2).await;
    assert_eq!(again.contacts, all(&served).await);
    // The sync is told that it gets everything, not that something is wrong.
    let since = tieline::phonebook::Token(late.since.trim_start_matches("&since=").to_owned());
    let changes = served.book.changes(Some(&since)).await.unwrap();
    assert_eq!(
        (changes.complete, changes.more, changes.changed.len()),
        (true, false, 5)
    );
}

fn draft(name: &str, numbers: &[usize], tag: Option<&str>) -> Draft {
    let phones = numbers.iter().map(|n| Phone {
        number: number(*n).parse().unwrap(),
        kind: PhoneKind::Work,
    });
    Draft {
        fields: Fields {
            name: name.to_owned(),
            phones: phones.collect(),
            ..Fields::default()
        },
        link: Some("https://acme.example/c1".to_owned()),
        tag: tag.map(str::to_owned),
        sources: vec![Source {
            kustomer: "support".to_owned(),
            customer: "c1".to_owned(),
        }],
    }
}

#[tokio::test]
async fn the_syncs_writes_keep_what_people_wrote() {
    let served = serve().await;
    let book = &served.book;
    let mut heard = book.revisions();
    let id = ContactId("c1".to_owned());
    let etag = book
        .create(&id, &draft("Eva", &[1], Some("phone")))
        .await
        .unwrap();
    assert!(heard.has_changed().unwrap(), "whoever follows hears of it");
    heard.borrow_and_update();
    let read = served.ask("GET", "/v1/contacts/c1", "").await;
    assert_eq!(read.header("etag"), format!("\"{}\"", etag.0));
    assert_eq!(
        read.json()["sources"],
        json!([{"kustomer": "support", "customer": "c1"}])
    );

    let there = book
        .create(&id, &draft("Eva", &[2], None))
        .await
        .unwrap_err();
    assert!(matches!(there, PhonebookFault::Exists(entry) if entry.etag == etag));
    served
        .ask(
            "PATCH",
            "/v1/contacts/c1",
            r#"{"tags":["vip","phone"],"company":"Acme"}"#,
        )
        .await;
    assert!(heard.has_changed().unwrap(), "a person's write too");
    assert_eq!(
        book.update(&id, &etag, &draft("Eva", &[2], None)).await,
        Err(PhonebookFault::Changed)
    );
    let now = book.get(&id).await.unwrap().unwrap();
    assert_eq!(
        now.contact.sources.len(),
        1,
        "people don't change whose contact it is"
    );
    let mut next = draft("Eva M.", &[2], Some("kustomer"));
    next.fields.company = now.contact.fields.company.clone();
    let etag = book.update(&id, &now.etag, &next).await.unwrap();
    let entry = book.get(&id).await.unwrap().unwrap();
    assert_eq!(
        entry.contact.tags,
        ["vip", "kustomer"],
        "its own tag goes, people's stay"
    );

    // A number in use is refused, and the sentence for the log has no number in it.
    let other = ContactId("c2".to_owned());
    let fault = book
        .create(&other, &draft("Max", &[3, 2], None))
        .await
        .unwrap_err();
    assert!(
        matches!(&fault, PhonebookFault::Rejected(why) if why.contains("c1") && !why.contains("+49")),
        "{fault:?}"
    );
    assert_eq!(book.get(&other).await.unwrap(), None);
    assert_eq!(
        book.remove(&id, &now.etag).await,
        Err(PhonebookFault::Changed)
    );
    book.remove(&id, &etag).await.unwrap();
    assert_eq!(book.remove(&id, &etag).await, Err(PhonebookFault::Gone));
    assert_eq!(
        book.update(&id, &etag, &next).await,
        Err(PhonebookFault::Gone)
    );
    let done = book.delete(&id, Condition::default()).await;
    assert!(!matches!(done, Ok(Outcome::Removed(_))));
}
