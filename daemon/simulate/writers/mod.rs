//! The scenarios in each phone system's own words: one file for those that speak alike. Pure: a call in, its posts out.
//!
//! Only the fields that matter are written, as docs/phone-systems.md and the vendors' documents name them. Nothing here
//! knows the decoders: what both got wrong would look right.

mod aircall;
mod asterisk;
mod cloudtalk;
mod dialpad;
mod freeswitch;
mod gateways;
mod grandstream;
mod kamailio;
mod ours;
mod ringcentral;
mod threecx;
mod twilio;
mod yeastar;
mod zammad;

pub use asterisk::events as manager_events;
pub use freeswitch::events as socket_events;

use super::post::Told;
use super::scenario::{Call, Scenario};
use crate::settings::types::Dialect;
use serde_json::Value;

/// What a phone system of that dialect can tell of.
pub const fn says(dialect: Dialect) -> &'static [Scenario] {
    match dialect {
        Dialect::Tieline => ours::SAYS,
        Dialect::Freeswitch => freeswitch::SAYS,
        Dialect::Asterisk => asterisk::SAYS,
        Dialect::Aircall => aircall::SAYS,
        Dialect::Cloudtalk => cloudtalk::SAYS,
        Dialect::Dialpad => dialpad::SAYS,
        Dialect::Ringcentral => ringcentral::SAYS,
        Dialect::Twilio => twilio::SAYS,
        Dialect::Yeastar => yeastar::SAYS,
        Dialect::ThreeCx => threecx::SAYS,
        Dialect::Grandstream => grandstream::SAYS,
        Dialect::Kamailio => kamailio::SAYS,
        Dialect::Zammad => zammad::SAYS,
        Dialect::Gammu | Dialect::Jasmin | Dialect::Kannel | Dialect::PlaySms => gateways::SAYS,
    }
}

/// The call's posts, in the order in which they would come. Of a scenario that the phone system can't tell, whatever comes
/// nearest.
pub fn write(dialect: Dialect, call: &Call) -> Told {
    match dialect {
        Dialect::Tieline => ours::write(call),
        Dialect::Freeswitch => freeswitch::write(call),
        Dialect::Asterisk => asterisk::write(call),
        Dialect::Aircall => aircall::write(call),
        Dialect::Cloudtalk => cloudtalk::write(call),
        Dialect::Dialpad => dialpad::write(call),
        Dialect::Ringcentral => ringcentral::write(call),
        Dialect::Twilio => twilio::write(call),
        Dialect::Yeastar => yeastar::write(call),
        Dialect::ThreeCx => threecx::write(call),
        Dialect::Grandstream => grandstream::write(call),
        Dialect::Kamailio => kamailio::write(call),
        Dialect::Zammad => zammad::write(call),
        Dialect::Gammu => gateways::gammu(call),
        Dialect::Jasmin => gateways::jasmin(call),
        Dialect::Kannel => gateways::kannel(call),
        Dialect::PlaySms => gateways::playsms(call),
    }
}

/// The e-mail address of somebody who is known by one; an extension's is made up.
fn email(who: &str) -> String {
    if who.contains('@') {
        who.to_owned()
    } else {
        format!("agent-{who}@example.org")
    }
}

/// Adds the fields of `more`, in place of those that are there.
fn merge(into: &mut Value, more: &Value) {
    if let (Some(into), Some(more)) = (into.as_object_mut(), more.as_object()) {
        into.extend(more.clone());
    }
}
