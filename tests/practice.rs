//! The made-up phone systems: what each of them writes is read as what it meant to say, and recorded calls are made new.

mod command;

use crate::each_dialect::reason;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use tieline::calls::assemble;
use tieline::calls::decode::{self, LegFacts, PhoneEvent, RawEvent, Site};
use tieline::cli::recording;
use tieline::settings::types::{Dialect, HmacAlgorithm};
use tieline::simulate::proof::Unsignable;
use tieline::simulate::{Call, Parties, Post, Proof, Scenario, Told, fresh, writers};
use tieline::terms::call::{self, Direction};
use tieline::terms::number::NumberPlan;
use tieline::terms::party::{Extension, ExtensionRange, Extensions, Party};
use tieline::terms::text::Text;

const AT: &str = "2026-11-20T12:24:29Z";

fn call(scenario: Scenario, id: u64) -> Call {
    Call {
        scenario,
        tale: scenario.tale(),
        id,
        start: AT.parse().unwrap(),
        parties: Parties {
            customer: "+491711234567".to_owned(),
            ours: "+4921155500100".to_owned(),
            agent: "101".to_owned(),
            colleague: "102".to_owned(),
            words: "Is it \"ready\"?\nÜ & 100%".to_owned(),
        },
        zone: TimeZone::get("Europe/Berlin").unwrap(),
    }
}

fn site() -> Site {
    let range = ExtensionRange {
        first: "100".to_owned(),
        last: "199".to_owned(),
    };
    Site {
        pbx: "hq".to_owned(),
        plan: NumberPlan::new("DE", Some("211")).unwrap(),
        extensions: Extensions(vec![range]),
        time_zone: TimeZone::get("Europe/Berlin").unwrap(),
    }
}

/// What the decoders and assembly make of posts that came when they were sent.
fn understood(dialect: Dialect, posts: &[Post]) -> (Vec<call::Call>, Vec<Text>) {
    let (mut facts, mut texts): (Vec<LegFacts>, BTreeMap<String, Text>) = Default::default();
    for post in posts {
        let query = post.query.clone().unwrap_or_default();
        let raw = RawEvent {
            content_type: post.content_type.as_deref(),
            query: None,
            body: if post.get {
                query.as_bytes()
            } else {
                &post.body
            },
            received: post.at,
        };
        decode::admit(dialect, &raw).unwrap();
        let body = String::from_utf8_lossy(raw.body);
        let events = decode::decode(dialect, &raw, &site());
        for event in events.unwrap_or_else(|fault| panic!("{dialect:?}: {fault}\n{body}")) {
            match event {
                PhoneEvent::Leg(leg) => facts.push(*leg),
                PhoneEvent::Text(text) => drop(texts.insert(format!("{:?}", text.key), text)),
            }
        }
    }
    let end = Timestamp::MAX;
    let calls = assemble::gather(facts);
    let calls = calls
        .iter()
        .filter_map(|(key, facts)| assemble::close(key, facts, end));
    (calls.collect(), texts.into_values().collect())
}

#[test]
fn every_phone_system_says_what_is_meant() {
    for dialect in Dialect::ALL {
        for scenario in writers::says(dialect) {
            let told = writers::write(dialect, &call(*scenario, 0x1234_5678_9abc_def0));
            // In any order.
            for turned in [false, true] {
                let mut posts = told.posts.clone();
                if turned {
                    posts.reverse();
                }
                let (calls, texts) = understood(dialect, &posts);
                let place = format!("{dialect:?} {scenario:?}: {calls:#?} {texts:#?}");
                assert_eq!(
                    (calls.len(), texts.len()),
                    (
                        usize::from(!scenario.is_text()),
                        usize::from(scenario.is_text())
                    ),
                    "{place}"
                );
                calls
                    .iter()
                    .for_each(|call| right_call(dialect, *scenario, &told, call, &place));
                texts
                    .iter()
                    .for_each(|text| right_text(*scenario, &told, text, &place));
            }
        }
    }
}

fn right_call(dialect: Dialect, scenario: Scenario, told: &Told, call: &call::Call, place: &str) {
    let call_type = match scenario {
        Scenario::Missed | Scenario::Busy | Scenario::GaveUp => "incoming missed",
        Scenario::Voicemail => "voicemail",
        Scenario::OutAnswered => "outgoing answered",
        Scenario::OutBusy | Scenario::OutUnanswered => "outgoing unanswered",
        Scenario::Internal => "internal",
        _ => "incoming answered",
    };
    assert_eq!(call.call_type.words(), call_type, "{place}");
    if scenario != Scenario::Voicemail {
        assert_eq!(
            call.reason.map(call::Reason::words),
            reason(dialect, scenario),
            "{place}"
        );
    }
    let start: Timestamp = AT.parse().unwrap();
    assert_eq!(call.started.as_second(), start.as_second(), "{place}");
    let tale = scenario.tale();
    assert_eq!(
        call.ended.as_second(),
        start.as_second() + tale.end,
        "{place}"
    );
    if let Some(answered) = tale.answered() {
        assert_eq!(call.wait.as_secs(), answered, "{place}");
    }
    let other = match scenario {
        Scenario::Internal => Party::Extension(Extension("102".to_owned())),
        Scenario::Anonymous => Party::Anonymous,
        _ => Party::Number(
            NumberPlan::new("DE", None)
                .unwrap()
                .parse("+491711234567")
                .unwrap(),
        ),
    };
    assert_eq!(call.other.party, other, "{place}");
    if scenario == Scenario::Transfer {
        assert_eq!(call.transfers.len(), 1, "{place}");
        assert_eq!(
            (&call.transfers[0].from[..], &call.transfers[0].to[..]),
            (&agent(dialect, "101")[..], &agent(dialect, "102")[..]),
            "{place}"
        );
    }
    assert_eq!(
        call.recording.is_some(),
        scenario == Scenario::Recording,
        "{place}"
    );
    assert!(call.doubts.is_empty(), "{place}");
    if let Some(key) = &told.key {
        assert_eq!(&call.key.id, key, "{place}");
    }
}

fn agent(dialect: Dialect, extension: &str) -> String {
    match dialect {
        Dialect::Aircall => format!("agent-{extension}@example.org"),
        _ => extension.to_owned(),
    }
}

fn right_text(scenario: Scenario, told: &Told, text: &Text, place: &str) {
    let way = if scenario == Scenario::TextIn {
        Direction::In
    } else {
        Direction::Out
    };
    assert_eq!(text.direction, way, "{place}");
    let customer = if way == Direction::In {
        &text.from
    } else {
        &text.to
    };
    assert_eq!(customer.raw, "+491711234567", "{place}");
    assert_eq!(text.body, "Is it \"ready\"?\nÜ & 100%", "{place}");
    if let Some(key) = &told.key {
        assert_eq!(&text.key.id, key, "{place}");
    }
}

#[test]
fn twilios_own_example_is_signed_as_twilio_says() {
    let proof = Proof::Twilio {
        token: "12345".into(),
        url: "https://mycompany.com/myapp.php".to_owned(),
    };
    let fields = [
        ("Digits", "1234"),
        ("To", "+18005551212"),
        ("From", "+14158675309"),
        ("Caller", "+14158675309"),
        ("CallSid", "CA1234567890ABCDE"),
    ];
    let post = Post {
        query: Some("foo=1&bar=2".to_owned()),
        ..Post::form(&fields, AT.parse().unwrap())
    };
    let signature = (
        "x-twilio-signature".to_owned(),
        "RSOYDt4T1cUTdK1PDd93/VVr8B8=".to_owned(),
    );
    assert_eq!(proof.sign(post).unwrap().headers, [signature]);
}

#[test]
fn a_post_that_cant_carry_its_proof_is_a_fault() {
    let at = AT.parse().unwrap();
    let hmac = Proof::Hmac {
        secret: "s".into(),
        header: "x-signature".to_owned(),
        algorithm: HmacAlgorithm::Sha1,
    };
    assert_eq!(
        hmac.sign(Post::get(&[("a", "b")], at)),
        Err(Unsignable::NoBody)
    );
    let body = Proof::Body {
        field: "token".to_owned(),
        token: "s".into(),
    };
    assert_eq!(
        body.sign(Post::form(&[("a", "b")], at)),
        Err(Unsignable::NoObject)
    );
    // RFC 2202, test case 2.
    let hmac = Proof::Hmac {
        secret: "Jefe".into(),
        header: "x-signature".to_owned(),
        algorithm: HmacAlgorithm::Sha1,
    };
    let signed = hmac
        .sign(Post::new(
            "text/plain",
            b"what do ya want for nothing?".to_vec(),
            at,
        ))
        .unwrap();
    assert_eq!(
        signed.headers[0].1,
        "effcdf6ae5eb2fa2d27416d5f184df9c259a7c79"
    );
}

/// Recordings whose times or ids are hidden in encodings, and those of the night in which the clocks were changed.
const NOT_RENEWED: [&str; 4] = [
    "default-encodings",
    "disable-100-continue",
    "31-dst-fall-back",
    "10-clock-change",
];

#[test]
fn recorded_calls_become_new_ones_of_now() {
    let now: Timestamp = "2027-02-03T04:05:06Z".parse().unwrap();
    let (mut renewed, mut wrong) = (0, Vec::new());
    for dialect in Dialect::ALL {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("fixtures/calls")
            .join(dialect.word());
        let folders = std::fs::read_dir(&folder).into_iter().flatten();
        for path in folders.map(|entry| entry.unwrap().path()) {
            let Ok(bytes) = std::fs::read(path.join("http-received.txt")) else {
                continue;
            };
            let place = path.display().to_string();
            if NOT_RENEWED.iter().any(|name| place.contains(name)) {
                continue;
            }
            let posts: Vec<Post> = recording::posts(&bytes)
                .into_iter()
                .map(Post::from)
                .collect();
            let fresh = fresh::renew(dialect, posts.clone(), now, 7);
            let again = fresh::renew(dialect, posts.clone(), now, 8);
            let tell = |posts: &[Post]| {
                let told = decoded(dialect, posts);
                let ids: BTreeSet<String> = told
                    .0
                    .iter()
                    .map(|call| call.key.id.clone())
                    .chain(told.1.iter().map(|text| text.key.id.clone()))
                    .collect();
                let mut kinds: Vec<String> = told
                    .0
                    .iter()
                    .map(|call| {
                        format!(
                            "{} {:?} {:?} {:?}",
                            call.call_type.words(),
                            call.reason,
                            call.talk,
                            call.wait
                        )
                    })
                    .collect();
                kinds.sort();
                (ids, kinds, told.1.len())
            };
            let (old, new, other) = (tell(&posts), tell(&fresh), tell(&again));
            let same = (&old.1, old.2, old.0.len()) == (&new.1, new.2, new.0.len());
            if !same || !old.0.is_disjoint(&new.0) {
                wrong.push(format!("{place}: {old:?} {new:?}"));
            }
            assert_eq!(new.0.len(), other.0.len(), "{place}");
            renewed += new.0.len();
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(renewed > 60, "{renewed}");
}

/// As [`understood`], of posts some of which mean nothing.
fn decoded(dialect: Dialect, posts: &[Post]) -> (Vec<call::Call>, Vec<Text>) {
    let readable = |post: &&Post| {
        let raw = RawEvent {
            content_type: post.content_type.as_deref(),
            query: post.query.as_deref(),
            body: &post.body,
            received: post.at,
        };
        decode::admit(dialect, &raw).is_ok() && decode::decode(dialect, &raw, &site()).is_ok()
    };
    let posts: Vec<Post> = posts.iter().filter(readable).cloned().collect();
    understood(dialect, &posts)
}
