//! `tieline decode`: reads recordings of what a phone system sent and prints the calls and texts that come out, without
//! a daemon, a configuration or Kustomer. The support tool; the tests use its core, [`decode_recording`].

use super::recording::posts;
use crate::calls::assemble::{self, OpenWhy, State};
use crate::calls::decode::{self, LegFacts, PhoneEvent, RawEvent, Site};
use crate::settings::types::Dialect;
use crate::terms::call::Call;
use crate::terms::ids::CallKey;
use crate::terms::number::NumberPlan;
use crate::terms::party::{Contact, ExtensionRange, Extensions, Party};
use crate::terms::text::Text;
use anyhow::{Context as _, anyhow, bail};
use clap::{Args, ValueEnum};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, Unit};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

/// Exit code for what this version has no decoder for; the same as for a wrong command line.
const EXIT_NO_DECODER: u8 = 2;

/// Show the calls and texts in recordings of what a phone system sent.
///
/// Reads raw posts (for each: a line `### <seconds since 1970>`, the request line, the headers, a blank line, the body),
/// the files that FreeSWITCH leaves in its error folder, or files with one JSON object a line. Needs no daemon, no
/// configuration and no Kustomer. Exit codes: 0 done, 1 a file can't be read, 2 wrong arguments or no decoder for the
/// source.
#[derive(Args, Clone, Debug)]
pub struct DecodeArgs {
    /// The phone system's dialect: freeswitch or tieline, as in `[[pbx]] dialect`
    #[arg(long, value_parser = dialect)]
    pub dialect: Dialect,
    /// How the events were received
    #[arg(long, value_enum, default_value_t = Source::Http)]
    pub source: Source,
    /// Country that numbers without + belong to (ISO 3166), as `default_region`
    #[arg(long, default_value = "DE")]
    pub region: String,
    /// Area code of numbers without one, as `area_code`
    #[arg(long)]
    pub area_code: Option<String>,
    /// Your phones, such as 100-199,sales; without it, two to five digits are a phone
    #[arg(long, value_delimiter = ',')]
    pub extensions: Vec<String>,
    /// Zone of times sent without one, and of the times in the table, as `time_zone`
    #[arg(long, default_value = "Europe/Berlin")]
    pub time_zone: String,
    /// Print one JSON object, times in UTC
    #[arg(long)]
    pub json: bool,
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
}

/// How the events of a recording were received.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Source {
    /// Posts over HTTP
    Http,
    /// Asterisk manager events
    Ami,
    /// Call detail records in a CSV file
    Cdr,
    /// Asterisk channel event logging
    Cel,
    /// FreeSWITCH event socket
    Esl,
}

/// What a recording holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Decoded {
    /// In the order they started.
    pub calls: Vec<DecodedCall>,
    pub texts: Vec<Text>,
    pub undecoded: Vec<Undecoded>,
}

/// A call, and what it still waits for if the recording ends too early.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DecodedCall {
    pub call: Call,
    pub open: Option<OpenWhy>,
}

/// A post that gave nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Undecoded {
    /// Counted from 1.
    pub post: usize,
    pub why: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "this version has no decoder for {dialect} by {by}; it reads freeswitch and tieline by http"
)]
pub struct NoDecoder {
    dialect: &'static str,
    by: &'static str,
}

/// Runs the command; prints to `out`.
pub fn run(args: &DecodeArgs, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
    let site = site(args)?;
    let mut decoded = Decoded::default();
    for file in &args.files {
        let bytes =
            std::fs::read(file).with_context(|| format!("can't read {}", file.display()))?;
        match decode_recording(args.dialect, args.source, &bytes, &site) {
            Ok(more) => decoded.add(more),
            Err(fault) => {
                writeln!(std::io::stderr(), "tieline: {fault}")?;
                return Ok(ExitCode::from(EXIT_NO_DECODER));
            }
        }
    }
    if args.json {
        serde_json::to_writer_pretty(&mut *out, &decoded_json(&decoded))?;
        writeln!(out)?;
    } else {
        table(&decoded, &site.time_zone, out)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// The calls and texts in one recording.
pub fn decode_recording(
    dialect: Dialect,
    source: Source,
    recording: &[u8],
    site: &Site,
) -> Result<Decoded, NoDecoder> {
    let by = match source {
        Source::Http => None,
        Source::Ami => Some("ami"),
        Source::Cdr => Some("cdr"),
        Source::Cel => Some("cel"),
        Source::Esl => Some("esl"),
    };
    if let Some(by) = by {
        return Err(NoDecoder {
            dialect: word(dialect),
            by,
        });
    }
    let mut decoded = Decoded::default();
    let mut facts: BTreeMap<CallKey, Vec<LegFacts>> = BTreeMap::new();
    let mut texts: BTreeMap<CallKey, Text> = BTreeMap::new();
    for (index, post) in posts(recording).iter().enumerate() {
        let raw = RawEvent {
            content_type: post.content_type.as_deref(),
            query: post.query.as_deref(),
            body: &post.body,
            received: post.received,
        };
        let events = decode::admit(dialect, &raw)
            .map_err(|fault| fault.to_string())
            .and_then(|()| decode::decode(dialect, &raw, site).map_err(|fault| fault.to_string()));
        match events {
            Err(why) => decoded.undecoded.push(Undecoded {
                post: index.saturating_add(1),
                why,
            }),
            Ok(events) => {
                for event in events {
                    match event {
                        PhoneEvent::Leg(leg) => {
                            facts.entry(leg.key.clone()).or_default().push(*leg)
                        }
                        PhoneEvent::Text(text) => {
                            texts.entry(text.key.clone()).or_insert(text);
                        }
                    }
                }
            }
        }
    }
    // The end of a recording is the end of the story: what is open then is shown as far as it is known.
    let end = Timestamp::MAX;
    for (key, facts) in &facts {
        let open = match assemble::assemble(key, facts, end).state {
            State::Complete(_) => None,
            State::Open { why } => Some(why),
        };
        decoded
            .calls
            .extend(assemble::close(key, facts, end).map(|call| DecodedCall { call, open }));
    }
    decoded.texts = texts.into_values().collect();
    decoded.sort();
    Ok(decoded)
}

impl Decoded {
    fn add(&mut self, more: Self) {
        self.calls.extend(more.calls);
        self.texts.extend(more.texts);
        self.undecoded.extend(more.undecoded);
        self.sort();
    }

    fn sort(&mut self) {
        self.calls
            .sort_by(|a, b| (a.call.started, &a.call.key).cmp(&(b.call.started, &b.call.key)));
        self.texts
            .sort_by(|a, b| (a.at, &a.key).cmp(&(b.at, &b.key)));
    }
}

/// What the arguments say of the phone system.
fn site(args: &DecodeArgs) -> anyhow::Result<Site> {
    let plan = NumberPlan::new(&args.region, args.area_code.as_deref())?;
    let ranges = args
        .extensions
        .iter()
        .map(|range| extensions(range))
        .collect::<anyhow::Result<_>>()?;
    let time_zone = TimeZone::get(&args.time_zone)
        .with_context(|| format!("unknown --time-zone {}", args.time_zone))?;
    Ok(Site {
        pbx: "recording".to_owned(),
        plan,
        extensions: Extensions(ranges),
        time_zone,
    })
}

/// `101`, `sales` or `100-199`.
fn extensions(written: &str) -> anyhow::Result<ExtensionRange> {
    let written = written.trim();
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let (first, last) = match written.split_once('-') {
        Some((first, last)) if digits(first) && digits(last) => (first, last),
        Some(_) | None => (written, written),
    };
    if first.is_empty() || first.len() != last.len() || first > last {
        bail!("--extensions: `{written}` must be an extension or a range such as 100-199");
    }
    Ok(ExtensionRange {
        first: first.to_owned(),
        last: last.to_owned(),
    })
}

fn dialect(written: &str) -> anyhow::Result<Dialect> {
    let known = [Dialect::Freeswitch, Dialect::Tieline];
    known
        .into_iter()
        .find(|dialect| word(*dialect) == written)
        .ok_or_else(|| anyhow!("this version knows freeswitch and tieline"))
}

const fn word(dialect: Dialect) -> &'static str {
    match dialect {
        Dialect::Tieline => "tieline",
        Dialect::Freeswitch => "freeswitch",
    }
}

/// Everything, in the form of the recordings' `expected.json`.
pub fn decoded_json(decoded: &Decoded) -> Value {
    let call = |decoded: &DecodedCall| {
        let mut call = call_json(&decoded.call);
        if let (Some(why), Value::Object(fields)) = (decoded.open, &mut call) {
            fields.insert("incomplete".to_owned(), json!(why.to_string()));
        }
        call
    };
    json!({
        "calls": decoded.calls.iter().map(call).collect::<Vec<_>>(),
        "texts": decoded.texts.iter().map(text_json).collect::<Vec<_>>(),
        "undecoded": decoded.undecoded.iter().map(|post| json!({ "post": post.post, "why": post.why })).collect::<Vec<_>>(),
    })
}

/// A call as `expected.json` has it: the phone system's own id, UTC with milliseconds, seconds as numbers.
pub fn call_json(call: &Call) -> Value {
    let transfers = call.transfers.iter();
    let transfers =
        transfers.map(|hop| json!({ "kind": hop.kind.word(), "from": hop.from, "to": hop.to }));
    json!({
        "key": call.key.id,
        "type": call.call_type.words(),
        "reason": call.reason.map(|reason| reason.words()),
        "direction": call.direction.word(),
        "other_party": call.other.number().map(ToString::to_string),
        "other_party_raw": call.other.raw,
        "other_party_name": call.other.name,
        "connected_number": call.connected.as_ref().map(ToString::to_string),
        "first_agent": call.first_agent.as_ref().map(ToString::to_string),
        "agent": call.agent.as_ref().map(ToString::to_string),
        "queue": call.queue,
        "started": utc(call.started),
        "answered": call.answered.map(utc),
        "ended": utc(call.ended),
        "wait_seconds": seconds(call.wait),
        "talk_seconds": seconds(call.talk),
        "transfers": transfers.collect::<Vec<_>>(),
        "voicemail": call.voicemail,
        "recording_announced": call.recording_announced,
        "doubts": call.doubts,
    })
}

/// A text as `expected.json` has it.
pub fn text_json(text: &Text) -> Value {
    json!({
        "direction": text.direction.word(),
        "from": address(&text.from),
        "to": address(&text.to),
        "body": text.body,
        "message_id": text.key.id,
        "at": utc(text.at),
        "media": text.media,
    })
}

/// The number in E.164, else what was sent.
fn address(contact: &Contact) -> String {
    contact
        .number()
        .map_or_else(|| contact.raw.clone(), ToString::to_string)
}

fn utc(time: Timestamp) -> String {
    // Rounding fails at the ends of the calendar alone, where milliseconds are cut instead.
    let time = time.round(Unit::Millisecond).unwrap_or(time);
    time.strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string()
}

fn seconds(duration: SignedDuration) -> f64 {
    (duration.as_secs_f64() * 1000.0).round() / 1000.0
}

fn table(decoded: &Decoded, zone: &TimeZone, out: &mut dyn Write) -> std::io::Result<()> {
    let local = |time: Timestamp| {
        time.to_zoned(zone.clone())
            .strftime("%Y-%m-%d %H:%M:%S")
            .to_string()
    };
    let mut rows = vec![
        [
            "started",
            "result",
            "other party",
            "our number",
            "agent",
            "wait",
            "talk",
            "call",
        ]
        .map(str::to_owned),
    ];
    for DecodedCall { call, open } in &decoded.calls {
        let reason = call
            .reason
            .map(|reason| format!(", {}", reason.words()))
            .unwrap_or_default();
        let open = open
            .map(|why| format!(" (incomplete: {why})"))
            .unwrap_or_default();
        rows.push([
            local(call.started),
            format!("{}{reason}{open}", call.call_type.words()),
            person(&call.other),
            call.connected
                .as_ref()
                .map_or_else(|| "-".to_owned(), ToString::to_string),
            call.agent
                .as_ref()
                .map_or_else(|| "-".to_owned(), ToString::to_string),
            format!("{:.1} s", seconds(call.wait)),
            format!("{:.1} s", seconds(call.talk)),
            call.key.id.clone(),
        ]);
    }
    if rows.len() > 1 {
        columns(&rows, out)?;
    }
    let mut rows = vec![["at", "text", "from", "to", "body", "id"].map(str::to_owned)];
    for text in &decoded.texts {
        let body = text.body.replace(char::is_control, " ");
        rows.push([
            local(text.at),
            text.direction.word().to_owned(),
            address(&text.from),
            address(&text.to),
            body,
            text.key.id.clone(),
        ]);
    }
    if rows.len() > 1 {
        columns(&rows, out)?;
    }
    for post in &decoded.undecoded {
        writeln!(out, "post {} gave nothing: {}", post.post, post.why)?;
    }
    let (calls, texts, rest) = (
        decoded.calls.len(),
        decoded.texts.len(),
        decoded.undecoded.len(),
    );
    writeln!(
        out,
        "{calls} calls, {texts} texts, {rest} posts not understood"
    )
}

fn person(contact: &Contact) -> String {
    let address = match contact.party {
        Party::Anonymous => "anonymous".to_owned(),
        Party::Number(_) | Party::Extension(_) | Party::Short(_) | Party::Invalid => {
            address(contact)
        }
    };
    match &contact.name {
        Some(name) => format!("{address} {}", name.replace(char::is_control, " ")),
        None => address,
    }
}

/// Pads every column to its widest cell.
fn columns<const N: usize>(rows: &[[String; N]], out: &mut dyn Write) -> std::io::Result<()> {
    for row in rows {
        let mut line = String::new();
        for (column, cell) in row.iter().enumerate() {
            let width = rows
                .iter()
                .filter_map(|row| row.get(column))
                .map(|cell| cell.chars().count())
                .max()
                .unwrap_or(0);
            line.push_str(&format!("{cell:width$}  "));
        }
        writeln!(out, "{}", line.trim_end())?;
    }
    Ok(())
}
