//! Texts as SMS gateways post them: what all of them have in common. Used by the gateways' dialects; knows none of them.

use super::post::Post;
use super::{NotUnderstood, hashed};
use crate::terms::call::Direction;
use crate::terms::ids::Kind;
use crate::terms::party::{Extension, Party};
use crate::terms::text::Text;
use jiff::Timestamp;

/// Most links of one text that are kept; more is a mistake in the sender.
const MEDIA_MAX: usize = 100;

/// Latin-1's control characters from 0x80 on are letters and signs in Windows-1252.
const WINDOWS_1252: [char; 32] = [
    '€', '\u{fffd}', '‚', 'ƒ', '„', '…', '†', '‡', 'ˆ', '‰', 'Š', '‹', 'Œ', '\u{fffd}', 'Ž',
    '\u{fffd}', '\u{fffd}', '‘', '’', '“', '”', '•', '–', '—', '˜', '™', 'š', '›', 'œ', '\u{fffd}',
    'ž', 'Ÿ',
];

/// One text, as a gateway has it.
pub struct Sms<'a> {
    /// The gateway's id of the message; without one, it is made of the rest.
    pub id: Option<&'a str>,
    pub from: &'a str,
    pub to: &'a str,
    pub at: Option<Timestamp>,
    pub body: String,
    pub media: Vec<String>,
}

/// The text. A WhatsApp message is none.
pub fn text(sms: Sms<'_>, post: &Post<'_>) -> Result<Text, NotUnderstood> {
    let whatsapp = |address: &str| address.trim().to_ascii_lowercase().starts_with("whatsapp:");
    if whatsapp(sms.from) || whatsapp(sms.to) {
        return Err(NotUnderstood::WhatsApp);
    }
    if sms.from.is_empty() {
        return Err(NotUnderstood::Missing("from"));
    }
    // Without an id: the same numbers, time and words are the same text.
    let weak = || {
        let at = sms
            .at
            .map_or_else(String::new, |at| at.as_second().to_string());
        hashed(&[sms.from, sms.to, &at, &sms.body].join("\n"))
    };
    let id = sms.id.and_then(super::vendor_id).unwrap_or_else(weak);
    let (mut from, to) = (post.read(sms.from, None), post.read(sms.to, None));
    // Gateways tell what they received: a few digits are a service's, not one of our phones.
    if let Party::Extension(Extension(digits)) = &from.party {
        from = from.with(Party::Short(digits.clone()));
    }
    Ok(Text {
        key: post.key(Kind::Text, id),
        direction: Direction::In,
        from,
        to,
        at: sms.at.unwrap_or(post.received),
        body: sms.body,
        media: sms.media,
        report: None,
    })
}

/// The addresses in `value`, apart by blanks, commas or bars; what is no address is left out.
pub fn links(value: Option<&str>) -> Vec<String> {
    let parts = value
        .unwrap_or_default()
        .split(|c: char| c.is_whitespace() || c == ',' || c == '|');
    parts
        .filter(|part| part.starts_with("http://") || part.starts_with("https://"))
        .take(MEDIA_MAX)
        .map(str::to_owned)
        .collect()
}

/// The words in `bytes`. Gateways name character sets that they don't send: what is UTF-8 is read as that, unless it is
/// UTF-16 by name or by its zero bytes; the rest is Windows-1252, of which Latin-1 is a part.
pub fn words(bytes: &[u8], charset: Option<&str>) -> String {
    let charset = charset.unwrap_or_default().to_ascii_uppercase();
    let even = bytes.len().is_multiple_of(2);
    let wide = matches!(charset.as_str(), "UTF-16BE" | "UTF-16" | "UCS-2" | "UCS2");
    let utf8 = std::str::from_utf8(bytes).ok();
    if even && (wide && utf8.is_none_or(|text| text.contains('\0')) || utf8.is_some_and(is_wide)) {
        return utf16(bytes);
    }
    match utf8 {
        // UTF-16 of scripts without zero bytes may look like UTF-8 by chance; named so, and no letters, it isn't.
        Some(text) if !(wide && even && text.chars().any(char::is_control)) => text.to_owned(),
        Some(_) => utf16(bytes),
        None if wide && even => utf16(bytes),
        None => bytes.iter().map(|byte| windows_1252(*byte)).collect(),
    }
}

/// Latin letters in UTF-16: every other byte is zero.
fn is_wide(text: &str) -> bool {
    !text.is_empty() && text.bytes().step_by(2).all(|byte| byte == 0)
}

/// UTF-16, the high byte first.
pub fn utf16(bytes: &[u8]) -> String {
    let units = bytes.chunks_exact(2).filter_map(|pair| match pair {
        [high, low] => Some(u16::from_be_bytes([*high, *low])),
        _ => None,
    });
    char::decode_utf16(units)
        .map(|unit| unit.unwrap_or(char::REPLACEMENT_CHARACTER))
        .collect()
}

fn windows_1252(byte: u8) -> char {
    let index = usize::from(byte).checked_sub(0x80);
    index
        .and_then(|index| WINDOWS_1252.get(index))
        .copied()
        .unwrap_or(char::from(byte))
}

/// The bytes of hex digits; none if they are no pairs of such.
pub fn from_hex(text: &str) -> Option<Vec<u8>> {
    let text = text.trim();
    if text.is_empty() || !text.len().is_multiple_of(2) || !text.is_ascii() {
        return None;
    }
    let pairs = text.as_bytes().chunks_exact(2);
    pairs
        .map(|pair| {
            let digits = std::str::from_utf8(pair).ok()?;
            u8::from_str_radix(digits, 16).ok()
        })
        .collect()
}

/// Which part of how many this is, if a user data header says so (3GPP TS 23.040, 9.2.3.24.1 and .8). Parts that the
/// gateway doesn't join are texts of their own.
pub fn part(header: &[u8]) -> Option<(u8, u8)> {
    let mut rest = header.get(1..)?;
    while let [element, length, behind @ ..] = rest {
        let (value, after) = behind.split_at_checked(usize::from(*length))?;
        match (*element, value) {
            (0, [_, total, number]) | (8, [_, _, total, number]) if *total > 1 => {
                return Some((*number, *total));
            }
            _ => rest = after,
        }
    }
    None
}
