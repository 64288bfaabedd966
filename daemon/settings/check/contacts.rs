//! The contact side: the sync's rules, who may use the contacts API, contact servers; and what of it waits for a later
//! version.

use super::super::file::{CardDavFile, ClientFile, ContactsFile, File};
use super::super::origin::Origins;
use super::super::read;
use super::super::types::{CardDavSettings, ClientSettings, ContactRules};
use super::fields::Fields;
use std::time::Duration;

/// Kustomer's index lags a minute behind; more than a day is no sync.
const POLL: [Duration; 2] = [Duration::from_secs(10), Duration::from_secs(24 * 3600)];

/// At the first look some servers read every card, which takes them minutes where there are many.
const TIMEOUT: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(10 * 60)];

/// The phone book that is always there.
const DIRECTORY: &str = "directory";

/// `[kustomer.contacts]`
pub fn rules(path: &str, file: &ContactsFile, all: &File, fields: &mut Fields<'_>) -> ContactRules {
    let phonebook = format!("{path}.phonebook");
    let known = file.phonebook == DIRECTORY || all.carddav.contains_key(&file.phonebook);
    if !known && !fields.origins.is_partial() {
        let names: Vec<&str> = all
            .carddav
            .keys()
            .map(String::as_str)
            .filter(|name| !name.starts_with('#'))
            .collect();
        let allowed = [&[DIRECTORY], names.as_slice()].concat().join(", ");
        fields.wrong(&phonebook, &file.phonebook, "is no phone book", &allowed);
    }
    ContactRules {
        import: file.import,
        export: file.export,
        merge_by: file.merge_by.clone(),
        phonebook: file.phonebook.clone(),
        poll: fields.duration(&format!("{path}.poll"), &file.poll, POLL),
        max_changes_count: file.max_changes.count,
        max_changes_percent: file.max_changes.percent,
    }
}

/// `[[client]]`
pub fn client(name: &str, file: &ClientFile, fields: &mut Fields<'_>) -> Option<ClientSettings> {
    let path = format!("client.{name}");
    let token_file = fields.secret(&path, "token_file", file.token_file.as_deref());
    let may = fields.need(&path, "may", file.may.as_ref());
    Some(ClientSettings {
        name: name.to_owned(),
        token_file: token_file?,
        may: may?.clone(),
    })
}

/// `[[carddav]]`
pub fn carddav(name: &str, file: &CardDavFile, fields: &mut Fields<'_>) -> Option<CardDavSettings> {
    let path = format!("carddav.{name}");
    if name == DIRECTORY {
        fields.origins.fault(
            &format!("{path}.name"),
            "\"directory\" is the built-in phone book",
            "another name",
        );
    }
    let url = fields.need(&path, "url", file.url.as_ref());
    if let Some(url) = url {
        fields.url(&format!("{path}.url"), read::url(url));
    }
    let user = fields.need(&path, "user", file.user.as_ref());
    // It ends the user's name where it goes over the network (RFC 7617, section 2).
    if user.is_some_and(|user| user.contains(|c: char| c == ':' || c.is_control())) {
        let what = "a user's name has no colon and no control characters";
        fields.origins.fault(&format!("{path}.user"), what, "");
    }
    let password_file = fields.secret(&path, "password_file", file.password_file.as_deref());
    let ca_key = format!("{path}.ca_file");
    let ca_file = file.ca_file.as_ref().map(|text| fields.path(&ca_key, text));
    if let Some(missing) = ca_file.as_ref().filter(|file| !file.is_file()) {
        let what = format!("the file {} is not there", missing.display());
        fields.origins.fault(&ca_key, what, "");
    }
    let timeout = fields.duration(&format!("{path}.timeout"), &file.timeout, TIMEOUT);
    Some(CardDavSettings {
        name: name.to_owned(),
        url: url?.clone(),
        user: user?.clone(),
        password_file: password_file?,
        ca_file,
        timeout,
    })
}

/// What is set and checked, but acted on by a later version only.
pub fn later(file: &File, origins: &Origins) -> Vec<String> {
    let mut later = Vec::new();
    for name in file
        .kustomer
        .keys()
        .filter(|name| origins.is_set(&format!("kustomer.{name}.contacts")))
    {
        later.push(format!(
            "[kustomer.contacts] of {name}: this version does not sync contacts yet"
        ));
    }
    for (name, kustomer) in &file.kustomer {
        let window = kustomer.texts.window.trim_start_matches('0');
        if window.starts_with(|first: char| first.is_ascii_digit()) {
            later.push(format!(
                "texts.window of {name}: this version logs one conversation per text"
            ));
        }
        for (key, what) in [
            ("contact_tag", "tags contacts"),
            ("searches_per_minute", "searches"),
        ] {
            if origins.is_set(&format!("kustomer.{name}.{key}")) {
                later.push(format!(
                    "{key} of {name}: nothing {what} before contacts are synced"
                ));
            }
        }
    }
    for name in file.client.keys() {
        later.push(format!(
            "[[client]] {name}: this version has no contacts API yet"
        ));
    }
    for name in file.carddav.keys() {
        later.push(format!(
            "[[carddav]] {name}: this version does not use contact servers yet"
        ));
    }
    later
}
