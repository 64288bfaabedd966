//! Import and export, in this process: what is written is read back as it was, whatever it holds and however the file
//! comes; what can't be taken is said with its line.

use super::desk::plan;
use proptest::prelude::*;
use std::collections::BTreeSet;
use tieline::phonebook::directory::{ContactBook, Content, Row};
use tieline::phonebook::transfer::{Format, Import, ImportFault, Report, body, head};
use tieline::phonebook::{Entry, vcard};
use tieline::store::{Store, StoreOptions};
use tieline::terms::contact::{
    Address, ContactId, Email, EmailAddress, EmailKind, Fields, Phone, PhoneKind,
};

fn open() -> (ContactBook, tempfile::TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(&dir.path().join("store"), StoreOptions::default()).unwrap();
    (ContactBook::open(&store).unwrap(), dir)
}

async fn import(book: &ContactBook, format: Format, file: &[u8], piece: usize) -> Report {
    try_import(book, format, file, piece, false).await.unwrap()
}

async fn try_import(
    book: &ContactBook,
    format: Format,
    file: &[u8],
    piece: usize,
    dry: bool,
) -> Result<Report, ImportFault> {
    let mut import = Import::new(book.clone(), plan(), format, dry);
    for bytes in file.chunks(piece) {
        import.take(bytes).await?;
    }
    import.finish().await
}

/// Everything of a contact but its version; a CSV file doesn't keep the order of numbers of different kinds.
type Said = (
    String,
    Fields,
    BTreeSet<Phone>,
    BTreeSet<Email>,
    Option<String>,
    Vec<String>,
);

fn said(entry: &Entry) -> Said {
    let contact = entry.contact.clone();
    let mut fields = contact.fields;
    let phones = std::mem::take(&mut fields.phones).into_iter().collect();
    let emails = std::mem::take(&mut fields.emails).into_iter().collect();
    (
        contact.id.0,
        fields,
        phones,
        emails,
        contact.link,
        contact.tags,
    )
}

fn text() -> impl Strategy<Value = String> {
    // What the formats give a meaning to, letters of other scripts, and long ones that are folded.
    let piece = prop::sample::select(vec![
        "a",
        "B",
        "é",
        "ß",
        "日本",
        ",",
        ";",
        ":",
        "\\",
        "\"",
        "'",
        "=",
        "+",
        "\\n",
        "\\,",
        "END:VCARD",
        " x",
        "😀",
        "a quite long piece of text that makes lines longer than seventy-five bytes",
    ]);
    prop::collection::vec(piece, 0..6).prop_map(|pieces| pieces.concat().trim().to_owned())
}

fn contents() -> impl Strategy<Value = Vec<Content>> {
    let kinds = prop::sample::select(vec![
        PhoneKind::Mobile,
        PhoneKind::Home,
        PhoneKind::Work,
        PhoneKind::Fax,
        PhoneKind::Other,
    ]);
    let email_kinds =
        prop::sample::select(vec![EmailKind::Home, EmailKind::Work, EmailKind::Other]);
    let one = (
        text(),
        prop::collection::vec(kinds, 0..4),
        prop::collection::vec(email_kinds, 0..3),
        [text(), text(), text(), text(), text(), text()],
        prop::option::of(Just("https://acme.example/c?a=1;b=2,3".to_owned())),
        prop::collection::btree_set(
            text().prop_filter("a tag", |tag| !tag.is_empty() && tag.chars().count() <= 64),
            0..3,
        ),
    );
    prop::collection::vec(one, 1..5).prop_map(|all| {
        let contents = all.into_iter().enumerate();
        contents
            .map(|(at, (name, kinds, email_kinds, words, link, tags))| {
                let [company, street, city, zip, state, country] = words;
                let phones = kinds.into_iter().enumerate().map(|(n, kind)| Phone {
                    number: format!("+49211555{at}{n}00").parse().unwrap(),
                    kind,
                });
                let emails = email_kinds.into_iter().enumerate().map(|(n, kind)| Email {
                    email: EmailAddress::parse(&format!("a{at}.{n}@example.org")).unwrap(),
                    kind,
                });
                let fields = Fields {
                    name: format!("N{name}"),
                    phones: phones.collect(),
                    emails: emails.collect(),
                    company,
                    website: "https://example.org/?a=1,2;3".to_owned(),
                    address: Address {
                        street,
                        city,
                        zip,
                        state,
                        country,
                    },
                };
                Content {
                    fields,
                    link,
                    tags: tags.into_iter().collect(),
                }
            })
            .collect()
    })
}

async fn goes_round(contents: Vec<Content>, piece: usize) {
    let (book, _dir) = open();
    let rows = contents.into_iter().enumerate();
    let rows: Vec<Row> = rows
        .map(|(at, content)| Row {
            id: ContactId(format!("urn:uuid:{at}")),
            content,
        })
        .collect();
    for outcome in book.put_all(rows, false).await.unwrap() {
        outcome.unwrap();
    }
    let before = book.list(None, 100).unwrap();
    for format in [Format::Csv, Format::Vcard] {
        let file = head(format) + &body(format, &before);
        let (other, _dir) = open();
        let report = import(&other, format, file.as_bytes(), piece).await;
        assert_eq!(
            (report.created, report.refused),
            (before.len() as u64, 0),
            "{report:?}\n{file}"
        );
        let after = other.list(None, 100).unwrap();
        let (before, after): (Vec<Said>, Vec<Said>) = (
            before.iter().map(said).collect(),
            after.iter().map(said).collect(),
        );
        assert_eq!(before, after, "{file}");
        // Once more is no change.
        let report = import(&other, format, file.as_bytes(), 4096).await;
        assert_eq!(report.same, before.len() as u64, "{report:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn what_is_exported_is_imported_as_it_was(contents in contents(), piece in 1_usize..300) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(goes_round(contents, piece));
    }
}

#[tokio::test]
async fn good_rows_are_taken_and_the_others_said() {
    let (book, _dir) = open();
    let file = "\u{feff}Name;Mobile;email;tags\n\
        Eva;0171 1234567;eva@example.org;vip;\n\
        Eva;0171 1234567;eva@example.org;vip\n\
        Max;\"0211 555 00100; 0211 555 00101\";max@example.org;\n\
        \n\
        Bad;call me;;\n\
        Two;0171 1234567;;\n\
        ;0171 1234599;;\n\
        Post;;nobody;\n";
    let dry = try_import(&book, Format::Csv, file.as_bytes(), 64, true)
        .await
        .unwrap();
    assert_eq!(book.size().unwrap().contacts, 0, "a dry run writes nothing");
    let report = import(&book, Format::Csv, file.as_bytes(), 64).await;
    assert_eq!((report.created, report.refused), (2, 5));
    assert_eq!(
        (dry.created, dry.refused),
        (report.created, report.refused),
        "{dry:?}"
    );
    let mut refusals = report
        .refusals
        .iter()
        .map(|one| (one.line, one.why.as_str()))
        .collect::<Vec<_>>();
    refusals.sort_unstable();
    let [wide, letters, taken, nameless, email] = refusals.as_slice() else {
        panic!("{refusals:?}")
    };
    assert_eq!(*wide, (2, "5 cells for 4 columns"));
    assert!(
        letters.0 == 6 && letters.1.contains("\"call me\""),
        "{letters:?}"
    );
    assert!(
        taken.0 == 7 && taken.1.contains("+491711234567 is in use by contact"),
        "{taken:?}"
    );
    assert!(
        nameless.0 == 8 && nameless.1.contains("name"),
        "{nameless:?}"
    );
    assert!(email.0 == 9 && email.1.contains("\"nobody\""), "{email:?}");
}

#[tokio::test]
async fn a_file_that_is_none_is_refused_whole() {
    let (book, _dir) = open();
    for (file, says) in [
        ("name,nummer\nEva,1\n", "nummer; known: id, name"),
        ("id,mobile\n1,2\n", "no column \"name\""),
    ] {
        let fault = try_import(&book, Format::Csv, file.as_bytes(), 9, false)
            .await
            .unwrap_err();
        assert!(fault.to_string().contains(says), "{fault}");
    }
    let latin = b"name\nM\xfcller\nEva\n";
    let report = import(&book, Format::Csv, latin, 100).await;
    assert_eq!((report.created, report.refusals[0].line), (1, 2));
    assert!(report.refusals[0].why.contains("UTF-8"));
    let report = import(&book, Format::Vcard, b"hello\nworld\n", 100).await;
    assert_eq!((report.created, report.refused), (0, 1));
}

#[test]
fn cards_of_phones_and_programs_are_read() {
    let android = "BEGIN:VCARD\r\nVERSION:2.1\r\nN;CHARSET=UTF-8;ENCODING=QUOTED-PRINTABLE:M=C3=BCller;Eva;;Dr.;\r\n\
        TEL;CELL;PREF:0171-1234567\r\nTEL;WORK;FAX:0211/555 00100\r\nEMAIL;HOME:Eva@Example.org\r\nEND:VCARD\r\n";
    let apple = "BEGIN:VCARD\nVERSION:3.0\nN:Muster;Max;;;\nFN:Max Muster\nORG:Muster GmbH;Vertrieb\n\
        TEL;type=CELL;type=VOICE;type=pref:+49 171 1234568\nitem1.TEL:0211 55500102\nitem1.X-ABLabel:Pforte\n\
        item2.ADR;type=WORK;type=pref:;;Weg 1\\, Hof;Neuss;NRW;41460;Germany\nitem3.URL;type=pref:https\\://muster.example\n\
        CATEGORIES:vip,Kunde\nPHOTO;ENCODING=b;TYPE=JPEG:/9j/4AAQ\n SkZJ\nUID:1-2\nEND:VCARD\n";
    let four = "BEGIN:VCARD\nVERSION:4.0\nFN:Ada\nTEL;VALUE=uri;TYPE=\"voice,home\":tel:+49-211-555-00103;ext=9\nUID:urn:uuid:7\nEND:VCARD\n";
    let eva = vcard::read(android, &plan()).unwrap().content.fields;
    assert_eq!(eva.name, "Dr. Eva Müller");
    let phones = |fields: &Fields| -> Vec<(String, PhoneKind)> {
        fields
            .phones
            .iter()
            .map(|phone| (phone.number.to_string(), phone.kind))
            .collect()
    };
    assert_eq!(
        phones(&eva),
        [
            ("+491711234567".to_owned(), PhoneKind::Mobile),
            ("+4921155500100".to_owned(), PhoneKind::Fax)
        ]
    );
    assert_eq!(
        (eva.emails[0].email.as_str(), eva.emails[0].kind),
        ("eva@example.org", EmailKind::Home)
    );
    let card = vcard::read(apple, &plan()).unwrap();
    let max = &card.content.fields;
    assert_eq!(
        (
            max.name.as_str(),
            max.company.as_str(),
            max.website.as_str()
        ),
        ("Max Muster", "Muster GmbH", "https://muster.example")
    );
    assert_eq!(
        phones(max)[1],
        ("+4921155500102".to_owned(), PhoneKind::Other)
    );
    assert_eq!(
        (max.address.street.as_str(), max.address.zip.as_str()),
        ("Weg 1, Hof", "41460")
    );
    assert_eq!(
        (card.uid.as_deref(), card.content.tags.as_slice()),
        (Some("1-2"), &["vip".to_owned(), "Kunde".to_owned()][..])
    );
    let ada = vcard::read(four, &plan()).unwrap();
    assert_eq!(
        phones(&ada.content.fields),
        [("+4921155500103".to_owned(), PhoneKind::Home)]
    );
    let fault = vcard::read(&four.replace("555-00103", "x"), &plan()).unwrap_err();
    assert!(fault.starts_with("TEL: "), "{fault}");
}
