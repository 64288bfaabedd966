//! Events to post: our own dialect, and FreeSWITCH's recordings under fresh call ids.

use serde_json::{Value, json};
use tieline::cli::recording::{self, Post, RECORDINGS};

/// The number that outside parties call.
pub const OURS: &str = "+4921155500100";

/// An incoming call that extension 101 answered, told whole.
pub fn call(id: &str, from: &str) -> Value {
    json!({
        "event": "call.ended", "id": id, "direction": "in", "from": from, "to": OURS, "extension": "101",
        "started": "2026-11-20T12:24:29.009Z", "answered": "2026-11-20T12:24:31Z", "ended": "2026-11-20T12:24:36Z",
    })
}

/// The same call told as it goes, in order.
pub fn live(id: &str, from: &str) -> Vec<Value> {
    let at = |event: &str, at: &str| json!({"event": event, "id": id, "at": at, "direction": "in", "from": from, "to": OURS});
    let mut events = vec![
        at("call.started", "2026-11-20T12:24:29.009Z"),
        at("call.ringing", "2026-11-20T12:24:29.100Z"),
        at("call.answered", "2026-11-20T12:24:31Z"),
        at("call.ended", "2026-11-20T12:24:36Z"),
    ];
    for event in events.iter_mut().skip(1) {
        event["extension"] = json!("101");
    }
    events
}

pub fn text(id: &str, direction: &str, from: &str, to: &str) -> Value {
    json!({"event": "text", "id": id, "direction": direction, "from": from, "to": to, "at": "2026-11-20T12:24:29Z",
        "body": "Is my order ready?", "media": []})
}

/// The posts of a recording and its expected call.
pub fn recorded(name: &str) -> (Vec<Post>, Value) {
    let (_, http, expected) = RECORDINGS
        .iter()
        .find(|(known, _, _)| *known == name)
        .unwrap();
    let expected: Value = serde_json::from_slice(expected).unwrap();
    (recording::posts(http), expected["calls"][0].clone())
}

/// A recording's posts with every UUID in them changed the same way: another call, as if it had been made again.
pub fn recorded_post(name: &str, number: u16) -> (String, Vec<Post>) {
    let (posts, expected) = recorded(name);
    let fresh = |uuid: &str| format!("{}{number:04x}", &uuid[..uuid.len() - 4]);
    let id = expected["key"].as_str().unwrap();
    let posts = posts.into_iter().map(|post| {
        let body = String::from_utf8(post.body).unwrap();
        let query = post.query.map(|query| renamed(&query, &fresh));
        Post {
            body: renamed(&body, &fresh).into_bytes(),
            query,
            ..post
        }
    });
    (fresh(id), posts.collect())
}

/// Every UUID in the text replaced.
fn renamed(text: &str, fresh: &impl Fn(&str) -> String) -> String {
    const LENGTH: usize = 36;
    let is_uuid = |word: &str| {
        word.bytes().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
    };
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    while at < text.len() {
        match text.get(at..at + LENGTH).filter(|word| is_uuid(word)) {
            Some(uuid) => {
                out.push_str(&fresh(uuid));
                at += LENGTH;
            }
            None => {
                let next = text[at..].chars().next().unwrap();
                out.push(next);
                at += next.len_utf8();
            }
        }
    }
    out
}
