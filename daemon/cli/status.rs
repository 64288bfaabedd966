//! `tieline status`: what the running daemon does, and whether the sums add up.
#![expect(
    clippy::indexing_slicing,
    reason = "a serde_json::Value that is read answers null for what isn't there"
)]

use super::progress::Work;
use super::{ConfigArgs, ask};
use clap::Args;
use serde_json::Value;
use std::io::{self, Write};
use std::process::ExitCode;

#[derive(Debug, Args)]
pub struct StatusArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub fn run(args: &StatusArgs, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
    let settings = args.config.load_to_ask()?;
    let answer = ask::get(&settings.daemon.admin, "/status")?.ok()?;
    if args.json {
        writeln!(out, "{}", serde_json::to_string_pretty(&answer)?)?;
    } else {
        print(&answer, out)?;
    }
    let healthy = answer["healthy"].as_bool().unwrap_or(false);
    Ok(if healthy {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn print(status: &Value, out: &mut dyn Write) -> io::Result<()> {
    let health = match status["why_unhealthy"].as_str() {
        None => "healthy".to_owned(),
        Some(why) => format!("NOT healthy: {why}"),
    };
    writeln!(
        out,
        "tieline {}, {health}",
        status["version"].as_str().unwrap_or("-")
    )?;
    events(status, out)?;
    writeln!(out, "open      {} calls and texts", status["open_calls"])?;
    writeln!(out, "contacts  {} in the phone book", status["contacts"])?;
    connections(status, out)?;
    integrations(status, out)?;
    let store = &status["store"];
    let full = if store["disk_full"].as_bool().unwrap_or(false) {
        ", DISK FULL: events are answered 503"
    } else {
        ""
    };
    writeln!(out, "store     {} bytes{full}", store["bytes"])?;
    if let Some(tls) = status["tls"].as_object() {
        let at = |key: &str| tls.get(key).and_then(Value::as_str);
        let doubt = at("doubt").map_or_else(String::new, |doubt| format!(": {doubt}"));
        let expires = at("expires").unwrap_or("nobody knows when");
        writeln!(out, "tls       certificate until {expires}{doubt}")?;
    }
    let settings = &status["settings"];
    writeln!(
        out,
        "settings  in force: {}",
        settings["in_force"].as_str().unwrap_or("-")
    )?;
    if let Some(refused) = settings["refused"].as_str() {
        writeln!(out, "          the new ones are wrong:\n{refused}")?;
    }
    Ok(())
}

fn events(status: &Value, out: &mut dyn Write) -> io::Result<()> {
    let events = &status["events"];
    let filtered: u64 = events["filtered"]
        .as_object()
        .into_iter()
        .flatten()
        .filter_map(|(_, n)| n.as_u64())
        .sum();
    writeln!(
        out,
        "events    {} accepted = {} logged + {} joined + {filtered} filtered + {} dead + {} erased + {} in flight",
        events["accepted"],
        events["logged"],
        events["joined"],
        events["dead"],
        events["erased"],
        events["in_flight"],
    )?;
    for (rule, count) in events["filtered"].as_object().into_iter().flatten() {
        writeln!(out, "          {count} filtered by {rule}")?;
    }
    if events["adds_up"] == false {
        writeln!(
            out,
            "          WRONG: the counts don't add up; the log says whose"
        )?;
    }
    let accounts = &status["accounts"];
    let pbxs = accounts["phone_systems"].as_object();
    // One phone system's events are all events.
    for (name, account) in pbxs.into_iter().filter(|pbxs| pbxs.len() > 1).flatten() {
        writeln!(out, "          {name}: {}", sum("accepted", account))?;
    }
    match accounts["before"].as_u64() {
        None | Some(0) => Ok(()),
        Some(before) => writeln!(
            out,
            "          the first {before} came before there were accounts by phone system and by integration"
        ),
    }
}

/// One account as a sum, in which what is zero is left out.
fn sum(all: &str, account: &Value) -> String {
    let ends = [
        "logged",
        "joined",
        "filtered",
        "dead",
        "erased",
        "in_flight",
    ];
    let parts = ends.into_iter().filter_map(|end| {
        let count = account[end].as_u64().filter(|count| *count > 0)?;
        Some(format!("{count} {}", end.replace('_', " ")))
    });
    let parts: Vec<String> = parts.collect();
    let equals = if parts.is_empty() { "" } else { " = " };
    let wrong = if account["adds_up"] == false {
        ": WRONG, please report it"
    } else {
        ""
    };
    let parts = parts.join(" + ");
    format!("{} {all}{equals}{parts}{wrong}", account[all])
}

fn connections(status: &Value, out: &mut dyn Write) -> io::Result<()> {
    let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
    for link in status["connections"].as_array().into_iter().flatten() {
        let (pbx, address) = (text(&link["pbx"]), text(&link["address"]));
        let since = match link["since"].as_str() {
            Some(since) => format!(" since {since}"),
            None => String::new(),
        };
        writeln!(
            out,
            "phones    {pbx}: {} to {address}{since}, {} events",
            text(&link["state"]),
            link["events"]
        )?;
        if let Some(why) = link["why"].as_str() {
            writeln!(out, "          {why}")?;
        }
        for lacking in link["lacking"].as_array().into_iter().flatten() {
            writeln!(out, "          the user lacks {}", text(lacking))?;
        }
        if let Some(gap) = link["gaps"].as_array().and_then(|gaps| gaps.last()) {
            writeln!(
                out,
                "          nobody listened from {} to {}; {} such gaps, {} s in all",
                text(&gap["from"]),
                text(&gap["to"]),
                link["gaps_ever"],
                link["gap_seconds_ever"]
            )?;
        }
    }
    for folder in status["folders"].as_array().into_iter().flatten() {
        writeln!(
            out,
            "files     {}: {} taken, {} held already, {} refused, {} can't be moved",
            text(&folder["pbx"]),
            folder["taken"],
            folder["repeated"],
            folder["refused"],
            folder["stuck"]
        )?;
    }
    Ok(())
}

/// One contact sync; nothing where there is none.
pub(super) fn contacts(sync: &Value, out: &mut dyn Write) -> io::Result<()> {
    if sync.is_null() {
        return Ok(());
    }
    let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
    writeln!(
        out,
        "sync      {}: {} contacts linked, last run {}, written since the start: {} on the phone side, {} in Kustomer",
        text(&sync["kustomer"]),
        sync["linked"],
        sync["last_run"].as_str().unwrap_or("not yet"),
        sync["written"]["phone"],
        sync["written"]["kustomer"],
    )?;
    if !sync["work"].is_null() {
        writeln!(out, "          {}", Work::of(sync))?;
    }
    if sync["refused"].as_u64() != Some(0) {
        writeln!(
            out,
            "          {} writes were refused; `tieline plan` lists them",
            sync["refused"]
        )?;
    }
    if let Some(why) = sync["stopped"]["why"].as_str() {
        let plan = text(&sync["stopped"]["plan"]);
        writeln!(out, "          STOPPED: {why}")?;
        writeln!(
            out,
            "          look at `tieline plan`, then `tieline sync now --approve {plan}`"
        )?;
    }
    if let Some(why) = sync["fault"]["why"].as_str() {
        let waits = if sync["needs_operator"].as_bool().unwrap_or(false) {
            "STOPPED until somebody acts"
        } else {
            "goes on later"
        };
        writeln!(out, "          {waits}: {why}")?;
    }
    Ok(())
}

fn integrations(status: &Value, out: &mut dyn Write) -> io::Result<()> {
    let accounts = &status["accounts"]["integrations"];
    let parts = status["integrations"].as_array();
    for part in parts.into_iter().flatten() {
        integration(part, out)?;
        let account = part["name"].as_str().and_then(|name| accounts.get(name));
        if let Some(account) = account {
            writeln!(out, "          {}", sum("asked", account))?;
        }
    }
    let configured =
        |name: &str| parts.is_some_and(|all| all.iter().any(|part| part["name"] == name));
    for (name, account) in accounts.as_object().into_iter().flatten() {
        if !configured(name) {
            writeln!(
                out,
                "kustomer  {name} (no longer configured): {}",
                sum("asked", account)
            )?;
        }
    }
    Ok(())
}

fn integration(part: &Value, out: &mut dyn Write) -> io::Result<()> {
    let name = part["name"].as_str().unwrap_or("-");
    let active = if part["active"].as_bool().unwrap_or(false) {
        ""
    } else {
        " (inactive)"
    };
    writeln!(
        out,
        "kustomer  {name}{active}: {} owed, {} in flight",
        part["owed"], part["in_flight"]
    )?;
    if let Some(held) = part["held"].as_str() {
        writeln!(out, "          everything waits: {held}")?;
    }
    if part["behind"].as_u64().unwrap_or(0) > 0 {
        let behind = &part["behind"];
        writeln!(
            out,
            "          {behind} texts wait for the conversation of the one before"
        )?;
    }
    if part["bulk"]["groups"].as_u64().unwrap_or(0) > 0 {
        let groups = &part["bulk"]["groups"];
        writeln!(
            out,
            "          a backlog drains: {groups} groups in bulk requests"
        )?;
    }
    if let Some(rests) = part["bulk"]["rests"].as_str() {
        writeln!(out, "          no bulk requests {rests}")?;
    }
    for why in part["attributes"]["left_out"]
        .as_array()
        .into_iter()
        .flatten()
    {
        let why = why.as_str().unwrap_or("-");
        writeln!(out, "          custom attribute left out: {why}")?;
    }
    contacts(&part["contacts"], out)?;
    if let Some(why) = part["attributes"]["unread"].as_str() {
        writeln!(out, "          custom attributes can't be checked: {why}")?;
    }
    let hook = &part["webhook"];
    if hook.is_object() {
        let state = hook["at_kustomer"].as_str().unwrap_or("-");
        let (taken, waiting) = (&hook["since_start"]["accepted"], &hook["waiting"]);
        writeln!(
            out,
            "          webhook {state}: {taken} taken, {waiting} customers wait"
        )?;
    }
    if let Some(why) = hook["problem"].as_str() {
        writeln!(out, "          {why}")?;
    }
    if let Some(why) = part["last_fault"]["why"].as_str() {
        writeln!(
            out,
            "          last fault at {}: {why}",
            part["last_fault"]["at"].as_str().unwrap_or("-")
        )?;
    }
    Ok(())
}
