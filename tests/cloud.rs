//! Cloud phone systems and appliances: every fixture (made by us from the vendors' documented fields) gives the calls and
//! texts that were meant, in any order and however often its posts come; nothing that is posted brings a decoder down.

mod bodies;
mod daemon;

use crate::support::seed;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::PathBuf;
use tieline::calls::assemble;
use tieline::calls::decode::{self, LegFacts, PhoneEvent, RawEvent, Site};
use tieline::cli::decode::{Decoded, Source, decode_recording};
use tieline::cli::recording::{Post, posts};
use tieline::cli::show::decoded_json;
use tieline::settings::types::Dialect;
use tieline::terms::call::Call;
use tieline::terms::number::NumberPlan;
use tieline::terms::party::{ExtensionRange, Extensions};
use tieline::terms::text::Text;

const DIALECTS: [Dialect; 6] = [
    Dialect::Aircall,
    Dialect::Cloudtalk,
    Dialect::Dialpad,
    Dialect::Ringcentral,
    Dialect::Twilio,
    Dialect::Yeastar,
];

struct Scenario {
    dialect: Dialect,
    name: String,
    posts: Vec<u8>,
    expected: Value,
}

fn scenarios() -> Vec<Scenario> {
    let mut all = Vec::new();
    for dialect in DIALECTS {
        let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
            .join("fixtures/calls")
            .join(dialect.word());
        let mut paths: Vec<PathBuf> = std::fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect();
        paths.sort();
        assert!(paths.len() >= 6, "{dialect:?}");
        for path in paths {
            let expected = std::fs::read(path.join("expected.json")).unwrap();
            all.push(Scenario {
                dialect,
                name: format!("{}/{}", dialect.word(), path.file_name().unwrap().display()),
                posts: std::fs::read(path.join("http-received.txt")).unwrap(),
                expected: serde_json::from_slice(&expected).unwrap(),
            });
        }
    }
    all
}

fn site(extensions: &[&str]) -> Site {
    let range = |range: &&str| {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        ExtensionRange {
            first: first.to_owned(),
            last: last.to_owned(),
        }
    };
    Site {
        pbx: "hq".to_owned(),
        plan: NumberPlan::new("DE", Some("211")).unwrap(),
        extensions: Extensions(extensions.iter().map(range).collect()),
        time_zone: TimeZone::get("Europe/Berlin").unwrap(),
    }
}

fn lab() -> Site {
    site(&["100-199", "1001-1099"])
}

fn read(scenario: &Scenario, site: &Site) -> Decoded {
    decode_recording(scenario.dialect, Source::Http, &scenario.posts, site).unwrap()
}

fn assert_expected(scenario: &Scenario, decoded: &Decoded) {
    let name = &scenario.name;
    let actual = decoded_json(decoded);
    for kind in ["calls", "texts"] {
        let wanted = scenario.expected[kind].as_array().unwrap();
        let got = actual[kind].as_array().unwrap();
        assert_eq!(got.len(), wanted.len(), "{name}: {kind} in {actual:#}");
        for (got, wanted) in got.iter().zip(wanted) {
            for (field, wanted) in wanted.as_object().unwrap() {
                assert_eq!(&got[field], wanted, "{name}: {field} in {got:#}");
            }
        }
    }
    for call in actual["calls"].as_array().unwrap() {
        assert_eq!(call["doubts"], serde_json::json!([]), "{name}");
        assert_eq!(call["incomplete"], Value::Null, "{name}");
    }
    let undecoded = scenario.expected["undecoded"].as_u64().unwrap();
    let got = decoded.undecoded.len() as u64;
    assert_eq!(got, undecoded, "{name}: {:?}", decoded.undecoded);
}

#[test]
fn every_fixture_gives_the_calls_that_were_meant() {
    for scenario in scenarios() {
        assert_expected(&scenario, &read(&scenario, &lab()));
        // Without any configuration too.
        assert_expected(&scenario, &read(&scenario, &site(&[])));
    }
}

/// What each post states; posts that state nothing are left out.
fn stated(scenario: &Scenario) -> Vec<Vec<PhoneEvent>> {
    let of = |post: Post| {
        let raw = RawEvent {
            content_type: post.content_type.as_deref(),
            query: None,
            body: &post.body,
            received: post.received,
        };
        decode::decode(scenario.dialect, &raw, &lab()).unwrap_or_default()
    };
    posts(&scenario.posts).into_iter().map(of).collect()
}

fn story(parts: &[Vec<PhoneEvent>]) -> (Vec<Call>, BTreeMap<String, Text>) {
    let mut facts: Vec<LegFacts> = Vec::new();
    let mut texts: BTreeMap<String, Vec<Text>> = BTreeMap::new();
    for event in parts.iter().flatten() {
        match event {
            PhoneEvent::Leg(leg) => facts.push((**leg).clone()),
            PhoneEvent::Text(text) => {
                texts
                    .entry(text.key.stored())
                    .or_default()
                    .push(text.clone());
            }
        }
    }
    let gathered = assemble::gather(facts);
    let close = |(key, facts): (_, &Vec<LegFacts>)| assemble::close(key, facts, Timestamp::MAX);
    let texts = texts
        .into_iter()
        .filter_map(|(key, told)| Some((key, Text::of(told)?)));
    (gathered.iter().filter_map(close).collect(), texts.collect())
}

#[test]
fn any_order_and_repeats_give_the_same_calls() {
    let seed = seed();
    let mut random = fastrand::Rng::with_seed(seed);
    for scenario in scenarios() {
        let name = &scenario.name;
        let mut parts = stated(&scenario);
        let ordered = story(&parts);
        parts.extend_from_within(..);
        assert_eq!(story(&parts), ordered, "{name} doubled");
        for _ in 0..100 {
            random.shuffle(&mut parts);
            let (calls, texts) = story(&parts);
            assert_eq!(calls, ordered.0, "{name} shuffled, seed {seed}");
            // What a report on a text adds (its time, a name) may differ; that it is one text must not.
            let keys = |texts: &BTreeMap<String, Text>| texts.keys().cloned().collect::<Vec<_>>();
            assert_eq!(
                keys(&texts),
                keys(&ordered.1),
                "{name} shuffled, seed {seed}"
            );
        }
    }
}

#[test]
fn with_gaps_there_is_still_at_most_the_same_call() {
    for scenario in scenarios() {
        let parts = stated(&scenario);
        let (ordered, _) = story(&parts);
        for left_out in 0..parts.len() {
            let mut some = parts.clone();
            some.remove(left_out);
            let (calls, _) = story(&some);
            assert!(
                calls.len() <= ordered.len(),
                "{} without {left_out}",
                scenario.name
            );
            for call in calls {
                let known = ordered.iter().any(|whole| whole.key == call.key);
                assert!(known, "{} without {left_out}", scenario.name);
            }
        }
    }
}

#[test]
fn the_command_reads_them() {
    use clap::Parser as _;
    #[derive(clap::Parser)]
    struct Line {
        #[command(flatten)]
        decode: tieline::cli::decode::DecodeArgs,
    }
    let file = format!(
        "{}/fixtures/calls/twilio/01-inbound-answered/http-received.txt",
        env!("CARGO_MANIFEST_DIR")
    );
    let line = Line::try_parse_from(["decode", "--dialect", "twilio", &file]).unwrap();
    let mut out = Vec::new();
    tieline::cli::decode::run(&line.decode, &mut out).unwrap();
    let table = String::from_utf8(out).unwrap();
    assert!(
        table.contains("incoming answered  +491711234567 Max \"M\" Muster"),
        "{table}"
    );
    let unknown = Line::try_parse_from(["decode", "--dialect", "telex", &file]);
    assert!(unknown.err().unwrap().to_string().contains("yeastar"));
}
