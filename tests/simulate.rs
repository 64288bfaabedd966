//! The made-up phone systems: what each of them writes is read as what it meant to say, and recorded calls are made new.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use std::collections::BTreeMap;
use tieline::calls::assemble;
use tieline::calls::decode::{self, LegFacts, PhoneEvent, RawEvent, Site};
use tieline::settings::types::Dialect;
use tieline::simulate::{Call, Parties, Post, Scenario, writers};
use tieline::terms::call::{self, Direction};
use tieline::terms::number::NumberPlan;
use tieline::terms::party::{ExtensionRange, Extensions};
use tieline::terms::text::Text;

const AT: &str = "2026-11-20T12:24:29Z";

pub fn call(scenario: Scenario, id: u64) -> Call {
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
            body: if post.get { query.as_bytes() } else { &post.body },
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
    let calls = calls.iter().filter_map(|(key, facts)| assemble::close(key, facts, end));
    (calls.collect(), texts.into_values().collect())
}

#[test]
fn table() {
    for dialect in Dialect::ALL {
        for scenario in writers::says(dialect) {
            let told = writers::write(dialect, &call(*scenario, 0x1234_5678_9abc_def0));
            let (calls, texts) = understood(dialect, &told.posts);
            for one in &calls {
                println!("{:12} {:15} {:?} {} {:?} {:?} other={} conn={:?} first={:?} agent={:?} q={:?} {} wait={} talk={} t={:?} vm={} rec={:?}/{} key={} want={:?}", dialect.word(), scenario.word(), one.direction, one.call_type.words(), one.reason.map(|r|r.words()), one.doubts, one.other.raw,
                  one.connected.as_ref().map(ToString::to_string), one.first_agent.as_ref().map(|a|a.0.clone()), one.agent.as_ref().map(|a|a.0.clone()), one.queue, one.started, one.wait, one.talk, one.transfers, one.voicemail, one.recording, one.recording_announced, one.key.id, told.key);
            }
            for text in &texts {
                println!("{:12} {:15} TEXT {:?} {} {} {:?} {} want={:?}", dialect.word(), scenario.word(), text.direction, text.from.raw, text.to.raw, text.body, text.key.id, told.key);
            }
            if calls.len() + texts.len() != 1 { println!("{:12} {:15} COUNT {} {}", dialect.word(), scenario.word(), calls.len(), texts.len()); }
        }
    }
    let _ = Direction::In;
}
