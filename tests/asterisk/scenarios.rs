//! What the recordings don't have, played on the small Asterisk: forwards, parking, transfers between two calls, callers who
//! leave queues, and generated histories in any order.

use super::pbx::{Channel, Pbx};
use super::{Kind, Post, raw_post, read};
use crate::support::{Config, World, logs, seed};
use proptest::prelude::*;
use std::collections::BTreeMap;
use tieline::terms::call::{Call, CallType, Direction, Reason, TransferKind};

const CALLER: &str = "+491711234567";
const DID: &str = "+4921155500100";

fn only_call(pbx: &Pbx) -> Call {
    let mut decoded = read(Kind::Ami, pbx.events.concat().as_bytes());
    assert_eq!(decoded.calls.len(), 1, "{:#?}", decoded.calls);
    let found = decoded.calls.remove(0);
    assert_eq!(
        (found.open, found.call.doubts.len()),
        (None, 0),
        "{:?}",
        found.call.doubts
    );
    found.call
}

fn agents(call: &Call) -> (Option<&str>, Option<&str>) {
    let name = |agent: &'_ Option<tieline::terms::party::Extension>| agent.clone().map(|e| e.0);
    let leak = |name: Option<String>| name.map(|name| &*name.leak());
    (leak(name(&call.first_agent)), leak(name(&call.agent)))
}

#[test]
fn a_call_forwarded_to_a_mobile_is_one_incoming_call() {
    let mut pbx = Pbx::new();
    let caller = pbx.incoming(CALLER, DID);
    let (first, mut second) = pbx.link(&caller, "01719999999");
    pbx.wait(100);
    let mobile = pbx.calls_out(&mut second, "+491719999999", DID);
    pbx.wait(4000);
    let inner = pbx.answers(&second, &mobile);
    let outer = pbx.answers(&caller, &first);
    pbx.wait(10_000);
    pbx.hangs_up(&caller);
    for (bridge, channel) in [
        (&outer, &caller),
        (&outer, &first),
        (&inner, &second),
        (&inner, &mobile),
    ] {
        pbx.leaves(bridge, channel);
        pbx.hangup(channel, "16");
    }
    let call = only_call(&pbx);
    assert_eq!(
        (call.call_type, call.direction),
        (CallType::IncomingAnswered, Direction::In)
    );
    assert_eq!(call.other.number().unwrap().as_str(), CALLER);
    assert_eq!(call.connected.as_ref().unwrap().as_str(), DID);
    assert_eq!(
        (call.talk.as_millis(), agents(&call)),
        (10_000, (None, None))
    );
}

#[test]
fn a_transfer_between_two_calls_of_one_phone_is_one_call() {
    // The phone's two calls have two linked ids; after the transfer the second part goes on under the first's.
    for events_of_the_target_after in [true, false] {
        let mut pbx = Pbx::new();
        let caller = pbx.incoming(CALLER, DID);
        let phone = pbx.rings(&caller, "101");
        pbx.wait(2000);
        let first = pbx.answers(&caller, &phone);
        pbx.wait(5000);
        let consult = pbx.dials("101", "102");
        let mut target = pbx.rings(&consult, "102");
        pbx.wait(2000);
        let second = pbx.answers(&consult, &target);
        pbx.wait(3000);
        pbx.attended_transfer(&phone, &consult, "102");
        pbx.leaves(&first, &phone);
        pbx.leaves(&second, &target);
        if events_of_the_target_after {
            target.linked.clone_from(&caller.linked);
        }
        pbx.enters(&first, &target);
        pbx.leaves(&second, &consult);
        pbx.hangup(&phone, "16");
        pbx.hangup(&consult, "16");
        pbx.wait(7000);
        pbx.hangs_up(&caller);
        pbx.leaves(&first, &caller);
        pbx.leaves(&first, &target);
        pbx.hangup(&target, "16");
        pbx.hangup(&caller, "16");
        let call = only_call(&pbx);
        assert_eq!(call.key.id, caller.linked);
        assert_eq!(agents(&call), (Some("101"), Some("102")));
        // The consultation isn't talk, but 101 was still in the caller's bridge.
        assert_eq!(call.talk.as_secs(), 10 + 7);
        let hop = &call.transfers[0];
        assert_eq!(call.transfers.len(), 1);
        assert_eq!(
            (hop.kind, hop.from.as_str(), hop.to.as_str()),
            (TransferKind::Attended, "101", "102")
        );
    }
}

#[test]
fn a_parked_caller_waits_and_whoever_takes_the_call_is_its_agent() {
    let mut pbx = Pbx::new();
    let caller = pbx.incoming(CALLER, DID);
    let phone = pbx.rings(&caller, "101");
    pbx.wait(1000);
    let first = pbx.answers(&caller, &phone);
    pbx.wait(4000);
    pbx.blind_transfer(&phone, &caller, "700");
    pbx.leaves(&first, &caller);
    pbx.leaves(&first, &phone);
    pbx.hangup(&phone, "16");
    pbx.parked(&caller, true);
    // Another caller is parked in the same place: they don't hear each other.
    let other = pbx.incoming("+491717654321", DID);
    pbx.parked(&other, true);
    pbx.wait(20_000);
    pbx.hangs_up(&other);
    pbx.parked(&other, false);
    pbx.hangup(&other, "16");
    let mut taker = pbx.dials("103", "701");
    pbx.parked(&caller, false);
    taker.linked.clone_from(&caller.linked);
    let second = pbx.bridge(&caller, &taker);
    pbx.wait(6000);
    pbx.hangs_up(&taker);
    pbx.leaves(&second, &taker);
    pbx.leaves(&second, &caller);
    pbx.hangup(&taker, "16");
    pbx.hangup(&caller, "16");
    let decoded = read(Kind::Ami, pbx.events.concat().as_bytes());
    assert_eq!(decoded.calls.len(), 2, "{:#?}", decoded.calls);
    let call = &decoded.calls[0].call;
    assert_eq!(agents(call), (Some("101"), Some("103")));
    assert_eq!((call.wait.as_secs(), call.talk.as_secs()), (1, 10));
    assert_eq!(call.transfers[0].to, "700");
    let other = &decoded.calls[1].call;
    assert_eq!(
        (other.call_type, other.talk.as_secs()),
        (CallType::IncomingMissed, 0)
    );
    assert_eq!(other.reason, Some(Reason::CallerGaveUp));
}

/// A caller in a queue whose first agent doesn't answer; `end` tells how it ended.
fn queued(end: impl Fn(&mut Pbx, &Channel)) -> Call {
    let mut pbx = Pbx::new();
    let caller = pbx.incoming(CALLER, DID);
    pbx.queue("QueueCallerJoin", &caller, "support");
    let agent = pbx.rings(&caller, "101");
    pbx.wait(4000);
    pbx.dial_end(&caller, &agent, "NOANSWER");
    pbx.dial_end(&caller, &agent, "CANCEL");
    pbx.hangup(&agent, "0");
    pbx.wait(1000);
    let agent = pbx.rings(&caller, "102");
    pbx.wait(2000);
    end(&mut pbx, &caller);
    pbx.dial_end(&caller, &agent, "CANCEL");
    pbx.hangup(&agent, "0");
    pbx.hangup(&caller, "16");
    only_call(&pbx)
}

#[test]
fn who_left_a_queue_and_why() {
    let abandoned = queued(|pbx, caller| {
        pbx.hangs_up(caller);
        pbx.queue("QueueCallerAbandon", caller, "support");
    });
    assert_eq!(abandoned.reason, Some(Reason::CallerGaveUp));
    let expired = queued(|pbx, caller| pbx.queue("QueueCallerAbandon", caller, "support"));
    assert_eq!(expired.reason, Some(Reason::QueueTimeout));
    // After the time-out the caller listens to an announcement and hangs up.
    let later = queued(|pbx, caller| {
        pbx.queue("QueueCallerAbandon", caller, "support");
        pbx.variable(caller, "QUEUESTATUS", "TIMEOUT");
        pbx.wait(3000);
        pbx.hangs_up(caller);
    });
    assert_eq!(later.reason, Some(Reason::QueueTimeout));
    for call in [abandoned, expired, later] {
        assert_eq!((call.queue.as_deref(), call.agent), (Some("support"), None));
        assert_eq!(call.call_type, CallType::IncomingMissed);
    }
}

#[test]
fn why_nobody_talked() {
    // Status and cause of the last attempt, whether the caller then hung up, and what that was.
    let table = [
        ("NOANSWER", "0", false, Reason::NoAnswer),
        ("NOANSWER", "19", true, Reason::NoAnswer),
        ("BUSY", "17", true, Reason::Busy),
        ("CHANUNAVAIL", "21", false, Reason::Declined),
        ("CHANUNAVAIL", "1", false, Reason::NoSuchNumber),
        ("CHANUNAVAIL", "20", false, Reason::Failed),
        ("CONGESTION", "34", false, Reason::Failed),
        ("CANCEL", "0", true, Reason::CallerGaveUp),
    ];
    for (status, cause, hangs_up, reason) in table {
        for outgoing in [false, true] {
            let mut pbx = Pbx::new();
            let (caller, called) = if outgoing {
                let mut caller = pbx.dials("101", "0301234567");
                let called = pbx.calls_out(&mut caller, "+49301234567", DID);
                (caller, called)
            } else {
                let caller = pbx.incoming(CALLER, DID);
                // An earlier attempt that says otherwise.
                let busy = pbx.rings(&caller, "102");
                pbx.wait(100);
                pbx.gives_up(&caller, &busy, "BUSY", "17");
                pbx.wait(2000);
                let called = pbx.rings(&caller, "101");
                (caller, called)
            };
            pbx.wait(5000);
            if status == "CANCEL" {
                pbx.hangs_up(&caller);
            }
            pbx.gives_up(&caller, &called, status, cause);
            if hangs_up && status != "CANCEL" {
                pbx.wait(3000);
                pbx.hangs_up(&caller);
            }
            pbx.hangup(&caller, "16");
            let call = only_call(&pbx);
            assert_eq!(
                call.reason,
                Some(reason),
                "{status} {cause} outgoing {outgoing}"
            );
        }
    }
}

#[test]
fn a_digit_that_only_leads_out_is_not_part_of_the_number() {
    let mut pbx = Pbx::new();
    let mut caller = pbx.dials("101", "90301234567");
    let called = pbx.calls_out(&mut caller, "+49301234567", DID);
    pbx.wait(1000);
    let bridge = pbx.answers(&caller, &called);
    pbx.wait(2000);
    pbx.hangs_up(&called);
    for channel in [&called, &caller] {
        pbx.leaves(&bridge, channel);
        pbx.hangup(channel, "16");
    }
    let call = only_call(&pbx);
    assert_eq!(call.call_type, CallType::OutgoingAnswered);
    assert_eq!(call.other.number().unwrap().as_str(), "+49301234567");
    assert_eq!(call.connected.unwrap().as_str(), DID);
}

/// What happens in a generated call.
#[derive(Clone, Debug)]
struct History {
    outgoing: bool,
    /// Phones that ring without an answer before: extension and seconds.
    missed: Vec<(u8, u8)>,
    /// Who talks, one after the other: extension, seconds of ringing, seconds of talk. Empty: nobody.
    talks: Vec<(u8, u8, u8)>,
    caller_ends: bool,
}

fn history() -> impl Strategy<Value = History> {
    let ring = (0..5_u8, 1..9_u8);
    let talk = (0..5_u8, 1..9_u8, 1..60_u8);
    (
        any::<bool>(),
        proptest::collection::vec(ring, 0..4),
        proptest::collection::vec(talk, 0..4),
        any::<bool>(),
    )
        .prop_map(|(outgoing, missed, talks, caller_ends)| History {
            outgoing,
            missed,
            talks,
            caller_ends,
        })
}

/// The truth of a played history.
#[derive(Debug, PartialEq)]
struct Truth {
    call_type: CallType,
    first_agent: Option<String>,
    agent: Option<String>,
    wait: u128,
    talk: u128,
    transfers: usize,
}

fn phone(number: u8) -> String {
    format!("{}", 101 + u32::from(number))
}

/// Plays a call; its id and what it was.
fn play(pbx: &mut Pbx, history: &History) -> (String, Truth) {
    if history.outgoing {
        play_outgoing(pbx, history)
    } else {
        play_incoming(pbx, history)
    }
}

fn play_incoming(pbx: &mut Pbx, history: &History) -> (String, Truth) {
    let start = pbx.now;
    let caller = pbx.incoming(CALLER, DID);
    for (extension, seconds) in &history.missed {
        let called = pbx.rings(&caller, &phone(*extension));
        pbx.wait(i64::from(*seconds) * 1000);
        pbx.gives_up(&caller, &called, "NOANSWER", "0");
    }
    let (mut talk, mut wait) = (0, None);
    let mut bridged: Option<(String, Channel)> = None;
    for (extension, ringing, talked) in &history.talks {
        if let Some((bridge, agent)) = bridged.take() {
            pbx.blind_transfer(&agent, &caller, &phone(*extension));
            pbx.leaves(&bridge, &caller);
            pbx.leaves(&bridge, &agent);
            pbx.hangup(&agent, "16");
        }
        let called = pbx.rings(&caller, &phone(*extension));
        pbx.wait(i64::from(*ringing) * 1000);
        let bridge = pbx.answers(&caller, &called);
        wait.get_or_insert(pbx.now - start);
        pbx.wait(i64::from(*talked) * 1000);
        talk += u128::from(*talked);
        bridged = Some((bridge, called));
    }
    let ended = pbx.now - start;
    finish(pbx, history, &caller, bridged);
    let who = |talk: Option<&(u8, u8, u8)>| talk.map(|(extension, ..)| phone(*extension));
    let truth = Truth {
        call_type: if history.talks.is_empty() {
            CallType::IncomingMissed
        } else {
            CallType::IncomingAnswered
        },
        first_agent: who(history.talks.first()),
        agent: who(history.talks.last()),
        wait: u128::try_from(wait.unwrap_or(ended) / 1000).unwrap(),
        talk,
        transfers: history.talks.len().saturating_sub(1),
    };
    (caller.linked, truth)
}

fn play_outgoing(pbx: &mut Pbx, history: &History) -> (String, Truth) {
    let start = pbx.now;
    let agent = phone(
        history
            .missed
            .first()
            .map_or(0, |(extension, _)| *extension),
    );
    let mut caller = pbx.dials(&agent, "0301234567");
    let called = pbx.calls_out(&mut caller, "+49301234567", DID);
    pbx.wait(3000);
    let mut talk = 0;
    if let Some((_, _, talked)) = history.talks.first() {
        let bridge = pbx.answers(&caller, &called);
        pbx.wait(i64::from(*talked) * 1000);
        talk = u128::from(*talked);
        finish(pbx, history, &caller, Some((bridge, called)));
    } else {
        pbx.gives_up(&caller, &called, "BUSY", "17");
        finish(pbx, history, &caller, None);
    }
    let truth = Truth {
        call_type: if history.talks.is_empty() {
            CallType::OutgoingUnanswered
        } else {
            CallType::OutgoingAnswered
        },
        first_agent: history.talks.first().map(|_| agent.clone()),
        agent: Some(agent),
        wait: 3,
        talk,
        transfers: 0,
    };
    let _ = start;
    (caller.linked, truth)
}

fn finish(pbx: &mut Pbx, history: &History, caller: &Channel, bridged: Option<(String, Channel)>) {
    match bridged {
        Some((bridge, other)) => {
            pbx.hangs_up(if history.caller_ends { caller } else { &other });
            pbx.leaves(&bridge, caller);
            pbx.leaves(&bridge, &other);
            pbx.hangup(&other, "16");
        }
        None => pbx.hangs_up(caller),
    }
    pbx.hangup(caller, "16");
}

fn truth_of(call: &Call) -> Truth {
    Truth {
        call_type: call.call_type,
        first_agent: call.first_agent.as_ref().map(|agent| agent.0.clone()),
        agent: call.agent.as_ref().map(|agent| agent.0.clone()),
        wait: call.wait.as_millis().unsigned_abs().div_ceil(10) / 100,
        talk: call.talk.as_millis().unsigned_abs().div_ceil(10) / 100,
        transfers: call.transfers.len(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_history_in_any_order_gives_the_calls_that_were_made(
        histories in proptest::collection::vec(history(), 1..5),
        seed in any::<u64>(),
    ) {
        let mut pbx = Pbx::new();
        let mut wanted = BTreeMap::new();
        for history in &histories {
            let (id, truth) = play(&mut pbx, history);
            wanted.insert(id, truth);
            pbx.wait(1500);
        }
        let mut random = fastrand::Rng::with_seed(seed);
        let mut events = pbx.events.clone();
        events.extend((0..random.usize(0..20)).map(|_| pbx.events[random.usize(0..pbx.events.len())].clone()));
        random.shuffle(&mut events);
        let decoded = read(Kind::Ami, events.concat().as_bytes());
        let mut found = BTreeMap::new();
        for call in &decoded.calls {
            prop_assert_eq!(call.open, None);
            prop_assert!(call.call.doubts.is_empty(), "{:?}", call.call.doubts);
            prop_assert!(call.call.wait + call.call.talk <= call.call.ended.duration_since(call.call.started));
            prop_assert_eq!(call.call.answered.is_none(), call.call.reason.is_some());
            found.insert(call.call.key.id.clone(), truth_of(&call.call));
        }
        prop_assert_eq!(found.len(), decoded.calls.len());
        prop_assert_eq!(&found, &wanted);
        // With gaps: never a panic, never more calls.
        events.truncate(random.usize(0..=events.len()));
        prop_assert!(read(Kind::Ami, events.concat().as_bytes()).calls.len() <= wanted.len());
    }
}

/// Settings with an Asterisk beside the others.
fn with_asterisk() -> Config {
    Config {
        daemon: "\n[[pbx]]\nname = \"asterisk\"\ndialect = \"asterisk\"\n\
                 auth = { kind = \"bearer\", token_file = \"script-token\" }\n\
                 extensions = [\"100-199\"]\nsettle = \"300ms\"\n"
            .to_owned(),
        ..Config::default()
    }
}

#[tokio::test]
async fn live_events_become_one_conversation_for_each_call_over_kills_and_repeats() {
    let seed = seed();
    let mut random = fastrand::Rng::with_seed(seed);
    let (mut pbx, mut wanted) = (Pbx::new(), BTreeMap::new());
    for number in 0..6_u8 {
        let history = History {
            outgoing: number == 5,
            missed: vec![(number % 3, 2)],
            talks: (0..number % 4).map(|agent| (agent, 2, 5)).collect(),
            caller_ends: number % 2 == 0,
        };
        let (id, _) = play(&mut pbx, &history);
        wanted.insert(format!("tieline:asterisk:{id}"), (1, 1));
        pbx.wait(2000);
    }
    let (world, mut daemon) = World::running(&with_asterisk()).await;
    let kills: Vec<usize> = (0..3).map(|_| random.usize(0..pbx.events.len())).collect();
    for (index, event) in pbx.events.iter().enumerate() {
        daemon
            .post_raw("asterisk", None, None, event.as_bytes())
            .await;
        if random.u8(0..10) == 0 {
            daemon
                .post_raw("asterisk", None, None, event.as_bytes())
                .await;
        }
        if kills.contains(&index) {
            daemon.kill();
            daemon = world.place.start().await;
        }
    }
    let distinct: std::collections::BTreeSet<&String> = pbx.events.iter().collect();
    daemon.settled(distinct.len()).await;
    assert_eq!(logs(&world.sandbox), wanted, "seed {seed}");
}

#[tokio::test]
async fn posts_of_every_source_become_one_conversation() {
    let (world, daemon) = World::running(&with_asterisk()).await;
    let mut posted = 0;
    let scenario = "07-queue-first-agent-misses-second-answers";
    for kind in [Kind::Ami, Kind::Cel, Kind::Hook, Kind::FreePbx] {
        let bytes = std::fs::read(super::folder().join(scenario).join(kind.file())).unwrap();
        let mut bodies: Vec<Post> = super::events(kind, &bytes)
            .into_iter()
            .map(|event| match kind {
                Kind::Hook => tieline::cli::recording::posts(&event).remove(0),
                _ => raw_post(event),
            })
            .collect();
        // Sounds, devices and variables tell nothing.
        bodies.retain(|post| {
            let text = String::from_utf8_lossy(&post.body);
            !["VarSet", "Newexten", "DeviceState", "QueueMember", "CEL"]
                .iter()
                .any(|noise| text.starts_with(&format!("Event: {noise}")))
        });
        for post in bodies {
            daemon.post_raw("asterisk", None, None, &post.body).await;
            posted += 1;
        }
    }
    daemon.settled(posted).await;
    let wanted = BTreeMap::from([("tieline:asterisk:pbx-1795176537.28".to_owned(), (1, 1))]);
    assert_eq!(logs(&world.sandbox), wanted);
    let explained = daemon.place.explain("asterisk:pbx-1795176537.28").await;
    assert_eq!(explained["call"]["agent"], "102", "{explained:#}");
    assert_eq!(explained["call"]["queue"], "support");
}
