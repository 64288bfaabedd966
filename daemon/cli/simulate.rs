//! `tieline simulate`: plays made-up or recorded calls and texts against a running daemon, as its phone system would: to try
//! rules and phone systems out, and how much a machine can take. What is played is in `daemon/simulate/`.

mod aim;
mod report;
mod script;

use super::{ConfigArgs, EXIT_UNAVAILABLE, Exit, decode, small_runtime, table};
use crate::settings::types::Dialect;
use crate::simulate::live::{Interface, Show};
use crate::simulate::play::{self, PlayFault, Tally};
use crate::simulate::{Scenario, writers};
use aim::Aim;
use anyhow::{Context as _, bail};
use clap::{Args, Subcommand, ValueEnum};
use script::{Played, Script};
use serde_json::json;
use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;

/// Longer than `settle`: a call is logged by then.
const LATE_MARGIN: Duration = Duration::from_secs(2);

#[derive(Debug, Args)]
pub struct SimulateArgs {
    #[command(subcommand)]
    what: What,
    #[command(flatten)]
    config: ConfigArgs,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Play calls and texts of a phone system
    Pbx(Box<PbxArgs>),
    /// Print which dialect can tell of which scenarios, and what happens in each
    List(ListArgs),
}

#[derive(Debug, Args)]
struct ListArgs {
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// Play calls and texts against a running daemon, signed as the phone system would.
///
/// Where the daemon is, and what it asks as a proof, comes from its settings (`--config`), or from `--url` and `--auth`. Makes
/// conversations in Kustomer: beyond this machine only with --yes. Exit codes: 0 all posts were accepted, 1 some
/// weren't, 69 no daemon answers.
#[derive(Debug, Args)]
struct PbxArgs {
    /// The phone system's dialect; that of --pbx unless given
    #[arg(long, value_parser = decode::dialect)]
    dialect: Option<Dialect>,
    #[command(flatten)]
    script: ScriptArgs,
    #[command(flatten)]
    aim: AimArgs,
    /// Posts a second
    #[arg(long, default_value_t = 20.0, value_parser = rate)]
    rate: f64,
    /// Post in any order
    #[arg(long)]
    shuffle: bool,
    /// Post everything twice
    #[arg(long)]
    double: bool,
    /// Don't wait until the calls are logged
    #[arg(long)]
    no_wait: bool,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    /// Don't post: be the phone system that the daemon connects to
    #[arg(long, value_enum)]
    serve: Option<Serve>,
    /// With --serve: where to listen
    #[arg(long, default_value = "127.0.0.1:5038", requires = "serve")]
    listen: SocketAddr,
}

/// What is played.
#[derive(Debug, Args)]
struct ScriptArgs {
    /// What happens, by the names of `tieline simulate list`; all that the phone system can tell unless given
    #[arg(long, value_delimiter = ',', value_parser = scenario)]
    scenario: Vec<Scenario>,
    /// Recordings instead: files as `tieline decode` reads them, or folders with such
    #[arg(long = "file", value_name = "PATH", conflicts_with = "scenario")]
    files: Vec<PathBuf>,
    /// How many calls and texts; each scenario or file once unless given
    #[arg(long)]
    calls: Option<usize>,
    /// Makes the same ids again; chosen by chance unless given, and printed
    #[arg(long)]
    seed: Option<u64>,
    /// Times and ids of recordings: new ones, so that they are new calls, or those recorded
    #[arg(long, value_enum, default_value_t = Times::Now)]
    times: Times,
    /// The customer's number
    #[arg(long, default_value = "+491711234567")]
    from: String,
    /// Our number
    #[arg(long, default_value = "+4921155500100")]
    to: String,
    /// Who answers: an extension, or an e-mail address where the phone system has those
    #[arg(long)]
    agent: Option<String>,
    /// The second agent, in queues and transfers
    #[arg(long)]
    colleague: Option<String>,
    /// What the texts say
    #[arg(long, default_value = "Is my order ready?")]
    words: String,
}

/// Where it is posted.
#[derive(Debug, Args)]
struct AimArgs {
    /// The `[[pbx]]` of the settings; the first one of that dialect unless given
    #[arg(long)]
    pbx: Option<String>,
    /// A daemon without its settings: its listener's address, as `http://10.0.0.5:8480`; needs --pbx and --dialect
    #[arg(long, requires = "pbx", requires = "dialect")]
    url: Option<String>,
    /// With --url: how the phone system proves itself, as `auth` in the settings
    #[arg(long, value_enum, default_value_t = Kind::None, requires = "url")]
    auth: Kind,
    /// With --auth basic
    #[arg(long, requires = "url")]
    user: Option<String>,
    /// With --auth: the file that holds the password, token or secret alone
    #[arg(long, visible_aliases = ["password-file", "token-file"], requires = "url")]
    secret_file: Option<PathBuf>,
    /// With --auth query, header, body or hmac: the name of the parameter, header or field
    #[arg(long, requires = "url")]
    name: Option<String>,
    /// With --auth twilio: the address as Twilio calls it
    #[arg(long, requires = "url")]
    signed_url: Option<String>,
    /// With --url: zone of times that the phone system writes without one
    #[arg(long, default_value = "UTC", requires = "url")]
    time_zone: String,
    /// Make real conversations: post to another machine, or to a daemon that logs in a real Kustomer
    #[arg(long)]
    yes: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Kind {
    Basic,
    Bearer,
    Query,
    Header,
    Body,
    Hmac,
    Jwt,
    Twilio,
    None,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Times {
    Now,
    Recorded,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Serve {
    /// Asterisk's manager interface
    Ami,
    /// FreeSWITCH's event socket
    Esl,
}

pub fn run(args: &SimulateArgs, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
    match &args.what {
        What::List(args) => list(args, out),
        What::Pbx(pbx) => small_runtime()?.block_on(async {
            match pbx.serve {
                Some(serve) => be_connected(pbx, serve, out).await,
                None => post(pbx, &args.config, out).await,
            }
        }),
    }
}

fn list(args: &ListArgs, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
    let words = |dialect: Dialect| -> Vec<&str> {
        let says = writers::says(dialect).iter();
        says.map(|scenario| scenario.word()).collect()
    };
    if args.json {
        let scenarios: serde_json::Map<_, _> = Scenario::ALL
            .iter()
            .map(|scenario| (scenario.word().to_owned(), json!(scenario.what())))
            .collect();
        let dialects: serde_json::Map<_, _> = Dialect::ALL
            .iter()
            .map(|dialect| (dialect.word().to_owned(), json!(words(*dialect))))
            .collect();
        writeln!(
            out,
            "{}",
            json!({"scenarios": scenarios, "dialects": dialects})
        )?;
        return Ok(ExitCode::SUCCESS);
    }
    let what = |scenario: &Scenario| vec![scenario.word().to_owned(), scenario.what().to_owned()];
    let rows: Vec<_> = Scenario::ALL.iter().map(what).collect();
    table::write(out, &["scenario", "what happens"], &rows)?;
    writeln!(out)?;
    let of = |dialect: Dialect| vec![dialect.word().to_owned(), words(dialect).join(" ")];
    table::write(out, &["dialect", "can tell of"], &Dialect::ALL.map(of))?;
    writeln!(
        out,
        "\nAny of them also in disorder (--shuffle) and twice (--double)."
    )?;
    Ok(ExitCode::SUCCESS)
}

async fn post(
    args: &PbxArgs,
    config: &ConfigArgs,
    out: &mut dyn Write,
) -> anyhow::Result<ExitCode> {
    let aim = Aim::of(&args.aim, args.dialect, config)?;
    aim.permitted(args.aim.yes)?;
    let script = Script::of(&args.script, &aim)?;
    let mut posts = script.posts(args.double);
    if args.shuffle {
        fastrand::Rng::with_seed(script.seed).shuffle(&mut posts);
    }
    let (late, soon): (Vec<_>, Vec<_>) = posts.into_iter().partition(|(_, post)| post.late);
    let target = Arc::new(aim.target);
    let mut tally = play::play(&target, soon, args.rate, !args.shuffle)
        .await
        .map_err(exit)?;
    let admin = aim.admin.as_ref().filter(|_| !args.no_wait);
    let mut ends = report::ends(admin, &aim.pbx, &script.calls, &tally).await;
    if !late.is_empty() {
        if admin.is_none() {
            tokio::time::sleep(aim.settle + LATE_MARGIN).await;
        }
        let more: Tally = play::play(&target, late, args.rate, !args.shuffle)
            .await
            .map_err(exit)?;
        tally.add(more);
        ends = report::ends(admin, &aim.pbx, &script.calls, &tally).await;
    }
    report::write(args.json, script.seed, &tally, &ends, out)?;
    Ok(if tally.refused.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn exit(fault: PlayFault) -> anyhow::Error {
    match fault {
        PlayFault::Unreachable { .. } => Exit {
            code: EXIT_UNAVAILABLE,
            text: fault.to_string(),
        }
        .into(),
        PlayFault::Unsignable(_) | PlayFault::NoRequest(_) => fault.into(),
    }
}

/// `--serve`: until Ctrl-C.
async fn be_connected(
    args: &PbxArgs,
    serve: Serve,
    out: &mut dyn Write,
) -> anyhow::Result<ExitCode> {
    let (interface, dialect) = match serve {
        Serve::Ami => (Interface::Ami, Dialect::Asterisk),
        Serve::Esl => (Interface::Esl, Dialect::Freeswitch),
    };
    if args.dialect.is_some_and(|given| given != dialect) {
        bail!(
            "--serve {serve:?} speaks {}: leave --dialect out",
            dialect.word()
        );
    }
    if !args.listen.ip().is_loopback() && !args.aim.yes {
        bail!(
            "--listen is no address of this machine alone; whoever connects may make conversations of it: --yes, if you mean it"
        );
    }
    let events = script::events(&args.script, interface)?;
    let listener = TcpListener::bind(args.listen).await;
    let listener = listener.with_context(|| format!("can't listen on {}", args.listen))?;
    let (show, count) = (Show::new(interface, events), |show: &Show| show.played());
    let (_, all) = count(&show);
    let scheme = if serve == Serve::Ami { "ami" } else { "esl" };
    writeln!(
        out,
        "{all} events are played to who connects: connect = \"{scheme}://{}\", any user and password. Ctrl-C ends it.",
        listener.local_addr()?
    )?;
    out.flush()?;
    tokio::select! {
        served = show.clone().serve(listener, args.rate) => served?,
        stopped = tokio::signal::ctrl_c() => stopped?,
    }
    let (played, all) = count(&show);
    writeln!(out, "{played} of {all} events were played.")?;
    Ok(ExitCode::SUCCESS)
}

fn scenario(written: &str) -> anyhow::Result<Scenario> {
    let found = Scenario::ALL
        .into_iter()
        .find(|scenario| scenario.word() == written);
    found.with_context(|| {
        format!(
            "there is none of this name; {}",
            Scenario::ALL.map(Scenario::word).join(", ")
        )
    })
}

/// `50`, `50/s`, `0.5`
fn rate(written: &str) -> anyhow::Result<f64> {
    let rate: f64 = written.trim_end_matches("/s").parse()?;
    if !(0.01..=100_000.0).contains(&rate) {
        bail!("between 0.01 and 100000 a second");
    }
    Ok(rate)
}
