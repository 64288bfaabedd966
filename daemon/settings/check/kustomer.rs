//! One `[[kustomer]]`: where it is, its budgets and retries, and its rules for calls and texts.

use super::super::file::{CallsFile, File, KustomerFile, TextsFile};
use super::super::read;
use super::super::shadow;
use super::super::types::{AnonymousPolicy, CallRules, KustomerSettings, TextRules};
use super::fields::Fields;
use super::{contacts, lists, per_type, proxy};
use crate::terms::call::CallType;
use crate::terms::number::NumberPlan;
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);
/// Kustomer counts requests per minute (Kustomer: Rate limits).
const BUDGET_WINDOW: Duration = Duration::from_secs(60);
/// A sandbox may count faster, so that tests need no minute.
const SANDBOX_WINDOW_MIN: Duration = Duration::from_millis(10);
const TIMEOUT: [Duration; 2] = [Duration::from_millis(100), Duration::from_secs(300)];
/// Requests settle within seconds; a sandbox on the same machine within milliseconds.
const LAND_TIME: [Duration; 2] = [Duration::from_millis(1), Duration::from_secs(60)];
/// Kustomer's bulk jobs wait for each other; one that isn't done after hours never will be.
const BULK_LAND_TIME: [Duration; 2] = [Duration::from_millis(1), DAY];
/// Sandboxes are retried within milliseconds; no outage is helped by waits over a day.
const RETRY: [Duration; 2] = [Duration::from_millis(1), DAY];
const RETRY_FOR: [Duration; 2] = [SECOND, Duration::from_secs(30 * 24 * 3600)];
/// Longest id of a customer taken from settings; Kustomer's have 24 digits.
const CUSTOMER_ID_CHARS_MAX: usize = 64;

/// One integration, if it can be told where it is.
pub fn kustomer(
    name: &str,
    file: &KustomerFile,
    all: &File,
    plan: &NumberPlan,
    fields: &mut Fields<'_>,
) -> Option<KustomerSettings> {
    let path = format!("kustomer.{name}");
    let at = |key: &str| format!("{path}.{key}");
    let place = address(&path, file, fields);
    let api_key_file = fields.secret(&path, "api_key_file", file.api_key_file.as_deref());
    let ca_file = fields.certificates(&at("ca_file"), file.ca_file.as_deref());
    let plain = place
        .as_ref()
        .is_some_and(|place| !place.url.starts_with("https"));
    let proxy = proxy::proxy(&at("proxy"), &file.proxy, plain, fields);
    lists::names(
        &at("pbx"),
        &file.pbx,
        all.pbx.keys(),
        "is no [[pbx]]",
        fields,
    );
    lists::tag(&at("contact_tag"), &file.contact_tag, fields);
    let loopback = place.as_ref().is_some_and(|place| place.loopback);
    let window = if loopback {
        [SANDBOX_WINDOW_MIN, BUDGET_WINDOW]
    } else {
        [BUDGET_WINDOW, BUDGET_WINDOW]
    };
    let budget_window = fields.duration(&at("budget_window"), &file.budget_window, window);
    let timeout = fields.duration(&at("timeout"), &file.timeout, TIMEOUT);
    let land_time = fields.duration(&at("land_time"), &file.land_time, LAND_TIME);
    let bulk_land_time =
        fields.duration(&at("bulk_land_time"), &file.bulk_land_time, BULK_LAND_TIME);
    let retry = retry(&at("retry"), &file.retry, fields);
    let retry_for = fields.duration(&at("retry_for"), &file.retry_for, RETRY_FOR);
    let calls = calls(&at("calls"), &file.calls, plan, fields);
    remark_idle(&at("calls"), &shadow::idle_for_calls(&calls), fields);
    let texts = texts(&at("texts"), &file.texts, plan, fields);
    remark_idle(&at("texts"), &shadow::idle_for_texts(&texts), fields);
    let contacts = contacts::rules(&at("contacts"), &file.contacts, all, fields);
    let webhook = contacts::webhook(&at("webhook"), &file.webhook, fields);
    let place = place?;
    Some(KustomerSettings {
        name: name.to_owned(),
        url: place.url,
        web_url: place.web_url,
        api_key_file: api_key_file?,
        ca_file,
        proxy,
        active: file.active,
        pbx: file.pbx.clone(),
        contact_tag: file.contact_tag.clone(),
        requests_per_minute: file.requests_per_minute,
        searches_per_minute: file.searches_per_minute,
        budget_window,
        timeout,
        land_time,
        bulk_land_time,
        retry,
        retry_for,
        parallel: file.parallel,
        calls,
        texts,
        contacts,
        webhook,
    })
}

/// Rules that nothing comes to.
fn remark_idle(path: &str, idle: &[&str], fields: &mut Fields<'_>) {
    let log = fields.origins.around(&format!("{path}.log"));
    for key in idle {
        let own = fields.origins.around(&format!("{path}.{key}"));
        let note = format!(
            "{path}.{key} ({own}) can never decide: {path}.log ({log}) switches off all that it could take"
        );
        fields.origins.notes.push(note);
    }
}

fn retry(path: &str, waits: &[String], fields: &mut Fields<'_>) -> Vec<Duration> {
    if waits.is_empty() {
        fields.origins.missing(
            path,
            "there is no wait in the list",
            "one wait at least, such as [\"5s\", \"1h\"]",
        );
    }
    let waits = waits.iter().enumerate();
    waits
        .map(|(index, wait)| fields.duration(&format!("{path}[{index}]"), wait, RETRY))
        .collect()
}

struct Address {
    url: String,
    web_url: Option<String>,
    loopback: bool,
}

/// `org` gives both hosts (Kustomer: Regions and base URLs); `url` the API's alone.
fn address(path: &str, file: &KustomerFile, fields: &mut Fields<'_>) -> Option<Address> {
    let (org_key, url_key) = (format!("{path}.org"), format!("{path}.url"));
    match (&file.org, &file.url) {
        (Some(org), None) if read::is_host_label(org) => Some(Address {
            url: format!("https://{org}.api.kustomerapp.com"),
            web_url: Some(format!("https://{org}.kustomerapp.com")),
            loopback: false,
        }),
        (Some(org), None) => {
            fields.wrong(
                &org_key,
                org,
                "is no organisation",
                "ORG of https://ORG.kustomerapp.com: a-z, 0-9 and -",
            );
            None
        }
        (None, Some(url)) => {
            let uri = fields.url(&url_key, read::origin(url))?;
            let url = url.trim().trim_end_matches('/').to_owned();
            Some(Address {
                url,
                web_url: None,
                loopback: read::is_loopback(&uri),
            })
        }
        (Some(_), Some(_)) => {
            fields.origins.fault(
                &url_key,
                "org and url are both set",
                "one of them: org, or url for another host",
            );
            None
        }
        (None, None) => {
            fields.origins.missing(
                &org_key,
                "org is missing",
                "org = \"acme\", or url for another host",
            );
            None
        }
    }
}

fn calls(path: &str, file: &CallsFile, plan: &NumberPlan, fields: &mut Fields<'_>) -> CallRules {
    let at = |key: &str| format!("{path}.{key}");
    lists::tags(&at("tags"), &file.tags, fields);
    let id = file.anonymous.as_str();
    let plain = id.len() <= CUSTOMER_ID_CHARS_MAX && id.bytes().all(|b| b.is_ascii_alphanumeric());
    let anonymous = if id == "skip" {
        AnonymousPolicy::Skip
    } else {
        AnonymousPolicy::Customer(id.to_owned())
    };
    if id.is_empty() || !plain {
        fields.wrong(
            &at("anonymous"),
            id,
            "is neither a word nor an id",
            "\"skip\", or the id of one customer",
        );
    }
    let log = &file.log;
    let log_as = |call_type: CallType| match call_type {
        CallType::IncomingAnswered => log.incoming_answered,
        CallType::IncomingMissed => log.incoming_missed,
        CallType::OutgoingAnswered => log.outgoing_answered,
        CallType::OutgoingUnanswered => log.outgoing_unanswered,
        CallType::Voicemail => log.voicemail,
        CallType::Internal => log.internal,
    };
    CallRules {
        connected_numbers: lists::numbers(
            &at("connected_numbers"),
            &file.connected_numbers,
            plan,
            fields,
        ),
        ignore: lists::numbers(&at("ignore"), &file.ignore, plan, fields),
        min_talk: fields.duration(&at("min_talk"), &file.min_talk, [Duration::ZERO, DAY]),
        anonymous,
        unknown: file.unknown,
        several: file.several,
        voice_message: file.voice_message,
        late: file.late,
        late_wait: fields.duration(&at("late_wait"), &file.late_wait, [Duration::ZERO, DAY]),
        log: CallType::ALL
            .into_iter()
            .map(|one| (one.into(), log_as(one)))
            .collect(),
        tags: file.tags.clone(),
        note_template: file
            .note_template_file
            .as_deref()
            .and_then(|file| per_type::note_template(&at("note_template_file"), file, fields)),
        labels: lists::labels(&at("labels"), &file.labels, plan, fields),
        custom: per_type::call_custom(&at("custom"), &file.custom, fields),
        assign: per_type::assign(path, file, fields),
        types: per_type::type_rules(path, file, fields),
    }
}

fn texts(path: &str, file: &TextsFile, plan: &NumberPlan, fields: &mut Fields<'_>) -> TextRules {
    let at = |key: &str| format!("{path}.{key}");
    lists::tags(&at("tags"), &file.tags, fields);
    TextRules {
        connected_numbers: lists::numbers(
            &at("connected_numbers"),
            &file.connected_numbers,
            plan,
            fields,
        ),
        ignore: lists::numbers(&at("ignore"), &file.ignore, plan, fields),
        received: file.log.received,
        sent: file.log.sent,
        failed: file.log.failed,
        window: fields.duration(
            &at("window"),
            &file.window,
            [Duration::ZERO, 30 * 24 * HOUR],
        ),
        text_message: file.text_message,
        unknown: file.unknown,
        several: file.several,
        tags: file.tags.clone(),
        custom: per_type::text_custom(&at("custom"), &file.custom, fields),
    }
}
