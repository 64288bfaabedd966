//! Recordings of what phone systems posted: reading one, and the built-in ones that the demo plays.
//!
//! A recording holds, for each post, `### <seconds since 1970>`, the request line, the headers, a blank line and the
//! body; a GET ends with its headers. Files that a phone system left in its error folder (one JSON or XML document, or one JSON object a line) are
//! read too. Called by `tieline decode`, the demo and the tests.

use crate::simulate;
use jiff::Timestamp;

macro_rules! recording {
    ($name:literal) => {
        (
            $name,
            include_bytes!(concat!(
                "../../fixtures/calls/freeswitch/",
                $name,
                "/http-received.txt"
            )),
            include_bytes!(concat!(
                "../../fixtures/calls/freeswitch/",
                $name,
                "/expected.json"
            )),
        )
    };
}

/// Name, posts and expected calls of each built-in recording; fixtures/calls/README.md says where they come from.
pub const RECORDINGS: &[(&str, &[u8], &[u8])] = &[
    recording!("01-inbound-answered-default-encodings"),
    recording!("01-inbound-answered"),
    recording!("02-inbound-noanswer-disable-100-continue"),
    recording!("02-inbound-noanswer-receiver-returns-503"),
    recording!("02-inbound-noanswer"),
    recording!("03-inbound-busy"),
    recording!("05-inbound-anonymous"),
    recording!("06-ringgroup-3-phones"),
    recording!("07-callcenter-queue-second-agent-answers"),
    recording!("10-internal-101-to-102"),
    recording!("11-outbound-answered"),
    recording!("13-outbound-unallocated"),
    recording!("15-blind-transfer-sip-refer"),
    recording!("22-originate-click-to-call"),
];

/// One post of a recording.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Post {
    /// Without `?`.
    pub query: Option<String>,
    pub content_type: Option<String>,
    pub body: Vec<u8>,
    /// 1970 where the file doesn't tell.
    pub received: Timestamp,
}

impl From<Post> for simulate::Post {
    fn from(post: Post) -> Self {
        Self {
            query: post.query,
            content_type: post.content_type,
            ..Self::new("", post.body, post.received)
        }
    }
}

/// The posts of a recording, in the order their bodies stand in the file. Never fails: what can't be told apart comes
/// out as one post that the decoder will refuse.
pub fn posts(recording: &[u8]) -> Vec<Post> {
    let starts = marker_offsets(recording);
    if starts.is_empty() {
        return documents(recording);
    }
    let ends = starts.iter().skip(1).copied().chain([recording.len()]);
    let mut posts = Vec::new();
    // Heads whose body stands behind a later head: a listener that served two connections at once wrote them so.
    let mut waiting: Vec<Head> = Vec::new();
    for (start, end) in starts.iter().copied().zip(ends) {
        let (head, rest) = head(recording.get(start..end).unwrap_or_default());
        if head.get {
            // Its query is the event, as intake journals it.
            let query = head.query.clone().unwrap_or_default();
            let head = Head {
                query: None,
                ..head
            };
            posts.push(head.post(query.as_bytes()));
            continue;
        }
        waiting.push(head);
        let Some(mut rest) = rest else { continue };
        while let Some((index, length)) = owner(&waiting, rest) {
            let head = waiting.remove(index);
            let (body, behind) = rest.split_at_checked(length).unwrap_or((rest, &[]));
            posts.push(head.post(body));
            rest = trimmed_start(behind);
        }
        // No length fits: the last head takes what is left.
        if !rest.is_empty()
            && let Some(head) = waiting.pop()
        {
            posts.push(head.post(rest.trim_ascii_end()));
        }
    }
    posts
}

#[derive(Default)]
struct Head {
    received: Timestamp,
    get: bool,
    query: Option<String>,
    content_type: Option<String>,
    content_length: Option<usize>,
}

impl Head {
    fn post(self, body: &[u8]) -> Post {
        Post {
            query: self.query,
            content_type: self.content_type,
            body: body.to_vec(),
            received: self.received,
        }
    }
}

/// The waiting head whose length ends where a line of `rest` ends, and that length.
fn owner(waiting: &[Head], rest: &[u8]) -> Option<(usize, usize)> {
    let fits = |head: &Head| {
        let length = head.content_length.filter(|length| *length > 0)?;
        let behind = rest.get(length..)?;
        matches!(behind.first(), None | Some(b'\n' | b'\r')).then_some(length)
    };
    waiting
        .iter()
        .enumerate()
        .find_map(|(index, head)| Some((index, fits(head)?)))
}

/// Offsets of the lines `### <seconds>`.
fn marker_offsets(recording: &[u8]) -> Vec<usize> {
    let mut offsets = Vec::new();
    let mut at = 0_usize;
    for line in recording.split_inclusive(|byte| *byte == b'\n') {
        if line.strip_prefix(b"### ").and_then(epoch).is_some() {
            offsets.push(at);
        }
        at = at.saturating_add(line.len());
    }
    offsets
}

/// `1795177476.129`
fn epoch(text: &[u8]) -> Option<Timestamp> {
    let text = std::str::from_utf8(text).ok()?.trim();
    let (seconds, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let nanoseconds: i32 = format!("{fraction:0<9}").get(..9)?.parse().ok()?;
    Timestamp::new(seconds.parse().ok()?, nanoseconds).ok()
}

/// The head of a block, and what stands behind its blank line; none if it has no blank line.
fn head(block: &[u8]) -> (Head, Option<&[u8]>) {
    let mut head = Head::default();
    let mut at = 0_usize;
    for line in block.split_inclusive(|byte| *byte == b'\n') {
        at = at.saturating_add(line.len());
        let line = String::from_utf8_lossy(line);
        let line = line.trim_end();
        if line.is_empty() {
            return (
                head,
                Some(trimmed_start(block.get(at..).unwrap_or_default())),
            );
        }
        if let Some(received) = line
            .strip_prefix("### ")
            .and_then(|text| epoch(text.as_bytes()))
        {
            head.received = received;
        } else if let Some((name, value)) = line.split_once(": ") {
            match name.to_ascii_lowercase().as_str() {
                "content-type" => head.content_type = Some(value.to_owned()),
                "content-length" => head.content_length = value.parse().ok(),
                _ => {}
            }
        } else {
            head.get = line.starts_with("GET ");
            let target = line.split(' ').nth(1).unwrap_or_default();
            head.query = target.split_once('?').map(|(_, query)| query.to_owned());
        }
    }
    (head, None)
}

fn trimmed_start(bytes: &[u8]) -> &[u8] {
    let blank = bytes
        .iter()
        .take_while(|byte| matches!(byte, b'\n' | b'\r'))
        .count();
    bytes.get(blank..).unwrap_or_default()
}

/// A file without heads: one JSON object a line, or one document.
fn documents(file: &[u8]) -> Vec<Post> {
    let post = |body: &[u8]| Head::default().post(body);
    let lines: Vec<&[u8]> = file
        .split(|byte| *byte == b'\n')
        .map(<[u8]>::trim_ascii)
        .filter(|line| !line.is_empty())
        .collect();
    let object = |line: &&[u8]| line.starts_with(b"{") && line.ends_with(b"}");
    if lines.len() > 1 && lines.iter().all(object) {
        return lines.into_iter().map(post).collect();
    }
    let whole = file.trim_ascii();
    if whole.is_empty() {
        Vec::new()
    } else {
        vec![post(whole)]
    }
}
