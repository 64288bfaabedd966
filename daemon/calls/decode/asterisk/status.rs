//! Asterisk's words for how something ended: the variables DIALSTATUS, QUEUESTATUS and VMSTATUS, which AMI, ARI, hooks and
//! CEL all speak, and what applications of the dial plan mean for a call.

use super::channel::said;
use crate::calls::decode::facts::{LegFacts, Outcome};
use crate::terms::party::Extension;
use jiff::{SignedDuration, Timestamp};

/// What a dial attempt came to; none while it goes on, and where somebody answered.
pub fn of_dial(status: &str) -> Option<Outcome> {
    match status.trim() {
        "NOANSWER" | "NO ANSWER" => Some(Outcome::NoAnswer),
        "BUSY" => Some(Outcome::Busy),
        "CANCEL" => Some(Outcome::Cancelled),
        "CHANUNAVAIL" | "CONGESTION" | "INVALIDARGS" | "DONTCALL" | "TORTURE" | "FAILED" => {
            Some(Outcome::Failed)
        }
        _ => None,
    }
}

/// Why a caller left a queue without an agent.
pub fn of_queue(status: &str) -> Option<Outcome> {
    match status.trim() {
        "TIMEOUT" => Some(Outcome::QueueTimeout),
        // Nobody was there to answer, or no place to wait.
        "FULL" | "JOINEMPTY" | "LEAVEEMPTY" | "JOINUNAVAIL" | "LEAVEUNAVAIL" | "WITHDRAW" => {
            Some(Outcome::NoAnswer)
        }
        "ABANDON" | "ABANDONED" => Some(Outcome::Cancelled),
        _ => None,
    }
}

/// What a variable of the channel tells about its call.
pub fn variable(leg: &mut LegFacts, at: Timestamp, name: &str, value: &str) {
    match name {
        "DIALSTATUS" => leg.outcomes.extend(of_dial(value).map(|end| (at, end))),
        "QUEUESTATUS" => leg.outcomes.extend(of_queue(value).map(|end| (at, end))),
        "VMSTATUS" => mailbox(leg, value),
        "MIXMONITOR_FILENAME" => recorded(leg, value),
        _ => {}
    }
}

/// VMSTATUS: whether a message was left.
pub fn mailbox(leg: &mut LegFacts, status: &str) {
    match said(status) {
        Some("SUCCESS") => leg.voicemail = true,
        Some(_) => leg.no_message = true,
        None => {}
    }
}

/// A recording's file, named when it begins.
pub fn recorded(leg: &mut LegFacts, file: &str) {
    if let Some(file) = said(file) {
        leg.recording_announced = true;
        leg.rare.recording = Some(file.to_owned());
    }
}

/// What it means that the leg runs this application.
pub fn application(leg: &mut LegFacts, name: &str, data: &str) {
    match name {
        "VoiceMail" => {
            leg.voicemail = true;
            leg.rare.mailbox = mailbox_of(data);
        }
        "Queue" => leg.rare.queue = queue(data),
        "MixMonitor" | "Monitor" => leg.recording_announced = true,
        _ => {}
    }
}

/// The first mailbox in the application's data: `101@default&102@default,u`.
fn mailbox_of(data: &str) -> Option<Extension> {
    let first = data.split([',', '&', '@']).next().and_then(said)?;
    Some(Extension(first.to_owned()))
}

/// The queue's name in the application's data: `support,tT,,,20`.
fn queue(data: &str) -> Option<String> {
    data.split(',').next().and_then(said).map(str::to_owned)
}

/// When a queue's time limit runs out that the leg enters, from the application's data.
pub fn queue_limit(leg: &mut LegFacts, name: &str, data: &str, at: Timestamp) {
    let seconds = data
        .split(',')
        .nth(4)
        .and_then(|limit| limit.trim().parse().ok());
    let limit = seconds.filter(|seconds| name == "Queue" && *seconds > 0);
    leg.rare.queue_until = limit.and_then(|seconds: i64| {
        let limit = SignedDuration::from_secs(seconds);
        at.checked_add(limit).ok()
    });
}

/// A hang-up cause as ITU-T Q.850 numbers it; zero says nothing.
pub fn cause(leg: &mut LegFacts, code: &str, text: &str) {
    leg.cause_code = code.trim().parse().ok().filter(|code| *code > 0);
    leg.cause = leg.cause_code.map(|code| match said(text) {
        Some(text) => format!("{code} {text}"),
        None => code.to_string(),
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_mailbox_of_the_application_is_whose_it_was() {
        for (data, owner) in [
            ("101@default,u", Some("101")),
            ("101,us", Some("101")),
            ("101@default&102@default", Some("101")),
            ("", None),
        ] {
            let owner = owner.map(|owner| Extension(owner.to_owned()));
            assert_eq!(mailbox_of(data), owner, "{data}");
        }
    }
}
