//! The command line: one subcommand a file. Those that need live state ask the running daemon over its admin socket.
//!
//! Exit codes: 0 done, 1 failed, 2 wrong use of the command, 3 not found (`plan`,
//! `sync`: there is something to do; `filter test`: something would change), 69 the daemon is not reachable,
//! 78 the configuration is wrong (sysexits.h EX_UNAVAILABLE, EX_CONFIG).

pub mod ask;
pub mod backup;
pub mod check;
pub mod config;
pub mod contacts;
pub mod dead;
pub mod decode;
pub mod demo;
pub mod erase;
pub mod explain;
pub mod filter;
pub mod generate;
pub mod lookup;
pub mod plan;
mod progress;
pub mod recording;
pub mod replay;
pub mod restore;
pub mod run;
pub mod sandbox;
pub mod show;
pub mod simulate;
pub mod status;
mod streams;
pub mod sync;
mod table;
pub mod webhook;

use crate::settings::fault::Faults;
use crate::settings::load::{self, Sources};
use crate::settings::types::Settings;
use clap::{Args, Parser, Subcommand};
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

/// Where an administrator's files are.
pub const ETC: &str = "/etc/tieline";

pub const EXIT_FAILED: u8 = 1;
pub const EXIT_NOT_FOUND: u8 = 3;
/// `plan` has something to write, or a plan waits for approval; `filter test` found that something would change.
pub const EXIT_PLANNED: u8 = 3;
pub const EXIT_UNAVAILABLE: u8 = 69;
pub const EXIT_CONFIG: u8 = 78;

/// Logs a phone system's calls and texts in Kustomer: nothing lost, nothing twice, every decision explainable.
#[derive(Debug, Parser)]
#[command(
    name = "tieline",
    version,
    after_help = "Exit codes: 0 done, 1 failed, 2 wrong use, 3 not found, 69 daemon not reachable, 78 configuration \
                  wrong.\nStart with `tieline demo`."
)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the daemon: take events, log calls and texts
    Run(run::RunArgs),
    /// Check the configuration, and with --online the Kustomer key and its roles
    Check(check::CheckArgs),
    /// Show the settings in force and where each was written
    Config(config::ConfigCommand),
    /// Read a recording of a phone system's events and print the calls and texts in it; needs no daemon
    Decode(decode::DecodeArgs),
    /// Say why a call was or wasn't logged: its legs, the rules in order, its ends
    Explain(explain::ExplainArgs),
    /// Try the rules: on a number, a recording, or what came lately against changed rules
    Filter(filter::FilterCommand),
    /// Show what the running daemon does
    Status(status::StatusArgs),
    /// List, show, retry or drop what could not be read or logged
    Dead(dead::DeadArgs),
    /// Take filtered or dead events up again, after rules changed or a new version came
    Replay(replay::ReplayArgs),
    /// The built-in phone book: list, show, import, export
    Contacts(contacts::ContactsArgs),
    /// Have Kustomer tell of changed customers at once: install, show, remove
    Webhook(webhook::WebhookArgs),
    /// Show what the contact sync would do now, and what it leaves out; exit code 0 nothing to do, 3 something
    Plan(plan::PlanArgs),
    /// Sync contacts now, or approve a plan that was stopped; exit code 3 if one waits
    Sync(sync::SyncArgs),
    /// Take a backup of the running daemon's store, or check one
    Backup(backup::BackupArgs),
    /// Make a store of a backup, where none is; the daemon must not run
    Restore(restore::RestoreArgs),
    /// Forget one person before their time: calls, texts, contacts; the daemon must not run
    Erase(erase::EraseArgs),
    /// Show how a number is read and whose it is
    Lookup(lookup::LookupArgs),
    /// Play calls and texts against a running daemon, as its phone system would
    Simulate(simulate::SimulateArgs),
    /// Serve a practice Kustomer on loopback, to try filters without an account
    Sandbox(sandbox::SandboxArgs),
    /// Play recorded calls through a real daemon into a practice Kustomer and show what becomes of them
    Demo(demo::DemoArgs),
    /// Manual pages and shell completions, for packages
    #[command(hide = true)]
    Generate(generate::GenerateArgs),
}

/// Which configuration files are read; shared by most subcommands.
#[derive(Clone, Debug, Args)]
pub struct ConfigArgs {
    /// A configuration file, read after /etc/tieline/tieline.toml and /etc/tieline/conf.d/*.toml; may be given again
    #[arg(long = "config", value_name = "FILE", global = true)]
    pub configs: Vec<PathBuf>,
}

/// An error with an exit code of its own.
#[derive(Debug, thiserror::Error)]
#[error("{text}")]
pub struct Exit {
    pub code: u8,
    pub text: String,
}

impl ConfigArgs {
    pub fn sources(&self) -> Sources {
        Sources {
            etc: PathBuf::from(ETC),
            env: std::env::vars_os()
                .filter_map(|(key, value)| {
                    Some((key.into_string().ok()?, value.into_string().ok()?))
                })
                .collect(),
            configs: self.configs.clone(),
        }
    }

    /// The settings in force, or every fault at once with exit code 78.
    pub fn load(&self) -> Result<Settings, Exit> {
        load::load(&self.sources()).map_err(|faults: Faults| Exit {
            code: EXIT_CONFIG,
            text: faults.to_string(),
        })
    }

    /// As `load`, without looking at the secret files: for commands that only ask the daemon, whose users may not be
    /// allowed to read them.
    pub fn load_to_ask(&self) -> Result<Settings, Exit> {
        load::load_without_secrets(&self.sources()).map_err(|faults: Faults| Exit {
            code: EXIT_CONFIG,
            text: faults.to_string(),
        })
    }
}

/// Runs the subcommand.
pub fn run(cli: Cli) -> anyhow::Result<ExitCode> {
    let mut out = io::stdout().lock();
    let code = match cli.command {
        Command::Run(args) => run::run(&args),
        Command::Check(args) => check::run(&args, &mut out),
        Command::Config(args) => config::run(&args, &mut out),
        Command::Decode(args) => decode::run(&args, &mut out),
        Command::Explain(args) => explain::run(&args, &mut out),
        Command::Filter(args) => filter::run(&args, &mut out),
        Command::Status(args) => status::run(&args, &mut out),
        Command::Dead(args) => dead::run(&args, &mut out),
        Command::Replay(args) => replay::run(&args, &mut out),
        Command::Contacts(args) => contacts::run(&args, &mut out),
        Command::Webhook(args) => webhook::run(&args, &mut out),
        Command::Plan(args) => plan::run(&args, &mut out),
        Command::Sync(args) => sync::run(&args, &mut out),
        Command::Backup(args) => backup::run(&args, &mut out),
        Command::Restore(args) => restore::run(&args, &mut out),
        Command::Erase(args) => erase::run(&args, &mut out),
        Command::Lookup(args) => lookup::run(&args, &mut out),
        Command::Simulate(args) => simulate::run(&args, &mut out),
        Command::Sandbox(args) => sandbox::run(&args, &mut out),
        Command::Demo(args) => demo::run(&args, &mut out),
        Command::Generate(args) => generate::run(&args, &mut out),
    };
    match code {
        // `tieline … | head` closes the pipe early: that is the reader's right, no failure.
        Err(error) if is_broken_pipe(&error) => Ok(ExitCode::SUCCESS),
        other => {
            out.flush().or_else(|error| {
                if error.kind() == io::ErrorKind::BrokenPipe {
                    Ok(())
                } else {
                    Err(error)
                }
            })?;
            other
        }
    }
}

/// The exit code an error asks for.
pub fn exit_code_of(error: &anyhow::Error) -> u8 {
    error
        .downcast_ref::<Exit>()
        .map_or(EXIT_FAILED, |exit| exit.code)
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error
        .downcast_ref::<io::Error>()
        .is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

/// A runtime for subcommands that ask the daemon or Kustomer: one thread is plenty.
pub(crate) fn small_runtime() -> io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
}
