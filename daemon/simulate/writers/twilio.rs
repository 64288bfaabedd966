//! Twilio: status callbacks of the parent call and of the legs that `<Dial>` makes, recordings and messages, each a form.

use crate::simulate::post::{Post, Told};
use crate::simulate::scenario::{Call, Fate, Scenario, Way};

pub const SAYS: &[Scenario] = &[
    Scenario::Answered,
    Scenario::Missed,
    Scenario::Busy,
    Scenario::GaveUp,
    Scenario::OutAnswered,
    Scenario::OutBusy,
    Scenario::OutUnanswered,
    Scenario::Anonymous,
    Scenario::Recording,
    Scenario::TextIn,
];

/// What Twilio shows for a caller who hides: ANONYMOUS on a dial pad.
const HIDDEN: &str = "+266696687";

pub fn write(call: &Call) -> Told {
    let tale = call.tale;
    if call.scenario.is_text() {
        return text(call);
    }
    let sid = sid(call, "CA", 0);
    let mut posts = Vec::new();
    match tale.way {
        Way::In => {
            posts.extend(dialled(call, &sid));
            // TwiML picked up at once.
            let length = tale.end.to_string();
            let ended = [
                ("CallStatus", "completed"),
                ("CallDuration", length.as_str()),
            ];
            posts.push(root(call, &sid, "inbound", tale.end, &ended));
        }
        Way::Out | Way::Internal => {
            posts.push(root(
                call,
                &sid,
                "outbound-api",
                0,
                &[("CallStatus", "initiated")],
            ));
            posts.push(root(
                call,
                &sid,
                "outbound-api",
                tale.ring.from,
                &[("CallStatus", "ringing")],
            ));
            if let Some(answered) = tale.answered() {
                posts.push(root(
                    call,
                    &sid,
                    "outbound-api",
                    answered,
                    &[("CallStatus", "in-progress")],
                ));
            }
            let talk = tale
                .answered()
                .map_or(0, |answered| tale.end - answered)
                .to_string();
            let ended = [
                ("CallStatus", status(tale.ring.fate)),
                ("CallDuration", talk.as_str()),
            ];
            posts.push(root(call, &sid, "outbound-api", tale.end, &ended));
        }
    }
    if tale.recorded {
        let url = format!("https://api.example.org/Recordings/{}", call.hex());
        let recording = [
            ("CallSid", sid.as_str()),
            ("RecordingStatus", "completed"),
            ("RecordingUrl", url.as_str()),
        ];
        posts.push(Post::form(&recording, call.at(tale.end + 30)).late());
    }
    Told::new(sid, posts)
}

/// `CA` or `SM` and 32 digits.
fn sid(call: &Call, kind: &str, leg: usize) -> String {
    format!("{kind}{}{leg:016x}", call.hex())
}

fn status(fate: Fate) -> &'static str {
    match fate {
        Fate::Answered => "completed",
        Fate::NoAnswer => "no-answer",
        Fate::Busy => "busy",
        Fate::GaveUp => "canceled",
    }
}

/// RFC 2822, as Twilio's `Timestamp`.
fn timestamp(call: &Call, second: i64) -> String {
    let at = call.at(second);
    at.strftime("%a, %d %b %Y %H:%M:%S +0000").to_string()
}

fn root(call: &Call, sid: &str, direction: &str, second: i64, more: &[(&str, &str)]) -> Post {
    let ours = call.parties.ours.as_str();
    let (from, to) = match call.tale.way {
        Way::In => (call.customer(HIDDEN), ours),
        Way::Out | Way::Internal => (ours, call.parties.customer.as_str()),
    };
    callback(
        call,
        &[
            ("CallSid", sid),
            ("Direction", direction),
            ("From", from),
            ("To", to),
        ],
        second,
        more,
    )
}

fn callback(call: &Call, who: &[(&str, &str)], second: i64, more: &[(&str, &str)]) -> Post {
    let timestamp = timestamp(call, second);
    let fixed = [
        ("AccountSid", "AC00000000000000000000000000000000"),
        ("ApiVersion", "2010-04-01"),
        ("CallbackSource", "call-progress-events"),
        ("Timestamp", timestamp.as_str()),
    ];
    Post::form(&[fixed.as_slice(), who, more].concat(), call.at(second))
}

/// The leg to the agent's device.
fn dialled(call: &Call, parent: &str) -> Vec<Post> {
    let (tale, child) = (call.tale, sid(call, "CA", 1));
    let to = format!("client:{}", call.parties.agent);
    let leg = [
        ("CallSid", child.as_str()),
        ("ParentCallSid", parent),
        ("Direction", "outbound-dial"),
        ("From", call.customer(HIDDEN)),
        ("To", to.as_str()),
    ];
    let mut posts = vec![
        callback(call, &leg, tale.ring.from, &[("CallStatus", "initiated")]),
        callback(call, &leg, tale.ring.from, &[("CallStatus", "ringing")]),
    ];
    let (end, talk) = match tale.answered() {
        Some(answered) => {
            posts.push(callback(
                call,
                &leg,
                answered,
                &[("CallStatus", "in-progress")],
            ));
            (tale.end, tale.end - answered)
        }
        None => (tale.ring.until, 0),
    };
    let talk = talk.to_string();
    let ended = [
        ("CallStatus", status(tale.ring.fate)),
        ("CallDuration", talk.as_str()),
    ];
    posts.push(callback(call, &leg, end, &ended));
    posts
}

fn text(call: &Call) -> Told {
    let (sid, parties) = (sid(call, "SM", 0), &call.parties);
    let fields = [
        ("MessageSid", sid.as_str()),
        ("AccountSid", "AC00000000000000000000000000000000"),
        ("ApiVersion", "2010-04-01"),
        ("SmsStatus", "received"),
        ("From", &parties.customer),
        ("To", &parties.ours),
        ("Body", &parties.words),
        ("NumMedia", "0"),
    ];
    let post = Post::form(&fields, call.start);
    Told::new(sid, vec![post])
}
