//! What is played: calls made up from scenarios, or recordings made new; with the seed that makes them again.

use super::aim::Aim;
use super::{ScriptArgs, Times};
use crate::cli::decode::{self, Source};
use crate::clock;
use crate::settings::types::Dialect;
use crate::simulate::live::Interface;
use crate::simulate::{Call, Parties, Post, Scenario, Told, fresh, writers};
use crate::terms::party::Extensions;
use anyhow::{Context as _, bail};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use std::path::{Path, PathBuf};

/// Most calls of one play: all posts are held in memory.
const CALLS_MAX: usize = 10_000;

/// Most files of one play.
const FILES_MAX: usize = 1_000;

/// Plays begin somewhere in the last half hour, each call a second before the last: systems without ids (3CX) tell calls
/// apart by the second.
const SPREAD_SECONDS: u64 = 1_800;

/// The longest scenario, and a little more: it is over now.
const LENGTH: SignedDuration = SignedDuration::from_secs(100);

/// A folder's recordings, the best first: of one call there may be several.
const RECORDINGS: [(&str, Source); 8] = [
    ("http-received.txt", Source::Http),
    ("ami-events.txt", Source::Ami),
    ("esl-events.jsonl", Source::Esl),
    ("ari-events.jsonl", Source::Ari),
    ("cel-custom.csv", Source::Cel),
    ("cdr-freepbx-columns.csv", Source::Cdr),
    ("cdr.csv", Source::Cdr),
    ("acc-log.txt", Source::Cdr),
];

/// One call or text, or the posts of one file.
#[derive(Debug)]
pub struct Played {
    /// The scenario, or the file.
    pub what: String,
    pub told: Told,
}

#[derive(Debug)]
pub struct Script {
    pub seed: u64,
    pub calls: Vec<Played>,
}

impl Script {
    pub fn of(args: &ScriptArgs, aim: &Aim) -> anyhow::Result<Self> {
        let seed = args.seed.unwrap_or_else(|| fastrand::u64(..));
        let calls = if args.files.is_empty() {
            let calls = made_up(args, aim.dialect, seed, &aim.zone, &aim.extensions)?;
            let told = |call: Call| Played {
                what: call.scenario.word().to_owned(),
                told: writers::write(aim.dialect, &call),
            };
            calls.into_iter().map(told).collect()
        } else {
            let told = |(what, posts)| Played {
                what,
                told: Told::nameless(posts),
            };
            let recorded = recorded(args, aim.dialect, seed, None)?;
            recorded.into_iter().map(told).collect()
        };
        Ok(Self { seed, calls })
    }

    /// Every post with the number of its call; each twice if `double`.
    pub fn posts(&self, double: bool) -> Vec<(usize, Post)> {
        let mut posts = Vec::new();
        for (number, call) in self.calls.iter().enumerate() {
            for post in &call.told.posts {
                for _ in 0..=usize::from(double) {
                    posts.push((number, post.clone()));
                }
            }
        }
        posts
    }
}

/// The events for `--serve`.
pub fn events(args: &ScriptArgs, interface: Interface) -> anyhow::Result<Vec<Vec<u8>>> {
    let seed = args.seed.unwrap_or_else(|| fastrand::u64(..));
    let (dialect, source) = match interface {
        Interface::Ami => (Dialect::Asterisk, Source::Ami),
        Interface::Esl => (Dialect::Freeswitch, Source::Esl),
    };
    if !args.files.is_empty() {
        let recorded = recorded(args, dialect, seed, Some(source))?;
        let posts = recorded.into_iter().flat_map(|(_, posts)| posts);
        return Ok(posts.map(|post| post.body).collect());
    }
    let calls = made_up(args, dialect, seed, &TimeZone::UTC, &Extensions::default())?;
    let calls = calls.iter().filter(|call| !call.scenario.is_text());
    Ok(calls
        .flat_map(|call| match interface {
            Interface::Ami => {
                let events = writers::manager_events(call).into_iter();
                events
                    .map(|(_, event)| event.into_bytes())
                    .collect::<Vec<_>>()
            }
            Interface::Esl => {
                let events = writers::socket_events(call).into_iter();
                events
                    .map(|(_, event)| event.to_string().into_bytes())
                    .collect()
            }
        })
        .collect())
}

fn made_up(
    args: &ScriptArgs,
    dialect: Dialect,
    seed: u64,
    zone: &TimeZone,
    extensions: &Extensions,
) -> anyhow::Result<Vec<Call>> {
    let says = writers::says(dialect);
    let scenarios = if args.scenario.is_empty() {
        says
    } else {
        &args.scenario
    };
    if let Some(not) = scenarios.iter().find(|scenario| !says.contains(scenario)) {
        let can: Vec<&str> = says.iter().map(|scenario| scenario.word()).collect();
        bail!(
            "{} can't tell of `{}`; it can of {}",
            dialect.word(),
            not.word(),
            can.join(", ")
        );
    }
    let count = count(args, scenarios.len())?;
    let parties = parties(args, extensions);
    let mut ids = fastrand::Rng::with_seed(seed);
    let first = i64::try_from(seed % SPREAD_SECONDS).unwrap_or_default();
    let start = clock::now().saturating_sub(LENGTH + SignedDuration::from_secs(first));
    let start = start.context("this machine's clock is wrong")?;
    let call = |(number, scenario): (i64, &Scenario)| -> anyhow::Result<Call> {
        Ok(Call {
            scenario: *scenario,
            tale: scenario.tale(),
            id: ids.u64(..),
            start: whole_second(start.saturating_sub(SignedDuration::from_secs(number))?)?,
            parties: parties.clone(),
            zone: zone.clone(),
        })
    };
    (0..)
        .zip(scenarios.iter().cycle().take(count))
        .map(call)
        .collect()
}

/// Some systems know no fractions.
fn whole_second(at: Timestamp) -> anyhow::Result<Timestamp> {
    Ok(Timestamp::from_second(at.as_second())?)
}

fn count(args: &ScriptArgs, each_once: usize) -> anyhow::Result<usize> {
    let count = args.calls.unwrap_or(each_once);
    if count > CALLS_MAX {
        bail!("--calls: at most {CALLS_MAX} in one play");
    }
    Ok(count)
}

fn parties(args: &ScriptArgs, extensions: &Extensions) -> Parties {
    let usual = ["101", "102"];
    let listed = extensions
        .0
        .first()
        .map(|range| [range.first.as_str(), range.last.as_str()]);
    let known = usual.iter().all(|one| extensions.contains(one));
    let [agent, colleague] = if known {
        usual
    } else {
        listed.unwrap_or(usual)
    };
    let or =
        |given: &Option<String>, usual: &str| given.clone().unwrap_or_else(|| usual.to_owned());
    Parties {
        customer: args.from.clone(),
        ours: args.to.clone(),
        agent: or(&args.agent, agent),
        colleague: or(&args.colleague, colleague),
        words: args.words.clone(),
    }
}

/// The posts of each file, again and again until there are enough.
fn recorded(
    args: &ScriptArgs,
    dialect: Dialect,
    seed: u64,
    source: Option<Source>,
) -> anyhow::Result<Vec<(String, Vec<Post>)>> {
    let mut files = Vec::new();
    for path in &args.files {
        find(path, source, &mut files)?;
    }
    if files.is_empty() {
        bail!("no recordings in --file");
    }
    let mut read = Vec::new();
    for (path, source) in files {
        let bytes =
            std::fs::read(&path).with_context(|| format!("can't read {}", path.display()))?;
        let posts = decode::split(dialect, source, &bytes)?;
        let posts: Vec<Post> = posts.into_iter().map(Into::into).collect();
        read.push((path.display().to_string(), posts));
    }
    let mut salts = fastrand::Rng::with_seed(seed);
    let first = i64::try_from(seed % SPREAD_SECONDS).unwrap_or_default();
    let count = count(args, read.len())?;
    let mut all = Vec::new();
    for (number, (what, posts)) in (0..).zip(read.iter().cycle().take(count)) {
        let back = SignedDuration::from_secs(first + number);
        let posts = match args.times {
            Times::Recorded => posts.clone(),
            Times::Now => fresh::renew(
                dialect,
                posts.clone(),
                clock::now().saturating_sub(back)?,
                salts.u64(..),
            ),
        };
        all.push((what.clone(), posts));
    }
    Ok(all)
}

/// The recordings at `path`, folders searched; of one folder the first kind that is there, or those of `source`.
fn find(
    path: &Path,
    source: Option<Source>,
    found: &mut Vec<(PathBuf, Source)>,
) -> anyhow::Result<()> {
    if found.len() >= FILES_MAX {
        bail!("more than {FILES_MAX} recordings; play them in parts");
    }
    if !path.is_dir() {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let known = RECORDINGS.iter().find(|(known, _)| *known == name);
        let by_name = known.map_or(Source::Http, |(_, source)| *source);
        found.push((path.to_owned(), source.unwrap_or(by_name)));
        return Ok(());
    }
    let wanted = RECORDINGS
        .iter()
        .filter(|(_, kind)| source.is_none_or(|source| source == *kind));
    let best = wanted
        .map(|(name, kind)| (path.join(name), *kind))
        .find(|(file, _)| file.is_file());
    found.extend(best);
    let entries =
        std::fs::read_dir(path).with_context(|| format!("can't read {}", path.display()))?;
    let mut folders: Vec<PathBuf> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .collect();
    folders.retain(|entry| entry.is_dir());
    folders.sort();
    folders
        .iter()
        .try_for_each(|folder| find(folder, source, found))
}
