//! Gammu SMSD: the variables that `RunOnReceive` gives its program, posted as a form by the script in docs/phone-systems.md.
//!
//! A long text comes as several physical messages at once: `DECODED_n_TEXT` has it whole, else its parts are put together.

use super::post::Post;
use super::sms::{self, Sms};
use super::{NotUnderstood, PhoneEvent, RawEvent, Site};

/// Most parts of one text: 3GPP TS 23.040 counts them in one byte.
const PARTS_MAX: u32 = 255;

/// See [`super::decode`].
pub fn decode(raw: &RawEvent<'_>, site: &Site) -> Result<Vec<PhoneEvent>, NotUnderstood> {
    let foreign = NotUnderstood::Foreign("Gammu SMSD");
    let mut posts = Post::all(raw, site, foreign)?;
    let post = posts.pop().ok_or(foreign)?;
    let from = post
        .get(&["sms_1_number"])
        .ok_or(NotUnderstood::Missing("SMS_1_NUMBER"))?;
    let count = |name: &str| match post.fields.number(name) {
        Some(count) => u32::try_from(count).unwrap_or(PARTS_MAX).min(PARTS_MAX),
        None => 0,
    };
    let joined = |kind: &str, parts: u32| -> String {
        let texts =
            (1..=parts).filter_map(|part| post.fields.whole(&format!("{kind}_{part}_text")));
        texts.collect()
    };
    let decoded = count("decoded_parts");
    let whole = joined("decoded", decoded);
    let body = if whole.is_empty() {
        joined("sms", count("sms_messages").max(1))
    } else {
        whole
    };
    let media: Vec<String> = (1..=decoded)
        .flat_map(|part| sms::links(post.fields.get(&format!("decoded_{part}_mms_address"))))
        .collect();
    if body.is_empty() && media.is_empty() {
        // A message without words: a delivery report, a ring tone, a business card.
        return Ok(Vec::new());
    }
    // A file's name holds the number, which must not be in a key; a new database counts from 1 again.
    let id = post.get(&["id"]).map(|id| {
        let phone = post.fields.text("phone_id");
        super::hashed(&[phone, id, from, &body].join("\n"))
    });
    let sms = Sms {
        id: id.as_deref(),
        from,
        to: post.get(&["to"]).unwrap_or_default(),
        at: post.time("time")?,
        body,
        media,
    };
    Ok(vec![PhoneEvent::Text(sms::text(sms, &post)?)])
}
