//! Lists: numbers (here or in a file of their own), tags, names. A fault names the item, or the file and line.

use super::super::file::NumberList;
use super::super::load::read_text;
use super::super::patterns::{self, PatternFault};
use super::super::read;
use super::super::shadow::{self, Shadowed};
use super::super::types::NumberPattern;
use super::fields::Fields;
use crate::terms::number::{E164, NumberPlan};
use std::collections::{BTreeMap, BTreeSet};

/// Most lines of a number list: every call is held against each.
const PATTERNS_MAX: usize = 10_000;

const TAG_ALLOWED: &str =
    "1 to 64 letters, digits, spaces and _ / < > - . (Kustomer takes no + # : in a tag)";

/// The patterns of a list.
pub fn numbers(
    path: &str,
    list: &NumberList,
    plan: &NumberPlan,
    fields: &mut Fields<'_>,
) -> Vec<NumberPattern> {
    let lines = match list {
        NumberList::Here(lines) => {
            let mut patterns = Vec::new();
            for (index, line) in lines.iter().enumerate() {
                match patterns::parse(line, plan) {
                    Ok(pattern) => {
                        let item = format!("{path}[{index}]");
                        let place = fields.origins.whence(&item);
                        patterns.push((pattern, format!("{item} ({place})")));
                    }
                    Err(fault) => fields.origins.fault(
                        &format!("{path}[{index}]"),
                        fault.to_string(),
                        allowed(fault),
                    ),
                }
            }
            if lines.len() > PATTERNS_MAX {
                fields.origins.fault(
                    path,
                    format!("{} lines are too many", lines.len()),
                    "10000 lines",
                );
            }
            patterns
        }
        NumberList::Elsewhere(file) => {
            let key = format!("{path}.file");
            fields.need(path, "file", file.file.as_ref());
            let Some(name) = &file.file else {
                return Vec::new();
            };
            let file = fields.path(&key, name);
            match read_text(&file) {
                Ok(text) => lines(path, &file.display().to_string(), &text, plan, fields),
                Err((0, what)) => {
                    fields
                        .origins
                        .fault(&key, format!("{} {what}", file.display()), "");
                    Vec::new()
                }
                Err((line, what)) => {
                    fields
                        .origins
                        .fault_in(&file.display().to_string(), Some(line), path, what);
                    Vec::new()
                }
            }
        }
    };
    let (patterns, places): (Vec<NumberPattern>, Vec<String>) = lines.into_iter().unzip();
    remark_shadowed(&patterns, &places, fields);
    patterns
}

/// Lines that can never decide. They are not repeated: numbers don't belong into a log.
fn remark_shadowed(patterns: &[NumberPattern], places: &[String], fields: &mut Fields<'_>) {
    let place = |line: &usize| {
        places
            .get(*line)
            .map(ToString::to_string)
            .unwrap_or_default()
    };
    for Shadowed { line, by, before } in shadow::shadowed(patterns) {
        let takers = match by.as_slice() {
            [] => continue,
            [one] => format!("{} takes", place(one)),
            [first, .., last] => format!(
                "{} lines, from {} to {}, together take",
                by.len(),
                place(first),
                place(last)
            ),
        };
        let what = if before {
            "can never decide"
        } else {
            "isn't needed"
        };
        let own = place(&line);
        let note = format!("{own} {what}: {takers} all that it matches");
        fields.origins.notes.push(note);
    }
}

/// One pattern a line; `#` starts a comment.
fn lines(
    path: &str,
    file: &str,
    text: &str,
    plan: &NumberPlan,
    fields: &mut Fields<'_>,
) -> Vec<(NumberPattern, String)> {
    let mut patterns = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        let written = line
            .split_once('#')
            .map_or(line, |(before, _)| before)
            .trim();
        if written.is_empty() {
            continue;
        }
        match patterns::parse(written, plan) {
            Ok(pattern) => patterns.push((pattern, format!("{path} ({file}:{number})"))),
            Err(fault) => fields
                .origins
                .fault_in(file, Some(number), path, fault.to_string()),
        }
    }
    if patterns.len() > PATTERNS_MAX {
        fields.origins.fault_in(
            file,
            None,
            path,
            format!(
                "{} lines are too many; allowed: {PATTERNS_MAX}",
                patterns.len()
            ),
        );
    }
    patterns
}

fn allowed(fault: PatternFault) -> &'static str {
    match fault {
        PatternFault::Empty | PatternFault::Letters | PatternFault::Number(_) => {
            "a number such as \"+49 30 1234-567\", \"+4930555*\", \"+4930555100..+4930555199\", \"101\" or \"100-199\""
        }
        PatternFault::Prefix
        | PatternFault::Range
        | PatternFault::Lengths
        | PatternFault::Backwards
        | PatternFault::Extension => "",
    }
}

/// Tags that Kustomer takes, each once.
pub fn tags(path: &str, tags: &[String], fields: &mut Fields<'_>) {
    for (index, tag) in tags.iter().enumerate() {
        self::tag(&format!("{path}[{index}]"), tag, fields);
    }
    // Kustomer: OpenAPI description, 20 tags per conversation.
    if tags.len() > 20 {
        fields
            .origins
            .fault(path, format!("{} tags are too many", tags.len()), "20 tags");
    }
    once(path, tags, fields);
}

/// A tag that Kustomer takes.
pub fn tag(path: &str, tag: &str, fields: &mut Fields<'_>) {
    if !read::is_tag(tag) {
        fields.wrong(path, tag, "is no tag", TAG_ALLOWED);
    }
}

/// Names that must be there, each once.
pub fn names<'a>(
    path: &str,
    names: &[String],
    known: impl Iterator<Item = &'a String>,
    what: &str,
    fields: &mut Fields<'_>,
) {
    let known: Vec<&str> = known
        .map(String::as_str)
        .filter(|name| !name.starts_with('#'))
        .collect();
    for (index, name) in names.iter().enumerate() {
        if !known.contains(&name.as_str()) && !fields.origins.is_partial() {
            let allowed = if known.is_empty() {
                "none is defined".to_owned()
            } else {
                known.join(", ")
            };
            fields.wrong(&format!("{path}[{index}]"), name, what, &allowed);
        }
    }
    once(path, names, fields);
}

fn once(path: &str, items: &[String], fields: &mut Fields<'_>) {
    let mut seen = BTreeSet::new();
    for (index, item) in items.iter().enumerate() {
        if !seen.insert(item) {
            fields.wrong(&format!("{path}[{index}]"), item, "is there twice", "");
        }
    }
}

/// Our numbers with their names.
pub fn labels(
    path: &str,
    labels: &BTreeMap<String, String>,
    plan: &NumberPlan,
    fields: &mut Fields<'_>,
) -> BTreeMap<E164, String> {
    let mut read = BTreeMap::new();
    for (number, label) in labels {
        let place = format!("{path}.{number}");
        match plan.parse(number) {
            Ok(_) if label.trim().is_empty() => {
                fields.origins.fault(&place, "the name is empty", "");
            }
            Ok(number) => {
                if read.insert(number, label.trim().to_owned()).is_some() {
                    fields.origins.fault(
                        &place,
                        "this number has a name already, written another way",
                        "",
                    );
                }
            }
            Err(fault) => fields.origins.fault(&place, fault.to_string(), ""),
        }
    }
    read
}
