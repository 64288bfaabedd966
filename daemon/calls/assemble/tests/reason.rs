//! Why nobody talked.

use super::*;
use crate::calls::decode::facts::Outcome;
use crate::terms::call::Reason;

/// An incoming call that nobody took, with these outcomes of its own and of an attempt.
fn missed(
    set: impl FnOnce(&mut LegFacts),
    own: &[(i64, Outcome)],
    attempt: &[(i64, Outcome)],
) -> Option<Reason> {
    let root = root(|leg| {
        leg.direction = Some(Direction::In);
        leg.line = Some(Line::Trunk);
        leg.ended = Some(s(30));
        leg.outcomes
            .extend(own.iter().map(|(at, end)| (s(*at), *end)));
        set(leg);
    });
    let attempt = leg("101", |leg| {
        leg.line = Some(Line::Phone);
        let outcomes = attempt.iter().map(|(at, end)| (s(*at), *end));
        leg.outcomes.extend(outcomes);
    });
    call(&[root, attempt]).reason
}

#[test]
fn an_attempt_that_was_taken_back_says_nothing_of_the_caller() {
    let attempt = [(5, Outcome::Busy), (9, Outcome::Cancelled)];
    let busy = Some(Reason::Busy);
    let gave_up = Some(Reason::CallerGaveUp);
    assert_eq!(missed(|_| {}, &[], &attempt), busy);
    assert_eq!(
        missed(|leg| leg.hung_up = Some(s(9)), &[], &attempt),
        gave_up
    );
    let own = [(9, Outcome::Cancelled)];
    assert_eq!(missed(|_| {}, &own, &attempt[..1]), gave_up);
}

#[test]
fn who_left_a_queue_gave_up_was_put_out_or_ran_into_its_limit() {
    use Outcome::{LeftQueue, NoAnswer, QueueTimeout};
    use Reason::CallerGaveUp;
    let left = |no_answer_at: Option<i64>, limit: Option<Timestamp>, hung_up: Option<i64>| {
        let mut own = vec![(10, LeftQueue)];
        own.extend(no_answer_at.map(|at| (at, NoAnswer)));
        let set = |leg: &mut LegFacts| {
            leg.rare.queue = Some("sales".to_owned());
            leg.rare.queue_until = limit;
            leg.hung_up = hung_up.map(s);
        };
        missed(set, &own, &[]).unwrap()
    };
    for (no_answer_at, limit, hung_up, reason) in [
        (None, None, None, Reason::QueueTimeout),
        (None, Some(s(10)), None, Reason::QueueTimeout),
        (None, Some(s(11)), None, Reason::QueueTimeout),
        (None, Some(at(11_001)), None, Reason::NoAnswer),
        (Some(10), Some(s(10)), None, Reason::NoAnswer),
        (Some(11), Some(s(10)), None, Reason::NoAnswer),
        (Some(9), Some(s(10)), None, Reason::NoAnswer),
        (Some(2), Some(s(10)), None, Reason::QueueTimeout),
        (Some(10), None, Some(10), CallerGaveUp),
        (None, Some(s(60)), Some(9), CallerGaveUp),
        (None, None, Some(11), Reason::QueueTimeout),
    ] {
        let got = left(no_answer_at, limit, hung_up);
        assert_eq!(got, reason, "{no_answer_at:?} {limit:?} {hung_up:?}");
    }
    let timed_out = missed(|_| {}, &[(10, LeftQueue), (11, QueueTimeout)], &[]);
    assert_eq!(timed_out, Some(Reason::QueueTimeout));
}

#[test]
fn what_a_cause_says_of_whom_nobody_reached() {
    use Reason::{Busy, Declined, Failed, NoSuchNumber};
    let of = |code| {
        missed(
            |leg| leg.cause_code = Some(code),
            &[(9, Outcome::Failed)],
            &[],
        )
    };
    for (code, reason) in [
        (1, NoSuchNumber),
        (2, NoSuchNumber),
        (3, NoSuchNumber),
        (5, Failed),
        (6, Failed),
        (17, Busy),
        (21, Declined),
        (22, NoSuchNumber),
        (25, Failed),
        (27, Failed),
        (28, NoSuchNumber),
        (29, Failed),
        (34, Failed),
        (127, Failed),
        // These say nothing more than the outcome.
        (16, Failed),
        (19, Failed),
    ] {
        assert_eq!(of(code), Some(reason), "{code}");
    }
    // Refused by the dial plan, with no attempt.
    let refused = |code| missed(|leg| leg.cause_code = Some(code), &[], &[]);
    assert_eq!(refused(17), Some(Busy));
    assert_eq!(refused(16), None);
}
