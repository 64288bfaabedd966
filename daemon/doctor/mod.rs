//! What `check --online` makes of what it saw: facts in, findings out. Each file judges one kind of facts by plain
//! functions; `cli/check/` asks for the facts and prints what comes out.

pub mod key;
pub mod machine;
pub mod network;
pub mod phones;
pub mod roles;

use serde::Serialize;

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Looked at, and right.
    Ok,
    /// It works, but not as somebody may think, or not for long; or it couldn't be looked at.
    Warning,
    /// Something that the settings ask for can't work.
    Fault,
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    pub level: Level,
    /// What was looked at, in a word for programs: `clock`, `role`.
    pub check: &'static str,
    /// Whose it is: an integration, a phone system; empty: this machine's.
    pub of: String,
    /// What was seen.
    pub what: String,
    /// What to do about it; empty: nothing.
    #[serde(rename = "do")]
    pub todo: String,
    /// Of a role: its name in Kustomer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub role: Option<&'static str>,
    /// Of a role: what the settings need it for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub needed_for: Vec<&'static str>,
}

impl Finding {
    /// Nothing to do.
    pub fn ok(check: &'static str, of: &str, what: impl Into<String>) -> Self {
        Self::new(Level::Ok, check, of, what.into(), "")
    }

    pub fn warning(check: &'static str, of: &str, what: impl Into<String>, todo: &str) -> Self {
        Self::new(Level::Warning, check, of, what.into(), todo)
    }

    pub fn fault(check: &'static str, of: &str, what: impl Into<String>, todo: &str) -> Self {
        Self::new(Level::Fault, check, of, what.into(), todo)
    }

    fn new(level: Level, check: &'static str, of: &str, what: String, todo: &str) -> Self {
        Self {
            level,
            check,
            of: of.to_owned(),
            what,
            todo: todo.to_owned(),
            role: None,
            needed_for: Vec::new(),
        }
    }
}
