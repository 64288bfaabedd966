//! `tieline demo`: recorded calls through the real daemon into the practice Kustomer, in a temporary folder.
//!
//! Plays every built-in recording, three texts and an event nobody understands, waits until all have ended, and shows
//! each one's end, a note in full and an explanation. Fails when any ended otherwise than it should.
#![expect(
    clippy::indexing_slicing,
    reason = "a serde_json::Value that is read answers null for what isn't there"
)]

use super::recording::{self, Post};
use super::{ask, explain, table};
use crate::app::{self, Running};
use crate::sandbox::{SANDBOX_KEY, Sandbox, SandboxOptions};
use crate::settings::load::{self, Sources};
use crate::simulate::Proof;
use crate::simulate::play::{Sender, Target};
use anyhow::{Context as _, anyhow, bail};
use clap::Args;
use hyper::Method;
use serde_json::{Value, json};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;
use tokio::sync::{oneshot, watch};

/// How often the demo looks whether everything has ended, and how long it waits in all.
const LOOK_EVERY: Duration = Duration::from_millis(50);
const LOOKS_MAX: u32 = 20 * 60;

const PASSWORD: &str = "demo-password";
const TOKEN: &str = "demo-token";

/// The recording whose note and explanation are shown: a queue whose first agent misses and whose second answers.
const SHOWN: &str = "07-callcenter-queue-second-agent-answers";

#[derive(Debug, Args)]
pub struct DemoArgs {
    /// Keep the temporary folder (configuration, store) and say where it is
    #[arg(long)]
    keep: bool,
}

/// One event to post and the ends that are right for it.
struct Played {
    what: String,
    pbx: &'static str,
    post: Post,
    right: &'static [&'static str],
}

/// What the daemon answered to a post.
struct Held {
    id: String,
    repeat: bool,
}

/// One posted event's end.
struct Ended {
    what: String,
    id: String,
    end: String,
    why: String,
    right: bool,
}

pub fn run(args: &DemoArgs, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    let folder = Folder::make()?;
    let wrong = runtime.block_on(play(&folder.0, out))?;
    if args.keep {
        writeln!(out, "\nKept: {}", folder.0.display())?;
        drop(folder.keep());
    }
    if wrong > 0 {
        writeln!(out, "\n{wrong} events did not end as they should.")?;
        return Ok(ExitCode::FAILURE);
    }
    Ok(ExitCode::SUCCESS)
}

async fn play(folder: &Path, out: &mut dyn Write) -> anyhow::Result<usize> {
    let sandbox = Sandbox::start(SandboxOptions {
        listen: "127.0.0.1:0".to_owned(),
        ..SandboxOptions::default()
    })
    .await?;
    let config = write_files(folder, sandbox.url())?;
    let sources = Sources {
        etc: folder.join("etc"),
        env: Vec::new(),
        configs: vec![config],
    };
    let settings = load::load(&sources).map_err(|faults| anyhow!("{faults}"))?;
    writeln!(
        out,
        "A daemon and a practice Kustomer are running in {}.\n",
        folder.display()
    )?;
    let (stop, stopped) = watch::channel(false);
    let (started, starting) = oneshot::channel();
    let started = std::sync::Mutex::new(Some(started));
    let daemon = tokio::spawn(app::run_until(settings, stopped, move |running| {
        let started = started.lock().ok().and_then(|mut started| started.take());
        if let Some(started) = started {
            let _ = started.send(running);
        }
    }));
    let outcome = match starting.await {
        Ok(running) => tell(&running, &sandbox, out).await,
        Err(_) => Err(anyhow!("the daemon did not start")),
    };
    let _ = stop.send(true);
    daemon.await?.context("the daemon")?;
    sandbox.shutdown().await;
    outcome
}

/// Posts everything, waits, and prints what became of it. Answers how many ended wrongly.
async fn tell(running: &Running, sandbox: &Sandbox, out: &mut dyn Write) -> anyhow::Result<usize> {
    let mut posted = Vec::new();
    for played in recordings().into_iter().chain(own_events()) {
        let held = post(running, &played)
            .await
            .with_context(|| played.what.clone())?;
        posted.push((played, held));
    }
    wait(running).await?;
    let mut ended = Vec::new();
    for (played, held) in posted {
        ended.push(end_of(running, played, held).await?);
    }
    let rows: Vec<Vec<String>> = ended
        .iter()
        .map(|row| {
            let mark = if row.right { "" } else { "WRONG " };
            let id = row.id.get(..8).unwrap_or(&row.id).to_owned();
            vec![
                row.what.clone(),
                id,
                format!("{mark}{}", row.end),
                row.why.clone(),
            ]
        })
        .collect();
    table::write(out, &["played", "event", "end", "why"], &rows)?;
    let counts = sandbox.counts();
    writeln!(
        out,
        "\n{} posts became {} conversations with {} notes in Kustomer, in {} requests.",
        rows.len(),
        counts.conversations,
        counts.notes,
        counts.requests
    )?;
    show_one(running, sandbox, &ended, out).await?;
    writeln!(
        out,
        "\nTry next:\n  tieline sandbox                                  a practice Kustomer of your own\n  \
         tieline check --config config/examples/sandbox.toml  is a configuration right?\n  \
         tieline run --config config/examples/sandbox.toml    the daemon; then post an event as docs/phone-systems.md shows\n  \
         tieline decode --dialect freeswitch FILE…        what tieline makes of your own phone system's posts"
    )?;
    Ok(ended.iter().filter(|row| !row.right).count())
}

async fn show_one(
    running: &Running,
    sandbox: &Sandbox,
    ended: &[Ended],
    out: &mut dyn Write,
) -> anyhow::Result<()> {
    let Some(shown) = ended.iter().find(|row| row.what.starts_with(SHOWN)) else {
        return Ok(());
    };
    let explained = explained(running, &shown.id).await?;
    let conversation = explained["integrations"][0]["delivery"]["conversation"]
        .as_str()
        .unwrap_or_default();
    let notes = sandbox.notes();
    let of_it = |note: &&Value| {
        note["relationships"]["conversation"]["data"]["id"].as_str() == Some(conversation)
    };
    let note = notes
        .iter()
        .find(of_it)
        .context("the call's note is not in Kustomer")?;
    writeln!(out, "\nThe note of {SHOWN}:\n")?;
    for line in note["attributes"]["body"]
        .as_str()
        .unwrap_or_default()
        .lines()
    {
        writeln!(out, "    {line}")?;
    }
    writeln!(out, "\nWhy it was logged (`tieline explain`):\n")?;
    explain::print(&explained, out)?;
    Ok(())
}

/// Every post of every recording, with the ends that follow from the recording's truth.
fn recordings() -> Vec<Played> {
    let mut all = Vec::new();
    for (name, http, expected) in recording::RECORDINGS {
        let expected: Value = serde_json::from_slice(expected).unwrap_or_default();
        let call = &expected["calls"][0];
        let logged = call["type"] != "internal" && !call["other_party"].is_null();
        let right: &[&str] = if logged {
            &["logged", "joined"]
        } else {
            &["filtered"]
        };
        for (index, post) in recording::posts(http).into_iter().enumerate() {
            // The module's default encodings lose the call's own quotes: nothing can read those posts.
            let lost = name.ends_with("default-encodings") && post.body.starts_with(b"cdr=%7B");
            let right: &[&str] = if lost { &["dead"] } else { right };
            all.push(Played {
                what: format!("{name} {}", index + 1),
                pbx: "hq",
                post,
                right,
            });
        }
    }
    all
}

/// Texts and an unknown event in our own dialect.
fn own_events() -> Vec<Played> {
    let text = |id: &str, direction: &str, from: &str, to: &str, body: &str| {
        json!({"event": "text", "id": id, "direction": direction, "from": from, "to": to,
            "at": "2026-11-20T12:24:29Z", "body": body, "media": []})
    };
    let ours = "+4921155500100";
    let events: [(&str, Value, &[&str]); 4] = [
        (
            "text from a customer",
            text(
                "m1",
                "in",
                "+49 171 1234567",
                ours,
                "Hello, is my order ready?",
            ),
            &["logged"],
        ),
        (
            "text to a customer",
            text("m2", "out", ours, "0171 1234567", "Yes, it is ready."),
            &["logged"],
        ),
        (
            "text from somebody new",
            text("m3", "in", "+4915198765432", ours, "Do you deliver?"),
            &["logged"],
        ),
        (
            "an unknown event",
            json!({"event": "fax.received", "id": "f1"}),
            &["dead"],
        ),
    ];
    let played = |(what, body, right): (&str, Value, &'static [&'static str])| Played {
        what: what.to_owned(),
        pbx: "script",
        post: Post {
            query: None,
            content_type: Some("application/json".to_owned()),
            body: body.to_string().into_bytes(),
            received: jiff::Timestamp::UNIX_EPOCH,
        },
        right,
    };
    events.into_iter().map(played).collect()
}

async fn post(running: &Running, played: &Played) -> anyhow::Result<Held> {
    let proof = match played.pbx {
        "hq" => Proof::Basic {
            user: "fs".to_owned(),
            password: PASSWORD.into(),
        },
        _ => Proof::Bearer(TOKEN.into()),
    };
    let target = Target {
        address: running.address.to_string(),
        path: format!("/v1/pbx/{}/events", played.pbx),
        proof,
    };
    let answer = Sender::new(&target)
        .send(played.post.clone().into())
        .await?;
    Ok(Held {
        id: answer
            .event
            .with_context(|| format!("{}: {}", answer.status, answer.detail))?,
        repeat: answer.repeat,
    })
}

async fn wait(running: &Running) -> anyhow::Result<()> {
    for _ in 0..LOOKS_MAX {
        let status = ask::ask(&running.admin, Method::GET, "/status", None)
            .await?
            .ok()?;
        if status["events"]["in_flight"] == 0 {
            return Ok(());
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
    bail!("some events have no end after a minute")
}

async fn end_of(running: &Running, played: Played, held: Held) -> anyhow::Result<Ended> {
    let Held { id, repeat } = held;
    let explained = explained(running, &id).await?;
    let ends = explained["ends"].as_array().context("no ends")?;
    let end = ends
        .iter()
        .find(|end| end["event"] == id.as_str())
        .context("the event has no end")?;
    let word = end["end"].as_str().unwrap_or_default().to_owned();
    let right = played.right.contains(&word.as_str());
    let call = explained["call"]["type"].as_str();
    let reason = explained["call"]["reason"].as_str();
    let why = match (end["why"].as_str(), word.as_str()) {
        _ if repeat => "the same post again: held already, not a second event".to_owned(),
        (Some(why), _) => why.to_owned(),
        (None, "joined") => "another record of the same call".to_owned(),
        (None, _) => match (call, reason) {
            (Some(call), Some(reason)) => format!("{call} ({reason}); every rule passed"),
            (call, _) => format!("{}; every rule passed", call.unwrap_or("text")),
        },
    };
    Ok(Ended {
        what: played.what,
        id,
        end: word,
        why,
        right,
    })
}

async fn explained(running: &Running, id: &str) -> anyhow::Result<Value> {
    ask::ask(
        &running.admin,
        Method::GET,
        &format!("/explain?of={id}"),
        None,
    )
    .await?
    .ok()
}

/// Writes the demo's configuration and secrets.
fn write_files(folder: &Path, kustomer: &str) -> anyhow::Result<PathBuf> {
    for (name, secret) in [
        ("hq-password", PASSWORD),
        ("script-token", TOKEN),
        ("kustomer-key", SANDBOX_KEY),
    ] {
        std::fs::write(folder.join(name), secret)?;
    }
    let config = folder.join("demo.toml");
    let text = format!(
        r#"[daemon]
state_dir = "state"
listen = "127.0.0.1:0"
admin = "unix:admin.sock"
default_region = "DE"
area_code = "211"
time_zone = "Europe/Berlin"

[[pbx]]
name = "hq"
dialect = "freeswitch"
auth = {{ kind = "basic", user = "fs", password_file = "hq-password" }}
extensions = ["100-199"]
settle = "1s"

[[pbx]]
name = "script"
dialect = "tieline"
auth = {{ kind = "bearer", token_file = "script-token" }}

[[kustomer]]
name = "practice"
url = "{kustomer}"
api_key_file = "kustomer-key"

[agents]
"101" = "grace@example.org"
"102" = "alan@example.org"
"#
    );
    std::fs::write(&config, text)?;
    Ok(config)
}

/// A folder of our own below the system's temporary one, removed at the end.
struct Folder(PathBuf);

impl Folder {
    fn make() -> anyhow::Result<Self> {
        use std::os::unix::fs::DirBuilderExt as _;
        let unique = format!(
            "tieline-demo-{}-{:08x}",
            std::process::id(),
            fastrand::u32(..)
        );
        let path = std::env::temp_dir().join(unique);
        std::fs::DirBuilder::new().mode(0o700).create(&path)?;
        Ok(Self(path))
    }

    /// Leaves it where it is.
    fn keep(mut self) -> PathBuf {
        std::mem::take(&mut self.0)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if !self.0.as_os_str().is_empty() {
            // What can't be removed is in the system's temporary folder, which the system clears.
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }
}
