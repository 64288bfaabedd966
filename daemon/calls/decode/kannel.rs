//! Kannel's `sms-service`: a GET of the URL that docs/phone-systems.md has, or the same fields as a form. Delivery
//! reports are no texts.

use super::body::{self, Payload};
use super::fields;
use super::post::Post;
use super::sms::{self, Sms};
use super::{Manners, NotUnderstood, PhoneEvent, RawEvent, Site};

/// The body of the answer is sent back as a text: it must be empty.
pub const MANNERS: Manners = Manners {
    get: true,
    answer: Some(""),
};

/// See [`super::decode`].
pub fn decode(raw: &RawEvent<'_>, site: &Site) -> Result<Vec<PhoneEvent>, NotUnderstood> {
    let foreign = NotUnderstood::Foreign("Kannel");
    let Payload::Form(form) = body::sniff(raw.body)? else {
        return Err(foreign);
    };
    let mut posts = Post::all(raw, site, foreign)?;
    let post = posts.pop().ok_or(foreign)?;
    // %d is -1 or empty of a text that came in.
    if post.get(&["dlr"]).is_some_and(|dlr| dlr != "-1") {
        return Ok(Vec::new());
    }
    let from = post
        .get(&["from"])
        .ok_or(NotUnderstood::Missing("from"))?
        .to_owned();
    let bytes = fields::bytes_in_form(form, "text").ok_or(NotUnderstood::Missing("text"))?;
    let mut words = sms::words(&bytes, post.get(&["charset"]));
    let header = fields::bytes_in_form(form, "udh").unwrap_or_default();
    if let Some((number, total)) = sms::part(&header) {
        words = format!("({number}/{total}) {words}");
    }
    let to = post.fields.text("to").to_owned();
    let sms = Sms {
        id: post.get(&["id"]),
        from: &from,
        to: &to,
        at: post.time("time")?,
        body: words,
        media: sms::links(post.get(&["media"])),
    };
    Ok(vec![PhoneEvent::Text(sms::text(sms, &post)?)])
}
