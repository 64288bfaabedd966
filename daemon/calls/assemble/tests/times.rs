//! When a call started, was answered and ended, and who talked how long.

use super::*;

const OUTSIDE: &str = "answered outside the time between start and end; the times were fitted in";

/// A call from second 10 to 30 that was bridged so.
fn bridged(start: i64, end: i64) -> Call {
    let root = root(|leg| {
        leg.direction = Some(Direction::In);
        leg.started = Some(s(10));
        leg.ended = Some(s(30));
        leg.bridged.insert((s(start), Some(s(end))));
    });
    call(&[root])
}

#[test]
fn talk_outside_of_the_call_is_fitted_in_and_doubted() {
    for (start, end, talk, doubted) in [
        (10, 30, 20, false),
        (15, 15, 0, false),
        (30, 30, 0, false),
        (9, 20, 10, true),
        (20, 31, 10, true),
        (20, 15, 0, true),
        (31, 40, 0, true),
    ] {
        let call = bridged(start, end);
        assert_eq!(call.talk, SignedDuration::from_secs(talk), "{start} {end}");
        assert_eq!(
            call.doubts == [OUTSIDE],
            doubted,
            "{start} {end}: {:?}",
            call.doubts
        );
    }
}

#[test]
fn the_second_in_a_legs_id_is_right_where_the_start_is_a_later_guess() {
    for (started, born, began) in [
        (at(10_400), Some(s(10)), at(10_400)),
        (at(10_999), Some(s(10)), at(10_999)),
        (s(11), Some(s(10)), s(10)),
        (s(40), Some(s(10)), s(10)),
        (s(40), None, s(40)),
    ] {
        let root = root(|leg| {
            leg.started = Some(started);
            leg.born = born;
            leg.ended = Some(s(60));
        });
        assert_eq!(call(&[root]).started, began, "{started} {born:?}");
    }
}

#[test]
fn a_leg_whose_end_was_missed_ends_with_the_last_that_is_known_of_it() {
    let missed = |set: &dyn Fn(&mut LegFacts)| {
        let call = call(&[root(|leg| {
            leg.live = true;
            leg.rare.lost = Some(s(20));
            set(leg);
        })]);
        let doubted = call
            .doubts
            .iter()
            .any(|doubt| doubt.starts_with("ended while"));
        (call.ended, doubted)
    };
    type Case<'a> = (&'a dyn Fn(&mut LegFacts), (Timestamp, bool));
    let cases: [Case<'_>; 8] = [
        (&|_| {}, (s(20), true)),
        (&|leg| leg.answered = Some(s(25)), (s(25), true)),
        (&|leg| leg.hung_up = Some(s(25)), (s(25), true)),
        (&|leg| leg.stays.insert(stay(26, "b", true)), (s(26), true)),
        (&|leg| leg.until = Some(s(19)), (s(20), true)),
        // A record written afterwards tells of its end.
        (&|leg| leg.until = Some(s(20)), (s(20), false)),
        (&|leg| leg.until = Some(s(28)), (s(28), false)),
        (&|leg| leg.ended = Some(s(15)), (s(15), false)),
    ];
    for (number, (set, wanted)) in cases.into_iter().enumerate() {
        assert_eq!(missed(set), wanted, "case {number}");
    }
}

/// A caller who came in by a trunk and hears whoever is in the same bridge.
fn caller(stays: &[(i64, &str, bool)]) -> LegFacts {
    root(|leg| {
        leg.direction = Some(Direction::In);
        leg.line = Some(Line::Trunk);
        leg.ended = Some(s(100));
        let stays = stays
            .iter()
            .map(|(at, bridge, came)| stay(*at, bridge, *came));
        leg.stays.extend(stays);
    })
}

fn in_bridge(extension: &str, from: i64, until: i64) -> LegFacts {
    leg(extension, |leg| {
        leg.party = Some(phone(extension));
        leg.line = Some(Line::Phone);
        leg.stays.insert(stay(from, "b", true));
        leg.stays.insert(stay(until, "b", false));
    })
}

#[test]
fn who_came_last_is_the_agent_though_the_first_talks_on() {
    let call = call(&[
        caller(&[(5, "b", true), (50, "b", false)]),
        in_bridge("101", 5, 50),
        in_bridge("102", 20, 30),
    ]);
    assert_eq!(call.agent, Some(Extension("102".to_owned())));
    assert_eq!(call.first_agent, Some(Extension("101".to_owned())));
    assert_eq!(call.talk, SignedDuration::from_secs(45));
}

#[test]
fn ours_that_talked_are_phones_and_a_call_forwarded_outside_has_none() {
    let inside = call(&[
        caller(&[(5, "b", true), (50, "b", false)]),
        in_bridge("101", 5, 50),
    ]);
    assert_eq!(inside.agent, Some(Extension("101".to_owned())));
    let mut outside = in_bridge("101", 5, 50);
    outside.line = Some(Line::Trunk);
    outside.party = Some(number("+493012345678"));
    let forwarded = call(&[caller(&[(5, "b", true), (50, "b", false)]), outside]);
    assert_eq!(forwarded.agent, None);
    assert_eq!(forwarded.talk, SignedDuration::from_secs(45));
}

#[test]
fn our_phones_among_themselves_are_no_talk_of_an_outgoing_call() {
    let mut placed = in_bridge("101", 5, 50);
    (placed.role, placed.started) = (Some(Role::Root), Some(s(0)));
    (placed.direction, placed.ended) = (Some(Direction::Out), Some(s(60)));
    let mut called = in_bridge("trunk", 30, 50);
    called.line = Some(Line::Trunk);
    called.party = Some(number("+493012345678"));
    // 101 asks 102 before anybody outside is there.
    let call = call(&[placed, in_bridge("102", 10, 20), called]);
    assert_eq!(call.answered, Some(s(30)));
    assert_eq!(call.talk, SignedDuration::from_secs(20));
}

#[test]
fn joined_with_two_at_once_is_talk_with_both_and_with_one_after_the_other_from_when_the_first_left()
{
    let joins = |first: (i64, i64), second: (i64, i64)| {
        let mut legs = vec![root(|leg| {
            leg.direction = Some(Direction::In);
            leg.line = Some(Line::Trunk);
            leg.ended = Some(s(100));
            leg.rare.joins.insert(joined("101", first.0, first.1));
            leg.rare.joins.insert(joined("102", second.0, second.1));
        })];
        legs.extend(["101", "102"].map(|id| {
            leg(id, |leg| {
                leg.party = Some(phone(id));
                leg.line = Some(Line::Phone);
            })
        }));
        let call = call(&legs);
        (call.answered, call.talk.as_secs(), call.transfers.len())
    };
    assert_eq!(joins((10, 30), (10, 30)), (Some(s(10)), 20, 1));
    // The second record was opened when the first was: its time runs from the first one's end.
    assert_eq!(joins((10, 30), (10, 50)), (Some(s(10)), 40, 1));
    assert_eq!(joins((10, 30), (40, 50)), (Some(s(10)), 30, 1));
}
