//! Patching against cards as phones and servers write them, and against any bytes at all.

use super::*;
use crate::phonebook::carddav::card::{Reading, read};
use crate::terms::contact::{Contact, EmailAddress, Source};
use proptest::prelude::*;
use proptest::sample::{select, subsequence};

/// Real-world shapes, each with what only its maker understands. All names and numbers are invented.
const CARDS: [&str; 7] = [
    // iOS: groups with labels, N beside FN, a picture.
    "BEGIN:VCARD\r\nVERSION:3.0\r\nPRODID:-//Apple Inc.//iOS 18.1//EN\r\nN:Muster;Max;Karl;Dr.;\r\nFN:Dr. Max Karl Muster\r\nORG:Muster GmbH;Einkauf;Büro 3\r\nitem1.EMAIL;type=INTERNET;type=pref:Max@Muster.example\r\nitem1.X-ABLabel:Geheim\r\nitem2.TEL:+49 (171) 123 45 67\r\nitem2.X-ABLabel:Auto\r\nTEL;type=HOME;type=VOICE:0211 5678901\r\nTEL;type=OTHER:*21#\r\nitem3.ADR;type=WORK;type=pref:;;Weg 1\\nHinterhaus;Köln;;50667;Deutschland\r\nitem3.X-ABADR:de\r\nitem4.URL;type=pref:https://muster.example\r\nitem4.X-ABLabel:_$!<HomePage>!$_\r\nPHOTO;ENCODING=b;TYPE=JPEG:/9j/4AAQSkZJRgABAQAAAQABAAD/2wBDAAEBAQEBAQEBAQEBAQEB\r\n AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEB\r\nREV:2026-11-20T12:24:29Z\r\nUID:9E2B7C10-0001\r\nEND:VCARD\r\n",
    // Android (DAVx5): 4.0, tel: URIs, quoted types.
    "BEGIN:VCARD\r\nVERSION:4.0\r\nPRODID:+//IDN bitfire.at//DAVx5/4.4 ez-vcard/0.12.1\r\nUID:3f0d6c1e-0002\r\nFN:Erika Beispiel\r\nN:Beispiel;Erika;;;\r\nTEL;TYPE=\"cell,voice\";PREF=1;VALUE=uri:tel:+49-172-2345678\r\nTEL;VALUE=uri;TYPE=work:tel:+4921155500123;ext=12\r\nEMAIL;TYPE=home:erika@example.org\r\nCATEGORIES:Familie,VIP <1>\r\nX-ANDROID-CUSTOM:vnd.android.cursor.item/nickname;Eri;1;;;;;;;;;;;;;\r\nBDAY:--0412\r\nREV:20261120T122429Z\r\nEND:VCARD\r\n",
    // Nextcloud: folded, grouped, its own properties; a property of a later standard.
    "BEGIN:VCARD\r\nVERSION:4.0\r\nUID:6a1b0003\r\nPRODID:-//Sabre//Sabre VObject 4.5.6//EN\r\nFN:Jürgen Groß-Müller mit einem Namen\\, der so lang ist\\; dass er gefaltet\r\n  werden muss\r\nADR;TYPE=WORK;LABEL=\"Alte Anschrift, 1\":Postfach 7;;Straße 2;Bonn;NRW;53113;DE\r\nTEL;TYPE=HOME,VOICE:0049 228 123456\r\nEMAIL;TYPE=WORK:nicht-lesbar\r\nX-SOCIALPROFILE;TYPE=MASTODON:https://social.example/@j\r\nNOTE:Zeile 1\\nZeile 2\\, mit Komma\r\nCREATED;VALUE=timestamp:20250101T000000Z\r\nREV;VALUE=DATE-AND-OR-TIME:20261120T122429Z\r\nEND:VCARD\r\n",
    // Outlook: 2.1, quoted-printable with soft line breaks, types without TYPE=.
    "BEGIN:VCARD\r\nVERSION:2.1\r\nUID:040000008200E000-0004\r\nN;CHARSET=UTF-8;ENCODING=QUOTED-PRINTABLE:M=C3=BCller;Bj=C3=B6rn\r\nFN;CHARSET=UTF-8;ENCODING=QUOTED-PRINTABLE:Bj=C3=B6rn M=C3=BC=\r\nller\r\nORG;CHARSET=UTF-8;ENCODING=QUOTED-PRINTABLE:M=C3=BCller AG;Vertrieb\r\nTEL;WORK;VOICE:0211 / 5550 0124\r\nTEL;CELL;VOICE:+49 173 3456789\r\nTEL;WORK;FAX:0211 / 5550 0199\r\nADR;WORK;PREF;ENCODING=QUOTED-PRINTABLE;CHARSET=UTF-8:;;Stra=C3=9Fe 9;K=C3=B6ln;;50667;Deutschland\r\nLABEL;WORK;PREF;ENCODING=QUOTED-PRINTABLE:Strasse 9=0D=0A=\r\n50667 Koeln\r\nEMAIL;PREF;INTERNET:bjoern@mueller.example\r\nX-MS-OL-DEFAULT-POSTAL-ADDRESS:2\r\nREV:20261120T122429Z\r\nEND:VCARD\r\n",
    // FRITZ!Box and small phones: little, and line feeds alone.
    "BEGIN:VCARD\nVERSION:3.0\nUID:fb-0005\nFN:Zentrale\nN:Zentrale;;;;\nTEL;TYPE=work:021155500100\nTEL;TYPE=work:**701\nX-FRITZBOX-QUICKDIAL:7\nEND:VCARD\n",
    // Written by us before: link, source, tag.
    "BEGIN:VCARD\r\nVERSION:3.0\r\nPRODID:-//tieline//CardDAV//EN\r\nUID:tieline-0006\r\nFN:Ada Test\r\nN:Test;Ada;;;\r\nTEL;TYPE=CELL:+491744567890\r\ntieline.URL:https://acme.kustomerapp.example/app/customers/1\r\ntieline.X-ABLabel:Kustomer\r\nCATEGORIES:phone\r\nX-TIELINE-SOURCE:support/1\r\nX-TIELINE-SOURCE:sales/2\r\nREV:20261120T122429Z\r\nEND:VCARD\r\n",
    // Things that stand where nobody expects them.
    "\r\nBEGIN:VCARD\r\nVERSION:3.0\r\nUID:odd-0007\r\nFN:Odd One\r\nN:One;Odd;;;\r\nAGENT:\r\nBEGIN:VCARD\r\nVERSION:3.0\r\nFN:Agent\r\nTEL:+491755678901\r\nEND:VCARD\r\nthis is no property\r\nTEL;TYPE=\"x:y;z\",cell:+49 175 5678902\r\n\r\nEND:VCARD\r\n\r\n",
];

fn plan() -> NumberPlan {
    NumberPlan::new("DE", Some("211")).unwrap()
}

fn now() -> Timestamp {
    "2026-11-28T10:00:00Z".parse().unwrap()
}

fn contact(text: &str) -> Contact {
    match read(text, &plan(), None, now()) {
        Reading::Contact(contact) => *contact,
        Reading::Other(other) => panic!("{other:?}: {text}"),
    }
}

fn patched(text: &str, draft: &Draft) -> String {
    match patch(text, draft, &plan(), now()) {
        Patched::Same => text.to_owned(),
        Patched::Text(text) => text,
        Patched::Broken => panic!("broken: {text}"),
    }
}

/// What a card says already, as a draft.
fn same(contact: &Contact) -> Draft {
    Draft {
        fields: contact.fields.clone(),
        link: contact.link.clone(),
        tag: None,
        sources: contact.sources.clone(),
    }
}

/// The lines that no draft may touch: not the sync's, or with a value that it can't read.
fn foreign(text: &str) -> Vec<String> {
    const OURS: [&str; 11] = [
        "FN",
        "N",
        "TEL",
        "EMAIL",
        "ORG",
        "URL",
        "ADR",
        "CATEGORIES",
        "REV",
        SOURCE,
        "X-ABLABEL",
    ];
    let card = Card::parse(text).unwrap();
    let lines = card.lines.iter().filter(|line| {
        let unreadable = match line.name.as_str() {
            "TEL" => card::number(line, &plan()).is_none(),
            "EMAIL" => card::email(line).is_none(),
            // The country of an address that stays or goes with it.
            "X-ABADR" => return false,
            name => !OURS.contains(&name),
        };
        !line.own || unreadable
    });
    lines.map(|line| line.raw.clone()).collect()
}

fn text() -> impl Strategy<Value = String> {
    "[A-Za-zäöüßЖ漢😀0-9,;:\\\\\"'=.@-]{1,30}( [A-Za-zäöü,;\\\\\\n]{1,60}[a-z])?"
        .prop_map(|text| text.trim().to_owned())
}

fn phones() -> impl Strategy<Value = Vec<Phone>> {
    let numbers = vec![
        "+491711234567",
        "+4921155500100",
        "+491722345678",
        "+49228123456",
        "+441212345678",
    ];
    let kinds = vec![
        PhoneKind::Mobile,
        PhoneKind::Home,
        PhoneKind::Work,
        PhoneKind::Fax,
        PhoneKind::Other,
    ];
    (subsequence(numbers, 0..=5), select(kinds)).prop_map(|(numbers, kind)| {
        let phone = |number: &str| Phone {
            number: number.parse().unwrap(),
            kind,
        };
        numbers.into_iter().map(phone).collect()
    })
}

fn emails() -> impl Strategy<Value = Vec<Email>> {
    let emails = vec!["max@muster.example", "neu@example.org", "erika@example.org"];
    subsequence(emails, 0..=3).prop_map(|emails| {
        let email = |text: &str| Email {
            email: EmailAddress::parse(text).unwrap(),
            kind: EmailKind::Work,
        };
        emails.into_iter().map(email).collect()
    })
}

fn maybe() -> impl Strategy<Value = String> {
    prop_oneof![Just(String::new()), text()]
}

fn fields() -> impl Strategy<Value = Fields> {
    let urls = vec![
        "",
        "https://neu.example/a,b;c?d=e",
        "https://muster.example",
    ];
    let address = (maybe(), maybe(), maybe()).prop_map(|(street, city, country)| Address {
        street,
        city,
        country,
        ..Address::default()
    });
    let parts = (text(), phones(), emails(), maybe(), select(urls), address);
    parts.prop_map(|(name, phones, emails, company, website, address)| Fields {
        name,
        phones,
        emails,
        company,
        website: website.to_owned(),
        address,
    })
}

fn draft() -> impl Strategy<Value = Draft> {
    (fields(), any::<bool>(), any::<bool>()).prop_map(|(fields, linked, sourced)| {
        let source = Source {
            kustomer: "support".to_owned(),
            customer: "5f/3;a".to_owned(),
        };
        let link = "https://acme.kustomerapp.example/app/customers/9";
        Draft {
            fields,
            link: linked.then(|| link.to_owned()),
            tag: sourced.then(|| "VIP <1>".to_owned()),
            sources: sourced.then_some(source).into_iter().collect(),
        }
    })
}

#[test]
fn what_a_card_says_already_is_not_written() {
    for text in CARDS {
        let draft = same(&contact(text));
        assert_eq!(patch(text, &draft, &plan(), now()), Patched::Same, "{text}");
    }
}

#[test]
fn cards_are_read_as_their_makers_mean_them() {
    let [ios, android, nextcloud, outlook, fritz, ours, odd] = CARDS.map(contact);
    let numbers = |contact: &Contact| {
        let phones = contact.fields.phones.iter();
        phones
            .map(|phone| (phone.number.to_string(), phone.kind))
            .collect::<Vec<_>>()
    };
    let number = |number: &str, kind| (number.to_owned(), kind);
    assert_eq!(ios.fields.name, "Dr. Max Karl Muster");
    assert_eq!(ios.fields.company, "Muster GmbH");
    assert_eq!(ios.fields.address.street, "Weg 1\nHinterhaus");
    assert_eq!(ios.fields.website, "https://muster.example");
    assert_eq!(ios.unread, ["*21#"]);
    assert_eq!(
        numbers(&ios),
        [
            number("+491711234567", PhoneKind::Other),
            number("+492115678901", PhoneKind::Home)
        ]
    );
    assert_eq!(
        numbers(&android),
        [
            number("+491722345678", PhoneKind::Mobile),
            number("+4921155500123", PhoneKind::Work)
        ]
    );
    assert_eq!(android.tags, ["Familie", "VIP <1>"]);
    assert_eq!(android.updated_at, "2026-11-20T12:24:29Z".parse().unwrap());
    assert_eq!(
        nextcloud.fields.name,
        "Jürgen Groß-Müller mit einem Namen, der so lang ist; dass er gefaltet werden muss"
    );
    assert!(nextcloud.fields.emails.is_empty());
    assert_eq!(outlook.fields.name, "Björn Müller");
    assert_eq!(outlook.fields.company, "Müller AG");
    assert_eq!(outlook.fields.address.city, "Köln");
    assert_eq!(
        numbers(&outlook)[2],
        number("+4921155500199", PhoneKind::Fax)
    );
    assert_eq!(fritz.unread, ["**701"]);
    assert_eq!(
        ours.link.as_deref(),
        Some("https://acme.kustomerapp.example/app/customers/1")
    );
    assert_eq!((ours.sources.len(), ours.fields.website.as_str()), (2, ""));
    assert_eq!(numbers(&odd), [number("+491755678902", PhoneKind::Mobile)]);
}

#[test]
fn one_change_changes_one_line() {
    let [ios, ..] = CARDS;
    let mut draft = same(&contact(ios));
    draft.fields.phones.remove(0);
    let text = patched(ios, &draft);
    let expected = ios
        .replace(
            "item2.TEL:+49 (171) 123 45 67\r\nitem2.X-ABLabel:Auto\r\n",
            "",
        )
        .replace("REV:2026-11-20T12:24:29Z", "REV:20261128T100000Z");
    assert_eq!(text, expected);
    draft.fields.company = "Neu; & Co".to_owned();
    let text = patched(&text, &draft);
    let expected = expected.replace("ORG:Muster GmbH;", "ORG:Neu\\; & Co;");
    assert_eq!(text, expected);
    draft.fields.name = "Max von Neu".to_owned();
    let text = patched(&text, &draft);
    let expected = expected
        .replace("FN:Dr. Max Karl Muster", "FN:Max von Neu")
        .replace("N:Muster;Max;Karl;Dr.;", "N:Neu;Max von;;;");
    assert_eq!(text, expected);
}

#[test]
fn groups_and_cards_that_are_no_contacts_are_told_apart() {
    let table = [
        ("UID:1\r\nFN:G\r\nKIND:Group", card::Other::Group),
        (
            "UID:1\r\nFN:G\r\nX-ADDRESSBOOKSERVER-KIND:group",
            card::Other::Group,
        ),
        ("UID:1\r\nN:A;B;;;", card::Other::Nameless),
        ("UID:1\r\nFN: ", card::Other::Nameless),
        ("FN:A", card::Other::WithoutUid),
    ];
    for (lines, expected) in table {
        let text = format!("BEGIN:VCARD\r\nVERSION:3.0\r\n{lines}\r\nEND:VCARD\r\n");
        assert_eq!(
            read(&text, &plan(), None, now()),
            Reading::Other(expected),
            "{lines}"
        );
    }
    let reading = read("BEGIN:VCARD\r\nFN:A\r\n", &plan(), None, now());
    assert_eq!(reading, Reading::Other(card::Other::Broken));
}

#[test]
fn a_large_picture_stays_as_it_is() {
    let picture = format!("PHOTO;ENCODING=b;TYPE=JPEG:{}\r\n", "QUJD".repeat(50_000));
    let [_, _, _, _, _, ours, _] = CARDS;
    let text = ours.replace("CATEGORIES", &format!("{picture}CATEGORIES"));
    let mut draft = same(&contact(&text));
    draft.fields.company = "Test AG".to_owned();
    assert!(patched(&text, &draft).contains(&picture));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]

    #[test]
    fn a_patched_card_says_the_draft_and_keeps_the_rest(before in select(CARDS.to_vec()), draft in draft()) {
        let old = contact(before);
        let text = patched(before, &draft);
        let new = contact(&text);
        prop_assert_eq!(foreign(before), foreign(&text));
        prop_assert_eq!(&new.id, &old.id);
        prop_assert_eq!(&new.unread, &old.unread);
        prop_assert_eq!(&new.fields.name, &draft.fields.name);
        prop_assert_eq!(new.fields.numbers(), draft.fields.numbers());
        prop_assert_eq!(new.fields.addresses(), draft.fields.addresses());
        prop_assert_eq!(&new.fields.company, &draft.fields.company);
        prop_assert_eq!(&new.fields.website, &draft.fields.website);
        prop_assert_eq!(&new.fields.address, &draft.fields.address);
        prop_assert_eq!(&new.link, &draft.link);
        prop_assert_eq!(&new.sources, &draft.sources);
        let tags = old.tags.iter().chain(&draft.tag);
        for tag in tags {
            prop_assert!(new.tags.contains(tag));
        }
        // And a second time there is nothing to do.
        prop_assert_eq!(patch(&text, &draft, &plan(), now()), Patched::Same);
        for phone in &new.fields.phones {
            if let Some(known) = old.fields.phones.iter().find(|known| known.number == phone.number) {
                prop_assert_eq!(known.kind, phone.kind);
            }
        }
    }

    #[test]
    fn a_new_card_says_the_draft(id in "[a-zA-Z0-9:,;-]{1,40}", draft in draft()) {
        let text = create(&ContactId(id.clone()), &draft, &plan(), now());
        let new = contact(&text);
        prop_assert_eq!(new.id.0, id);
        prop_assert_eq!(&new.fields.phones, &draft.fields.phones);
        prop_assert_eq!(&new.fields.emails, &draft.fields.emails);
        prop_assert_eq!(&new.fields.name, &draft.fields.name);
        for physical in text.split("\r\n") {
            prop_assert!(physical.len() <= lines::FOLD_BYTES);
        }
    }

    #[test]
    fn no_bytes_stop_us(bytes in prop::collection::vec(any::<u8>(), 0..400), at in 0.0..1.0_f64, card in select(CARDS.to_vec()), draft in draft()) {
        let noise = String::from_utf8_lossy(&bytes).into_owned();
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a place within the card")]
        let at = (card.len() as f64 * at) as usize;
        let at = (0..=at).rev().find(|at| card.is_char_boundary(*at)).unwrap();
        let (head, tail) = card.split_at(at);
        for text in [noise.clone(), format!("{head}{noise}{tail}"), format!("BEGIN:VCARD\n{noise}\nEND:VCARD")] {
            let _ = read(&text, &plan(), None, now());
            let kept = Card::parse(&text).map(|card| card.text());
            prop_assert!(kept.is_none_or(|kept| kept == text));
            if let Patched::Text(patched) = patch(&text, &draft, &plan(), now()) {
                prop_assert!(Card::parse(&patched).is_some());
            }
        }
    }
}
