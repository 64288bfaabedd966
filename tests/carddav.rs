//! The phone side on a contact server: against a real Radicale, through a line that cuts, delays and repeats, and against
//! answers as other servers give them.

pub mod radicale;
mod servers;
mod wire;

use radicale::{Radicale, plan};
use std::collections::BTreeSet;
use std::fs;
use std::time::Duration;
use tieline::phonebook::carddav::CardDav;
use tieline::phonebook::{Draft, Entry, Etag, PhonebookFault, Token};
use tieline::terms::contact::{ContactId, Fields, Phone, PhoneKind, Source};
use wire::Mischief;

fn id(text: &str) -> ContactId {
    ContactId(text.to_owned())
}

fn draft(name: &str, numbers: &[&str]) -> Draft {
    let phone = |number: &&str| Phone {
        number: number.parse().unwrap(),
        kind: PhoneKind::Work,
    };
    Draft {
        fields: Fields {
            name: name.to_owned(),
            phones: numbers.iter().map(phone).collect(),
            ..Fields::default()
        },
        link: Some("https://acme.kustomerapp.example/app/customers/1".to_owned()),
        tag: Some("phone".to_owned()),
        sources: vec![Source {
            kustomer: "support".to_owned(),
            customer: "1".to_owned(),
        }],
    }
}

/// A card as a phone writes it, with what only the phone knows.
fn card(uid: &str, name: &str, number: &str) -> String {
    format!(
        "BEGIN:VCARD\r\nVERSION:3.0\r\nUID:{uid}\r\nFN:{name}\r\nN:{name};;;;\r\nitem1.TEL:{number}\r\nitem1.X-ABLabel:Auto\r\nTEL;TYPE=work:**701\r\nX-ODD;X-P=1:kept\\, as it is\r\nPHOTO;ENCODING=b;TYPE=JPEG:QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVphYmNkZWZnaGlqa2xtbm9wcXJzdHV2d3h5eg==\r\nEND:VCARD\r\n"
    )
}

fn file(name: &str, text: &str) -> (String, String) {
    (name.to_owned(), text.to_owned())
}

/// Content lines without folds, in any order: Radicale sorts and folds what it stores.
fn content(text: &str) -> BTreeSet<String> {
    let unfolded = text.replace("\r\n ", "").replace("\n ", "");
    unfolded
        .lines()
        .map(|line| line.trim_end().to_owned())
        .collect()
}

fn ids(entries: &[Entry]) -> Vec<&str> {
    let mut ids: Vec<&str> = entries
        .iter()
        .map(|entry| entry.contact.id.0.as_str())
        .collect();
    ids.sort_unstable();
    ids
}

async fn look(engine: &CardDav, since: Option<&Token>) -> tieline::phonebook::Changes {
    engine.changes(since).await.unwrap()
}

#[track_caller]
fn refused<T: std::fmt::Debug>(result: Result<T, PhonebookFault>) -> String {
    match result {
        Err(PhonebookFault::Refused(why)) => why,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn the_address_book_is_found_from_any_address() {
    let server = Radicale::start(&[file("a.vcf", &card("a", "Anna", "+491711234567"))]).await;
    for path in [
        "",
        "/",
        "/alice/",
        "/alice",
        "/alice/contacts/",
        "/alice/contacts",
    ] {
        let engine = server.engine_at(&server.url(path));
        let found = look(&engine, None).await;
        assert_eq!(ids(&found.changed), ["a"], "{path:?}");
    }
    let second = server.book().with_file_name("more");
    fs::create_dir(&second).unwrap();
    fs::write(second.join(".Radicale.props"), r#"{"tag": "VADDRESSBOOK"}"#).unwrap();
    let why = refused(server.engine_at(&server.url("/")).changes(None).await);
    assert!(
        why.contains("/alice/contacts/, /alice/more/")
            || why.contains("/alice/more/, /alice/contacts/"),
        "{why}"
    );
    assert_eq!(ids(&look(&server.engine(), None).await.changed), ["a"]);
    let why = refused(
        server
            .engine_at(&server.url("/alice/nothing/"))
            .changes(None)
            .await,
    );
    assert!(why.contains("404") || why.contains("address book"), "{why}");
}

#[tokio::test]
async fn a_contact_is_written_read_changed_and_removed() {
    let server = Radicale::start(&[]).await;
    let engine = server.engine();
    let wanted = draft(
        "Ada, die \"Erste\"; Ähm",
        &["+491711234567", "+4921155500100"],
    );
    let first = engine.create(&id("tieline-1"), &wanted).await.unwrap();
    let entry = engine.get(&id("tieline-1")).await.unwrap().unwrap();
    assert_eq!(entry.etag, first);
    assert_eq!(entry.contact.fields, wanted.fields);
    assert_eq!(
        (&entry.contact.link, &entry.contact.sources),
        (&wanted.link, &wanted.sources)
    );
    assert_eq!(entry.contact.tags, ["phone"]);

    // The same again is not written.
    let again = engine
        .update(&id("tieline-1"), &first, &wanted)
        .await
        .unwrap();
    assert_eq!(again, first);
    let mut other = wanted.clone();
    other.fields.phones.remove(0);
    other.link = None;
    let second = engine
        .update(&id("tieline-1"), &first, &other)
        .await
        .unwrap();
    assert_ne!(second, first);
    let entry = engine.get(&id("tieline-1")).await.unwrap().unwrap();
    assert_eq!(
        (&entry.etag, &entry.contact.fields, &entry.contact.link),
        (&second, &other.fields, &None)
    );

    engine.remove(&id("tieline-1"), &second).await.unwrap();
    assert_eq!(engine.get(&id("tieline-1")).await.unwrap(), None);
    assert!(!server.book().join("tieline-1.vcf").exists());
}

#[tokio::test]
async fn what_the_sync_does_not_know_survives() {
    let before = card("a", "Anna", "0171 1234567");
    let server = Radicale::start(&[]).await;
    server.other("PUT", "somewhere.vcf", &before).await;
    let stored = content(&server.card("somewhere.vcf"));
    let engine = server.engine();
    // Without a look before: it is found by its UID, wherever it lies.
    let entry = engine.get(&id("a")).await.unwrap().unwrap();
    assert_eq!(entry.contact.unread, ["**701"]);
    let mut wanted = draft("Anna Neu", &["+491711234567", "+4921155500100"]);
    wanted.fields.website = "https://anna.example/x".to_owned();
    engine.update(&id("a"), &entry.etag, &wanted).await.unwrap();
    let after = content(&server.card("somewhere.vcf"));
    let gone: Vec<_> = stored.difference(&after).collect();
    assert_eq!(gone, ["FN:Anna", "N:Anna;;;;"]);
    let entry = engine.get(&id("a")).await.unwrap().unwrap();
    assert_eq!(entry.contact.fields.numbers(), wanted.fields.numbers());
    assert_eq!(entry.contact.fields.website, wanted.fields.website);
    assert_eq!(entry.contact.link, wanted.link);
}

#[tokio::test]
async fn who_comes_second_is_told() {
    let server = Radicale::start(&[]).await;
    let engine = server.engine();
    let (one, two) = (
        draft("Eins", &["+491711234567"]),
        draft("Zwei", &["+491711234567"]),
    );
    let first = engine.create(&id("x"), &one).await.unwrap();
    // The same create again, also by a program that knows nothing of the first.
    for engine in [&engine, &server.engine()] {
        match engine.create(&id("x"), &two).await {
            Err(PhonebookFault::Exists(entry)) => {
                assert_eq!((&entry.etag, &entry.contact.fields), (&first, &one.fields));
            }
            other => panic!("{other:?}"),
        }
    }
    // Somebody else's card has the UID, at another place.
    server
        .other(
            "PUT",
            "elsewhere.vcf",
            &card("y", "Yvonne", "+491722345678"),
        )
        .await;
    match engine.create(&id("y"), &two).await {
        Err(PhonebookFault::Exists(entry)) => assert_eq!(entry.contact.fields.name, "Yvonne"),
        other => panic!("{other:?}"),
    }
    // Somebody changes it between reading and writing.
    server
        .other("PUT", "x.vcf", &card("x", "Xaver", "+491722345678"))
        .await;
    assert_eq!(
        engine.update(&id("x"), &first, &two).await,
        Err(PhonebookFault::Changed)
    );
    assert_eq!(
        engine.remove(&id("x"), &first).await,
        Err(PhonebookFault::Changed)
    );
    server.other("DELETE", "x.vcf", "").await;
    assert_eq!(
        engine.update(&id("x"), &first, &two).await,
        Err(PhonebookFault::Gone)
    );
    assert_eq!(
        engine.remove(&id("x"), &first).await,
        Err(PhonebookFault::Gone)
    );
    assert_eq!(
        engine.update(&id("never"), &first, &two).await,
        Err(PhonebookFault::Gone)
    );
}

#[tokio::test]
async fn changes_are_told_since_a_token() {
    let server = Radicale::start(&[]).await;
    for (uid, name) in [("a", "Anna"), ("b", "Bert"), ("c", "Cora")] {
        server
            .other(
                "PUT",
                &format!("{uid}.vcf"),
                &card(uid, name, "+491711234567"),
            )
            .await;
    }
    let group = "BEGIN:VCARD\r\nVERSION:4.0\r\nKIND:group\r\nUID:g\r\nFN:Alle\r\nEND:VCARD\r\n";
    server.other("PUT", "g.vcf", group).await;
    let engine = server.engine();
    let all = look(&engine, None).await;
    assert_eq!(
        (ids(&all.changed), all.complete, all.more),
        (vec!["a", "b", "c"], true, false)
    );
    assert_eq!(engine.left_alone().await.groups, 1);

    let none = look(&engine, Some(&all.token)).await;
    assert_eq!(
        (ids(&none.changed), none.removed.len(), none.complete),
        (vec![], 0, false)
    );

    server
        .other("PUT", "b.vcf", &card("b", "Berta", "+491722345678"))
        .await;
    server.other("DELETE", "c.vcf", "").await;
    server
        .other("PUT", "d.vcf", &card("d", "Dora", "+491733456789"))
        .await;
    let some = look(&engine, Some(&none.token)).await;
    assert_eq!((ids(&some.changed), some.complete), (vec!["b", "d"], false));
    assert_eq!(some.removed, [id("c")]);

    // What we write is told too: the sync knows it by what it says.
    engine
        .create(&id("e"), &draft("Emil", &["+491744567890"]))
        .await
        .unwrap();
    let own = look(&engine, Some(&some.token)).await;
    assert_eq!((ids(&own.changed), own.removed.len()), (vec!["e"], 0));

    // An older token than the last, one of another program's life, and one that the server lost.
    let old = look(&engine, Some(&all.token)).await;
    assert_eq!(
        (ids(&old.changed), old.complete),
        (vec!["a", "b", "d", "e"], true)
    );
    let restarted = server.engine();
    let after = look(&restarted, Some(&old.token)).await;
    assert_eq!(
        (ids(&after.changed), after.complete),
        (vec!["a", "b", "d", "e"], true)
    );
    server.other("DELETE", "a.vcf", "").await;
    fs::remove_dir_all(server.book().join(".Radicale.cache")).unwrap();
    let lost = look(&restarted, Some(&after.token)).await;
    assert_eq!(
        (ids(&lost.changed), lost.complete),
        (vec!["b", "d", "e"], true)
    );
}

#[tokio::test]
async fn a_restart_between_any_two_steps_changes_nothing() {
    let server = Radicale::start(&[]).await;
    let wanted = draft("Rosa", &["+491711234567"]);
    let etag = server.engine().create(&id("r"), &wanted).await.unwrap();
    let read = server.engine().get(&id("r")).await.unwrap().unwrap();
    assert_eq!(read.etag, etag);
    let mut other = wanted.clone();
    other.fields.company = "Rosa AG".to_owned();
    let etag = server
        .engine()
        .update(&id("r"), &etag, &other)
        .await
        .unwrap();
    let all = look(&server.engine(), None).await;
    assert_eq!(
        (&all.changed[0].etag, &all.changed[0].contact.fields),
        (&etag, &other.fields)
    );
    server.engine().remove(&id("r"), &etag).await.unwrap();
    assert!(
        look(&server.engine(), Some(&all.token))
            .await
            .changed
            .is_empty()
    );
}

#[tokio::test]
async fn who_may_not_is_told_and_loses_nothing() {
    let server = Radicale::start(&[file("a.vcf", &card("a", "Anna", "+491711234567"))]).await;
    let url = server.url("/alice/contacts/");
    // A wrong password; the right one is taken from the file as soon as it is there.
    let mut settings = server.settings(&url);
    settings.password_file = server.folder.path().join("rotated");
    fs::write(&settings.password_file, "wrong").unwrap();
    let engine = CardDav::new(&settings, plan()).unwrap();
    let why = refused(engine.changes(None).await);
    assert!(why.contains("password") && !why.contains("wrong"), "{why}");
    server.engine();
    fs::copy(
        server.folder.path().join("password"),
        &settings.password_file,
    )
    .unwrap();
    assert_eq!(ids(&look(&engine, None).await.changed), ["a"]);
    // A user who may only read.
    settings.user = "guest".to_owned();
    let guest = CardDav::new(&settings, plan()).unwrap();
    let entry = guest.get(&id("a")).await.unwrap().unwrap();
    let wanted = draft("Neu", &["+491711234567"]);
    let why = refused(guest.update(&id("a"), &entry.etag, &wanted).await);
    assert!(why.contains("right to write"), "{why}");
    refused(guest.create(&id("new"), &wanted).await);
    refused(guest.remove(&id("a"), &entry.etag).await);
    let still = look(&guest, None).await.changed;
    assert_eq!(
        (&still[0].etag, &still[0].contact.fields),
        (&entry.etag, &entry.contact.fields)
    );
    // A password file that is none.
    settings.password_file = server.folder.path().join("missing");
    refused(CardDav::new(&settings, plan()));
}

#[tokio::test]
async fn a_thousand_cards_are_read_whole() {
    let small = |n: u32| {
        let number = 1_000_000 + n;
        let text = format!(
            "BEGIN:VCARD\r\nVERSION:3.0\r\nUID:uid-{n}\r\nFN:Name {n}\r\nN:{n};Name;;;\r\nTEL:+49171{number}\r\nEND:VCARD\r\n"
        );
        (format!("{n}.vcf"), text)
    };
    let cards: Vec<_> = (0..1_000).map(small).collect();
    let server = Radicale::start(&cards).await;
    let engine = server.engine();
    let all = look(&engine, None).await;
    assert_eq!(all.changed.len(), 1_000);
    let numbers: BTreeSet<_> = all
        .changed
        .iter()
        .flat_map(|entry| entry.contact.fields.numbers())
        .collect();
    assert_eq!(numbers.len(), 1_000);
    server.other("DELETE", "17.vcf", "").await;
    let one = look(&engine, Some(&all.token)).await;
    assert_eq!(
        (one.changed.len(), one.removed, one.complete),
        (0, vec![id("uid-17")], false)
    );
}

#[tokio::test]
async fn a_line_that_cuts_and_repeats_loses_and_doubles_nothing() {
    let server = Radicale::start(&[
        file("a.vcf", &card("a", "Anna", "+491711234567")),
        file("b.vcf", &card("b", "Bert", "+491722345678")),
    ])
    .await;
    let (address, plan_of) = wire::between(server.address).await;
    server.engine();
    let mut settings = server.settings(&format!("http://{address}/alice/contacts/"));
    settings.timeout = Duration::from_secs(3);
    let engine = CardDav::new(&settings, plan()).unwrap();
    let set = |which: &str, what| *plan_of.lock().unwrap() = Some((which.to_owned(), what));
    // However short an answer is, it is never taken for a whole one.
    let all = look(&engine, None).await;
    for at in [0, 9, 40, 160, 200, 300, 500, 800] {
        set("REPORT", Mischief::Cut(at));
        match engine.changes(None).await {
            Err(PhonebookFault::Unreachable { unclear: false, .. }) => {}
            other => panic!("{at}: {other:?}"),
        }
    }
    *plan_of.lock().unwrap() = None;
    let none = look(&engine, Some(&all.token)).await;
    assert!(!none.complete && none.changed.is_empty() && none.removed.is_empty());

    // The server did it and nobody heard: it may be done again, and shows that it was.
    let wanted = draft("Carla", &["+491733456789"]);
    settings.timeout = Duration::from_secs(2);
    let hasty = CardDav::new(&settings, plan()).unwrap();
    set("PUT", Mischief::Silence);
    let unclear = |result: Result<Etag, PhonebookFault>| {
        matches!(
            result,
            Err(PhonebookFault::Unreachable { unclear: true, .. })
        )
    };
    assert!(unclear(hasty.create(&id("c"), &wanted).await));
    *plan_of.lock().unwrap() = None;
    let entry = match engine.create(&id("c"), &wanted).await {
        Err(PhonebookFault::Exists(entry)) => *entry,
        other => panic!("{other:?}"),
    };
    assert_eq!(entry.contact.fields, wanted.fields);
    let mut other = wanted.clone();
    other.fields.company = "C & Co".to_owned();
    set("PUT", Mischief::Cut(0));
    assert!(unclear(engine.update(&id("c"), &entry.etag, &other).await));
    assert_eq!(
        engine.update(&id("c"), &entry.etag, &other).await,
        Err(PhonebookFault::Changed)
    );
    let entry = engine.get(&id("c")).await.unwrap().unwrap();
    assert_eq!(entry.contact.fields, other.fields);

    // Something on the way asks twice: the card is there once.
    set("PUT", Mischief::Twice);
    match engine.create(&id("d"), &wanted).await {
        Err(PhonebookFault::Exists(entry)) => assert_eq!(entry.contact.fields, wanted.fields),
        other => panic!("{other:?}"),
    }
    set("DELETE", Mischief::Twice);
    assert_eq!(
        engine.remove(&id("c"), &entry.etag).await,
        Err(PhonebookFault::Gone)
    );
    *plan_of.lock().unwrap() = None;
    let now = look(&engine, Some(&none.token)).await;
    assert_eq!(ids(&now.changed), ["d"]);
    assert_eq!(
        ids(&look(&server.engine(), None).await.changed),
        ["a", "b", "d"]
    );
}
