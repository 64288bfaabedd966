//! What a contact of the built-in phone book may hold, each limit with its reason. Asked before every write, whoever
//! writes: people, programs, an import, the sync.

use super::record::Stored;
use crate::terms::contact::{CONTACT_ID_BYTES_MAX, ContactId};

/// Five customers with all the ten numbers that Kustomer gives room for (Kustomer: OpenAPI description), merged.
pub const PHONES_MAX: usize = 50;
/// The same.
pub const EMAILS_MAX: usize = 50;
/// Kustomer's 20, and as many of people's own.
pub const TAGS_MAX: usize = 40;
/// Characters of a name, and of every part of an address: Kustomer's names have 256.
pub const WORDS_CHARS_MAX: usize = 256;
/// Characters of a tag, as Kustomer has it.
pub const TAG_CHARS_MAX: usize = 64;
/// Bytes of a web address: what browsers and proxies take.
pub const URL_BYTES_MAX: usize = 2048;

/// Whether an id can be one: it stands in addresses, in logs and in Kustomer's externalId.
pub fn is_id(id: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_graphic() && !b"/?#%\"\\".contains(&byte);
    !id.is_empty() && id.len() <= CONTACT_ID_BYTES_MAX && id != "changes" && id.bytes().all(plain)
}

/// Whether the contact may be stored.
///
/// # Errors
/// What is wrong, and what is allowed, in words.
pub(super) fn check(id: &ContactId, contact: &Stored) -> Result<(), String> {
    if !is_id(&id.0) {
        return Err(format!(
            "id: 1 to {CONTACT_ID_BYTES_MAX} letters, digits and signs without / ? # % \" \\, and not \"changes\""
        ));
    }
    words("name", &contact.name)?;
    if contact.name.trim().is_empty() {
        return Err("name: it is missing; phones show it".to_owned());
    }
    count("phones", contact.phones.len(), PHONES_MAX)?;
    count("emails", contact.emails.len(), EMAILS_MAX)?;
    count("tags", contact.tags.len(), TAGS_MAX)?;
    words("company", &contact.company)?;
    let address = &contact.address;
    for (name, part) in [
        ("street", &address.street),
        ("city", &address.city),
        ("zip", &address.zip),
        ("state", &address.state),
        ("country", &address.country),
    ] {
        words(&format!("address.{name}"), part)?;
    }
    url("website", &contact.website)?;
    url("link", contact.link.as_deref().unwrap_or_default())?;
    for tag in &contact.tags {
        if tag.trim().is_empty() || !shows(tag) || tag.chars().count() > TAG_CHARS_MAX {
            return Err(format!(
                "tags: one is empty, longer than {TAG_CHARS_MAX} characters or has control characters"
            ));
        }
    }
    Ok(())
}

fn words(field: &str, text: &str) -> Result<(), String> {
    if text.chars().count() > WORDS_CHARS_MAX {
        return Err(format!("{field}: longer than {WORDS_CHARS_MAX} characters"));
    }
    if !shows(text) {
        return Err(format!(
            "{field}: it has control characters; write it on one line"
        ));
    }
    Ok(())
}

fn url(field: &str, text: &str) -> Result<(), String> {
    if text.len() > URL_BYTES_MAX || !shows(text) {
        return Err(format!(
            "{field}: longer than {URL_BYTES_MAX} bytes, or with control characters"
        ));
    }
    Ok(())
}

fn count(field: &str, count: usize, max: usize) -> Result<(), String> {
    if count > max {
        return Err(format!("{field}: {count} are too many; {max} at most"));
    }
    Ok(())
}

/// A line break in a name would be a second line of a caller-name answer, or another property of a vCard.
fn shows(text: &str) -> bool {
    !text.chars().any(char::is_control)
}
