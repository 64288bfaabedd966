//! One call, one text and one integration that the tests of the deciding stages start from: all rules pass.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::SignedDuration;
use tieline::settings::types::{
    AnonymousPolicy, CallRules, CallTypeKey, ContactRules, KustomerSettings, LogAs, Matcher,
    NumberPattern, SeveralPolicy, TextRules, UnknownPolicy,
};
use tieline::terms::call::{Call, CallType, Direction};
use tieline::terms::ids::{CallKey, Kind};
use tieline::terms::number::E164;
use tieline::terms::party::{Contact, Extension, ExtensionRange, Extensions, Party};
use tieline::terms::text::Text;

pub fn number(text: &str) -> E164 {
    text.parse().unwrap()
}

pub fn outside(text: &str, name: Option<&str>) -> Contact {
    Contact::new(Party::Number(number(text)), text, name)
}

pub fn extension(text: &str) -> Contact {
    Contact::new(Party::Extension(Extension(text.to_owned())), text, None)
}

pub fn special(party: Party, raw: &str) -> Contact {
    Contact::new(party, raw, None)
}

/// One line of a number list, told apart by its form as settings do.
pub fn pattern(written: &str) -> NumberPattern {
    let matcher = if let Some((first, last)) = written.split_once("..") {
        Matcher::Range {
            first: first.to_owned(),
            last: last.to_owned(),
        }
    } else if let Some(prefix) = written.strip_suffix('*') {
        Matcher::Prefix(prefix.to_owned())
    } else if written.starts_with('+') {
        Matcher::Number(number(written))
    } else {
        let (first, last) = written.split_once('-').unwrap_or((written, written));
        Matcher::Extensions(Extensions(vec![ExtensionRange {
            first: first.to_owned(),
            last: last.to_owned(),
        }]))
    };
    NumberPattern {
        written: written.to_owned(),
        matcher,
    }
}

/// Answered after 2 s by 101, 5 s long.
pub fn call() -> Call {
    Call {
        key: CallKey {
            kind: Kind::Call,
            pbx: "hq".to_owned(),
            id: "a1".to_owned(),
        },
        weak_key: false,
        call_type: CallType::IncomingAnswered,
        reason: None,
        direction: Direction::In,
        other: outside("+491711234567", Some("Max Muster")),
        connected: Some(number("+4921155500100")),
        connected_raw: Some("021155500100".to_owned()),
        first_agent: Some(Extension("101".to_owned())),
        agent: Some(Extension("101".to_owned())),
        queue: None,
        started: "2026-11-20T12:24:29.009Z".parse().unwrap(),
        answered: Some("2026-11-20T12:24:31.05Z".parse().unwrap()),
        ended: "2026-11-20T12:24:36.12Z".parse().unwrap(),
        wait: SignedDuration::from_millis(2_041),
        talk: SignedDuration::from_millis(5_070),
        transfers: vec![],
        voicemail: false,
        recording_announced: false,
        recording: None,
        voicemail_link: None,
        mailbox: None,
        rang: None,
        tags: vec![],
        agent_note: None,
        transcript: None,
        summary: None,
        legs: vec![],
        doubts: vec![],
    }
}

pub fn text() -> Text {
    Text {
        key: CallKey {
            kind: Kind::Text,
            pbx: "hq".to_owned(),
            id: "m1".to_owned(),
        },
        direction: Direction::In,
        from: outside("+491711234567", None),
        to: outside("+4921155500100", None),
        at: "2026-07-20T12:24:29Z".parse().unwrap(),
        body: "Hello, is my order ready?".to_owned(),
        media: vec![],
        report: None,
    }
}

pub fn integration() -> KustomerSettings {
    let log = CallType::ALL.map(|call_type| {
        let log = match call_type {
            CallType::IncomingMissed | CallType::Voicemail => LogAs::Open,
            CallType::Internal => LogAs::Off,
            CallType::IncomingAnswered
            | CallType::OutgoingAnswered
            | CallType::OutgoingUnanswered => LogAs::Done,
        };
        (CallTypeKey::from(call_type), log)
    });
    KustomerSettings {
        name: "support".to_owned(),
        url: "http://127.0.0.1:9000".to_owned(),
        web_url: None,
        api_key_file: "kustomer-key".into(),
        ca_file: None,
        proxy: None,
        active: true,
        pbx: vec![],
        contact_tag: "phone".to_owned(),
        requests_per_minute: 500,
        searches_per_minute: 100,
        budget_window: Duration::from_secs(60),
        land_time: Duration::from_secs(2),
        bulk_land_time: Duration::from_secs(600),
        timeout: Duration::from_secs(30),
        retry: vec![],
        retry_for: Duration::ZERO,
        parallel: 4,
        calls: CallRules {
            connected_numbers: vec![],
            ignore: vec![],
            min_talk: Duration::ZERO,
            anonymous: AnonymousPolicy::Skip,
            unknown: UnknownPolicy::Create,
            several: SeveralPolicy::Newest,
            voice_message: false,
            late: tieline::settings::types::LateFacts::Staged,
            late_wait: Duration::from_secs(600),
            log: BTreeMap::from(log),
            tags: vec![],
            note_template: None,
            labels: BTreeMap::from([(number("+4921155500100"), "Support".to_owned())]),
            custom: BTreeMap::new(),
            assign: tieline::settings::types::AssignRules::default(),
            types: BTreeMap::new(),
        },
        texts: TextRules {
            connected_numbers: vec![],
            ignore: vec![],
            received: LogAs::Open,
            sent: LogAs::Done,
            failed: LogAs::Open,
            window: Duration::ZERO,
            text_message: false,
            unknown: UnknownPolicy::Create,
            several: SeveralPolicy::Newest,
            tags: vec![],
            custom: BTreeMap::new(),
        },
        contacts: ContactRules {
            active: false,
            conflicts: tieline::contacts::agree::Policies::default(),
            skip_shared: tieline::settings::types::SkipShared::Value,
            extra_fields: false,
            import: false,
            export: false,
            merge_by: vec![],
            phonebook: "directory".to_owned(),
            poll: Duration::from_secs(60),
            search_lag: Duration::from_secs(60),
            max_changes_count: 500,
            max_changes_percent: 10,
        },
        webhook: None,
    }
}
