//! Named values, whatever they came in: a form, a JSON object, a line of CSV with known columns, an AMI event.

use crate::calls::decode::body::{self, Payload};
use crate::calls::decode::{Malformed, NotUnderstood};
use percent_encoding::percent_decode_str;
use serde_json::Value;

/// Most records taken from one body. A record file is posted in parts, so that what is wrong with one stays small.
pub const RECORDS_MAX: usize = 1_000;

/// Values by name; names are in lower case. Of a name that comes twice the last value holds.
///
/// A record has some thirty, of which a few are asked for: what it has is one text, looked through from its end.
#[derive(Clone, Debug, Default)]
pub struct Fields {
    /// Name, value, name, value.
    text: String,
    places: Vec<Place>,
}

/// Where a name begins in the text, where its value does, and where that ends.
#[derive(Clone, Copy, Debug)]
struct Place {
    name: usize,
    value: usize,
    end: usize,
}

impl Fields {
    /// The first of `names` that says anything.
    pub fn first(&self, names: &[&str]) -> Option<&str> {
        names.iter().find_map(|name| self.get(name))
    }

    /// A value that says something.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.get_joined("", name)
    }

    /// As [`Fields::get`], by a name of two parts.
    pub fn get_joined(&self, head: &str, tail: &str) -> Option<&str> {
        let value = self.value(head, tail)?.trim();
        (!value.is_empty()).then_some(value)
    }

    /// As [`Fields::get`], empty if there is none.
    pub fn text(&self, name: &str) -> &str {
        self.get(name).unwrap_or_default()
    }

    /// As sent, blanks and line ends included.
    pub fn whole(&self, name: &str) -> Option<&str> {
        self.value("", name)
    }

    /// A whole number that isn't negative.
    pub fn number(&self, name: &str) -> Option<i64> {
        let digits = self.get(name)?.split('.').next()?;
        digits.parse().ok().filter(|number| *number >= 0)
    }

    /// Whether the name is there, be it empty.
    pub fn has(&self, name: &str) -> bool {
        self.whole(name).is_some()
    }

    pub fn insert(&mut self, name: &str, value: &str) {
        let start = self.text.len();
        self.text.push_str(name.trim());
        if let Some(name) = self.text.get_mut(start..) {
            name.make_ascii_lowercase();
        }
        let middle = self.text.len();
        self.text.push_str(value);
        self.places.push(Place {
            name: start,
            value: middle,
            end: self.text.len(),
        });
    }

    fn value(&self, head: &str, tail: &str) -> Option<&str> {
        let length = head.len() + tail.len();
        let is_it = |place: &&Place| {
            let name = self.text.get(place.name..place.value);
            // Most differ in length, which is told without looking at the text.
            place.value - place.name == length
                && name.and_then(|name| name.strip_prefix(head)) == Some(tail)
        };
        let place = self.places.iter().rev().find(is_it)?;
        self.text.get(place.value..place.end)
    }
}

impl<N: AsRef<str>, V: AsRef<str>> FromIterator<(N, V)> for Fields {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(pairs: I) -> Self {
        let mut fields = Self::default();
        for (name, value) in pairs {
            fields.insert(name.as_ref(), value.as_ref());
        }
        fields
    }
}

/// The objects of a form or JSON body; `foreign` is what to say of a body that has none.
pub fn read(payload: &Payload<'_>, foreign: NotUnderstood) -> Result<Vec<Fields>, NotUnderstood> {
    match payload {
        Payload::Form(form) => Ok(vec![from_form(form)]),
        Payload::Json(json) => from_json(json, foreign),
        Payload::Xml(_) => Err(foreign),
    }
}

fn from_json(json: &str, foreign: NotUnderstood) -> Result<Vec<Fields>, NotUnderstood> {
    let value: Value = serde_json::from_str(json).map_err(|fault| broken(json, &fault))?;
    let objects = match value {
        Value::Array(items) => items,
        object => vec![object],
    };
    if objects.len() > RECORDS_MAX {
        return Err(NotUnderstood::TooManyRecords);
    }
    let fields = |object: Value| match object {
        Value::Object(object) => Ok(object
            .into_iter()
            .filter_map(|(name, value)| Some((name, scalar(&value)?)))
            .collect()),
        _ => Err(foreign),
    };
    objects.into_iter().map(fields).collect()
}

/// Text of a scalar; dial plans write everything as strings, databases don't.
pub fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(truth) => Some(truth.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

/// What a dial plan that glues JSON together sends is no JSON, and nobody can tell what was meant.
fn broken(json: &str, fault: &serde_json::Error) -> NotUnderstood {
    if glued(json) {
        NotUnderstood::GluedJson
    } else {
        body::json_fault(fault).into()
    }
}

/// The mark of such a text: in a dial plan a comma is written `\,`, and the backslash arrives.
pub fn glued(json: &str) -> bool {
    json.contains("\"\\,")
}

/// A plus is a blank in a form, but dial plans that forget URIENCODE send numbers as they are.
fn from_form(form: &str) -> Fields {
    let value = |text: &str| {
        let mut out = String::with_capacity(text.len());
        let mut before = None;
        let mut characters = text.chars().peekable();
        while let Some(c) = characters.next() {
            let digit = characters.peek().is_some_and(char::is_ascii_digit);
            let opens = matches!(before, None | Some('<' | ':' | '"'));
            out.push(if c == '+' && !(digit && opens) {
                ' '
            } else {
                c
            });
            before = Some(c);
        }
        body::percent_decoded(&out)
    };
    form.split('&')
        .filter_map(|pair| pair.split_once('='))
        .map(|(name, text)| (value(name), value(text)))
        .collect()
}

/// The bytes of one value of a form, whatever character set they are in; a plus is a blank.
pub fn bytes_in_form(form: &str, name: &str) -> Option<Vec<u8>> {
    let mut pairs = form.split('&').filter_map(|pair| pair.split_once('='));
    let (_, value) = pairs.find(|(key, _)| key.eq_ignore_ascii_case(name))?;
    Some(percent_decode_str(&value.replace('+', " ")).collect())
}

/// Whether a form is whole.
pub fn check_form(form: &str) -> Result<(), Malformed> {
    body::check_percent(form)
}
