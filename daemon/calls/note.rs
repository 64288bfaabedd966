//! The text of a note: the fields that a template may use, the built-in templates, and how a text from outside is made
//! fit to stand in one. Pure; `entry` calls it, and `check` asks [`template_check`] about an administrator's template.

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use minijinja::{AutoEscape, Environment, UndefinedBehavior, escape_formatter};
use serde::Serialize;

use super::fields::{CallFields, TextFields, full_sample};

/// Longest note, in UTF-16 units. Kustomer takes 10,240 "characters" without saying of which kind; this many units are
/// never more characters, nor more than 30,000 bytes.
pub const NOTE_UNITS_MAX: usize = 10_000;

/// Longest value on one line (a name, a queue, a doubt), in UTF-16 units: more is no name, and would hide the rest.
pub const VALUE_UNITS_MAX: usize = 200;

/// Longest link, in UTF-16 units: what browsers and proxies take for granted.
pub const LINK_UNITS_MAX: usize = 2_000;

/// Longest text of several lines (an agent's note, a text message), in UTF-16 units: leaves room for all the rest.
pub const PROSE_UNITS_MAX: usize = 4_000;

/// Longest summary of a call, in UTF-16 units: a longer one is none.
pub const SUMMARY_UNITS_MAX: usize = 1_500;

/// Longest part of a transcript, in UTF-16 units: with the agent's note and the summary it leaves room for all the rest.
pub const TRANSCRIPT_UNITS_MAX: usize = 3_000;

/// Most entries shown of one list: nobody reads more, and the call id must still fit.
pub const LIST_ITEMS_MAX: usize = 20;

/// Steps that a template may take: a hundred times what the built-in one needs, and still only milliseconds.
const TEMPLATE_FUEL: u64 = 100_000;

const CALL_TEMPLATE: &str = include_str!("../../config/note.txt.j2");
const TEXT_TEMPLATE: &str = include_str!("../../config/text-note.txt.j2");

/// The note of a call. An administrator's template that fails costs its own wording, never the note: the built-in one
/// stands in and says so.
pub fn call_note(fields: &CallFields, template: Option<&str>) -> String {
    let Some(source) = template else {
        return built_in(CALL_TEMPLATE, fields, &fields.call_id);
    };
    match render(source, fields) {
        Ok(note) => note,
        Err(fault) => {
            let mut fields = fields.clone();
            let doubt = format!("the note template failed, this is the built-in one: {fault}");
            fields.doubts.push(one_line(&doubt, VALUE_UNITS_MAX));
            built_in(CALL_TEMPLATE, &fields, &fields.call_id)
        }
    }
}

/// The note of a text.
pub fn text_note(fields: &TextFields) -> String {
    built_in(TEXT_TEMPLATE, fields, &fields.text_id)
}

/// Whether an administrator's template can be used: it is rendered with a full call and with the barest one.
/// The error names the line and what is wrong there.
pub fn template_check(source: &str) -> Result<(), String> {
    [full_sample(), CallFields::default()]
        .iter()
        .try_for_each(|fields| render(source, fields).map(|_| ()))
}

/// `text` on one line, at most `units_max` UTF-16 units: what is sent from outside can't start a line of its own, nor
/// turn the reading direction of what follows.
pub fn one_line(text: &str, units_max: usize) -> String {
    let spaced: String = text
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .filter(|c| !reorders(*c))
        .collect();
    let words: Vec<&str> = spaced.split_whitespace().collect();
    clip(&words.join(" "), units_max)
}

/// `text` as lines, without empty ones at its ends; the template sets them in, so that none looks like a field.
pub fn prose(text: &str, units_max: usize) -> Vec<String> {
    let text = clip(text.trim(), units_max);
    let clean = |line: &str| one_line(line, units_max);
    text.lines().map(clean).collect()
}

/// The first `units_max` UTF-16 units of `text`, with `…` as the last one where something is missing.
pub fn clip(text: &str, units_max: usize) -> String {
    if text.encode_utf16().count() <= units_max {
        return text.to_owned();
    }
    let mut room = units_max.saturating_sub(1);
    let mut cut: String = text
        .chars()
        .take_while(|c| {
            let fits = c.len_utf16() <= room;
            room = room.saturating_sub(c.len_utf16());
            fits
        })
        .collect();
    cut.push('…');
    cut
}

/// `2026-11-20 13:24:29 CET`.
pub fn clock_time(at: Timestamp, zone: &TimeZone) -> String {
    at.to_zoned(zone.clone())
        .strftime("%Y-%m-%d %H:%M:%S %Z")
        .to_string()
}

/// To the nearest second; what can't be (below zero) is 0.
pub fn whole_seconds(duration: SignedDuration) -> i64 {
    let millis = duration.as_millis().saturating_add(500).max(0);
    i64::try_from(millis / 1000).unwrap_or(i64::MAX)
}

/// `1 h 2 min 4 s`, to the nearest second; what can't be (below zero) is `0 s`.
pub fn spoken(duration: SignedDuration) -> String {
    let seconds = whole_seconds(duration);
    let parts = [
        (seconds / 3600, "h"),
        (seconds / 60 % 60, "min"),
        (seconds % 60, "s"),
    ];
    let shown: Vec<String> = parts
        .iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, unit)| format!("{count} {unit}"))
        .collect();
    if shown.is_empty() {
        "0 s".to_owned()
    } else {
        shown.join(" ")
    }
}

/// Invisible characters that turn text around or hide it; the joiners that scripts need are kept.
fn reorders(c: char) -> bool {
    matches!(c, '\u{200B}' | '\u{200E}' | '\u{200F}' | '\u{2028}'..='\u{202E}' | '\u{2060}'..='\u{206F}' | '\u{FEFF}')
}

/// A built-in template can't fail (a test holds it), but no note must ever be lost to it.
fn built_in(source: &str, fields: &impl Serialize, id: &str) -> String {
    render(source, fields)
        .unwrap_or_else(|fault| format!("{id}\n{}", one_line(&fault, VALUE_UNITS_MAX)))
}

fn render(source: &str, fields: &impl Serialize) -> Result<String, String> {
    let note = tidy(&filled(source, fields)?);
    if note.is_empty() {
        return Err("the template gives an empty note".to_owned());
    }
    Ok(clip(&note, NOTE_UNITS_MAX))
}

/// What a template gives for these fields, as it is; an error names the line and what is wrong there.
pub fn filled(source: &str, fields: &impl Serialize) -> Result<String, String> {
    let mut environment = Environment::new();
    environment.set_auto_escape_callback(|_| AutoEscape::None);
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_trim_blocks(true);
    environment.set_lstrip_blocks(true);
    environment.set_fuel(Some(TEMPLATE_FUEL));
    // What isn't known prints as nothing, where Jinja would print "none".
    environment.set_formatter(|out, state, value| {
        if value.is_none() {
            return Ok(());
        }
        escape_formatter(out, state, value)
    });
    environment
        .render_str(source, fields)
        .map_err(|error| fault_words(&error))
}

fn fault_words(error: &minijinja::Error) -> String {
    let place = error
        .line()
        .map_or_else(String::new, |line| format!("line {line}: "));
    let what = error.detail().map_or_else(
        || error.kind().to_string(),
        |detail| format!("{}: {detail}", error.kind()),
    );
    format!("{place}{what}")
}

/// No space at the ends of lines, one empty line at most between others, none at the note's ends.
fn tidy(rendered: &str) -> String {
    let mut note = String::with_capacity(rendered.len());
    for line in rendered.lines().map(str::trim_end) {
        if line.is_empty() && (note.is_empty() || note.ends_with("\n\n")) {
            continue;
        }
        note.push_str(line);
        note.push('\n');
    }
    note.truncate(note.trim_end().len());
    note
}
