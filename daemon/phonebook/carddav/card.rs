//! What a vCard says, as a contact: 2.1, 3.0 (RFC 2426) and 4.0 (RFC 6350). Pure; `carddav` and `patch` ask.
//!
//! calcard reads one line's value at a time: encodings, character sets, escapes. Which line means what is decided here, so
//! that `patch` changes the very line that was read.

use super::lines::{Card, Line};
use crate::terms::contact::{
    Address, CONTACT_ID_BYTES_MAX, Contact, ContactId, Email, EmailAddress, EmailKind, Fields,
    Phone, PhoneKind, Source,
};
use crate::terms::number::{E164, NumberPlan};
use calcard::vcard::VCardValue;
use calcard::{Entry, Parser};
use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

/// The group of the line that leads to the customer's page, and the label that phones show beside it.
pub const LINK_GROUP: &str = "tieline";
/// See [`LINK_GROUP`].
pub const LINK_LABEL: &str = "Kustomer";

/// A linked customer: `support/5f3a…`.
pub const SOURCE: &str = "X-TIELINE-SOURCE";

/// What an address book's entry turned out to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reading {
    Contact(Box<Contact>),
    /// Left alone, because it is no contact.
    Other(Other),
}

/// Why an entry is no contact.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Other {
    /// `KIND:group`, also as Apple writes it.
    Group,
    /// Without FN.
    Nameless,
    /// Without UID, or with one that is longer than a contact's id may be.
    WithoutUid,
    /// Not a whole card.
    Broken,
}

/// Reads `text`. `modified`: when the server says that it was changed last.
pub fn read(text: &str, plan: &NumberPlan, modified: Option<Timestamp>, now: Timestamp) -> Reading {
    Card::parse(text).map_or(Reading::Other(Other::Broken), |card| {
        contact(&card, plan, modified, now)
    })
}

fn contact(card: &Card, plan: &NumberPlan, modified: Option<Timestamp>, now: Timestamp) -> Reading {
    if ["KIND", "X-ADDRESSBOOKSERVER-KIND"]
        .iter()
        .any(|name| first(card, name).eq_ignore_ascii_case("group"))
    {
        return Reading::Other(Other::Group);
    }
    let id = first(card, "UID");
    if id.is_empty() || id.len() > CONTACT_ID_BYTES_MAX {
        return Reading::Other(Other::WithoutUid);
    }
    let fields = fields(card, plan);
    if fields.name.is_empty() {
        return Reading::Other(Other::Nameless);
    }
    let revised = card.all("REV").next().and_then(|line| time(&line.value));
    Reading::Contact(Box::new(Contact {
        id: ContactId(id),
        fields,
        unread: unread(card, plan),
        link: links(card).next().map(value),
        tags: tags(card),
        sources: sources(card),
        updated_at: revised.max(modified).unwrap_or(now),
    }))
}

/// The fields that the sync compares.
pub fn fields(card: &Card, plan: &NumberPlan) -> Fields {
    let mut phones: Vec<Phone> = Vec::new();
    for line in card.all("TEL") {
        if let Some(number) = number(line, plan)
            && !phones.iter().any(|phone| phone.number == number)
        {
            let kind = phone_kind(line);
            phones.push(Phone { number, kind });
        }
    }
    let mut emails: Vec<Email> = Vec::new();
    for line in card.all("EMAIL") {
        if let Some(email) = email(line)
            && !emails.iter().any(|known| known.email == email)
        {
            let kind = email_kind(line);
            emails.push(Email { email, kind });
        }
    }
    Fields {
        name: first(card, "FN"),
        phones,
        emails,
        company: card
            .all("ORG")
            .next()
            .and_then(|line| texts(line).into_iter().next())
            .map(|company| company.trim().to_owned())
            .unwrap_or_default(),
        website: website(card).map(value).unwrap_or_default(),
        address: address(card).map(postal).unwrap_or_default(),
    }
}

/// The number of a TEL line, if it is one.
pub fn number(line: &Line, plan: &NumberPlan) -> Option<E164> {
    plan.parse(&value(line)).ok()
}

/// The address of an EMAIL line, if it is one.
pub fn email(line: &Line) -> Option<EmailAddress> {
    let text = value(line);
    EmailAddress::parse(text.strip_prefix("mailto:").unwrap_or(&text))
}

/// The lines that lead to the customer's page.
pub fn links(card: &Card) -> impl Iterator<Item = &Line> {
    card.all("URL").filter(|line| is_link(card, line))
}

pub fn is_link(card: &Card, line: &Line) -> bool {
    line.group.as_deref() == Some(LINK_GROUP) || card.label(line) == Some(LINK_LABEL)
}

/// The line with the website: the first address that isn't our link.
pub fn website(card: &Card) -> Option<&Line> {
    card.all("URL").find(|line| !is_link(card, line))
}

/// The line with the address: the first one of work.
pub fn address(card: &Card) -> Option<&Line> {
    card.all("ADR")
        .find(|line| line.types().iter().any(|word| word == "WORK"))
}

pub fn tags(card: &Card) -> Vec<String> {
    let all = card.all("CATEGORIES").flat_map(texts);
    let mut tags = Vec::new();
    for tag in all.map(|tag| tag.trim().to_owned()) {
        if !tag.is_empty() && !tags.contains(&tag) {
            tags.push(tag);
        }
    }
    tags
}

pub fn sources(card: &Card) -> Vec<Source> {
    let source = |line: &Line| {
        let text = value(line);
        let (kustomer, customer) = text.split_once('/')?;
        Some(Source {
            kustomer: kustomer.to_owned(),
            customer: customer.to_owned(),
        })
    };
    card.all(SOURCE).filter_map(source).collect()
}

/// The value of the first line of that name, trimmed.
pub fn first(card: &Card, name: &str) -> String {
    card.all(name).next().map(value).unwrap_or_default()
}

/// Numbers that are none, as written.
fn unread(card: &Card, plan: &NumberPlan) -> Vec<String> {
    let lines = card.all("TEL").filter(|line| number(line, plan).is_none());
    lines.map(value).filter(|text| !text.is_empty()).collect()
}

fn postal(line: &Line) -> Address {
    let mut parts = texts(line).into_iter().skip(2);
    let mut next = || parts.next().unwrap_or_default().trim().to_owned();
    Address {
        street: next(),
        city: next(),
        state: next(),
        zip: next(),
        country: next(),
    }
}

fn phone_kind(line: &Line) -> PhoneKind {
    let words = line.types();
    let has = |wanted: &[&str]| words.iter().any(|word| wanted.contains(&word.as_str()));
    // A fax at work is a fax first: nobody is there who talks.
    if has(&["FAX"]) {
        PhoneKind::Fax
    } else if has(&["CELL", "MOBILE", "IPHONE"]) {
        PhoneKind::Mobile
    } else if has(&["WORK"]) {
        PhoneKind::Work
    } else if has(&["HOME"]) {
        PhoneKind::Home
    } else {
        PhoneKind::Other
    }
}

fn email_kind(line: &Line) -> EmailKind {
    let words = line.types();
    let has = |wanted: &str| words.iter().any(|word| word == wanted);
    if has("WORK") {
        EmailKind::Work
    } else if has("HOME") {
        EmailKind::Home
    } else {
        EmailKind::Other
    }
}

/// All of a line's value, trimmed.
pub fn value(line: &Line) -> String {
    texts(line).join(",").trim().to_owned()
}

/// A line's values or components, decoded. A list inside a component is one text again.
pub fn texts(line: &Line) -> Vec<String> {
    // Which separators there are goes by the name. Of a card without a version calcard would think that it is 4.0, where
    // only times differ.
    let name = match line.name.as_str() {
        "N" | "ADR" | "ORG" | "CATEGORIES" => line.name.as_str(),
        _ => "FN",
    };
    let params = &line.params;
    let head = if params.is_empty() {
        name.to_owned()
    } else {
        format!("{name};{params}")
    };
    let card = format!("BEGIN:VCARD\r\n{head}:{}\r\nEND:VCARD\r\n", line.value);
    let Entry::VCard(read) = Parser::new(&card).entry() else {
        return Vec::new();
    };
    let values = read.entries.into_iter().next().map(|entry| entry.values);
    values
        .unwrap_or_default()
        .into_iter()
        .map(|value| match value {
            VCardValue::Component(parts) => parts.join(","),
            other => other.into_text().map(String::from).unwrap_or_default(),
        })
        .collect()
}

/// `20261120T122429Z`, `2026-11-20T12:24:29.5Z`, with an offset, or without one: then it is UTC. A day alone begins.
fn time(text: &str) -> Option<Timestamp> {
    let text = text.trim();
    let utc = |civil: DateTime| civil.to_zoned(TimeZone::UTC).ok().map(|at| at.timestamp());
    text.parse::<Timestamp>()
        .ok()
        .or_else(|| text.parse::<DateTime>().ok().and_then(utc))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_as_servers_and_phones_write_them() {
        let noon = "2026-11-20T12:00:00Z".parse::<Timestamp>().unwrap();
        for text in [
            "20261120T120000Z",
            "2026-11-20T12:00:00Z",
            "2026-11-20T12:00:00",
            "2026-11-20T13:00:00+01:00",
            "20261120T130000+0100",
            " 2026-11-20T12:00:00.000Z ",
        ] {
            assert_eq!(time(text), Some(noon), "{text:?}");
        }
        assert_eq!(
            time("2026-11-20"),
            Some("2026-11-20T00:00:00Z".parse().unwrap())
        );
        assert_eq!(time("yesterday"), None);
    }

    #[test]
    fn values_are_decoded() {
        let table = [
            ("FN:a\\, b\\; c\\\\d\\ne", vec!["a, b; c\\d\ne"]),
            (
                "FN;ENCODING=QUOTED-PRINTABLE;CHARSET=UTF-8:J=C3=BCrg",
                vec!["Jürg"],
            ),
            (
                "ORG:Muster\\; Söhne;Einkauf",
                vec!["Muster; Söhne", "Einkauf"],
            ),
            (
                "ADR;TYPE=work:;;Weg 1,Hof 2;Köln;;50667;D",
                vec!["", "", "Weg 1,Hof 2", "Köln", "", "50667", "D"],
            ),
            (
                "CATEGORIES:VIP <1>,zwei Worte\\, eins",
                vec!["VIP <1>", "zwei Worte, eins"],
            ),
            (
                "URL:https://a.example/b;c,d?e=f:g",
                vec!["https://a.example/b;c,d?e=f:g"],
            ),
            (
                "TEL;VALUE=uri;TYPE=\"voice,cell\":tel:+49-171-1234567",
                vec!["tel:+49-171-1234567"],
            ),
            ("UID:urn:uuid:1-2", vec!["urn:uuid:1-2"]),
        ];
        for (text, expected) in table {
            let card = Card::parse(&format!("BEGIN:VCARD\r\n{text}\r\nEND:VCARD\r\n")).unwrap();
            let line = card.lines.iter().find(|line| line.own).unwrap();
            assert_eq!(texts(line), expected, "{text:?}");
        }
    }
}
