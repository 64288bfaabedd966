//! Every filter rule, the order of the rules, and what only nearly matches.

use std::time::Duration;

use insta::assert_snapshot;
use jiff::SignedDuration;
use tieline::calls::filter::{
    CALL_RULES, Decision, Outcome, Rule, SkipReason, TEXT_RULES, filter_call, filter_text,
};
use tieline::settings::types::{AnonymousPolicy, KustomerSettings, LogAs};
use tieline::terms::call::{Call, CallType, Direction};
use tieline::terms::party::{Extension, Party};
use tieline::terms::text::Text;

use crate::samples::{call, extension, integration, outside, pattern, special, text};

/// Makes one rule match and no earlier one.
type Change<T> = fn(&mut T, &mut KustomerSettings);

const CALL_CHANGES: [(SkipReason, Change<Call>); 10] = [
    (SkipReason::IntegrationInactive, |_, to| to.active = false),
    (SkipReason::PhoneSystemNotTaken, |_, to| {
        to.pbx = vec!["branch".to_owned()];
    }),
    (SkipReason::Internal, |call, _| {
        call.direction = Direction::Internal;
    }),
    (SkipReason::Anonymous, |call, _| {
        call.other = special(Party::Anonymous, "anonymous");
    }),
    (SkipReason::NotListed, |_, to| {
        to.calls.connected_numbers = vec![pattern("+4921155500999")];
    }),
    (SkipReason::SwitchedOff, |call, to| {
        to.calls.log.insert(call.call_type.into(), LogAs::Off);
    }),
    (SkipReason::TooShort, |_, to| {
        to.calls.min_talk = Duration::from_secs(60);
    }),
    (SkipReason::Ignored, |_, to| {
        to.calls.ignore = vec![pattern("101")];
    }),
    (SkipReason::ShortNumber, |call, _| {
        call.other = special(Party::Short("112".to_owned()), "112");
    }),
    (SkipReason::NumberInvalid, |call, _| {
        call.other = special(Party::Invalid, "not a number");
    }),
];

const TEXT_CHANGES: [(SkipReason, Change<Text>); 9] = [
    (SkipReason::IntegrationInactive, |_, to| to.active = false),
    (SkipReason::PhoneSystemNotTaken, |_, to| {
        to.pbx = vec!["branch".to_owned()];
    }),
    (SkipReason::Internal, |text, _| {
        text.direction = Direction::Internal;
    }),
    (SkipReason::Anonymous, |text, _| {
        text.from = special(Party::Anonymous, "");
    }),
    (SkipReason::NotListed, |_, to| {
        to.texts.connected_numbers = vec![pattern("+4921155500999")];
    }),
    (SkipReason::SwitchedOff, |_, to| {
        to.texts.received = LogAs::Off;
    }),
    (SkipReason::Ignored, |_, to| {
        to.texts.ignore = vec![pattern("+49211555*")];
    }),
    (SkipReason::ShortNumber, |text, _| {
        text.from = special(Party::Short("116117".to_owned()), "116117");
    }),
    (SkipReason::NumberInvalid, |text, _| {
        text.from = special(Party::Invalid, "DHL");
    }),
];

/// Each rule alone, then each with every later one: the earlier is named and the trace ends there.
fn rules_in_order<T: Clone>(
    rules: &[(SkipReason, Rule<T>)],
    changes: &[(SkipReason, Change<T>)],
    sample: &T,
    filter: fn(&T, &KustomerSettings) -> Decision,
) {
    let named = |list: &[SkipReason]| list.iter().map(|rule| rule.key()).collect::<Vec<_>>();
    let order: Vec<SkipReason> = rules.iter().map(|(rule, _)| *rule).collect();
    let changed: Vec<SkipReason> = changes.iter().map(|(rule, _)| *rule).collect();
    assert_eq!(named(&order), named(&changed), "a rule without a case");
    for (first, (rule, change)) in changes.iter().enumerate() {
        for (second, (_, later)) in changes.iter().enumerate().skip(first) {
            let (mut event, mut to) = (sample.clone(), integration());
            later(&mut event, &mut to);
            change(&mut event, &mut to);
            let decision = filter(&event, &to);
            let pair = format!("{} with {}", rule.key(), order[second].key());
            assert_eq!(decision.skip, Some(*rule), "{pair}");
            let asked: Vec<SkipReason> = decision.trace.iter().map(|step| step.rule).collect();
            assert_eq!(named(&asked), named(&order[..=first]), "{pair}");
            let decided = |outcome| outcome == Outcome::Decided;
            let marks: Vec<bool> = decision.trace.iter().map(|s| decided(s.outcome)).collect();
            assert_eq!(marks.iter().position(|mark| *mark), Some(first), "{pair}");
            if second == first + 1 {
                // Else the pair would say nothing about the order.
                assert!(rules[second].1(&event, &to).is_err(), "{pair}: both match");
            }
        }
    }
    let decision = filter(sample, &integration());
    assert_eq!(decision.skip, None);
    assert_eq!(decision.trace.len(), rules.len());
}

#[test]
fn a_call_is_named_by_its_first_rule() {
    rules_in_order(&CALL_RULES, &CALL_CHANGES, &call(), filter_call);
}

#[test]
fn a_text_is_named_by_its_first_rule() {
    rules_in_order(&TEXT_RULES, &TEXT_CHANGES, &text(), filter_text);
}

#[test]
fn calls_near_a_rule() {
    use SkipReason::{Anonymous, TooShort};
    use SkipReason::{Ignored, Internal, NotListed, NumberInvalid, ShortNumber, SwitchedOff};
    const MIN: Duration = Duration::from_secs(10);
    let table: &[(&str, Change<Call>, Option<SkipReason>)] = &[
        (
            "this phone system among several",
            |_, to| to.pbx = vec!["branch".into(), "hq".into()],
            None,
        ),
        (
            "internal, switched on, no customer for it",
            |call, to| {
                internal(call, to);
            },
            Some(NumberInvalid),
        ),
        (
            "internal, switched on, with a customer",
            |call, to| {
                internal(call, to);
                to.calls.anonymous = AnonymousPolicy::Customer("c1".into());
            },
            None,
        ),
        (
            "internal, only answered outside calls off",
            |call, to| {
                internal(call, to);
                to.calls.log.insert(CallType::Internal.into(), LogAs::Off);
            },
            Some(Internal),
        ),
        (
            "internal, switched on, has no number of a list",
            |call, to| {
                internal(call, to);
                to.calls.connected_numbers = vec![pattern("+4921155500100")];
            },
            Some(NotListed),
        ),
        (
            "anonymous with a customer",
            |call, to| {
                call.other = special(Party::Anonymous, "anonymous");
                to.calls.anonymous = AnonymousPolicy::Customer("c1".into());
            },
            None,
        ),
        (
            "anonymous without one",
            |call, _| call.other = special(Party::Anonymous, ""),
            Some(Anonymous),
        ),
        (
            "invalid isn't anonymous",
            |call, to| {
                call.other = special(Party::Invalid, "abc");
                to.calls.anonymous = AnonymousPolicy::Customer("c1".into());
            },
            Some(NumberInvalid),
        ),
        (
            "listed by range",
            |_, to| to.calls.connected_numbers = vec![pattern("+4921155500100..+4921155500199")],
            None,
        ),
        (
            "just past the range",
            |_, to| to.calls.connected_numbers = vec![pattern("+4921155500101..+4921155500199")],
            Some(NotListed),
        ),
        (
            "unknown list set",
            |call, to| {
                (call.connected, call.connected_raw) = (None, None);
                to.calls.connected_numbers = vec![pattern("+4921155500100")];
            },
            Some(NotListed),
        ),
        (
            "unknown no list",
            |call, _| (call.connected, call.connected_raw) = (None, None),
            None,
        ),
        (
            "an extension as our number",
            |call, to| {
                (call.connected, call.connected_raw) = (None, Some("150".into()));
                to.calls.connected_numbers = vec![pattern("150")];
            },
            None,
        ),
        (
            "the texts' list isn't the calls'",
            |_, to| to.texts.connected_numbers = vec![pattern("+4921155500999")],
            None,
        ),
        (
            "another type is off",
            |_, to| {
                to.calls
                    .log
                    .insert(CallType::IncomingMissed.into(), LogAs::Off);
            },
            None,
        ),
        (
            "a type that isn't in the table",
            |_, to| to.calls.log.clear(),
            Some(SwitchedOff),
        ),
        (
            "talked exactly long enough",
            |call, to| {
                to.calls.min_talk = MIN;
                call.talk = SignedDuration::from_secs(10);
            },
            None,
        ),
        (
            "talked a bit less",
            |call, to| {
                to.calls.min_talk = MIN;
                call.talk = SignedDuration::from_millis(9_999);
            },
            Some(TooShort),
        ),
        (
            "no talk below zero passes",
            |call, to| {
                to.calls.min_talk = MIN;
                call.talk = SignedDuration::from_secs(-60);
            },
            Some(TooShort),
        ),
        (
            "missed calls have no talk time",
            |call, to| {
                to.calls.min_talk = MIN;
                missed(call);
            },
            None,
        ),
        (
            "min_talk beyond any call",
            |_, to| to.calls.min_talk = Duration::MAX,
            Some(TooShort),
        ),
        (
            "ignored number",
            |_, to| to.calls.ignore = vec![pattern("+491711234567")],
            Some(Ignored),
        ),
        (
            "one digit off",
            |_, to| to.calls.ignore = vec![pattern("+491711234568")],
            None,
        ),
        (
            "ignored prefix",
            |_, to| to.calls.ignore = vec![pattern("+49171*")],
            Some(Ignored),
        ),
        (
            "ignored first agent",
            |call, to| {
                call.agent = Some(Extension("102".into()));
                to.calls.ignore = vec![pattern("100-101")];
            },
            Some(Ignored),
        ),
        (
            "our number isn't the other party",
            |_, to| to.calls.ignore = vec![pattern("+4921155500100")],
            None,
        ),
        (
            "emergency with a customer for anonymous",
            |call, to| {
                call.other = special(Party::Short("112".into()), "112");
                to.calls.anonymous = AnonymousPolicy::Customer("c1".into());
            },
            Some(ShortNumber),
        ),
        (
            "outside call with an extension",
            |call, _| call.other = extension("102"),
            Some(NumberInvalid),
        ),
    ];
    for (name, change, expected) in table {
        let (mut call, mut to) = (call(), integration());
        change(&mut call, &mut to);
        assert_eq!(filter_call(&call, &to).skip, *expected, "{name}");
    }
}

fn internal(call: &mut Call, to: &mut KustomerSettings) {
    call.direction = Direction::Internal;
    call.call_type = CallType::Internal;
    call.other = extension("102");
    (call.connected, call.connected_raw) = (None, None);
    to.calls.log.insert(CallType::Internal.into(), LogAs::Done);
}

fn missed(call: &mut Call) {
    call.call_type = CallType::IncomingMissed;
    (call.answered, call.talk) = (None, SignedDuration::ZERO);
    (call.first_agent, call.agent) = (None, None);
}

#[test]
fn texts_near_a_rule() {
    use SkipReason::{Ignored, Internal, NotListed, SwitchedOff};
    let table: &[(&str, Change<Text>, Option<SkipReason>)] = &[
        ("sent by an extension", |text, _| sent(text), None),
        (
            "sent, and only received is off",
            |text, to| {
                sent(text);
                to.texts.received = LogAs::Off;
            },
            None,
        ),
        (
            "sent is off",
            |text, to| {
                sent(text);
                to.texts.sent = LogAs::Off;
            },
            Some(SwitchedOff),
        ),
        (
            "the calls' rules aren't the texts'",
            |_, to| {
                to.calls.ignore = vec![pattern("+49171*")];
                to.calls.connected_numbers = vec![pattern("+4921155500999")];
            },
            None,
        ),
        (
            "an extension isn't a listed number",
            |text, to| {
                sent(text);
                to.texts.connected_numbers = vec![pattern("+4921155500100")];
            },
            Some(NotListed),
        ),
        (
            "a listed extension",
            |text, to| {
                sent(text);
                to.texts.connected_numbers = vec![pattern("100-199")];
            },
            None,
        ),
        (
            "an ignored extension",
            |text, to| {
                sent(text);
                to.texts.ignore = vec![pattern("101")];
            },
            Some(Ignored),
        ),
        (
            "between our own phones",
            |text, _| {
                sent(text);
                text.to = extension("102");
            },
            Some(Internal),
        ),
    ];
    for (name, change, expected) in table {
        let (mut text, mut to) = (text(), integration());
        change(&mut text, &mut to);
        assert_eq!(filter_text(&text, &to).skip, *expected, "{name}");
    }
}

fn sent(text: &mut Text) {
    text.direction = Direction::Out;
    text.to = outside("+491711234567", None);
    text.from = extension("101");
}

#[test]
fn reasons_have_keys_of_their_own() {
    for reason in SkipReason::ALL {
        assert_eq!(SkipReason::from_key(reason.key()), Some(reason));
    }
    assert_eq!(SkipReason::from_key("other"), None);
}

#[test]
fn our_number_that_was_not_sent_is_named_so() {
    let mut to = integration();
    to.calls.connected_numbers = vec![pattern("+49211555*")];
    for (raw, said) in [
        (None, "our number, which wasn't sent,"),
        (Some(""), "our number, which wasn't sent,"),
        (Some("sales"), "our number, sent as \"sales\","),
    ] {
        let mut call = call();
        call.connected = None;
        call.connected_raw = raw.map(str::to_owned);
        let decision = filter_call(&call, &to);
        assert_eq!(decision.skip, Some(SkipReason::NotListed));
        let detail = &decision.trace.last().unwrap().detail;
        assert!(detail.starts_with(said), "{raw:?}: {detail}");
    }
}

#[test]
fn a_trace_reads_as_sentences() {
    let mut to = integration();
    to.pbx = vec!["hq".to_owned()];
    to.calls.connected_numbers = vec![pattern("+49211555*")];
    to.calls.min_talk = Duration::from_secs(3);
    to.calls.ignore = vec![pattern("+4930*")];
    let passed = filter_call(&call(), &to);
    to.calls.ignore = vec![pattern("+49171*")];
    let ignored = filter_call(&call(), &to);
    let lines = |decision: &Decision| {
        let line = |step: &tieline::calls::filter::Step| {
            format!(
                "{}: {}: {}\n",
                step.rule.words(),
                step.outcome.word(),
                step.detail
            )
        };
        decision.trace.iter().map(line).collect::<String>()
    };
    assert_snapshot!("explain_passed", lines(&passed));
    assert_snapshot!("explain_ignored", lines(&ignored));
    assert_snapshot!(
        "explain_ignored_json",
        serde_json::to_string_pretty(&ignored.to_json("support")).unwrap()
    );
}
