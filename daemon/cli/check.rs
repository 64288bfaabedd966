//! `tieline check`: is the configuration right, and with `--online`, is everything around it: the doctor.

mod online;
mod running;

use super::{ConfigArgs, small_runtime};
use crate::clock;
use crate::doctor::{Finding, Level, machine};
use crate::settings::certificate::Certificate;
use crate::settings::load;
use crate::settings::read;
use crate::settings::summary::summary;
use crate::settings::types::Settings;
use clap::Args;
use jiff::SignedDuration;
use serde_json::json;
use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

/// Looks at the configuration, and with --online at Kustomer, this machine and the running daemon.
///
/// Exit codes: 0 nothing is wrong (there may be warnings), 1 something can't work, 78 the configuration is wrong.
#[derive(Debug, Args)]
pub struct CheckArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// Also look at the way to Kustomer, the key and its roles, clock and disk, phone systems and numbers. Changes nothing
    #[arg(long)]
    online: bool,
    /// With --online: how many of the last calls and texts are looked at for numbers that nobody calls
    #[arg(long, value_name = "COUNT", default_value_t = 1000)]
    calls: u32,
    /// With --online: how long a phone system may be silent before it is remarked
    #[arg(long, value_name = "DURATION", default_value = "24h", value_parser = duration)]
    silence: SignedDuration,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub fn run(args: &CheckArgs, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
    let mut settings = match load::load(&args.config.sources()) {
        Ok(settings) => settings,
        Err(faults) => {
            if args.json {
                writeln!(out, "{}", json!({"ok": false, "faults": faults.to_json()}))?;
            } else {
                writeln!(out, "{faults}")?;
            }
            return Ok(ExitCode::from(super::EXIT_CONFIG));
        }
    };
    if let Some(tls) = &settings.daemon.tls {
        let doubt = Certificate::read(tls)?.doubt(clock::now());
        let note = |doubt| format!("{}: {doubt}", tls.certificate_file.display());
        settings.notes.extend(doubt.map(note));
    }
    let findings = if args.online {
        look(args, &settings)?
    } else {
        Vec::new()
    };
    let ok = findings.iter().all(|finding| finding.level < Level::Fault);
    if args.json {
        let summary = summary(&settings);
        let shown =
            json!({"ok": ok, "in_force": summary, "notes": settings.notes, "findings": findings});
        writeln!(out, "{shown}")?;
    } else {
        writeln!(out, "The configuration is right. In force:")?;
        for line in summary(&settings) {
            writeln!(out, "  {line}")?;
        }
        if args.online {
            print(&findings, out)?;
        }
    }
    Ok(if ok {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// This machine, Kustomer, the daemon.
fn look(args: &CheckArgs, settings: &Settings) -> anyhow::Result<Vec<Finding>> {
    let state_dir = &settings.daemon.state_dir;
    let mut findings = vec![machine::disk(
        &state_dir.display().to_string(),
        free(state_dir).map_err(|error| error.to_string()),
        settings.daemon.disk_reserve,
    )];
    let past = running::Past {
        calls: args.calls,
        silence: args.silence,
    };
    small_runtime()?.block_on(async {
        findings.extend(online::look_online(settings).await);
        findings.extend(running::look(settings, past).await);
    });
    Ok(findings)
}

/// Bytes that the disk of a folder has left for those who aren't root; of the nearest one above it, before the first start.
fn free(folder: &Path) -> std::io::Result<u64> {
    let there = folder.ancestors().find(|folder| folder.exists());
    let disk = rustix::fs::statvfs(there.unwrap_or(folder))?;
    Ok(disk.f_bavail.saturating_mul(disk.f_frsize))
}

/// What is wrong comes first, each with what to do.
fn print(findings: &[Finding], out: &mut dyn Write) -> std::io::Result<()> {
    writeln!(out, "Looked at:")?;
    let mut sorted: Vec<&Finding> = findings.iter().collect();
    sorted.sort_by_key(|finding| std::cmp::Reverse(finding.level));
    for finding in sorted {
        let level = match finding.level {
            Level::Ok => "ok     ",
            Level::Warning => "WARNING",
            Level::Fault => "FAULT  ",
        };
        let of = if finding.of.is_empty() {
            String::new()
        } else {
            format!(" {}", finding.of)
        };
        writeln!(out, "  {level} {}{of}: {}", finding.check, finding.what)?;
        if !finding.todo.is_empty() {
            writeln!(out, "          do: {}", finding.todo)?;
        }
    }
    Ok(())
}

fn duration(text: &str) -> Result<SignedDuration, String> {
    let duration = read::duration(text).and_then(|wait| SignedDuration::try_from(wait).ok());
    duration.ok_or_else(|| "a duration such as 24h or \"3 days\"".to_owned())
}
