//! Recordings that aren't posts: what came from AMI's port or FreeSWITCH's event socket, Asterisk's CSV files, ARI's messages. Each is cut into the
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

/// The events of FreeSWITCH's event socket: one JSON object a line, or the bytes of the connection, in which each event is
/// behind a head that tells its length. Answers to commands are none.
pub fn socket_events(stream: &[u8]) -> Vec<Post> {
    if stream.trim_ascii_start().starts_with(b"{") {
        return lines(stream);
    }
    let mut posts = Vec::new();
    let mut rest = stream;
    while let Some(at) = rest.windows(2).position(|two| two == b"\n\n") {
        let (head, behind) = rest.split_at(at);
        let behind = behind.get(2..).unwrap_or_default();
        let length = content_length(head);
        if length == 0 && head.trim_ascii_start().starts_with(b"Event-Name: ") {
            // A log of events without the connection's heads.
            posts.push(post(head.trim_ascii_start().to_vec()));
        }
        let (body, after) = behind
            .split_at_checked(length)
            .unwrap_or((behind, Default::default()));
        if length > 0 && head.windows(11).any(|part| part == b"text/event-") {
            posts.push(post(body.to_vec()));
        }
        rest = after;
    }
    posts
}

fn content_length(head: &[u8]) -> usize {
    let head = String::from_utf8_lossy(head);
    let mut lengths = head
        .lines()
        .filter_map(|line| line.strip_prefix("Content-Length:"));
    lengths
        .next()
        .and_then(|length| length.trim().parse().ok())
        .unwrap_or(0)
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
