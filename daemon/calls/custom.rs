//! Custom attributes of a conversation: the value of each, made from the fields that the note has. Pure; `entry` asks for
//! them, and the check of the settings whether a template can be used.
//!
//! The end of an attribute's name fixes its type (Kustomer: Custom attributes). A value that doesn't come out right costs
//! its attribute alone, never the conversation.

use super::fields::{CallFields, TextFields};
use super::fields::{full_sample, full_text_sample};
use super::note::{PROSE_UNITS_MAX, VALUE_UNITS_MAX, clip, filled, one_line};
use crate::settings::types::CustomRules;
use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Map, Number, Value};

/// Longest value of a `Str`, in UTF-16 units: Kustomer holds 1,024 characters of a kind it doesn't name.
pub const STR_UNITS_MAX: usize = 1_024;

/// Most custom attributes of a conversation: more are no reading for anybody, and a hundred conversations must fit
/// a few bulk requests.
pub const ATTRIBUTES_MAX: usize = 50;

/// What an attribute holds, as the end of its name says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Str,
    Txt,
    Num,
    Bool,
    At,
    Url,
}

impl Kind {
    const ALL: [(&'static str, Self); 6] = [
        ("Str", Self::Str),
        ("Txt", Self::Txt),
        ("Num", Self::Num),
        ("Bool", Self::Bool),
        ("At", Self::At),
        ("Url", Self::Url),
    ];

    /// The kind of the attribute of this name; none if it ends in none of Kustomer's words, or is nothing else.
    pub fn of(name: &str) -> Option<Self> {
        let plain = name.starts_with(|c: char| c.is_ascii_alphabetic())
            && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        let ends = |end: &str| name.strip_suffix(end).is_some_and(|rest| !rest.is_empty());
        let mut kinds = Self::ALL.into_iter().filter(|(end, _)| ends(end));
        kinds.next().map(|(_, kind)| kind).filter(|_| plain)
    }

    /// The type that Kustomer's metadata has for it.
    pub const fn json_type(self) -> &'static str {
        match self {
            Self::Num => "number",
            Self::Bool => "boolean",
            Self::Str | Self::Txt | Self::At | Self::Url => "string",
        }
    }

    /// What the template has to give, in words.
    const fn wants(self) -> &'static str {
        match self {
            Self::Str | Self::Txt => "a text",
            Self::Num => "a number, such as {{ talk_seconds }}",
            Self::Bool => "true or false, such as {{ voicemail }}",
            Self::At => "a time with its zone, such as {{ started_at }}",
            Self::Url => "an address, such as {{ recording }}",
        }
    }
}

/// The attributes that have a value, and what is wrong with the others.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Values {
    pub set: Map<String, Value>,
    pub faults: Vec<String>,
}

/// The values of `rules` for one call or text; an empty one is none.
pub fn values(rules: &CustomRules, fields: &impl Serialize) -> Values {
    let mut values = Values::default();
    for (name, source) in rules {
        match value(name, source, fields) {
            Ok(Some(value)) => drop(values.set.insert(name.clone(), value)),
            Ok(None) => {}
            Err(fault) => values.faults.push(format!("{name}: {fault}")),
        }
    }
    values
}

/// Whether a template for an attribute of calls can be used: it is tried with a full call and with the barest one.
///
/// # Errors
/// In words, with the template's line where there is one.
pub fn call_check(name: &str, source: &str) -> Result<(), String> {
    value(name, source, &full_sample())?;
    value(name, source, &CallFields::default()).map(drop)
}

/// The same for texts.
///
/// # Errors
/// As [`call_check`].
pub fn text_check(name: &str, source: &str) -> Result<(), String> {
    value(name, source, &full_text_sample())?;
    value(name, source, &TextFields::default()).map(drop)
}

fn value(name: &str, source: &str, fields: &impl Serialize) -> Result<Option<Value>, String> {
    let kind = Kind::of(name).ok_or("the name ends in none of Kustomer's types")?;
    let text = filled(source, fields).map_err(|fault| one_line(&fault, VALUE_UNITS_MAX))?;
    let text = text.trim();
    if text.is_empty() {
        return Ok(None);
    }
    typed(kind, text)
        .map(Some)
        .ok_or_else(|| format!("it gives something else than {}", kind.wants()))
}

fn typed(kind: Kind, text: &str) -> Option<Value> {
    match kind {
        Kind::Str => Some(Value::from(one_line(text, STR_UNITS_MAX))),
        Kind::Txt => Some(Value::from(clip(text, PROSE_UNITS_MAX))),
        Kind::Num => {
            let whole = text.parse::<i64>().ok().map(Number::from);
            let number = || Number::from_f64(text.parse().ok()?);
            whole.or_else(number).map(Value::Number)
        }
        // Templates write a truth with a capital or without.
        Kind::Bool => text.to_ascii_lowercase().parse().ok().map(Value::Bool),
        Kind::At => {
            let at: Timestamp = text.parse().ok()?;
            Some(Value::from(format!("{at:.3}")))
        }
        Kind::Url => {
            let plain = !text.contains(char::is_whitespace) && text.contains("://");
            plain.then(|| Value::from(text))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_name_is_its_type() {
        for (name, kind) in [
            ("callTypeStr", Some(Kind::Str)),
            ("call_durationNum", Some(Kind::Num)),
            ("answeredBool", Some(Kind::Bool)),
            ("startedAt", Some(Kind::At)),
            ("recordingUrl", Some(Kind::Url)),
            ("wordsTxt", Some(Kind::Txt)),
            ("Str", None),
            ("callDuration", None),
            ("1Str", None),
            ("call typeStr", None),
            ("", None),
        ] {
            assert_eq!(Kind::of(name), kind, "{name}");
        }
    }

    #[test]
    fn values_are_typed() {
        let fields = full_sample();
        let table = [
            ("aNum", "{{ talk_seconds }}", Ok(Some(Value::from(5)))),
            (
                "aNum",
                "{{ talk_seconds / 60 }}",
                Ok(Some(Value::from(5.0 / 60.0))),
            ),
            (
                "aNum",
                "{{ talked }}",
                Err("it gives something else than a number, such as {{ talk_seconds }}"),
            ),
            ("aBool", "{{ voicemail }}", Ok(Some(Value::from(true)))),
            (
                "aBool",
                "yes",
                Err("it gives something else than true or false, such as {{ voicemail }}"),
            ),
            (
                "anAt",
                "{{ started_at }}",
                Ok(Some(Value::from("2026-11-20T12:24:29.009Z"))),
            ),
            (
                "anAt",
                "{{ started }}",
                Err("it gives something else than a time with its zone, such as {{ started_at }}"),
            ),
            (
                "aStr",
                " {{ type }}\n{{ queue }} ",
                Ok(Some(Value::from("incoming answered support"))),
            ),
            (
                "aTxt",
                "{{ agent_note | join('\\n') }}",
                Ok(Some(Value::from("wants a call back"))),
            ),
            (
                "aUrl",
                "{{ recording }}",
                Ok(Some(Value::from("https://pbx.example/r/a1"))),
            ),
            (
                "aUrl",
                "{{ queue }}",
                Err("it gives something else than an address, such as {{ recording }}"),
            ),
            ("aStr", "{% if false %}x{% endif %}", Ok(None)),
            (
                "aNum",
                "NaN",
                Err("it gives something else than a number, such as {{ talk_seconds }}"),
            ),
            ("aStr", "{{ queu }}", Err("line 1: undefined value")),
            ("aStr", "{{ queue", Err("line 1: syntax error")),
            ("a", "x", Err("the name ends in none of Kustomer's types")),
        ];
        for (name, source, expected) in table {
            match (value(name, source, &fields), expected) {
                (Err(told), Err(said)) => assert!(told.starts_with(said), "{source}: {told}"),
                (told, expected) => {
                    assert_eq!(told, expected.map_err(str::to_owned), "{source}");
                }
            }
        }
    }

    #[test]
    fn a_value_that_does_not_fit_costs_itself_alone() {
        let fields = full_sample();
        let rules = [("aNum", "{{ talked }}"), ("bStr", "{{ queue }}")];
        let rules = rules.map(|(name, source)| (name.to_owned(), source.to_owned()));
        let values = values(&CustomRules::from(rules), &fields);
        assert_eq!(values.set.keys().collect::<Vec<_>>(), ["bStr"]);
        assert_eq!(values.faults.len(), 1);
    }

    #[test]
    fn long_values_are_cut() {
        let long = "😀".repeat(9_000);
        for (kind, max) in [(Kind::Str, STR_UNITS_MAX), (Kind::Txt, PROSE_UNITS_MAX)] {
            let value = typed(kind, &long).unwrap();
            assert!(value.as_str().unwrap().encode_utf16().count() <= max);
        }
    }
}
