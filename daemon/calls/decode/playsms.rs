//! playSMS: a text with the fields that its gateways call it back with, as query, form or JSON. Delivery reports
//! (`message_status`) are no texts.

use super::post::Post;
use super::sms::{self, Sms};
use super::{Manners, NotUnderstood, PhoneEvent, RawEvent, Site};

/// What it expects isn't known; it looks at the status.
pub const MANNERS: Manners = Manners {
    get: true,
    answer: Some("OK"),
};

/// See [`super::decode`].
pub fn decode(raw: &RawEvent<'_>, site: &Site) -> Result<Vec<PhoneEvent>, NotUnderstood> {
    let mut events = Vec::new();
    for post in Post::all(raw, site, NotUnderstood::Foreign("playSMS"))? {
        if post.get(&["message_status"]).is_some() {
            continue;
        }
        let from = post.get(&["from"]).ok_or(NotUnderstood::Missing("from"))?;
        let media = sms::links(post.get(&["media"]));
        let body = post.fields.whole("message");
        if media.is_empty() && body.is_none() {
            return Err(NotUnderstood::Missing("message"));
        }
        let sms = Sms {
            id: post.get(&["id"]),
            from,
            to: post.fields.text("to"),
            at: post.time("timestamp")?,
            body: body.unwrap_or_default().to_owned(),
            media,
        };
        events.push(PhoneEvent::Text(sms::text(sms, &post)?));
    }
    Ok(events)
}
