//! FreeSWITCH: one call record of mod_json_cdr for each leg when it ends; and, for a listener, the same legs as events of
//! the event socket. Of some 200 variables those are written that tell of the call.

use super::merge;
use crate::simulate::post::{Post, Told};
use crate::simulate::scenario::{Call, Fate, Ring, Scenario, Way};
use jiff::Timestamp;
use serde_json::{Map, Value, json};

pub const SAYS: &[Scenario] = &[
    Scenario::Answered,
    Scenario::Missed,
    Scenario::Busy,
    Scenario::GaveUp,
    Scenario::Queue,
    Scenario::Transfer,
    Scenario::Voicemail,
    Scenario::OutAnswered,
    Scenario::OutBusy,
    Scenario::OutUnanswered,
    Scenario::Internal,
    Scenario::Anonymous,
];

/// A stay in the dial plan: what was dialled, who was bridged, and when.
struct Stay {
    dialled: String,
    entered: i64,
    bridged: Option<i64>,
    left: Option<i64>,
    /// The leg that it was bridged with.
    with: Option<(String, String)>,
}

struct Leg {
    uuid: String,
    caller: String,
    /// Who called whom, of a leg that another one set up.
    originator: Option<(String, String)>,
    from: i64,
    answered: Option<i64>,
    end: i64,
    variables: Vec<(&'static str, String)>,
    application: Option<&'static str>,
    /// Oldest first.
    stays: Vec<Stay>,
}

pub fn write(call: &Call) -> Told {
    let post = |leg: &Leg| Post::json(&record(call, leg), call.at(leg.end));
    let posts = legs(call).iter().map(post).collect();
    Told::new(call.uuid(0), posts)
}

/// The call as events of the event socket, each with its time.
pub fn events(call: &Call) -> Vec<(Timestamp, Value)> {
    let mut events = Vec::new();
    for leg in legs(call) {
        events.push((
            call.at(leg.from),
            event(call, &leg, "CHANNEL_CREATE", leg.from),
        ));
        if let Some(answered) = leg.answered {
            events.push((
                call.at(answered),
                event(call, &leg, "CHANNEL_ANSWER", answered),
            ));
        }
        events.push((
            call.at(leg.end),
            event(call, &leg, "CHANNEL_HANGUP_COMPLETE", leg.end),
        ));
    }
    // At one moment the legs that were called end first.
    events.sort_by_key(|(at, _)| *at);
    events
}

/// The called legs, and the one that began the call behind them, as their records come.
fn legs(call: &Call) -> Vec<Leg> {
    let rings = call.rings().into_iter().enumerate();
    let mut legs: Vec<Leg> = rings
        .map(|(index, (who, ring))| called(call, index, who, ring))
        .collect();
    legs.push(first(call));
    legs
}

fn ends(call: &Call) -> (&str, &str) {
    let parties = &call.parties;
    match call.tale.way {
        Way::In => (call.customer("anonymous"), &parties.ours),
        Way::Out => (&parties.agent, &parties.customer),
        Way::Internal => (&parties.agent, &parties.colleague),
    }
}

const fn cause(ring: Ring) -> &'static str {
    match ring.fate {
        Fate::Answered => "NORMAL_CLEARING",
        Fate::NoAnswer => "NO_ANSWER",
        Fate::Busy => "USER_BUSY",
        Fate::GaveUp => "ORIGINATOR_CANCEL",
    }
}

fn called(call: &Call, index: usize, who: &str, ring: Ring) -> Leg {
    let tale = call.tale;
    let handed_on = tale.handed_on().filter(|_| index == 0);
    let bridged = ring.answered().then_some(ring.until);
    let end = bridged.map_or(ring.until, |_| handed_on.unwrap_or(tale.end));
    let (caller, dialled) = ends(call);
    let mut variables = vec![("direction", "outbound".to_owned())];
    if tale.queue {
        variables.push(("cc_side", "agent".to_owned()));
        variables.push(("cc_member_session_uuid", call.uuid(0)));
        variables.push(("cc_queue", "support@default".to_owned()));
    } else {
        variables.push(("originating_leg_uuid", call.uuid(0)));
    }
    variables.push(("hangup_cause", cause(ring).to_owned()));
    Leg {
        uuid: call.uuid(index + 1),
        caller: if tale.way == Way::Out {
            call.parties.ours.clone()
        } else {
            caller.to_owned()
        },
        originator: Some((caller.to_owned(), dialled.to_owned())),
        from: ring.from,
        answered: bridged,
        end,
        variables,
        application: None,
        stays: vec![Stay {
            dialled: who.to_owned(),
            entered: ring.from,
            bridged,
            left: None,
            with: None,
        }],
    }
}

fn first(call: &Call) -> Leg {
    let tale = call.tale;
    let (caller, dialled) = ends(call);
    let rings = call.rings();
    let of = |ring: Option<Ring>, leg: usize| {
        let who = rings
            .get(leg.saturating_sub(1))
            .map(|(who, _)| (*who).to_owned());
        let ring = ring.filter(|ring| ring.answered());
        (
            ring.map(|ring| ring.until),
            ring.and(who).map(|who| (call.uuid(leg), who)),
        )
    };
    let (bridged, with) = of(Some(tale.ring), 1);
    let (then_bridged, then_with) = of(tale.then, 2);
    let mut stays = vec![Stay {
        dialled: dialled.to_owned(),
        entered: 0,
        bridged: bridged.or(then_bridged),
        left: tale.handed_on(),
        with: with.or_else(|| then_with.clone()),
    }];
    stays.extend(tale.handed_on().map(|second| Stay {
        dialled: call.parties.colleague.clone(),
        entered: second,
        bridged: then_bridged,
        left: None,
        with: then_with,
    }));
    let picked_up = tale
        .queue
        .then_some(0)
        .or(tale.mailbox.then_some(tale.ring.until));
    Leg {
        uuid: call.uuid(0),
        caller: caller.to_owned(),
        originator: None,
        from: 0,
        answered: picked_up.or(tale.answered()),
        end: tale.end,
        variables: outcome(call),
        application: tale.mailbox.then_some("voicemail"),
        stays,
    }
}

/// The variables of the first leg.
fn outcome(call: &Call) -> Vec<(&'static str, String)> {
    let tale = call.tale;
    let last = tale.then.unwrap_or(tale.ring);
    let hangup = if tale.mailbox {
        "NORMAL_CLEARING"
    } else {
        cause(last)
    };
    let disposition = if last.answered() {
        "SUCCESS"
    } else {
        cause(last)
    };
    let mut variables = vec![
        ("direction", "inbound".to_owned()),
        ("hangup_cause", hangup.to_owned()),
        ("originate_disposition", disposition.to_owned()),
    ];
    if last.answered() || tale.mailbox {
        variables.push(("sip_hangup_disposition", "recv_bye".to_owned()));
    }
    if tale.mailbox {
        let message = "/var/lib/freeswitch/storage/voicemail/default/pbx/msg_1.wav";
        variables.push(("voicemail_file_path", message.to_owned()));
    }
    if tale.way == Way::Out {
        variables.push(("effective_caller_id_number", call.parties.ours.clone()));
    }
    if tale.queue {
        variables.push(("cc_side", "member".to_owned()));
        variables.push(("cc_queue", "support@default".to_owned()));
        let answered = tale.answered().map(|second| call.epoch(second).to_string());
        variables.extend(answered.map(|answered| ("cc_queue_answered_epoch", answered)));
    }
    if let Some(second) = tale.handed_on() {
        let (epoch, uuid) = (call.epoch(second), call.uuid(3));
        let to = &call.parties.colleague;
        variables.push((
            "transfer_history",
            format!("{epoch}:{uuid}:bl_xfer:{to}/public/XML"),
        ));
    }
    variables
}

/// Microseconds since 1970; zero means never.
fn micros(call: &Call, second: Option<i64>) -> String {
    second.map_or_else(
        || "0".to_owned(),
        |second| call.at(second).as_microsecond().to_string(),
    )
}

/// As mod_json_cdr has it.
fn record(call: &Call, leg: &Leg) -> Value {
    let micros = |second: Option<i64>| micros(call, second);
    let mut variables = Map::new();
    variables.insert("uuid".to_owned(), json!(leg.uuid));
    variables.insert("start_uepoch".to_owned(), json!(micros(Some(leg.from))));
    variables.insert("answer_uepoch".to_owned(), json!(micros(leg.answered)));
    variables.insert("end_uepoch".to_owned(), json!(micros(Some(leg.end))));
    for (name, value) in &leg.variables {
        variables.insert((*name).to_owned(), json!(value));
    }
    let flow = |stay: &Stay| {
        let mut profile = json!({"caller_id_number": leg.caller, "destination_number": stay.dialled, "uuid": leg.uuid});
        if let Some((uuid, who)) = &stay.with {
            let called = json!({"uuid": uuid, "destination_number": who});
            merge(
                &mut profile,
                &json!({"originatee": {"originatee_caller_profiles": [called]}}),
            );
        }
        if let Some((caller, dialled)) = &leg.originator {
            let originator = json!({"caller_id_number": caller, "destination_number": dialled, "uuid": call.uuid(0)});
            merge(
                &mut profile,
                &json!({"originator": {"originator_caller_profiles": [originator]}}),
            );
        }
        let hangup = if stay.left.is_none() {
            Some(leg.end)
        } else {
            None
        };
        json!({"caller_profile": profile, "times": {
            "created_time": micros(Some(leg.from)), "profile_created_time": micros(Some(stay.entered)),
            "answered_time": micros(leg.answered), "bridged_time": micros(stay.bridged),
            "transfer_time": micros(stay.left), "hangup_time": micros(hangup)}})
    };
    let flows: Vec<Value> = leg.stays.iter().rev().map(flow).collect();
    let applications: Vec<Value> = leg
        .application
        .iter()
        .map(|name| json!({"app_name": name, "app_data": "default example.org 101"}))
        .collect();
    json!({"core-uuid": call.uuid(9), "variables": variables, "app_log": {"applications": applications}, "callflow": flows})
}

/// As the event socket has it at that second: what comes later isn't known yet.
fn event(call: &Call, leg: &Leg, name: &str, second: i64) -> Value {
    let known = |at: Option<i64>| micros(call, at.filter(|at| *at <= second));
    let over = name == "CHANNEL_HANGUP_COMPLETE";
    let mut headers = Map::new();
    let mut put =
        |name: &str, value: String| drop(headers.insert(name.to_owned(), Value::String(value)));
    put("Event-Name", name.to_owned());
    put("Event-Date-Timestamp", known(Some(second)));
    put("Unique-ID", leg.uuid.clone());
    let mut stays = leg.stays.iter().enumerate();
    if let Some((index, stay)) = stays.rfind(|(_, stay)| stay.entered <= second) {
        put("Caller-Profile-Index", (index + 1).to_string());
        put("Caller-Destination-Number", stay.dialled.clone());
        put("Caller-Profile-Created-Time", known(Some(stay.entered)));
        put("Caller-Channel-Bridged-Time", known(stay.bridged));
    }
    put("Caller-Caller-ID-Number", leg.caller.clone());
    put("Caller-Unique-ID", leg.uuid.clone());
    put("Caller-Channel-Created-Time", known(Some(leg.from)));
    put("Caller-Channel-Answered-Time", known(leg.answered));
    put("Caller-Channel-Hangup-Time", known(over.then_some(leg.end)));
    if let Some((caller, dialled)) = &leg.originator {
        put("Other-Type", "originator".to_owned());
        put("Other-Leg-Caller-ID-Number", caller.clone());
        put("Other-Leg-Destination-Number", dialled.clone());
        put("Other-Leg-Unique-ID", call.uuid(0));
    }
    put("variable_uuid", leg.uuid.clone());
    for (name, value) in &leg.variables {
        let always = matches!(
            *name,
            "direction" | "originating_leg_uuid" | "cc_side" | "cc_member_session_uuid"
        );
        if over || always {
            put(&format!("variable_{name}"), value.clone());
        }
    }
    if let Some(application) = leg.application.filter(|_| over) {
        put("variable_current_application", application.to_owned());
    }
    Value::Object(headers)
}
