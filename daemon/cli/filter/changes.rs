//! What becomes otherwise when rules change. Pure.

use crate::calls::filter::{Decision, SkipReason};
use serde::Serialize;
use std::collections::BTreeMap;

/// What an integration does with a call or text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Outcome {
    /// `logged`, the key of the rule that filters, `unread` where its events can't be read, or `absent` where there is no
    /// such integration.
    pub outcome: String,
    /// What the rule saw.
    pub why: Option<String>,
}

/// How something changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Turn {
    /// It would be logged now.
    Logged,
    /// It wouldn't be logged any more.
    NotLogged,
    /// It stays unlogged, by another rule.
    OtherRule,
}

/// One integration's change of one call or text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Change {
    pub integration: String,
    pub turn: Turn,
    pub old: Outcome,
    pub new: Outcome,
}

const LOGGED: &str = "logged";

impl Outcome {
    pub fn new(skip: Option<&str>, why: Option<&str>) -> Self {
        Self {
            outcome: skip.unwrap_or(LOGGED).to_owned(),
            why: why.map(str::to_owned),
        }
    }

    pub fn of(decision: &Decision) -> Self {
        let why = decision.trace.last().map(|step| step.detail.as_str());
        let why = why.filter(|_| decision.skip.is_some());
        Self::new(decision.skip.map(SkipReason::key), why)
    }

    fn absent() -> Self {
        Self::new(Some("absent"), None)
    }

    fn is_logged(&self) -> bool {
        self.outcome == LOGGED
    }

    /// For people.
    pub fn words(&self) -> String {
        let words = match self.outcome.as_str() {
            LOGGED => LOGGED.to_owned(),
            "absent" => "no such integration".to_owned(),
            "unread" => "its events can't be read".to_owned(),
            key => match SkipReason::from_key(key) {
                Some(reason) => reason.words().to_owned(),
                None => key.to_owned(),
            },
        };
        match &self.why {
            Some(why) => format!("{words} ({why})"),
            None => words,
        }
    }
}

/// The integrations whose outcome or rule differs, by name. That the same rule saw something else is no change.
pub fn changes(old: &BTreeMap<String, Outcome>, new: &BTreeMap<String, Outcome>) -> Vec<Change> {
    let mut names: Vec<&String> = old.keys().chain(new.keys()).collect();
    names.sort();
    names.dedup();
    let change = |name: &String| {
        let of = |all: &BTreeMap<String, Outcome>| {
            all.get(name).cloned().unwrap_or_else(Outcome::absent)
        };
        let (old, new) = (of(old), of(new));
        let turn = match (old.is_logged(), new.is_logged()) {
            (false, true) => Turn::Logged,
            (true, false) => Turn::NotLogged,
            (true, true) => return None,
            (false, false) if old.outcome == new.outcome => return None,
            (false, false) => Turn::OtherRule,
        };
        let integration = name.clone();
        Some(Change {
            integration,
            turn,
            old,
            new,
        })
    };
    names.into_iter().filter_map(change).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_differs_is_a_change() {
        let outcome = |skip: Option<&str>| Outcome::new(skip, skip.map(|_| "x"));
        let table = [
            (Some(None), Some(None), None),
            (Some(Some("ignored")), Some(Some("ignored")), None),
            (Some(Some("ignored")), Some(None), Some(Turn::Logged)),
            (Some(None), Some(Some("too_short")), Some(Turn::NotLogged)),
            (
                Some(Some("too_short")),
                Some(Some("ignored")),
                Some(Turn::OtherRule),
            ),
            (None, Some(None), Some(Turn::Logged)),
            (Some(None), None, Some(Turn::NotLogged)),
            (None, Some(Some("ignored")), Some(Turn::OtherRule)),
        ];
        for (old, new, turn) in table {
            let all = |skip: Option<Option<&str>>| -> BTreeMap<String, Outcome> {
                skip.map(|skip| ("support".to_owned(), outcome(skip)))
                    .into_iter()
                    .collect()
            };
            let found = changes(&all(old), &all(new));
            let turns: Vec<Turn> = found.iter().map(|change| change.turn).collect();
            assert_eq!(
                turns,
                turn.into_iter().collect::<Vec<_>>(),
                "{old:?} {new:?}"
            );
        }
        let same = |why| {
            BTreeMap::from([(
                "support".to_owned(),
                Outcome::new(Some("ignored"), Some(why)),
            )])
        };
        assert!(changes(&same("a"), &same("b")).is_empty());
        assert_eq!(
            outcome(Some("ignored")).words(),
            "ignored number or extension (x)"
        );
    }
}
