//! `tieline filter test`: what the rules say of a number, of a recording, or of what came lately if the rules were others.
//! The first two need no daemon.

mod changes;
mod past;

use super::decode::{Source, decode_recording};
use super::{ConfigArgs, explain};
use crate::calls::filter::Decision;
use crate::calls::picture;
use crate::calls::reader::{self, Subject};
use crate::calls::suppose::Supposed;
use crate::clock;
use crate::settings::read;
use crate::settings::types::{PbxSettings, Settings};
use crate::terms::call::{CallType, Direction};
use crate::terms::ids::{CallKey, Kind};
use crate::terms::party::{self, Contact, Extension, Party};
use crate::terms::text::{Fate, Report, Text};
use anyhow::{Context as _, bail};
use clap::{Args, Subcommand, ValueEnum};
use jiff::SignedDuration;
use serde_json::{Value, json};
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

#[derive(Debug, Args)]
pub struct FilterCommand {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Say what the rules would do, and which of them
    Test(Box<TestArgs>),
}

/// Says what the rules would do, and which of them decides.
///
/// Of a NUMBER: of a call or text with it, supposing the options. Of --file: of the calls and texts in recordings. With
/// --days: of what came in the last days, against the rules that the running daemon has in force; exit code 0 nothing
/// would change, 3 something.
#[derive(Debug, Args)]
struct TestArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// Changed settings, read after all others; may be given again
    #[arg(long, value_name = "FILE")]
    with: Vec<PathBuf>,
    /// The outside party, as the phone system would send it; empty: hidden
    #[arg(required_unless_present_any = ["file", "days"], conflicts_with_all = ["file", "days"])]
    number: Option<String>,
    /// What is supposed to happen with the number
    #[arg(long, value_enum, default_value_t = Happens::IncomingAnswered)]
    happens: Happens,
    /// Our own number
    #[arg(long, value_name = "NUMBER")]
    to: Option<String>,
    /// Our phone that talks
    #[arg(long, value_name = "EXTENSION")]
    agent: Option<String>,
    /// How long they talk
    #[arg(long, value_name = "DURATION", default_value = "1min", value_parser = duration)]
    talk: SignedDuration,
    /// The [[pbx]] that it comes by; unless set, the first one
    #[arg(long, value_name = "NAME")]
    pbx: Option<String>,
    /// A recording of a phone system's events, as `tieline decode` reads it; may be given again
    #[arg(long, value_name = "FILE", conflicts_with = "days")]
    file: Vec<PathBuf>,
    /// How the events of --file were received
    #[arg(long, value_enum, default_value_t = Source::Http)]
    source: Source,
    /// What the running daemon has of so many days
    #[arg(long, value_name = "DAYS", value_parser = clap::value_parser!(u16).range(1..=366))]
    days: Option<u16>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Happens {
    IncomingAnswered,
    IncomingMissed,
    OutgoingAnswered,
    OutgoingUnanswered,
    Voicemail,
    Internal,
    TextReceived,
    TextSent,
    TextFailed,
}

pub fn run(args: &FilterCommand, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
    let What::Test(args) = &args.what;
    let mut config = args.config.clone();
    config.configs.extend(args.with.iter().cloned());
    let settings = config.load_to_ask()?;
    if let Some(days) = args.days {
        // The daemon that runs is found by what it was started with.
        let running = args.config.load_to_ask()?;
        return past::test(&running.daemon.admin, &settings, days, args.json, out);
    }
    let pbx = pbx(&settings, args.pbx.as_deref())?;
    let subjects = match &args.number {
        Some(number) => vec![supposed(args, number, pbx)],
        None => recorded(args, pbx)?,
    };
    let explained: Vec<Value> = subjects
        .iter()
        .map(|subject| explained(subject, &settings))
        .collect();
    if args.json {
        let shown = serde_json::to_string_pretty(&json!({"tested": explained}))?;
        writeln!(out, "{shown}")?;
    } else {
        for one in &explained {
            explain::print(one, out)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// The phone system of that name, or the first one.
fn pbx<'a>(settings: &'a Settings, name: Option<&str>) -> anyhow::Result<&'a PbxSettings> {
    let mut all = settings.pbxs.iter();
    match name {
        None => all.next().context("there is no [[pbx]] in the settings"),
        Some(name) => {
            let found = all.find(|pbx| pbx.name == name);
            found.with_context(|| format!("there is no [[pbx]] {name} in the settings"))
        }
    }
}

fn recorded(args: &TestArgs, pbx: &PbxSettings) -> anyhow::Result<Vec<Subject>> {
    let mut subjects = Vec::new();
    for file in &args.file {
        let bytes =
            std::fs::read(file).with_context(|| format!("can't read {}", file.display()))?;
        let decoded = decode_recording(pbx.dialect, args.source, &bytes, &reader::site(pbx))?;
        let calls = decoded.calls.into_iter();
        subjects.extend(calls.map(|one| Subject::Call(Box::new(one.call))));
        let texts = decoded.texts.into_iter();
        subjects.extend(texts.map(|text| Subject::Text(Box::new(text))));
        if let Some(one) = decoded.undecoded.first() {
            bail!(
                "{}: post {} can't be read: {}",
                file.display(),
                one.post,
                one.why
            );
        }
    }
    Ok(subjects)
}

/// What the options suppose.
fn supposed(args: &TestArgs, number: &str, pbx: &PbxSettings) -> Subject {
    let contact = |raw: &str| party::read(raw, None, &pbx.plan, &pbx.extensions);
    let (other, ours) = (contact(number), args.to.as_deref().map(contact));
    let agent = args.agent.clone().map(Extension);
    let call = |call_type| {
        let supposed = Supposed {
            pbx: pbx.name.clone(),
            call_type,
            other: other.clone(),
            ours: ours.clone(),
            agent: agent.clone(),
            talk: args.talk,
            at: clock::now(),
        };
        Subject::Call(Box::new(supposed.call()))
    };
    let text = |direction, report| {
        // What sends a text may be a phone of ours.
        let phone = agent
            .clone()
            .map(|phone| Contact::new(Party::Extension(phone.clone()), &phone.0, None));
        let ours = ours.clone().or(phone).unwrap_or_else(|| contact(""));
        let (from, to) = match direction {
            Direction::Out => (ours, other.clone()),
            Direction::In | Direction::Internal => (other.clone(), ours),
        };
        Subject::Text(Box::new(Text {
            key: CallKey {
                kind: Kind::Text,
                pbx: pbx.name.clone(),
                id: "supposed".to_owned(),
            },
            direction,
            from,
            to,
            at: clock::now(),
            body: String::new(),
            media: Vec::new(),
            report,
        }))
    };
    let failed = Report {
        fate: Fate::Failed,
        why: None,
    };
    match args.happens {
        Happens::IncomingAnswered => call(CallType::IncomingAnswered),
        Happens::IncomingMissed => call(CallType::IncomingMissed),
        Happens::OutgoingAnswered => call(CallType::OutgoingAnswered),
        Happens::OutgoingUnanswered => call(CallType::OutgoingUnanswered),
        Happens::Voicemail => call(CallType::Voicemail),
        Happens::Internal => call(CallType::Internal),
        Happens::TextReceived => text(Direction::In, None),
        Happens::TextSent => text(Direction::Out, None),
        Happens::TextFailed => text(Direction::Out, Some(failed)),
    }
}

/// As `explain --json` has it.
fn explained(subject: &Subject, settings: &Settings) -> Value {
    let (call, text) = match subject {
        Subject::Call(call) => (picture::call_json(call), Value::Null),
        Subject::Text(text) => (Value::Null, picture::text_json(text)),
    };
    let legs = match subject {
        Subject::Call(call) => picture::legs_json(call),
        Subject::Text(_) => Value::Null,
    };
    let decisions = reader::decisions(&settings.kustomers, subject).into_iter();
    let decided = |(integration, decision): (String, Decision)| {
        let end = if decision.skip.is_some() {
            "would be filtered"
        } else {
            "would be logged"
        };
        let mut shown = decision.to_json(&integration);
        shown.insert("end".to_owned(), json!({"end": end}));
        Value::Object(shown)
    };
    json!({
        "call": call,
        "text": text,
        "legs": legs,
        "integrations": decisions.map(decided).collect::<Vec<_>>(),
    })
}

fn duration(text: &str) -> Result<SignedDuration, String> {
    let duration = read::duration(text).and_then(|time| SignedDuration::try_from(time).ok());
    duration.ok_or_else(|| "a duration such as 5s or 2min".to_owned())
}
