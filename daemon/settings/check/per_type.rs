//! Tags, note templates, custom attributes and assignment, for all calls and for single types of them.

use super::super::file::{CallsFile, TypeFile};
use super::super::load::read_text;
use super::super::read;
use super::super::types::{AssignRules, AssignTo, CallTypeKey, CustomRules, TypeRules};
use super::fields::Fields;
use super::lists;
use crate::calls::custom::{self, ATTRIBUTES_MAX, Kind};
use crate::calls::note::template_check;
use crate::terms::call::CallType;
use std::collections::{BTreeMap, BTreeSet};

/// Longest name of a team that is taken.
const TEAM_CHARS_MAX: usize = 256;

const NAMED: &str = "the e-mail of a Kustomer user, or the name of a team";
const ATTRIBUTE: &str =
    "letters, digits and _, then one of Str, Txt, Num, Bool, At, Url, such as \"callDurationNum\"";

/// Tries a template with samples of what it is for.
type Check = fn(&str, &str) -> Result<(), String>;

/// Custom attributes of calls.
pub fn call_custom(path: &str, written: &CustomRules, fields: &mut Fields<'_>) -> CustomRules {
    attributes(path, written, custom::call_check, fields)
}

/// Custom attributes of texts.
pub fn text_custom(path: &str, written: &CustomRules, fields: &mut Fields<'_>) -> CustomRules {
    attributes(path, written, custom::text_check, fields)
}

fn attributes(
    path: &str,
    written: &CustomRules,
    check: Check,
    fields: &mut Fields<'_>,
) -> CustomRules {
    for (name, source) in written {
        let place = format!("{path}.{name}");
        if Kind::of(name).is_none() {
            let what = "the name of a custom attribute ends in its type";
            fields.origins.fault(&place, what, ATTRIBUTE);
        } else if let Err(what) = check(name, source) {
            let what = format!("the template can't be used: {what}");
            fields.origins.fault(
                &place,
                what,
                "the fields that docs/operating.md names under custom attributes",
            );
        }
    }
    if written.len() > ATTRIBUTES_MAX {
        let what = format!("{} attributes are too many", written.len());
        fields
            .origins
            .fault(path, what, &format!("{ATTRIBUTES_MAX} attributes"));
    }
    let set = written
        .iter()
        .filter(|(_, source)| !source.trim().is_empty());
    set.map(|(name, source)| (name.clone(), source.clone()))
        .collect()
}

/// Whom calls are assigned to.
pub fn assign(path: &str, file: &CallsFile, fields: &mut Fields<'_>) -> AssignRules {
    let at = |key: &str| format!("{path}.{key}");
    chain(&at("assign"), &file.assign, file, fields);
    let default = file.assign_default.as_deref();
    if let Some(default) = default {
        named(&at("assign_default"), default, fields);
    }
    for (queue, who) in &file.queues {
        named(&at(&format!("queues.{queue}")), who, fields);
    }
    let asked = |link| {
        let types = types(file);
        let own = types.iter().filter_map(|(_, one)| one.assign.as_ref());
        own.chain([&file.assign]).any(|chain| chain.contains(&link))
    };
    for (key, set, link) in [
        ("assign_default", default.is_some(), AssignTo::Default),
        ("queues", !file.queues.is_empty(), AssignTo::QueueAgent),
    ] {
        if set && !asked(link) {
            let word = link.word();
            let note = format!("{} is never used: no assign names \"{word}\"", at(key));
            fields.origins.notes.push(note);
        }
    }
    AssignRules {
        chain: file.assign.clone(),
        default: default.map(|name| name.trim().to_owned()),
        queues: file
            .queues
            .iter()
            .map(|(queue, who)| (queue.clone(), who.trim().to_owned()))
            .collect(),
    }
}

fn chain(path: &str, links: &[AssignTo], file: &CallsFile, fields: &mut Fields<'_>) {
    let mut seen = BTreeSet::new();
    for (index, link) in links.iter().enumerate() {
        let place = format!("{path}[{index}]");
        if !seen.insert(*link) {
            fields.wrong(&place, link.word(), "is there twice", "");
        }
        if *link == AssignTo::Default && file.assign_default.is_none() {
            let what = "assign_default is not set";
            fields.origins.fault(&place, what, NAMED);
        }
    }
}

/// A user's e-mail or a team's name.
fn named(path: &str, text: &str, fields: &mut Fields<'_>) {
    let name = text.trim();
    let fits = (1..=TEAM_CHARS_MAX).contains(&name.chars().count());
    if !fits || (name.contains('@') && !read::is_email(name)) {
        fields
            .origins
            .fault(path, "this is neither an e-mail nor a name", NAMED);
    }
}

/// What is otherwise for single types, as written.
fn types(file: &CallsFile) -> [(CallType, &TypeFile); 6] {
    CallType::ALL.map(|call_type| {
        let types = &file.types;
        let one = match call_type {
            CallType::IncomingAnswered => &types.incoming_answered,
            CallType::IncomingMissed => &types.incoming_missed,
            CallType::OutgoingAnswered => &types.outgoing_answered,
            CallType::OutgoingUnanswered => &types.outgoing_unanswered,
            CallType::Voicemail => &types.voicemail,
            CallType::Internal => &types.internal,
        };
        (call_type, one)
    })
}

/// What is otherwise for single types of calls; only those that say something.
pub fn type_rules(
    path: &str,
    file: &CallsFile,
    fields: &mut Fields<'_>,
) -> BTreeMap<CallTypeKey, TypeRules> {
    let mut rules = BTreeMap::new();
    for (call_type, one) in types(file) {
        let path = format!("{path}.types.{}", call_type.key());
        let at = |key: &str| format!("{path}.{key}");
        if let Some(tags) = &one.tags {
            lists::tags(&at("tags"), tags, fields);
        }
        if let Some(links) = &one.assign {
            chain(&at("assign"), links, file, fields);
        }
        let template_path = at("note_template_file");
        let template = one.note_template_file.as_deref();
        let template = template.and_then(|file| note_template(&template_path, file, fields));
        let custom = (!one.custom.is_empty()).then(|| {
            call_custom(&at("custom"), &one.custom, fields);
            let mut all = file.custom.clone();
            all.extend(one.custom.clone());
            all.retain(|_, source| !source.trim().is_empty());
            all
        });
        let own = TypeRules {
            tags: one.tags.clone(),
            note_template: template,
            custom,
            assign: one.assign.clone(),
        };
        if own != TypeRules::default() {
            rules.insert(call_type.into(), own);
        }
    }
    rules
}

/// The text of a note's template that can be used.
pub fn note_template(path: &str, written: &str, fields: &mut Fields<'_>) -> Option<String> {
    let file = fields.path(path, written);
    let shown = file.display().to_string();
    let source = match read_text(&file) {
        Ok(source) => source,
        Err((0, what)) => {
            fields.origins.fault(path, format!("{shown} {what}"), "");
            return None;
        }
        Err((line, what)) => {
            fields.origins.fault_in(&shown, Some(line), path, what);
            return None;
        }
    };
    if let Err(what) = template_check(&source) {
        // The line is the first thing that the fault says.
        let line = what
            .strip_prefix("line ")
            .and_then(|rest| rest.split_once(": "))
            .and_then(|(line, rest)| Some((line.parse().ok()?, rest.to_owned())));
        let (line, what) = line.map_or((None, what), |(line, rest)| (Some(line), rest));
        let what = format!("the template can't be used: {what}");
        fields.origins.fault_in(&shown, line, path, what);
        return None;
    }
    Some(source)
}
