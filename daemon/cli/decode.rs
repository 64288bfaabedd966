//! `tieline decode`: reads recordings of what a phone system sent and prints the calls and texts that come out, without
//! a daemon, a configuration or Kustomer. The support tool; the tests use its core, [`decode_recording`].

use super::recording::{Post, posts};
use super::{show, streams};
use crate::calls::assemble::{self, OpenWhy, State};
use crate::calls::decode::{self, LegFacts, PhoneEvent, RawEvent, Site};
use crate::settings::types::Dialect;
use crate::terms::call::Call;
use crate::terms::ids::CallKey;
use crate::terms::number::NumberPlan;
use crate::terms::party::{ExtensionRange, Extensions};
use crate::terms::text::Text;
use anyhow::{Context as _, anyhow, bail};
use clap::{Args, ValueEnum};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use std::collections::BTreeMap;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

/// Exit code for what this version has no decoder for; the same as for a wrong command line.
const EXIT_NO_DECODER: u8 = 2;

/// Show the calls and texts in recordings of what a phone system sent.
///
/// Reads raw posts (for each: a line `### <seconds since 1970>`, the request line, the headers, a blank line, the body),
/// the files that FreeSWITCH leaves in its error folder, or files with one JSON object a line; of Asterisk also what came
/// from AMI's port (ami), its CSV files (cdr, cel) and ARI's messages, one a line (ari); of FreeSWITCH what
/// came from the event socket (esl), of Kamailio acc's log and of Grandstream a file of records (cdr). Needs no daemon, no configuration
/// and no Kustomer. Exit codes: 0 done, 1 a file can't be read, 2 wrong arguments or no decoder for the
/// source.
#[derive(Args, Clone, Debug)]
pub struct DecodeArgs {
    /// The phone system's or gateway's dialect, as in `[[pbx]] dialect`: freeswitch, asterisk, twilio, …
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
    /// Asterisk REST interface's messages
    Ari,
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
    "this version has no decoder for {dialect} by {by}; it reads all by http, freeswitch by esl too, grandstream and kamailio by \
     cdr, and asterisk by ami, cdr, cel and ari"
)]
pub struct NoDecoder {
    dialect: &'static str,
    by: &'static str,
}

/// Runs the command; prints to `out`.
pub fn run(args: &DecodeArgs, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
    let site = site(args)?;
    let mut decoded = Decoded::default();
    // Whether there is a decoder doesn't depend on a file: it is told before one is read.
    if let Err(fault) = decode_recording(args.dialect, args.source, &[], &site) {
        writeln!(std::io::stderr(), "tieline: {fault}")?;
        return Ok(ExitCode::from(EXIT_NO_DECODER));
    }
    for file in &args.files {
        let bytes =
            std::fs::read(file).with_context(|| format!("can't read {}", file.display()))?;
        decoded.add(decode_recording(args.dialect, args.source, &bytes, &site)?);
    }
    if args.json {
        serde_json::to_writer_pretty(&mut *out, &show::decoded_json(&decoded))?;
        writeln!(out)?;
    } else {
        show::print(&decoded, &site.time_zone, out)?;
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
    let posts = split(dialect, source, recording)?;
    let mut decoded = Decoded::default();
    let mut facts: Vec<LegFacts> = Vec::new();
    let mut texts: BTreeMap<CallKey, Vec<Text>> = BTreeMap::new();
    for (index, post) in posts.iter().enumerate() {
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
                        PhoneEvent::Leg(leg) => facts.push(*leg),
                        PhoneEvent::Text(text) => {
                            texts.entry(text.key.clone()).or_default().push(text);
                        }
                    }
                }
            }
        }
    }
    // The end of a recording is the end of the story: what is open then is shown as far as it is known.
    let end = Timestamp::MAX;
    for (key, facts) in &assemble::gather(facts) {
        let open = match assemble::assemble(key, facts, end).state {
            State::Complete(_) => None,
            State::Open { why } => Some(why),
        };
        decoded
            .calls
            .extend(assemble::close(key, facts, end).map(|call| DecodedCall { call, open }));
    }
    decoded.texts = texts.into_values().filter_map(Text::of).collect();
    decoded.sort();
    Ok(decoded)
}

/// The events of a recording, as they would have come.
pub fn split(dialect: Dialect, source: Source, recording: &[u8]) -> Result<Vec<Post>, NoDecoder> {
    let by = match (dialect, source) {
        (_, Source::Http) => return Ok(posts(recording)),
        (Dialect::Asterisk, Source::Ami) => return Ok(streams::manager_events(recording)),
        (Dialect::Asterisk, Source::Cdr | Source::Cel) => return Ok(streams::records(recording)),
        (Dialect::Asterisk, Source::Ari) => return Ok(streams::lines(recording)),
        (Dialect::Freeswitch, Source::Esl) => return Ok(streams::socket_events(recording)),
        (Dialect::Kamailio, Source::Cdr) => return Ok(streams::lines(recording)),
        (Dialect::Grandstream, Source::Cdr) => return Ok(streams::records(recording)),
        (_, Source::Ami) => "ami",
        (_, Source::Cdr) => "cdr",
        (_, Source::Cel) => "cel",
        (_, Source::Ari) => "ari",
        (_, Source::Esl) => "esl",
    };
    let dialect = dialect.word();
    Err(NoDecoder { dialect, by })
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

pub(super) fn dialect(written: &str) -> anyhow::Result<Dialect> {
    let known = Dialect::ALL;
    let words = known.map(Dialect::word).join(", ");
    known
        .into_iter()
        .find(|dialect| dialect.word() == written)
        .ok_or_else(|| anyhow!("this version knows {words}"))
}
