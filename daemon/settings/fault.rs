//! What is wrong with a configuration: each fault with its place and what would be right. Made by `shape.rs` and
//! `check.rs`, printed by the CLI and by a daemon that refuses a reload. Values of secrets and phone numbers are never
//! repeated here: these texts reach the log.

use serde_json::{Value, json};
use std::fmt;

/// Longest value repeated in a fault, in characters: enough to recognise it.
const QUOTED_CHARS_MAX: usize = 60;

/// One fault and its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The file as it was named, or the environment variable.
    pub file: String,
    /// From 1; none where there is no text (the environment, a file that can't be read).
    pub line: Option<usize>,
    /// The path of the key, entries by their names: `kustomer.support.calls.min_talk`. Empty for the file as a whole.
    pub key: String,
    pub what: String,
    /// What would be right; empty if `what` says it.
    pub allowed: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file)?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        if !self.key.is_empty() {
            write!(f, ": {}", self.key)?;
        }
        write!(f, ": {}", self.what)?;
        if !self.allowed.is_empty() && !self.what.contains(&self.allowed) {
            write!(f, "; allowed: {}", self.allowed)?;
        }
        Ok(())
    }
}

/// Every fault of a configuration, in the order of files and lines.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Faults(pub Vec<Fault>);

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.0.len();
        let faults = if count == 1 { "fault" } else { "faults" };
        write!(f, "the configuration has {count} {faults}:")?;
        self.0.iter().try_for_each(|fault| write!(f, "\n{fault}"))
    }
}

impl Faults {
    /// `[{"file", "line", "key", "what", "allowed"}…]`, for programs.
    pub fn to_json(&self) -> Value {
        let fault = |fault: &Fault| {
            json!({
                "file": fault.file,
                "line": fault.line,
                "key": fault.key,
                "what": fault.what,
                "allowed": fault.allowed,
            })
        };
        self.0.iter().map(fault).collect()
    }
}

/// A value in quotes, cut to what one needs to recognise it.
pub fn quoted(value: &str) -> String {
    let mut shown: String = value.chars().take(QUOTED_CHARS_MAX).collect();
    if shown.len() < value.len() {
        shown.push('…');
    }
    format!("{shown:?}")
}
