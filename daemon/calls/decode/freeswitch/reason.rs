//! Why nobody talked, in the words of FreeSWITCH's records and events.

use super::record::Record;
use crate::terms::call::Reason;

/// Why nobody talked, as the root leg tells it. Its own hang-up cause is the last resort: after a time-out it reads
/// NORMAL_CLEARING.
pub fn of_root(record: &Record) -> Option<Reason> {
    let hangup = record.variable("hangup_cause").unwrap_or_default();
    let caller_hung_up = matches!(
        record.variable("sip_hangup_disposition"),
        Some("recv_bye" | "recv_cancel")
    );
    if hangup == "ORIGINATOR_CANCEL" {
        return Some(Reason::CallerGaveUp);
    }
    // Whoever was in a conference was there for it; whether anybody else was isn't told.
    if record.variable("conference_name").is_some() {
        return None;
    }
    if record.variable("cc_queue").is_some() && record.variable("cc_queue_answered_epoch").is_none()
    {
        return match record.variable("cc_cancel_reason") {
            Some("TIMEOUT" | "NO_AGENT_TIMEOUT") => Some(Reason::QueueTimeout),
            Some("BREAK_OUT") => Some(Reason::CallerGaveUp),
            _ if caller_hung_up => Some(Reason::CallerGaveUp),
            _ => None,
        };
    }
    let dialling = record
        .values("originate_disposition")
        .pop()
        .and_then(of_cause);
    let dialling = dialling.or_else(|| of_cause(hangup));
    dialling.or(if caller_hung_up {
        Some(Reason::CallerGaveUp)
    } else {
        None
    })
}

/// FreeSWITCH's hang-up causes (ITU-T Q.850 and its own) that say why nobody talked.
pub fn of_cause(cause: &str) -> Option<Reason> {
    match cause {
        // Someone else took the call, or it was an ordinary end.
        "" | "NONE" | "SUCCESS" | "NORMAL_CLEARING" | "LOSE_RACE" | "PICKED_OFF"
        | "MANAGER_REQUEST" | "BLIND_TRANSFER" | "ATTENDED_TRANSFER" => None,
        "NO_ANSWER" | "ALLOTTED_TIMEOUT" | "NO_USER_RESPONSE" | "PROGRESS_TIMEOUT"
        | "MEDIA_TIMEOUT" => Some(Reason::NoAnswer),
        "USER_BUSY" => Some(Reason::Busy),
        "CALL_REJECTED" => Some(Reason::Declined),
        "UNALLOCATED_NUMBER" | "NO_ROUTE_DESTINATION" | "INVALID_NUMBER_FORMAT" => {
            Some(Reason::NoSuchNumber)
        }
        "ORIGINATOR_CANCEL" => Some(Reason::CallerGaveUp),
        _ => Some(Reason::Failed),
    }
}
