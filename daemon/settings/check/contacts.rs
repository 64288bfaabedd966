//! The contact side: the sync's rules, webhooks, who may use the contacts API, contact servers.

use super::super::file::{CardDavFile, ClientFile, ConflictsFile, ContactsFile, File, WebhookFile};
use super::super::read;
use super::super::types::{
    CardDavSettings, ClientSettings, ContactRules, Policies, WebhookSettings,
};
use super::fields::Fields;
use std::time::Duration;

/// Each look takes one of the searches a minute; more than a day between two is no sync.
const POLL: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(24 * 3600)];

/// None against a sandbox that shows changes at once; a day behind is no search.
const LAG: [Duration; 2] = [Duration::ZERO, Duration::from_secs(24 * 3600)];

/// At the first look some servers read every card, which takes them minutes where there are many.
const TIMEOUT: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(10 * 60)];

/// The phone book that is always there.
const DIRECTORY: &str = "directory";

/// `[kustomer.contacts]`
pub fn rules(path: &str, file: &ContactsFile, all: &File, fields: &mut Fields<'_>) -> ContactRules {
    let active = fields.origins.is_set(path);
    if active && shared_with(path, &file.phonebook, all, fields) {
        let what = "another [[kustomer]] syncs with this phone book already";
        fields.wrong(
            &format!("{path}.phonebook"),
            &file.phonebook,
            what,
            "a phone book for each",
        );
    }
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
    let (name, website, address) = match file.conflicts {
        ConflictsFile::All(policy) => (policy, policy, policy),
        ConflictsFile::Each(each) => (each.name, each.website, each.address),
    };
    ContactRules {
        active,
        conflicts: Policies {
            name,
            website,
            address,
        },
        skip_shared: file.skip_shared,
        extra_fields: file.extra_fields,
        import: file.import,
        export: file.export,
        merge_by: file.merge_by.clone(),
        phonebook: file.phonebook.clone(),
        poll: fields.duration(&format!("{path}.poll"), &file.poll, POLL),
        search_lag: fields.duration(&format!("{path}.search_lag"), &file.search_lag, LAG),
        max_changes_count: file.max_changes.count,
        max_changes_percent: file.max_changes.percent,
    }
}

/// `[kustomer.webhook]`; none without a secret file.
pub fn webhook(path: &str, file: &WebhookFile, fields: &mut Fields<'_>) -> Option<WebhookSettings> {
    let url_key = format!("{path}.url");
    if let Some(url) = &file.url {
        fields.url(&url_key, read::url(url));
        if file.secret_file.is_none() {
            let (what, allowed) = (
                "secret_file is missing beside url",
                "secret_file = \"kustomer-webhook\"",
            );
            fields.origins.fault(&url_key, what, allowed);
        }
    }
    let written = file.secret_file.as_deref()?;
    let integration = path.trim_end_matches(".webhook");
    if !fields.origins.is_set(&format!("{integration}.contacts")) {
        let note = format!("{path}: nothing reads it: [kustomer.contacts] isn't set");
        fields.origins.notes.push(note);
    }
    let secret_file = fields.secret(path, "secret_file", Some(written))?;
    Some(WebhookSettings {
        secret_file,
        url: file.url.clone(),
    })
}

/// Whether an earlier integration has this phone book: what one of them removes the other one would bring back.
fn shared_with(path: &str, phonebook: &str, all: &File, fields: &Fields<'_>) -> bool {
    let place = |name: &String| format!("kustomer.{name}.contacts");
    let earlier = all
        .kustomer
        .iter()
        .take_while(|(name, _)| place(name) != path);
    let mut earlier = earlier.filter(|(name, _)| fields.origins.is_set(&place(name)));
    earlier.any(|(_, other)| other.contacts.phonebook == phonebook)
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
    if let Some(user) = user {
        fields.basic_user(&format!("{path}.user"), user);
    }
    let password_file = fields.secret(&path, "password_file", file.password_file.as_deref());
    let ca_file = fields.certificates(&format!("{path}.ca_file"), file.ca_file.as_deref());
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
