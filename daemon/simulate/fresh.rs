//! New calls out of recorded posts: ids that nobody had yet, and times of now. Works on the text, for recordings are of
//! every phone system: times are found by their looks and moved all alike, ids by their looks (UUIDs, Twilio's) or by the
//! fields that hold them.
//!
//! Ids that begin with the second in which the call began (Asterisk, Yeastar, Grandstream) are moved with the times. Times
//! inside base64 or percent-encoded words aren't found, and local times aren't mended if the clocks were changed in between.

use super::post::Post;
use super::proof;
use crate::settings::types::Dialect;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;

/// A recording's own times lie so close to its last one; anything else is no time of it.
const RECORDING_LENGTH_MAX: SignedDuration = SignedDuration::from_hours(48);

/// Numbers that are times are at least of this year.
const FIRST_YEAR: i16 = 2000;

/// Where a post's JSON holds the id of its call or text, and ids of other legs; in forms the last name.
const fn ids(dialect: Dialect) -> &'static [&'static str] {
    match dialect {
        Dialect::Aircall => &["/data/id"],
        Dialect::Cloudtalk => &[
            "/call_uuid",
            "/Call_uuid",
            "/call_id",
            "/message_id",
            "/Cdr/id",
        ],
        Dialect::Dialpad => &[
            "/call_id",
            "/master_call_id",
            "/entry_point_call_id",
            "/operator_call_id",
            "/id",
        ],
        Dialect::Ringcentral => &["/body/telephonySessionId", "/body/id"],
        Dialect::Zammad => &["/callId"],
        Dialect::Kamailio | Dialect::Asterisk => &["/callid"],
        Dialect::Tieline
        | Dialect::Gammu
        | Dialect::Jasmin
        | Dialect::Kannel
        | Dialect::PlaySms => &["/id"],
        Dialect::Freeswitch
        | Dialect::Twilio
        | Dialect::Yeastar
        | Dialect::ThreeCx
        | Dialect::Grandstream => &[],
    }
}

/// The same posts as if they happened now: the last one at `now`. `salt` makes the ids.
pub fn renew(dialect: Dialect, posts: Vec<Post>, now: Timestamp, salt: u64) -> Vec<Post> {
    let posts: Vec<Post> = posts.into_iter().map(bare).collect();
    let Some(last) = last_time(&posts) else {
        return posts;
    };
    let named = named_ids(dialect, &posts, salt);
    let text = Text {
        first: last.saturating_sub(RECORDING_LENGTH_MAX).unwrap_or(last),
        last: last.saturating_add(RECORDING_LENGTH_MAX).unwrap_or(last),
        // Whole seconds: what is cut to them stays right.
        shift: SignedDuration::from_secs(now.as_second() - last.as_second()),
        salt,
        named,
    };
    let renew = |mut post: Post| {
        post.at = post.at.checked_add(text.shift).unwrap_or(now);
        post.query = post.query.map(|query| text.renewed(&query));
        if let Ok(body) = std::str::from_utf8(&post.body) {
            post.body = text.renewed(body).into_bytes();
        }
        post
    };
    posts.into_iter().map(renew).collect()
}

/// The post without the token around it.
fn bare(mut post: Post) -> Post {
    if let Some(claims) = proof::claims(&post.body) {
        post.body = claims;
    }
    post
}

/// When the recording ends: by its own notes, else by the latest time in it.
fn last_time(posts: &[Post]) -> Option<Timestamp> {
    let noted = posts.iter().map(|post| post.at).max();
    if let Some(noted) = noted.filter(|at| at.as_second() > 0) {
        return Some(noted);
    }
    let (mut last, year) = (None, |at: &Timestamp| at.to_zoned(TimeZone::UTC).year());
    for post in posts {
        let body = String::from_utf8_lossy(&post.body);
        for piece in pieces(&body) {
            let (Piece::Number(text) | Piece::Stamp(text)) = piece else {
                continue;
            };
            let time = number(text).map(|(at, _)| at).or_else(|| stamp(text));
            // Nothing was recorded in the future.
            last = last.max(time.filter(|at| (FIRST_YEAR..2100).contains(&year(at))));
        }
    }
    last
}

/// Old id -> new one.
fn named_ids(dialect: Dialect, posts: &[Post], salt: u64) -> BTreeMap<String, String> {
    let mut ids_found = BTreeMap::new();
    for post in posts {
        let json: Option<Value> = serde_json::from_slice(&post.body).ok();
        let form = String::from_utf8_lossy(&post.body);
        let query = post.query.as_deref().unwrap_or_default();
        for path in ids(dialect) {
            let of_json =
                json.as_ref()
                    .and_then(|json| json.pointer(path))
                    .and_then(|id| match id {
                        Value::String(id) => Some(id.clone()),
                        Value::Number(id) => Some(id.to_string()),
                        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
                    });
            let name = path.rsplit('/').next().unwrap_or_default();
            let of_form = || {
                let mut pairs = form
                    .split('&')
                    .chain(query.split('&'))
                    .filter_map(|pair| pair.split_once('='));
                pairs
                    .find(|(key, _)| *key == name)
                    .map(|(_, id)| id.to_owned())
            };
            let id = of_json.or_else(of_form).filter(|id| !id.is_empty());
            if let Some(id) = id {
                let fresh = fresh(&id, salt);
                ids_found.insert(id, fresh);
            }
        }
    }
    ids_found
}

/// An id of the same kind.
fn fresh(id: &str, salt: u64) -> String {
    let digits = id.bytes().all(|byte| byte.is_ascii_digit());
    let mark = hashed(id, salt);
    if digits {
        let number: u64 = mark.bytes().fold(0, |number, byte| {
            (number * 31 + u64::from(byte)) % 900_000_000
        });
        // Twelve digits fit where a number must.
        format!(
            "{}{:09}",
            id.get(..id.len().min(3)).unwrap_or_default(),
            number
        )
    } else {
        format!("{id}-{}", mark.get(..8).unwrap_or_default())
    }
}

/// 64 hex digits.
fn hashed(id: &str, salt: u64) -> String {
    let digest = Sha256::digest(format!("{salt:016x}{id}"));
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

struct Text {
    first: Timestamp,
    last: Timestamp,
    shift: SignedDuration,
    salt: u64,
    named: BTreeMap<String, String>,
}

impl Text {
    fn renewed(&self, text: &str) -> String {
        let mut out = String::with_capacity(text.len());
        for piece in pieces(&self.with_named(text)) {
            match piece {
                Piece::Other(text) => out.push_str(text),
                Piece::Number(text) => {
                    out.push_str(&self.moved(text).unwrap_or_else(|| text.to_owned()));
                }
                Piece::Stamp(text) => {
                    out.push_str(&self.restamped(text).unwrap_or_else(|| text.to_owned()));
                }
                Piece::Hex(text) => out.push_str(&self.another(text)),
            }
        }
        out
    }

    /// Ids of the fields that hold them, wherever they stand as a whole word.
    fn with_named(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for (old, new) in &self.named {
            let mut out = String::with_capacity(text.len());
            let mut rest = text.as_str();
            while let Some((before, behind)) = rest.split_once(old.as_str()) {
                let inside = |c: char| c.is_ascii_alphanumeric();
                let word = !before.ends_with(inside) && !behind.starts_with(inside);
                out.push_str(before);
                out.push_str(if word { new } else { old });
                rest = behind;
            }
            out.push_str(rest);
            text = out;
        }
        text
    }

    fn is_of_it(&self, at: Timestamp) -> bool {
        (self.first..=self.last).contains(&at)
    }

    fn moved(&self, text: &str) -> Option<String> {
        let (at, unit) = number(text).filter(|(at, _)| self.is_of_it(*at))?;
        let at = at.checked_add(self.shift).ok()?;
        Some((at.as_microsecond() / unit).to_string())
    }

    fn restamped(&self, text: &str) -> Option<String> {
        // Local or not: the same stretch later.
        stamp(text).filter(|at| self.is_of_it(*at))?;
        let between = text.get(10..11)?;
        let moved = read(text)?.checked_add(self.shift).ok()?;
        let form = format!("%Y-%m-%d{between}%H:%M:%S");
        Some(moved.strftime(&form).to_string())
    }

    /// Hex digits for hex digits; what stands between them stays.
    fn another(&self, text: &str) -> String {
        let digits = hashed(text, self.salt);
        let mut digits = digits.chars();
        let other = |c: char| {
            if c == '-' {
                c
            } else {
                digits.next().unwrap_or(c)
            }
        };
        text.chars().map(other).collect()
    }
}

/// Seconds, milliseconds or microseconds since 1970, by their length; with the microseconds that one is.
fn number(text: &str) -> Option<(Timestamp, i64)> {
    let unit = match text.len() {
        10 => 1_000_000,
        13 => 1_000,
        16 => 1,
        _ => return None,
    };
    let value: i64 = text.parse().ok()?;
    let at = Timestamp::from_microsecond(value.checked_mul(unit)?).ok()?;
    Some((at, unit))
}

/// `2026-11-20 13:24:29`, `2026-11-20T13:24:29`
fn read(text: &str) -> Option<DateTime> {
    text.replace('+', " ").parse().ok()
}

fn stamp(text: &str) -> Option<Timestamp> {
    let zoned = read(text)?.to_zoned(TimeZone::UTC).ok()?;
    Some(zoned.timestamp())
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Piece<'a> {
    /// A run of digits.
    Number(&'a str),
    Stamp(&'a str),
    /// A UUID, or 32 hex digits.
    Hex(&'a str),
    Other(&'a str),
}

const STAMP: &str = "dddd-dd-dd?dd:dd:dd";
const UUID: &str = "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx";
const SID: &str = "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx";

/// The text cut at what may be a time or an id.
fn pieces(text: &str) -> Vec<Piece<'_>> {
    let mut pieces = Vec::new();
    let (mut at, mut other) = (0, 0);
    let bytes = text.as_bytes();
    while at < bytes.len() {
        let found = [UUID, SID, STAMP]
            .iter()
            .find(|shape| shaped(bytes, at, shape));
        let digits = bytes
            .iter()
            .skip(at)
            .take_while(|byte| byte.is_ascii_digit())
            .count();
        let length = found.map_or(digits, |shape| shape.len());
        if length == 0 {
            at += 1;
            continue;
        }
        let piece = text.get(at..at + length).unwrap_or_default();
        pieces.push(Piece::Other(text.get(other..at).unwrap_or_default()));
        pieces.push(match found {
            Some(shape) if *shape == STAMP => Piece::Stamp(piece),
            Some(_) => Piece::Hex(piece),
            None => Piece::Number(piece),
        });
        at += length;
        other = at;
    }
    pieces.push(Piece::Other(text.get(other..).unwrap_or_default()));
    pieces
}

/// Whether what stands there has that shape: `d` a digit, `x` a hex digit, `?` a blank, T or plus.
fn shaped(bytes: &[u8], at: usize, shape: &str) -> bool {
    let hex = |byte: &u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    let fits = |(byte, shape): (&u8, u8)| match shape {
        b'd' => byte.is_ascii_digit(),
        b'x' => hex(byte),
        b'?' => matches!(byte, b' ' | b'T' | b'+'),
        other => *byte == other,
    };
    let there = bytes.get(at..at + shape.len());
    let whole = there.is_some_and(|there| there.iter().zip(shape.bytes()).all(fits));
    // In the middle of a longer run of digits it is none.
    let behind = bytes.get(at + shape.len()).is_some_and(hex);
    let before = at
        .checked_sub(1)
        .and_then(|before| bytes.get(before))
        .is_some_and(hex);
    whole && !behind && !before
}
