//! Recordings that aren't posts: what came from AMI's port, Asterisk's CSV files, ARI's messages. Each is cut into the
//! events that a listener would have journaled one by one. Called by `tieline decode`.

use super::recording::Post;
use jiff::Timestamp;

/// The events of AMI's stream: each ends with an empty line. The greeting and answers to actions are none.
pub fn manager_events(stream: &[u8]) -> Vec<Post> {
    let mut posts = Vec::new();
    let mut event: Vec<u8> = Vec::new();
    for line in stream
        .split_inclusive(|byte| *byte == b'\n')
        .chain([&b"\n"[..]])
    {
        if !line.trim_ascii().is_empty() {
            event.extend_from_slice(line);
            continue;
        }
        let whole = std::mem::take(&mut event);
        if whole.starts_with(b"Event:") {
            posts.push(post(whole));
        }
    }
    posts
}

/// The records of a CSV file. Line ends inside quotes don't end one; a first line of columns' names goes with each.
pub fn records(file: &[u8]) -> Vec<Post> {
    let mut lines: Vec<&[u8]> = Vec::new();
    let mut quoted = false;
    let mut start = 0_usize;
    for (at, byte) in file.iter().enumerate() {
        match byte {
            b'"' => quoted = !quoted,
            b'\n' if !quoted => {
                lines.push(file.get(start..at).unwrap_or_default());
                start = at.saturating_add(1);
            }
            _ => {}
        }
    }
    lines.push(file.get(start..).unwrap_or_default());
    let mut lines = lines
        .into_iter()
        .map(<[u8]>::trim_ascii)
        .filter(|line| !line.is_empty())
        .peekable();
    let head = lines.next_if(|line| names_columns(line));
    lines
        .map(|line| match head {
            Some(head) => post([head, line].join(&b'\n')),
            None => post(line.to_vec()),
        })
        .collect()
}

/// A line of columns' names has no time, no channel and no number: only words.
fn names_columns(line: &[u8]) -> bool {
    let word = |byte: &u8| byte.is_ascii_alphabetic() || b"_,\" \r".contains(byte);
    line.iter().all(word) && line.windows(8).any(|part| part == b"uniqueid")
}

/// One message a line.
pub fn lines(file: &[u8]) -> Vec<Post> {
    file.split(|byte| *byte == b'\n')
        .map(<[u8]>::trim_ascii)
        .filter(|line| !line.is_empty())
        .map(|line| post(line.to_vec()))
        .collect()
}

fn post(body: Vec<u8>) -> Post {
    Post {
        query: None,
        content_type: None,
        body,
        received: Timestamp::UNIX_EPOCH,
    }
}
