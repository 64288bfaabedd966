//! Jasmin's HTTP client connector: one text a call, as form or query. Delivery reports (`message_status`) are no texts.

use super::body::{self, Payload};
use super::fields;
use super::post::Post;
use super::sms::{self, Sms};
use super::{Manners, NotUnderstood, PhoneEvent, RawEvent, Site};

/// Anything else is sent again.
pub const MANNERS: Manners = Manners {
    get: true,
    answer: Some("ACK/Jasmin"),
};

/// `coding` of UTF-16; `content` of such a text is damaged on its way, `binary` isn't.
const UCS2: &str = "8";

/// See [`super::decode`].
pub fn decode(raw: &RawEvent<'_>, site: &Site) -> Result<Vec<PhoneEvent>, NotUnderstood> {
    let foreign = NotUnderstood::Foreign("Jasmin");
    let payload = body::sniff(raw.body)?;
    let mut posts = Post::all(raw, site, foreign)?;
    let post = posts.pop().ok_or(foreign)?;
    if post.fields.has("message_status") {
        return Ok(Vec::new());
    }
    let id = post.id(&["id"])?;
    let from = post.get(&["from"]).ok_or(NotUnderstood::Missing("from"))?;
    let wide = post.get(&["coding"]) == Some(UCS2);
    let binary = post.get(&["binary"]).and_then(sms::from_hex);
    let content = match &payload {
        Payload::Form(form) => fields::bytes_in_form(form, "content"),
        Payload::Json(_) | Payload::Xml(_) => post.fields.whole("content").map(Into::into),
    };
    let body = match (binary, content) {
        (Some(binary), _) if wide => sms::utf16(&binary),
        (_, Some(content)) => sms::words(&content, wide.then_some("UTF-16BE")),
        (Some(binary), None) => sms::words(&binary, None),
        (None, None) => return Err(NotUnderstood::Missing("content")),
    };
    let sms = Sms {
        id: Some(&id),
        from,
        to: post.fields.text("to"),
        at: None,
        body,
        media: Vec::new(),
    };
    Ok(vec![PhoneEvent::Text(sms::text(sms, &post)?)])
}
