//! Plain vCards, both ways, for import and export: 2.1, 3.0 and 4.0 are read (RFC 2426, RFC 6350), 3.0 is written, which
//! is what phones understand. What a contact has no field for is left out; whoever must keep it changes a card in place.

use super::Entry;
use super::directory::Content;
use crate::terms::contact::{Address, Email, EmailAddress, EmailKind, Phone, PhoneKind};
use crate::terms::number::NumberPlan;
use calcard::Parser;
use calcard::vcard::{
    VCard, VCardEntry, VCardParameter, VCardParameterName, VCardProperty, VCardType, VCardValue,
    VCardVersion,
};

/// The customer's page, which no property of the standard is for.
const LINK: &str = "X-TIELINE-LINK";

/// What a card says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Card {
    pub uid: Option<String>,
    pub content: Content,
}

/// Reads the first card in `text`.
///
/// # Errors
/// What is wrong with it: no card, or a number or e-mail that is none.
pub fn read(text: &str, plan: &NumberPlan) -> Result<Card, String> {
    let calcard::Entry::VCard(card) = Parser::new(text).entry() else {
        return Err("this is no vCard from BEGIN:VCARD to END:VCARD".to_owned());
    };
    let mut content = Content::default();
    let mut uid = None;
    let mut composed = String::new();
    for entry in &card.entries {
        let text = first(entry);
        let fields = &mut content.fields;
        match &entry.name {
            VCardProperty::Fn if fields.name.is_empty() => fields.name = text,
            VCardProperty::N => composed = name_of(entry),
            VCardProperty::Tel if !text.is_empty() => {
                let number = plan
                    .parse_signalled(&text)
                    .map_err(|fault| format!("TEL: {text:?}: {fault}"))?;
                let kind = phone_kind(entry);
                fields.phones.push(Phone { number, kind });
            }
            VCardProperty::Email if !text.is_empty() => {
                let email = EmailAddress::parse(text.trim_start_matches("mailto:"))
                    .ok_or_else(|| format!("EMAIL: {text:?} is no e-mail address"))?;
                let kind = email_kind(entry);
                fields.emails.push(Email { email, kind });
            }
            VCardProperty::Org if fields.company.is_empty() => fields.company = text,
            VCardProperty::Url if fields.website.is_empty() => fields.website = text,
            VCardProperty::Adr if fields.address.is_empty() => fields.address = address(entry),
            VCardProperty::Categories => {
                let tags = parts(entry).into_iter().map(|tag| tag.trim().to_owned());
                content.tags.extend(tags.filter(|tag| !tag.is_empty()));
            }
            VCardProperty::Uid => uid = Some(text).filter(|uid| !uid.is_empty()),
            VCardProperty::Other(name) if name.eq_ignore_ascii_case(LINK) => {
                content.link = Some(text);
            }
            _ => {}
        }
    }
    if content.fields.name.is_empty() {
        content.fields.name = composed;
    }
    Ok(Card { uid, content })
}

/// Appends the contact as one card, lines folded and ended as the RFC wants.
pub fn write(contact: &Entry, out: &mut String) {
    let contact = &contact.contact;
    let fields = &contact.fields;
    let mut card = VCard::default();
    let mut put = |entry: VCardEntry| card.entries.push(entry);
    let text = |name: VCardProperty, text: &str| VCardEntry::new(name).with_value(text.to_owned());
    put(text(VCardProperty::Uid, &contact.id.0));
    put(text(VCardProperty::Fn, &fields.name));
    put(structured(VCardProperty::N, name_parts(&fields.name)));
    for phone in &fields.phones {
        let entry = text(VCardProperty::Tel, phone.number.as_str());
        put(match phone.kind {
            PhoneKind::Mobile => typed(entry, VCardType::Cell),
            PhoneKind::Home => typed(entry, VCardType::Home),
            PhoneKind::Work => typed(entry, VCardType::Work),
            PhoneKind::Fax => typed(entry, VCardType::Fax),
            PhoneKind::Other => typed(entry, VCardType::Voice),
        });
    }
    for email in &fields.emails {
        let entry = text(VCardProperty::Email, email.email.as_str());
        put(match email.kind {
            EmailKind::Home => typed(entry, VCardType::Home),
            EmailKind::Work => typed(entry, VCardType::Work),
            EmailKind::Other => entry,
        });
    }
    if !fields.company.is_empty() {
        put(text(VCardProperty::Org, &fields.company));
    }
    if !fields.website.is_empty() {
        put(text(VCardProperty::Url, &fields.website));
    }
    if !fields.address.is_empty() {
        let Address {
            street,
            city,
            zip,
            state,
            country,
        } = &fields.address;
        let parts = ["", "", street, city, state, zip, country];
        let entry = structured(VCardProperty::Adr, parts.map(str::to_owned).to_vec());
        put(typed(entry, VCardType::Work));
    }
    if !contact.tags.is_empty() {
        let tags = contact.tags.iter().cloned().map(VCardValue::from).collect();
        put(VCardEntry::new(VCardProperty::Categories).with_values(tags));
    }
    if let Some(link) = &contact.link {
        put(text(VCardProperty::Other(LINK.to_owned()), link));
    }
    // Writing into a text can't fail.
    let _ = card.write_to(out, VCardVersion::V3_0);
}

fn structured(name: VCardProperty, parts: Vec<String>) -> VCardEntry {
    VCardEntry::new(name).with_values(parts.into_iter().map(VCardValue::from).collect())
}

fn typed(entry: VCardEntry, kind: VCardType) -> VCardEntry {
    entry.with_param(VCardParameter::new(VCardParameterName::Type, kind))
}

/// Family name, given name and three empty parts: the last word is taken for the family's.
fn name_parts(name: &str) -> Vec<String> {
    let (given, family) = name.rsplit_once(' ').unwrap_or(("", name));
    [family, given, "", "", ""].map(str::to_owned).to_vec()
}

/// The name of its parts, in the order that one says them (RFC 6350, section 6.2.2).
fn name_of(entry: &VCardEntry) -> String {
    let parts = components(entry);
    let part = |index: usize| parts.get(index).map(|part| part.trim().to_owned());
    let said = [part(3), part(1), part(2), part(0), part(4)];
    let said: Vec<String> = said
        .into_iter()
        .flatten()
        .filter(|part| !part.is_empty())
        .collect();
    said.join(" ")
}

fn address(entry: &VCardEntry) -> Address {
    let parts = components(entry);
    let part = |index: usize| {
        let part = parts.get(index).map(|part| part.trim()).unwrap_or_default();
        part.replace(['\r', '\n'], ", ")
    };
    Address {
        street: part(2),
        city: part(3),
        state: part(4),
        zip: part(5),
        country: part(6),
    }
}

fn phone_kind(entry: &VCardEntry) -> PhoneKind {
    let is = |kind: &str| has_type(entry, kind);
    if is("fax") {
        PhoneKind::Fax
    } else if is("cell") || is("iphone") || is("mobile") {
        PhoneKind::Mobile
    } else if is("work") {
        PhoneKind::Work
    } else if is("home") {
        PhoneKind::Home
    } else {
        PhoneKind::Other
    }
}

fn email_kind(entry: &VCardEntry) -> EmailKind {
    if has_type(entry, "work") {
        EmailKind::Work
    } else if has_type(entry, "home") {
        EmailKind::Home
    } else {
        EmailKind::Other
    }
}

/// Types stand as `TYPE=work`, in 2.1 as `WORK` alone.
fn has_type(entry: &VCardEntry, kind: &str) -> bool {
    entry.params.iter().any(|param| match &param.name {
        VCardParameterName::Type => param
            .value
            .as_text()
            .is_some_and(|text| text.split(',').any(|one| one.eq_ignore_ascii_case(kind))),
        VCardParameterName::Other(name) => name.eq_ignore_ascii_case(kind),
        _ => false,
    })
}

/// Every part of a value by its semicolons; commas within one become spaces.
fn components(entry: &VCardEntry) -> Vec<String> {
    let parts = entry.values.iter().map(|value| match value {
        VCardValue::Component(words) => words.join(" "),
        other => other.as_text().unwrap_or_default().to_owned(),
    });
    parts.collect()
}

/// Every single text of a value.
fn parts(entry: &VCardEntry) -> Vec<String> {
    let parts = entry.values.iter().flat_map(|value| match value {
        VCardValue::Component(words) => words.clone(),
        other => vec![other.as_text().unwrap_or_default().to_owned()],
    });
    parts.collect()
}

/// The first text, on one line.
fn first(entry: &VCardEntry) -> String {
    let text = parts(entry).into_iter().next().unwrap_or_default();
    text.replace(['\r', '\n'], " ").trim().to_owned()
}
