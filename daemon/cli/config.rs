//! `tieline config show`: every setting in force and where it was written. Needs no daemon and opens no secret.

use super::{ConfigArgs, EXIT_CONFIG, Exit};
use crate::settings::load;
use crate::settings::origin::Whence;
use crate::settings::shown::Setting;
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use std::io::{self, Write};
use std::process::ExitCode;

#[derive(Debug, Args)]
pub struct ConfigCommand {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Every setting with its value and where it came from: default, file and line, or variable of the environment
    Show(ShowArgs),
}

#[derive(Debug, Args)]
struct ShowArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// Leave out what is as built in
    #[arg(long)]
    set: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub fn run(args: &ConfigCommand, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
    let What::Show(args) = &args.what;
    let mut settings = load::shown(&args.config.sources()).map_err(|faults| Exit {
        code: EXIT_CONFIG,
        text: faults.to_string(),
    })?;
    if args.set {
        settings.retain(|setting| setting.whence != Whence::Default);
    }
    if args.json {
        let all: Vec<Value> = settings.iter().map(Setting::json).collect();
        let shown = serde_json::to_string_pretty(&json!({"settings": all}))?;
        writeln!(out, "{shown}")?;
    } else {
        for setting in &settings {
            print(setting, out)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// As a line of TOML with a comment.
fn print(setting: &Setting, out: &mut dyn Write) -> io::Result<()> {
    let value = match &setting.value {
        Value::Null => "(unset)".to_owned(),
        value => value.to_string(),
    };
    write!(out, "{} = {value}  # {}", setting.key, setting.whence)?;
    match &setting.secret {
        Some(secret) if secret.credential => {
            writeln!(
                out,
                "; the secret is the credential {}",
                secret.file.display()
            )
        }
        Some(secret) => writeln!(out, "; the secret is read from {}", secret.file.display()),
        None => writeln!(out),
    }
}
