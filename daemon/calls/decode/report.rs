//! What phone systems call the fate of a text that was sent. Used by the dialects whose posts tell it.

use crate::terms::text::{Fate, Report};

/// Longest reason taken, in characters: codes and a few words.
const WHY_CHARS_MAX: usize = 100;

/// The fate that a status names; none for what is still under way, or says only that it was handed on.
pub fn report(status: &str, why: Option<String>) -> Option<Report> {
    let letters = |c: &char| c.is_ascii_alphanumeric();
    let word: String = status.chars().filter(letters).collect();
    let fate = match word.to_ascii_lowercase().as_str() {
        // Twilio, RingCentral, Aircall, and our own.
        "delivered" | "read" => Fate::Delivered,
        // Also Asterisk's MESSAGE_SEND_STATUS and Dialpad's message_status.
        "failed" | "undelivered" | "deliveryfailed" | "sendingfailed" | "failure"
        | "invalidprotocol" | "invaliduri" => Fate::Failed,
        _ => return None,
    };
    let why = why.map(|why| why.chars().take(WHY_CHARS_MAX).collect());
    Some(Report { fate, why })
}
