//! The rules of a call one by one, on legs made by hand. That whole recordings give the right calls is tests/decode.rs's.

use super::*;
use crate::calls::decode::facts::{Join, Line, Stay};
use crate::terms::ids::Kind;
use crate::terms::party::Party;

mod parties;
mod reason;
mod times;

/// So long after the beginning of the world.
fn at(millis: i64) -> Timestamp {
    Timestamp::from_millisecond(millis).unwrap()
}

fn s(seconds: i64) -> Timestamp {
    at(seconds * 1000)
}

fn key(id: &str) -> CallKey {
    CallKey {
        kind: Kind::Call,
        pbx: "hq".to_owned(),
        id: id.to_owned(),
    }
}

/// A leg of the call `c`, with what `set` says of it.
fn leg(id: &str, set: impl FnOnce(&mut LegFacts)) -> LegFacts {
    leg_of("c", id, set)
}

fn leg_of(call: &str, id: &str, set: impl FnOnce(&mut LegFacts)) -> LegFacts {
    let mut leg = LegFacts::new(key(call), id.to_owned());
    set(&mut leg);
    leg
}

/// The leg that the call began with.
fn root(set: impl FnOnce(&mut LegFacts)) -> LegFacts {
    leg("c", |leg| {
        leg.role = Some(Role::Root);
        leg.started = Some(s(0));
        set(leg);
    })
}

fn phone(extension: &str) -> Contact {
    let party = Party::Extension(Extension(extension.to_owned()));
    Contact::new(party, extension, None)
}

fn number(e164: &str) -> Contact {
    Contact::new(Party::Number(e164.parse().unwrap()), e164, None)
}

fn short(digits: &str) -> Contact {
    Contact::new(Party::Short(digits.to_owned()), digits, None)
}

fn stay(seconds: i64, bridge: &str, came: bool) -> Stay {
    Stay {
        at: s(seconds),
        bridge: bridge.to_owned(),
        came,
    }
}

fn joined(with: &str, from: i64, until: i64) -> Join {
    Join {
        with: with.to_owned(),
        from: s(from),
        until: s(until),
    }
}

/// The call that these make, long after.
fn call(legs: &[LegFacts]) -> Call {
    close(&key("c"), legs, s(10_000)).expect("a call")
}

/// A call in which `extension` talked from `from` to `until`.
fn talked(extension: &str, from: i64, until: i64) -> LegFacts {
    leg(extension, |leg| {
        leg.party = Some(phone(extension));
        leg.line = Some(Line::Phone);
        leg.bridged.insert((s(from), Some(s(until))));
    })
}

fn incoming(until: i64) -> LegFacts {
    root(|leg| {
        leg.direction = Some(Direction::In);
        leg.caller = Some(number("+493012345678"));
        leg.ended = Some(s(until));
    })
}

#[test]
fn a_start_that_is_still_to_come_is_doubted() {
    let legs = [root(|leg| leg.started = Some(s(50)))];
    for (now, doubted) in [(49, true), (50, false), (51, false)] {
        let call = close(&key("c"), &legs, s(now)).unwrap();
        let doubts = call.doubts.iter();
        let future = doubts.filter(|doubt| doubt.starts_with("started in the future"));
        assert_eq!(future.count() == 1, doubted, "{now}: {:?}", call.doubts);
    }
}

#[test]
fn a_record_that_knows_the_channel_alone_is_of_the_leg_with_that_channel() {
    let known = |id: &str| {
        leg(id, |leg| {
            leg.channel = Some("SIP/101-1".to_owned());
            leg.started = Some(s(1));
        })
    };
    let record = leg("SIP/101-1", |leg| {
        leg.channel = Some("SIP/101-1".to_owned());
        leg.ended = Some(s(9));
    });
    let legs = call(&[incoming(9), known("b"), record]).legs;
    assert_eq!(
        legs.iter().map(|leg| &leg.id).collect::<Vec<_>>(),
        ["c", "b"]
    );
    assert_eq!(legs[1].ended, Some(s(9)));
}

#[test]
fn live_legs_are_those_told_of_as_they_go_that_have_no_end() {
    let told = |id, live, ended| {
        leg(id, |leg| {
            leg.live = live;
            leg.ended = ended;
        })
    };
    let legs = [
        told("goes", true, None),
        told("ended", true, None),
        told("ended", false, Some(s(1))),
        told("recorded", false, None),
        told("over", false, Some(s(1))),
    ];
    let live = live(&legs);
    assert_eq!(
        live.iter().map(|leg| &leg.leg).collect::<Vec<_>>(),
        ["goes"]
    );
}

fn handed(at: Timestamp, kind: TransferKind, from: Option<&str>, to: &str) -> TransferFact {
    TransferFact {
        at,
        kind,
        from: from.map(str::to_owned),
        to: to.to_owned(),
    }
}

fn hand_overs(facts: &[TransferFact], talks: &[LegFacts]) -> Vec<(TransferKind, String, String)> {
    let mut legs = vec![root(|leg| {
        leg.direction = Some(Direction::In);
        leg.ended = Some(s(100));
        leg.rare.transfers.extend(facts.iter().cloned());
    })];
    legs.extend_from_slice(talks);
    let transfers = call(&legs).transfers.into_iter();
    transfers.map(|one| (one.kind, one.from, one.to)).collect()
}

#[test]
fn one_hand_over_told_twice_is_one_and_two_are_two() {
    use TransferKind::{Attended, Blind};
    let talks = [talked("101", 5, 20)];
    let once = |facts: &[TransferFact]| hand_overs(facts, &talks).len();
    let first = handed(s(20), Blind, None, "102");
    let twice = [
        (
            handed(at(20_900), Blind, None, "102"),
            1,
            "in another's whole seconds",
        ),
        (handed(at(20_900), Blind, None, ""), 1, "without whom to"),
        (handed(s(21), Blind, None, "102"), 1, "at the most"),
        (handed(at(21_001), Blind, None, "102"), 2, "later"),
        (handed(s(20), Blind, None, "103"), 2, "to another"),
        (handed(s(20), Attended, None, "102"), 2, "of another kind"),
        (handed(s(40), Blind, None, "103"), 2, "from there on"),
    ];
    for (second, count, why) in twice {
        assert_eq!(once(&[first.clone(), second]), count, "{why}");
    }
    let nameless = handed(s(20), Blind, None, "");
    let named = handed(at(20_500), Blind, None, "102");
    let got = hand_overs(&[nameless.clone(), named], &talks);
    assert_eq!(got, [(Blind, "101".to_owned(), "102".to_owned())]);
    let later = handed(s(40), Blind, Some("102"), "103");
    let got = hand_overs(&[nameless, later.clone()], &talks);
    let first = (Blind, "101".to_owned(), String::new());
    assert_eq!(got, [first, (Blind, "102".to_owned(), later.to)]);
}

#[test]
fn who_gave_and_who_got_the_other_party_is_who_talked_before_and_next() {
    let talks = [
        talked("103", 0, 4),
        talked("101", 5, 15),
        talked("102", 20, 60),
    ];
    let blind = handed(s(15), TransferKind::Blind, None, "");
    let got = hand_overs(&[blind], &talks);
    let wanted = (TransferKind::Blind, "101".to_owned(), "102".to_owned());
    assert_eq!(got, [wanted]);
    // What was moved before anybody talked is none.
    let early = handed(s(4), TransferKind::Blind, None, "102");
    assert_eq!(hand_overs(&[early], &[talked("102", 5, 60)]), []);
}

#[test]
fn the_timeline_has_what_was_on_the_line() {
    let named = |set: fn(&mut LegFacts)| leg("other", set);
    let stays: fn(&mut LegFacts) = |leg| leg.stays.insert(stay(1, "b", true));
    let joins: fn(&mut LegFacts) = |leg| leg.rare.joins.insert(joined("other", 1, 2));
    let neither: fn(&mut LegFacts) = |_| {};
    let role: fn(&mut LegFacts) = |leg| leg.role = Some(Role::Branch);
    for (exact, of_other, there) in [
        (neither, neither, false),
        (neither, role, true),
        (stays, role, false),
        (joins, role, false),
        (stays, |leg| leg.cause = Some("busy".to_owned()), true),
        (neither, |leg| leg.cause = Some("busy".to_owned()), true),
        (stays, |leg| leg.started = Some(s(1)), true),
        (stays, |leg| leg.born = Some(s(1)), true),
        (stays, |leg| leg.answered = Some(s(1)), true),
        (stays, |leg| leg.ended = Some(s(1)), true),
        (stays, |leg| leg.until = Some(s(1)), true),
    ] as [(fn(&mut LegFacts), fn(&mut LegFacts), bool); 11]
    {
        let root = root(exact);
        let legs = call(&[root.clone(), named(of_other)]).legs;
        let found = legs.iter().any(|leg| leg.id == "other");
        assert_eq!(found, there, "{root:?} {:?}", named(of_other));
    }
}

#[test]
fn a_timeline_keeps_so_many_legs_and_says_how_many_there_were() {
    for (count, doubt) in [
        (LEGS_KEPT_MAX, None),
        (LEGS_KEPT_MAX + 1, Some("201 legs; the first 200 are kept")),
    ] {
        let mut legs: Vec<LegFacts> = (1..count)
            .map(|number| {
                leg(&format!("{number:04}"), |leg| {
                    leg.started = Some(s(1));
                    leg.ended = Some(s(2));
                })
            })
            .collect();
        legs.push(incoming(9));
        let call = call(&legs);
        assert_eq!(call.legs.len(), LEGS_KEPT_MAX);
        assert_eq!(call.legs[0].id, "c");
        let said = call.doubts.iter().find(|doubt| doubt.contains("legs;"));
        assert_eq!(said.map(String::as_str), doubt);
    }
}

fn homes(facts: Vec<LegFacts>) -> Vec<(String, Vec<String>)> {
    let calls = gather(facts).into_iter();
    calls
        .map(|(key, facts)| (key.id, facts.into_iter().map(|fact| fact.leg).collect()))
        .collect()
}

#[test]
fn calls_that_a_channel_went_between_in_one_moment_are_one_under_the_first() {
    // The channel leaves the later call's records in the moment in which it comes into the other's.
    let calls = |apart: Timestamp| {
        vec![
            leg_of("a", "a", |leg| {
                leg.role = Some(Role::Root);
                leg.started = Some(s(10));
                leg.rare.joins.insert(Join {
                    with: "SIP/101-1".to_owned(),
                    from: apart,
                    until: apart + SignedDuration::from_secs(20),
                });
            }),
            leg_of("a", "a2", |leg| leg.started = Some(s(3))),
            leg_of("b", "b", |leg| {
                leg.role = Some(Role::Root);
                leg.started = Some(s(0));
                leg.rare.joins.insert(joined("SIP/101-1", 5, 30));
            }),
            leg_of("b", "b2", |leg| leg.started = Some(s(6))),
        ]
    };
    let one = homes(calls(at(30_900)));
    assert_eq!(one.len(), 1, "{one:?}");
    assert_eq!((one[0].0.as_str(), one[0].1.len()), ("b", 4));
    // Names of channels come again after a restart.
    assert_eq!(homes(calls(s(3630))).len(), 2);
    assert_eq!(homes(calls(at(31_001))).len(), 2);
}
