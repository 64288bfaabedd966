//! A draft put onto a vCard: only the lines change whose value differs, everything else stays as it came. Pure; `carddav`
//! asks.
//!
//! | field | line |
//! | --- | --- |
//! | name | FN, and N with it: the last word is the family name |
//! | phones, emails | TEL, EMAIL: lines of values that stay keep their labels; what is no number or address stays too |
//! | company | the first component of ORG |
//! | website | the first URL but for our link |
//! | address | the first ADR of type work |
//! | link | `tieline.URL`, with a label that phones show |
//! | tag | added to CATEGORIES |
//! | sources | X-TIELINE-SOURCE, one each |

use super::card::{self, LINK_GROUP, LINK_LABEL, SOURCE};
use super::lines::{self, Card, Line, components, escape};
use crate::phonebook::Draft;
use crate::terms::contact::{Address, ContactId, Email, EmailKind, Fields, Phone, PhoneKind};
use crate::terms::number::NumberPlan;
use jiff::Timestamp;

/// What new cards are written in: phones read it (RFC 2426).
const VERSION: &str = "3.0";

/// Who wrote a new card.
const PRODID: &str = "-//tieline//CardDAV//EN";

/// What became of a card.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Patched {
    /// It says all of it already.
    Same,
    Text(String),
    /// It is no card that could be changed.
    Broken,
}

/// `text` with what `draft` says. `now` becomes its REV.
pub fn patch(text: &str, draft: &Draft, plan: &NumberPlan, now: Timestamp) -> Patched {
    let Some(mut card) = Card::parse(text) else {
        return Patched::Broken;
    };
    put(&mut card, draft, plan);
    if card.text() == text {
        return Patched::Same;
    }
    let stamp = now.strftime("%Y%m%dT%H%M%SZ").to_string();
    set(&mut card, "REV", |line| line.name == "REV", &stamp);
    Patched::Text(card.text())
}

/// A new card.
pub fn create(id: &ContactId, draft: &Draft, plan: &NumberPlan, now: Timestamp) -> String {
    let uid = lines::fold(&format!("UID:{}", escape(&id.0)), "\r\n");
    let text = format!(
        "BEGIN:VCARD\r\nVERSION:{VERSION}\r\nPRODID:{PRODID}\r\n{uid}FN:\r\nN:;;;;\r\nEND:VCARD\r\n"
    );
    match patch(&text, draft, plan, now) {
        Patched::Text(text) => text,
        Patched::Same | Patched::Broken => text,
    }
}

fn put(card: &mut Card, draft: &Draft, plan: &NumberPlan) {
    let Draft {
        fields,
        link,
        tag,
        sources,
    } = draft;
    let before = card::fields(card, plan);
    name(card, &before, fields);
    phones(card, &before, fields, plan);
    emails(card, &before, fields);
    company(card, &before, fields);
    website(card, &before, fields);
    if before.address != fields.address {
        address(card, &fields.address);
    }
    put_link(card, link.as_deref());
    if let Some(tag) = tag
        && !card::tags(card).contains(tag)
    {
        add_tag(card, tag);
    }
    if &card::sources(card) != sources {
        card.remove(|line| line.name == SOURCE);
        for source in sources {
            let value = format!("{}/{}", source.kustomer, source.customer);
            card.insert(SOURCE, &escape(&value));
        }
    }
}

fn name(card: &mut Card, before: &Fields, after: &Fields) {
    let name = after.name.trim();
    if name == before.name || name.is_empty() {
        return;
    }
    set(card, "FN", |line| line.name == "FN", &escape(name));
    let (given, family) = name.rsplit_once(char::is_whitespace).unwrap_or(("", name));
    let parts = format!("{};{};;;", escape(family), escape(given.trim()));
    // Phones show N where they have it, so that it must follow.
    set(card, "N", |line| line.name == "N", &parts);
}

fn phones(card: &mut Card, before: &Fields, after: &Fields, plan: &NumberPlan) {
    let (old, new) = (before.numbers(), after.numbers());
    card.remove(|line| {
        line.name == "TEL" && card::number(line, plan).is_some_and(|number| !new.contains(&number))
    });
    let mut added: Vec<&Phone> = Vec::new();
    for phone in &after.phones {
        let twice = added.iter().any(|one| one.number == phone.number);
        if !twice && !old.contains(&phone.number) {
            added.push(phone);
        }
    }
    for phone in added {
        let word = match phone.kind {
            PhoneKind::Mobile => "CELL",
            PhoneKind::Home => "HOME",
            PhoneKind::Work => "WORK",
            PhoneKind::Fax => "FAX",
            PhoneKind::Other => "VOICE",
        };
        let head = typed(card, "TEL", &[word]);
        card.insert(&head, phone.number.as_str());
    }
}

fn emails(card: &mut Card, before: &Fields, after: &Fields) {
    let (old, new) = (before.addresses(), after.addresses());
    card.remove(|line| {
        line.name == "EMAIL" && card::email(line).is_some_and(|email| !new.contains(&email))
    });
    let mut added: Vec<&Email> = Vec::new();
    for email in &after.emails {
        let twice = added.iter().any(|one| one.email == email.email);
        if !twice && !old.contains(&email.email) {
            added.push(email);
        }
    }
    for email in added {
        let internet: &[&str] = if modern(card) { &[] } else { &["INTERNET"] };
        let place: &[&str] = match email.kind {
            EmailKind::Home => &["HOME"],
            EmailKind::Work => &["WORK"],
            EmailKind::Other => &[],
        };
        let head = typed(card, "EMAIL", &[internet, place].concat());
        card.insert(&head, &escape(email.email.as_str()));
    }
}

fn company(card: &mut Card, before: &Fields, after: &Fields) {
    let company = after.company.trim();
    if company == before.company {
        return;
    }
    let units: Vec<String> = card
        .all("ORG")
        .next()
        .map(|line| plain_components(line).into_iter().skip(1).collect())
        .unwrap_or_default();
    if company.is_empty() && units.iter().all(|unit| unit.trim().is_empty()) {
        return remove_first(card, |line| line.name == "ORG");
    }
    let whole = [vec![escape(company)], units].concat().join(";");
    set(card, "ORG", |line| line.name == "ORG", &whole);
}

fn website(card: &mut Card, before: &Fields, after: &Fields) {
    let website = lines::address(&after.website);
    if website == before.website {
        return;
    }
    let raw = card::website(card).map(|line| line.raw.clone());
    let is_website = |line: &Line| Some(&line.raw) == raw.as_ref();
    match (raw.is_some(), website.is_empty()) {
        (true, true) => remove_first(card, is_website),
        (true, false) => set(card, "URL", is_website, &website),
        (false, _) => card.insert("URL", &website),
    }
}

fn address(card: &mut Card, address: &Address) {
    let Some(line) = card::address(card) else {
        let head = typed(card, "ADR", &["WORK"]);
        return card.insert(&head, &postal(["", ""], address));
    };
    let raw = line.raw.clone();
    let parts = plain_components(line);
    let part = |at: usize| parts.get(at).map(String::as_str).unwrap_or_default();
    let kept = [part(0), part(1)];
    let is_address = |line: &Line| line.raw == raw;
    if address.is_empty() && kept.iter().all(|part| part.trim().is_empty()) {
        return remove_first(card, is_address);
    }
    // The label is the whole address as an envelope has it (RFC 6350, section 6.3.1): the old one.
    set_without(card, "ADR", is_address, &postal(kept, address), &["LABEL"]);
}

/// `kept`: post office box and extended address, escaped.
fn postal(kept: [&str; 2], address: &Address) -> String {
    let Address {
        street,
        city,
        zip,
        state,
        country,
    } = address;
    let [pobox, extended] = kept;
    let ours = [street, city, state, zip, country].map(|part| escape(part.trim()));
    format!("{pobox};{extended};{}", ours.join(";"))
}

fn put_link(card: &mut Card, link: Option<&str>) {
    let link = link.map(lines::address).filter(|link| !link.is_empty());
    let known = card::links(card).next().map(card::value);
    if known == link {
        return;
    }
    let old: Vec<String> = card::links(card).map(|line| line.raw.clone()).collect();
    card.remove(|line| old.contains(&line.raw));
    if let Some(link) = link {
        card.insert(&format!("{LINK_GROUP}.URL"), &link);
        card.insert(&format!("{LINK_GROUP}.X-ABLabel"), LINK_LABEL);
    }
}

fn add_tag(card: &mut Card, tag: &str) {
    let known = card
        .all("CATEGORIES")
        .next()
        .map(|line| card::texts(line).iter().map(|text| escape(text)).collect());
    let mut tags: Vec<String> = known.unwrap_or_default();
    tags.retain(|tag| !tag.is_empty());
    tags.push(escape(tag));
    set(
        card,
        "CATEGORIES",
        |line| line.name == "CATEGORIES",
        &tags.join(","),
    );
}

/// Replaces the value of the first fitting line, or adds one.
fn set(card: &mut Card, name: &str, fits: impl Fn(&Line) -> bool, value: &str) {
    set_without(card, name, fits, value, &[]);
}

/// The same, less some parameters.
fn set_without(
    card: &mut Card,
    name: &str,
    fits: impl Fn(&Line) -> bool,
    value: &str,
    without: &[&str],
) {
    let at = card.lines.iter().position(|line| line.own && fits(line));
    let Some(old) = at.and_then(|at| card.lines.get(at)) else {
        return card.insert(name, value);
    };
    let charset = if card.version() == "2.1" && !value.is_ascii() {
        ";CHARSET=UTF-8"
    } else {
        ""
    };
    let line = card.line(&format!("{}{charset}", old.head(without)), value);
    if let Some(place) = at.and_then(|at| card.lines.get_mut(at)) {
        *place = line;
    }
}

fn remove_first(card: &mut Card, fits: impl Fn(&Line) -> bool) {
    let found = card.lines.iter().find(|line| line.own && fits(line));
    if let Some(raw) = found.map(|line| line.raw.clone()) {
        card.remove(|line| line.raw == raw);
    }
}

/// The components of a line, escaped, without an encoding.
fn plain_components(line: &Line) -> Vec<String> {
    let params = line.params.to_ascii_uppercase();
    if params.contains("QUOTED-PRINTABLE") || params.contains("BASE64") {
        return card::texts(line).iter().map(|text| escape(text)).collect();
    }
    components(&line.value)
}

/// `NAME;TYPE=A,B`, as the card's version has it.
fn typed(card: &Card, name: &str, words: &[&str]) -> String {
    match (words.is_empty(), card.version()) {
        (true, _) => name.to_owned(),
        (false, "2.1") => format!("{name};{}", words.join(";")),
        (false, _) => format!("{name};TYPE={}", words.join(",")),
    }
}

fn modern(card: &Card) -> bool {
    card.version().starts_with('4')
}

#[cfg(test)]
mod tests;
