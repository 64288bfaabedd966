//! One line of a number list, from how people write it to what it matches: a number, a prefix, a range, an extension or
//! a range of them. Pure; `check.rs` asks it per line, `calls::filter` matches.

use super::types::{Matcher, NumberPattern};
use crate::terms::number::{E164, E164_DIGITS_MAX, NumberFault, NumberPlan};
use crate::terms::party::{Contact, Extension, ExtensionRange, Extensions, Party};
use thiserror::Error;

/// Digits of an extension or short number. What is longer is read as a number.
const EXTENSION_DIGITS_MAX: usize = 6;

/// Digits that may also be a local number: what the plan takes for a number is one.
const LOCAL_DIGITS_MIN: usize = 6;

/// Longest name of an extension.
const EXTENSION_CHARS_MAX: usize = 64;

/// Fewest digits of a prefix or a range's end: a calling code.
const PREFIX_DIGITS_MIN: usize = 1;

/// Why a line is no pattern. The text isn't repeated: it may be somebody's number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum PatternFault {
    #[error("the text is empty")]
    Empty,
    #[error("a number has no letters; an extension's name has no spaces")]
    Letters,
    #[error("{0}")]
    Number(NumberFault),
    #[error("a prefix is written with + and the country's code, and one * at its end: +4930555*")]
    Prefix,
    #[error(
        "a range is written with + and the country's code at both ends: +4930555100..+4930555199"
    )]
    Range,
    #[error("the ends of a range have the same number of digits")]
    Lengths,
    #[error("the range ends before it begins: the smaller number comes first")]
    Backwards,
    #[error("this is no extension: digits, a name such as sales-desk, or a range such as 100-199")]
    Extension,
}

/// Reads one line of a number list.
///
/// # Errors
/// What is wrong with it and how it is written.
pub fn parse(written: &str, plan: &NumberPlan) -> Result<NumberPattern, PatternFault> {
    let text = written.trim();
    Ok(NumberPattern {
        written: text.to_owned(),
        matcher: matcher(text, plan)?,
    })
}

/// Reads one line of a phone system's `extensions`: `101`, `100-199`, `sales-desk`.
///
/// # Errors
/// A range whose ends don't fit, or what can't be an extension.
pub fn extension(written: &str) -> Result<ExtensionRange, PatternFault> {
    let text = written.trim();
    if text.is_empty() {
        return Err(PatternFault::Empty);
    }
    if let Some((first, last)) = digit_range(text) {
        return ordered(first, last).map(|()| ExtensionRange {
            first: first.to_owned(),
            last: last.to_owned(),
        });
    }
    let fits = text.len() <= EXTENSION_CHARS_MAX
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"_.-*#".contains(&byte));
    if !fits {
        return Err(PatternFault::Extension);
    }
    Ok(ExtensionRange {
        first: text.to_owned(),
        last: text.to_owned(),
    })
}

fn matcher(text: &str, plan: &NumberPlan) -> Result<Matcher, PatternFault> {
    if text.is_empty() {
        return Err(PatternFault::Empty);
    }
    if let Some((first, last)) = text.split_once("..") {
        return range(first, last, plan);
    }
    if let Some(prefix) = text.strip_suffix('*') {
        return international(prefix)
            .map(Matcher::Prefix)
            .ok_or(PatternFault::Prefix);
    }
    if digit_range(text).is_some()
        || text.starts_with(|first: char| first.is_ascii_alphabetic() || first == '*')
    {
        let named = !text.contains(char::is_whitespace);
        return if named {
            one_extension(text)
        } else {
            Err(PatternFault::Letters)
        };
    }
    if text.chars().any(char::is_alphabetic) {
        return Err(PatternFault::Letters);
    }
    let digits_only = text.bytes().all(|byte| byte.is_ascii_digit());
    if digits_only && text.len() < LOCAL_DIGITS_MIN {
        return one_extension(text);
    }
    match plan.parse(text) {
        Ok(number) => Ok(Matcher::Number(number)),
        Err(_) if digits_only && text.len() <= EXTENSION_DIGITS_MAX => one_extension(text),
        Err(fault) => Err(PatternFault::Number(fault)),
    }
}

fn one_extension(text: &str) -> Result<Matcher, PatternFault> {
    extension(text).map(|range| Matcher::Extensions(Extensions(vec![range])))
}

fn range(first: &str, last: &str, plan: &NumberPlan) -> Result<Matcher, PatternFault> {
    let end = |text: &str| international(text).or_else(|| plan.parse(text).ok().map(String::from));
    let (Some(first), Some(last)) = (end(first), end(last)) else {
        return Err(PatternFault::Range);
    };
    ordered(&first, &last)?;
    Ok(Matcher::Range { first, last })
}

fn ordered(first: &str, last: &str) -> Result<(), PatternFault> {
    if first.len() != last.len() {
        return Err(PatternFault::Lengths);
    }
    if first > last {
        return Err(PatternFault::Backwards);
    }
    Ok(())
}

/// `100-199`; not `555-0123`, which is a local number.
fn digit_range(text: &str) -> Option<(&str, &str)> {
    let (first, last) = text.split_once('-')?;
    let digits = |end: &str| {
        (1..=EXTENSION_DIGITS_MAX).contains(&end.len())
            && end.bytes().all(|byte| byte.is_ascii_digit())
    };
    (digits(first) && digits(last) && first.len() == last.len()).then_some((first, last))
}

/// `+49 (0) 30 555` or `0049 30 555` as plus and digits: the beginning of a number, which no library judges.
fn international(text: &str) -> Option<String> {
    let text = text.trim();
    let rest = text
        .strip_prefix('+')
        .or_else(|| text.strip_prefix("00"))?
        .replace("(0)", "");
    let plain: String = rest
        .chars()
        .filter(|c| !matches!(c, ' ' | '-' | '/' | '.' | '(' | ')'))
        .collect();
    let shaped = (PREFIX_DIGITS_MIN..=E164_DIGITS_MAX).contains(&plain.len())
        && !plain.starts_with('0')
        && plain.bytes().all(|byte| byte.is_ascii_digit());
    shaped.then(|| format!("+{plain}"))
}

impl NumberPattern {
    /// Whether a line of a number list means this party: numbers by value, extensions and short numbers by what was sent.
    pub fn matches(&self, contact: &Contact) -> bool {
        let number = || contact.number().map(E164::as_str);
        match &self.matcher {
            Matcher::Number(listed) => contact.number() == Some(listed),
            Matcher::Prefix(prefix) => number().is_some_and(|number| number.starts_with(prefix)),
            Matcher::Range { first, last } => number().is_some_and(|number| {
                number.len() == first.len() && (first.as_str()..=last.as_str()).contains(&number)
            }),
            Matcher::Extensions(listed) => match &contact.party {
                Party::Extension(Extension(raw)) | Party::Short(raw) => listed.contains(raw),
                Party::Number(_) | Party::Anonymous | Party::Invalid => false,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(written: &str) -> String {
        let plan = NumberPlan::new("DE", Some("211")).unwrap();
        match parse(written, &plan).map(|pattern| pattern.matcher) {
            Ok(Matcher::Number(number)) => number.to_string(),
            Ok(Matcher::Prefix(prefix)) => format!("{prefix}*"),
            Ok(Matcher::Range { first, last }) => format!("{first}..{last}"),
            Ok(Matcher::Extensions(Extensions(ranges))) => {
                let range = &ranges[0];
                format!("ext {}-{}", range.first, range.last)
            }
            Err(fault) => format!("{fault:?}"),
        }
    }

    #[test]
    fn lines_as_people_write_them() {
        let table = [
            ("+49 30 1234-567", "+49301234567"),
            ("030 1234567", "+49301234567"),
            ("0049 (0) 30 1234567", "+49301234567"),
            ("555 00100", "+4921155500100"),
            ("+4930555*", "+4930555*"),
            ("+49 (0) 30 / 555 *", "+4930555*"),
            ("0049 30 555*", "+4930555*"),
            ("+49*", "+49*"),
            ("+4930555100..+4930555199", "+4930555100..+4930555199"),
            (
                "+49 30 555-100 .. +49 30 555-199",
                "+4930555100..+4930555199",
            ),
            ("030 1234500..030 1234599", "+49301234500..+49301234599"),
            ("101", "ext 101-101"),
            ("100-199", "ext 100-199"),
            ("sales-desk", "ext sales-desk-sales-desk"),
            ("*97", "ext *97-*97"),
            ("116117", "ext 116117-116117"),
        ];
        for (written, expected) in table {
            assert_eq!(shown(written), expected, "{written:?}");
        }
    }

    #[test]
    fn what_is_no_pattern_says_why() {
        let table = [
            ("", "Empty"),
            (" ", "Empty"),
            ("*", "Prefix"),
            ("030555*", "Prefix"),
            ("+49x*", "Prefix"),
            ("+0*", "Prefix"),
            ("+4930*555*", "Prefix"),
            ("..", "Range"),
            ("+4930..", "Range"),
            ("101..199", "Range"),
            ("+49301..+49309..+49310", "Range"),
            ("+4930555199..+4930555100", "Backwards"),
            ("+4930555..+4930555100", "Lengths"),
            ("199-100", "Backwards"),
            ("0800 FLOWERS", "Letters"),
            ("grace hopper", "Letters"),
            ("+49 171 12", "Number(NotAssigned)"),
            ("+", "Number(NotANumber)"),
        ];
        for (written, expected) in table {
            assert_eq!(shown(written), expected, "{written:?}");
        }
    }
}
