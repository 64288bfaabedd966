//! Rules that can never decide: what is called so, against every call of a small world; and what `check` and the log say.

use crate::samples::{call, extension, integration, outside, pattern, special};
use crate::support::{Config, World};
use jiff::SignedDuration;
use proptest::prelude::*;
use std::collections::BTreeSet;
use std::fs;
use std::sync::LazyLock;
use std::time::Duration;
use tieline::calls::filter::{SkipReason, filter_call};
use tieline::settings::shadow::{Shadowed, idle_for_calls, idle_for_texts, shadowed};
use tieline::settings::types::{KustomerSettings, LogAs, NumberPattern};
use tieline::terms::call::{Call, CallType};
use tieline::terms::number::E164;
use tieline::terms::party::{Contact, Extension, Party};

/// Every party of the world: a block of numbers, some longer and shorter ones, extensions, short numbers, names.
fn parties() -> Vec<Contact> {
    let mut numbers: Vec<String> = (100..200).map(|end| format!("+4930555{end}")).collect();
    numbers.extend((0..100).map(|end| format!("+493055512{end:02}")));
    numbers.extend(["+493055510", "+491711234567", "+12025550123"].map(str::to_owned));
    let valid = numbers
        .iter()
        .filter(|number| number.parse::<E164>().is_ok());
    let mut all: Vec<Contact> = valid.map(|number| outside(number, None)).collect();
    assert!(all.len() > 200, "{} numbers are valid", all.len());
    all.extend((95..130).map(|phone| extension(&phone.to_string())));
    all.extend(["007", "0107", "sales", "112-1"].map(extension));
    let short = |raw: &str| special(Party::Short(raw.to_owned()), raw);
    all.extend(["112", "110", "911", "*97"].map(short));
    all.push(special(Party::Anonymous, ""));
    all
}

fn a_line() -> impl Strategy<Value = String> {
    let end = 100..200_u32;
    prop_oneof![
        end.clone().prop_map(|end| format!("+4930555{end}")),
        (end.clone(), end).prop_map(|(one, other)| {
            let (first, last) = (one.min(other), one.max(other));
            format!("+4930555{first}..+4930555{last}")
        }),
        (10..20_u32).prop_map(|start| format!("+4930555{start}*")),
        Just("+4930555*".to_owned()),
        Just("+4930*".to_owned()),
        (100..125_u32).prop_map(|phone| phone.to_string()),
        (100..125_u32, 100..125_u32).prop_map(|(one, other)| format!(
            "{}-{}",
            one.min(other),
            one.max(other)
        )),
        prop_oneof![Just("sales"), Just("112"), Just("*97"), Just("007")].prop_map(str::to_owned),
    ]
}

/// The integration that ignores these lines, each under a name that leads back to it.
fn ignoring<'a>(lines: impl IntoIterator<Item = &'a NumberPattern>) -> KustomerSettings {
    let mut to = integration();
    let named = |(index, line): (usize, &NumberPattern)| NumberPattern {
        written: format!("#{index}#"),
        matcher: line.matcher.clone(),
    };
    to.calls.ignore = lines.into_iter().enumerate().map(named).collect();
    to
}

/// The line that decides, as the filter itself says.
fn decider(to: &KustomerSettings, call: &Call) -> Option<usize> {
    let decision = filter_call(call, to);
    if decision.skip != Some(SkipReason::Ignored) {
        return None;
    }
    let detail = &decision.trace.last().unwrap().detail;
    Some(detail.rsplit('#').nth(1).unwrap().parse().unwrap())
}

/// Calls with each party on the other side, and with each phone as agent.
fn every_call() -> Vec<Call> {
    let parties = parties();
    let with = |other: &Contact| {
        let mut call = call();
        call.other = other.clone();
        (call.first_agent, call.agent) = (None, None);
        call
    };
    let agent = |agent: &Contact| {
        let mut call = call();
        call.agent = Some(Extension(agent.raw.clone()));
        call
    };
    let phones = parties
        .iter()
        .filter(|party| matches!(party.party, Party::Extension(_)));
    parties.iter().map(with).chain(phones.map(agent)).collect()
}

static CALLS: LazyLock<Vec<Call>> = LazyLock::new(every_call);

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_line_that_is_called_shadowed_decides_no_call(lines in prop::collection::vec(a_line(), 1..9)) {
        let patterns: Vec<NumberPattern> = lines.iter().map(|line| pattern(line)).collect();
        let found = shadowed(&patterns);
        let all = ignoring(&patterns);
        let deciders: BTreeSet<usize> = CALLS.iter().filter_map(|call| decider(&all, call)).collect();
        for Shadowed { line, by, before } in &found {
            prop_assert!(!by.is_empty() && !by.contains(line), "{:?}", found);
            prop_assert_eq!(by.iter().all(|other| other < line), *before);
            if *before {
                prop_assert!(!deciders.contains(line), "{:?} decides: {:?}", lines[*line], lines);
            }
        }
        // Without any of them, the same calls are ignored.
        let gone: BTreeSet<usize> = found.iter().map(|one| one.line).collect();
        let left = patterns.iter().enumerate().filter(|(index, _)| !gone.contains(index));
        let few = ignoring(left.map(|(_, pattern)| pattern));
        for call in CALLS.iter() {
            let (one, other) = (decider(&all, call), decider(&few, call));
            prop_assert_eq!(one.is_some(), other.is_some(), "{:?}: {:?} without {:?}", call.other, lines, gone);
        }
        // Every single number, extension or range of them that isn't called so decides something here, unless it is of
        // the two numbers that are no extensions within a range.
        for (index, line) in lines.iter().enumerate() {
            let whole_here = !line.ends_with('*') && line != "112-112";
            let never = found.iter().any(|one| one.line == index && one.before);
            if whole_here && !never {
                prop_assert!(deciders.contains(&index), "{:?} never decides: {:?}", line, lines);
            }
        }
    }

    #[test]
    fn what_log_makes_idle_decides_no_call(off in prop::collection::vec(any::<bool>(), 6), talk in 0..20_i64) {
        let mut to: KustomerSettings = integration();
        for (call_type, off) in CallType::ALL.into_iter().zip(off) {
            to.calls.log.insert(call_type.into(), if off { LogAs::Off } else { LogAs::Done });
        }
        to.calls.min_talk = Duration::from_secs(5);
        to.calls.ignore = vec![pattern("+49171*")];
        let idle = idle_for_calls(&to.calls);
        let mut decided = BTreeSet::new();
        for call_type in CallType::ALL {
            let mut call = call();
            (call.call_type, call.talk) = (call_type, SignedDuration::from_secs(talk));
            decided.extend(filter_call(&call, &to).skip);
        }
        prop_assert!(!(idle.contains(&"min_talk") && decided.contains(&SkipReason::TooShort)));
        prop_assert!(!(idle.contains(&"ignore") && decided.contains(&SkipReason::Ignored)));
        let all_off = to.calls.log.values().all(|log| *log == LogAs::Off);
        prop_assert_eq!(idle.contains(&"ignore"), all_off);
    }
}

#[test]
fn lines_are_shadowed_by_one_or_by_several() {
    let one = |line, by: &[usize], before| Shadowed {
        line,
        by: by.to_vec(),
        before,
    };
    let table: [(&[&str], Vec<Shadowed>); 12] = [
        (&["+4930555100", "+4930555101"], vec![]),
        (&["+4930555*", "+4930555100"], vec![one(1, &[0], true)]),
        (&["+4930555100", "+4930555*"], vec![one(0, &[1], false)]),
        (&["101", "101"], vec![one(1, &[0], true)]),
        (
            &[
                "+4930555100..+4930555149",
                "+4930555150..+4930555199",
                "+4930555140..+4930555160",
            ],
            vec![one(2, &[0, 1], true)],
        ),
        (
            &[
                "+4930555100..+4930555149",
                "+4930555151..+4930555199",
                "+4930555140..+4930555160",
            ],
            vec![],
        ),
        // A prefix also means longer numbers than a range does.
        (
            &["+4930555100..+4930555199", "+49305551*"],
            vec![one(0, &[1], false)],
        ),
        (
            &["+49305551*", "+4930555100..+4930555199"],
            vec![one(1, &[0], true)],
        ),
        // 112 isn't meant by a range of extensions.
        (&["100-199", "112"], vec![]),
        (&["112", "100-199", "110-119"], vec![one(2, &[1], true)]),
        (&["sales", "100-199", "sales"], vec![one(2, &[0], true)]),
        // The same digits as an extension and as a number.
        (&["49305", "+49305*"], vec![]),
    ];
    for (lines, expected) in table {
        let patterns: Vec<NumberPattern> = lines.iter().map(|line| pattern(line)).collect();
        assert_eq!(shadowed(&patterns), expected, "{lines:?}");
    }
    let ten: Vec<NumberPattern> = (0..10)
        .map(|digit| pattern(&format!("+4930{digit}*")))
        .collect();
    assert_eq!(shadowed(&ten), []);
    // All of the ten but the prefix itself, which is a number of its own length.
    let eleven = [ten, vec![pattern("+4930*")]].concat();
    assert!(
        shadowed(&eleven).iter().all(|one| !one.before),
        "{:?}",
        shadowed(&eleven)
    );
    let many = vec![pattern("101"); 10_000];
    assert_eq!(shadowed(&many).len(), 20);
}

#[test]
fn texts_that_are_all_off_leave_nothing_to_ignore() {
    let mut texts = integration().texts;
    texts.ignore = vec![pattern("101")];
    for (off, idle) in [(3, vec!["ignore"]), (2, vec![]), (0, vec![])] {
        let log = |index| if index < off { LogAs::Off } else { LogAs::Done };
        (texts.received, texts.sent, texts.failed) = (log(0), log(1), log(2));
        assert_eq!(idle_for_texts(&texts), idle, "{off}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn check_and_the_log_name_both_places_and_no_number() {
    let world = World::start(&Config::default()).await;
    let daemon = world.place.start().await;
    let mut config = Config::calls(
        "ignore = { file = \"numbers.txt\" }\nconnected_numbers = [\"+4921155500*\",\n  \"+4921155500100\"]",
    );
    config.integrations[0].texts =
        "ignore = [\"101\"]\nlog = { received = \"off\", sent = \"off\", failed = \"off\" }"
            .to_owned();
    fs::write(
        world.place.folder.join("numbers.txt"),
        "# Sales\n+49171*\n\n+491711234567 # Max\n",
    )
    .unwrap();
    world.configure(&config);
    let settings = fs::read_to_string(world.place.folder.join("tieline.toml")).unwrap();
    let line = |text: &str| {
        1 + settings
            .lines()
            .position(|line| line.contains(text))
            .unwrap()
    };
    let numbers = world.place.folder.join("numbers.txt").display().to_string();
    let calls = "kustomer.support.calls";
    let texts = "kustomer.support.texts";
    let wanted = [
        format!(
            "{calls}.ignore ({numbers}:4) can never decide: {calls}.ignore ({numbers}:2) takes all that it matches"
        ),
        format!(
            "{calls}.connected_numbers[1] (tieline.toml:{}) can never decide: {calls}.connected_numbers[0] (tieline.toml:{}) takes all that it matches",
            line("  \"+4921155500100\""),
            line("connected_numbers")
        ),
        format!(
            "{texts}.ignore (tieline.toml:{}) can never decide: {texts}.log (tieline.toml:{}) switches off all that it could take",
            line("ignore = [\"101\"]"),
            line("received = \"off\"")
        ),
    ];
    let checked = world.place.cli(&["check"]).await;
    assert_eq!(checked.code, Some(0), "{checked:?}");
    daemon.signal(rustix::process::Signal::HUP);
    daemon
        .until("the settings are read again", |status| {
            status["settings"]["in_force"] != "since the start"
        })
        .await;
    let log = world.place.log();
    for note in wanted {
        assert!(
            checked.out.contains(&format!("note: {note}")),
            "{note}\n{}",
            checked.out
        );
        assert!(log.contains(&note), "{note}\n{log}");
    }
    assert!(
        !log.contains("491711234567") && !log.contains("4921155500100"),
        "{log}"
    );
}
