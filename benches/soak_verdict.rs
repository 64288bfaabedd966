//! What the soak sees of the daemon every ten seconds, and what it makes of it in the end.

use super::mixture::Counts;
use super::process::{Daemon, Fault};
use std::fmt;
use std::io::Write;
use std::time::Duration;

/// The part of the run that isn't judged: what comes and what goes are in balance after `daemon.keep` and a twelfth, sled's
/// file after some more rounds of it, for it uses a segment again only when everything in it is old.
const WARM_UP: f64 = 1.0 / 3.0;
/// What behind it is compared with each other.
const WINDOWS: usize = 10;
/// Farthest from the median of all.
const WITHIN: f64 = 0.05;

const STATUS_TRIES: u32 = 20;
const STATUS_AGAIN: Duration = Duration::from_millis(100);

#[derive(Clone, Debug)]
pub struct Sample {
    pub seconds: f64,
    pub resident: f64,
    /// Of it the process's own data.
    pub anonymous: f64,
    pub descriptors: f64,
    /// Bytes, as the status tells.
    pub store: f64,
    pub threads: f64,
    pub in_flight: f64,
    pub accepted: f64,
    pub cpu_seconds: f64,
}

impl Sample {
    pub const HEAD: &str = "seconds,resident_mb,anonymous_mb,descriptors,store_mb,threads,in_flight,accepted,cpu_seconds";

    pub async fn take(daemon: &Daemon, at: Duration) -> Result<Self, Fault> {
        let status = status(daemon).await?;
        let number = |pointer: &str| {
            let found = status.pointer(pointer).and_then(serde_json::Value::as_f64);
            found.ok_or_else(|| format!("no {pointer} in the status"))
        };
        Ok(Self {
            seconds: at.as_secs_f64(),
            resident: daemon.resident()?,
            anonymous: daemon.anonymous()?,
            descriptors: daemon.descriptors()? as f64,
            store: number("/store/bytes")? / 1e6,
            threads: daemon.threads()?,
            in_flight: number("/events/in_flight")?,
            accepted: number("/events/accepted")?,
            cpu_seconds: daemon.cpu_seconds()?,
        })
    }
}

/// A reload closes a connection that has just asked: it is asked again.
pub async fn status(daemon: &Daemon) -> Result<serde_json::Value, Fault> {
    let mut tries = 0;
    loop {
        match daemon.status().await {
            Err(_) if tries < STATUS_TRIES => tries += 1,
            answer => return answer,
        }
        tokio::time::sleep(STATUS_AGAIN).await;
    }
}

impl fmt::Display for Sample {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:.0},{:.1},{:.1},{},{:.1},{},{},{},{:.2}",
            self.seconds,
            self.resident,
            self.anonymous,
            self.descriptors,
            self.store,
            self.threads,
            self.in_flight,
            self.accepted,
            self.cpu_seconds
        )
    }
}

/// Prints the load and, for each of the three, its windows and whether it stayed flat; whether all did.
pub fn tell(samples: &[Sample], counts: &Counts, out: &mut impl Write) -> Result<bool, Fault> {
    let end = samples.last().ok_or("no samples")?;
    for (kind, count) in counts {
        writeln!(
            out,
            "{kind:<18} {count:>9}  {:>7.2} /s",
            *count as f64 / end.seconds
        )?;
    }
    writeln!(
        out,
        "{:<18} {:>9}  {:>7.2} /s",
        "events",
        end.accepted,
        end.accepted / end.seconds
    )?;
    writeln!(
        out,
        "processor          {:>9.1} s  {:>5.3} of a core",
        end.cpu_seconds,
        end.cpu_seconds / end.seconds
    )?;
    let warm = end.seconds * WARM_UP;
    let rest: Vec<&Sample> = samples.iter().filter(|one| one.seconds >= warm).collect();
    writeln!(
        out,
        "behind the warm-up of {:.0} s, medians of {WINDOWS} windows of {:.0} s:",
        warm,
        (end.seconds - warm) / WINDOWS as f64
    )?;
    let mut all_flat = true;
    for (name, value, slack) in JUDGED {
        let values: Vec<f64> = rest.iter().map(|one| value(one)).collect();
        let middle = median(&values).ok_or("no samples behind the warm-up")?;
        let windows: Vec<f64> = values
            .chunks(values.len().div_ceil(WINDOWS))
            .filter_map(median)
            .collect();
        let farthest = windows
            .iter()
            .map(|one| (one / middle - 1.0).abs())
            .fold(0.0, f64::max);
        let flat = farthest <= WITHIN.max(slack / middle);
        all_flat &= flat;
        let least = values.iter().copied().fold(f64::INFINITY, f64::min);
        let most = values.iter().copied().fold(0.0, f64::max);
        let shown: Vec<String> = windows.iter().map(|one| format!("{one:.1}")).collect();
        writeln!(
            out,
            "{name:<12} {:<7} median {middle:.1}, windows within {:.1} % of it ({}); least {least:.1}, most {most:.1}",
            if flat { "flat:" } else { "GROWS:" },
            farthest * 100.0,
            shown.join(" ")
        )?;
    }
    Ok(all_flat)
}

/// Name, value, and what may always be between two windows.
type Judged = (&'static str, fn(&Sample) -> f64, f64);

/// Connections come and go with what is going on: three of them are more than 5 % of the descriptors.
const JUDGED: [Judged; 3] = [
    ("memory MB", |one| one.resident, 0.0),
    ("descriptors", |one| one.descriptors, 3.0),
    ("store MB", |one| one.store, 0.0),
];

fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied()
}
