//! `tieline explain`: why a call, text or event was or wasn't logged.
#![expect(
    clippy::indexing_slicing,
    reason = "a serde_json::Value that is read answers null for what isn't there"
)]

use super::{ConfigArgs, ask, table};
use clap::Args;
use serde_json::Value;
use std::io::{self, Write};
use std::process::ExitCode;

#[derive(Debug, Args)]
pub struct ExplainArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// A call or text (`hq:a1`), an event id (as answered to the phone system), or a phone number
    #[arg(value_name = "CALL|EVENT|NUMBER")]
    what: String,
    /// Print JSON: call, legs, each integration's rules in order with the one that decided, the ends
    #[arg(long)]
    json: bool,
}

pub fn run(args: &ExplainArgs, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
    let settings = args.config.load_to_ask()?;
    let answer = ask::get(
        &settings.daemon.admin,
        &format!("/explain?of={}", ask::segment(&args.what)),
    )?
    .ok()?;
    if args.json {
        writeln!(out, "{}", serde_json::to_string_pretty(&answer)?)?;
    } else {
        print(&answer, out)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// The explanation as text; the demo prints it too.
pub fn print(explained: &Value, out: &mut dyn Write) -> io::Result<()> {
    if let Some(key) = explained["key"].as_str() {
        writeln!(out, "{key}: {}", word(explained, "stage"))?;
    }
    if let Some(trace) = explained["trace"].as_str() {
        writeln!(out, "trace {trace}")?;
    }
    if let Some(supposed) = explained["supposed"].as_str() {
        writeln!(out, "{} — supposing {supposed}", word(explained, "number"))?;
    }
    let call = &explained["call"];
    if call.is_object() {
        let reason = call["reason"]
            .as_str()
            .map(|reason| format!(" ({reason})"))
            .unwrap_or_default();
        let party = call["other_party"]
            .as_str()
            .or_else(|| call["other_party_raw"].as_str())
            .unwrap_or("-");
        let connected = call["connected_number"].as_str().unwrap_or("-");
        writeln!(
            out,
            "{}{reason}, other party {party}, our number {connected}",
            word(call, "type")
        )?;
        timeline(&explained["legs"], out)?;
    }
    let text = &explained["text"];
    if text.is_object() {
        writeln!(
            out,
            "text {}, from {} to {}",
            word(text, "direction"),
            word(text, "from"),
            word(text, "to")
        )?;
    }
    for integration in explained["integrations"].as_array().into_iter().flatten() {
        rules(integration, out)?;
    }
    for end in explained["ends"].as_array().into_iter().flatten() {
        let why = end["why"]
            .as_str()
            .map(|why| format!(": {why}"))
            .unwrap_or_default();
        writeln!(
            out,
            "event {} {}{why}",
            word(end, "event"),
            word(end, "end")
        )?;
    }
    Ok(())
}

fn timeline(legs: &Value, out: &mut dyn Write) -> io::Result<()> {
    let time = |leg: &Value, key: &str| {
        leg[key]
            .as_str()
            .and_then(|time| time.get(11..19))
            .unwrap_or("-")
            .to_owned()
    };
    let rows: Vec<Vec<String>> = legs
        .as_array()
        .into_iter()
        .flatten()
        .map(|leg| {
            let cause = leg["cause"].as_str().unwrap_or("-").to_owned();
            let times = ["started", "answered", "ended"].map(|key| time(leg, key));
            [
                vec![format!("  {}", word(leg, "party"))],
                times.to_vec(),
                vec![cause],
            ]
            .concat()
        })
        .collect();
    if rows.is_empty() {
        return Ok(());
    }
    table::write(
        out,
        &[
            "  leg (times in UTC)",
            "started",
            "answered",
            "ended",
            "cause",
        ],
        &rows,
    )
}

fn rules(integration: &Value, out: &mut dyn Write) -> io::Result<()> {
    let end = integration["end"]["end"].as_str().unwrap_or("no end yet");
    writeln!(
        out,
        "{}: {end}; decided by {}",
        word(integration, "integration"),
        word(integration, "decided_by")
    )?;
    if let Some(first) = integration["delivery"]["joins"].as_str() {
        writeln!(out, "  of an exchange: joins the conversation of {first}")?;
    }
    let rows: Vec<Vec<String>> = integration["rules"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|rule| {
            vec![
                format!("  {}", word(rule, "rule")),
                word(rule, "outcome"),
                word(rule, "detail"),
            ]
        })
        .collect();
    table::write(out, &["  rule", "outcome", "what it saw"], &rows)?;
    let delivery = &integration["delivery"];
    if delivery.is_object() {
        let id = |key: &str| delivery[key].as_str().unwrap_or("-").to_owned();
        writeln!(
            out,
            "  customer {}, conversation {}, note {}",
            id("customer"),
            id("conversation"),
            id("note")
        )?;
        for asked in delivery["assigned"]["chain"]
            .as_array()
            .into_iter()
            .flatten()
        {
            let (link, outcome) = (word(asked, "link"), word(asked, "outcome"));
            writeln!(out, "  assign {link}: {outcome}")?;
        }
        for why in delivery["left_out"].as_array().into_iter().flatten() {
            writeln!(out, "  left out: {}", why.as_str().unwrap_or("-"))?;
        }
        if let Some(fault) = delivery["fault"].as_str() {
            writeln!(out, "  last fault: {fault}; next try {}", id("next_try"))?;
        }
    }
    Ok(())
}

fn word(value: &Value, key: &str) -> String {
    value[key].as_str().unwrap_or("-").to_owned()
}
