//! Checks a request body against the tables of `schemas.rs` and refuses in the recorded shape.
//! Pure; called by `routes.rs` and `bulk.rs` before anything is done.

use serde_json::{Map, Value};

use super::reply::Refusal;
use super::schemas::{Field, Presence, Shape};

/// Refuses unknown properties, missing ones, and values that break their shape.
pub fn check(tables: &[&[Field]], body: &Map<String, Value>) -> Result<(), Refusal> {
    object(tables, body, "")
}

/// The same for one value; `name` is how the refusal calls it.
pub fn check_value(shape: &Shape, name: &str, value: &Value) -> Result<(), Refusal> {
    value_in(shape, name, value, "")
}

/// A phone number as the sandbox takes it: `+`, then 7 to 15 digits without a leading zero.
pub fn is_phone(text: &str) -> bool {
    let Some(digits) = text.strip_prefix('+') else {
        return false;
    };
    (7..=15).contains(&digits.len())
        && digits.bytes().all(|byte| byte.is_ascii_digit())
        && !digits.starts_with('0')
}

/// 24 hexadecimal digits.
pub fn is_id(text: &str) -> bool {
    text.len() == 24 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// An ISO 8601 date-time with an offset.
pub fn is_time(text: &str) -> bool {
    text.parse::<jiff::Timestamp>().is_ok()
}

fn object(tables: &[&[Field]], body: &Map<String, Value>, place: &str) -> Result<(), Refusal> {
    let fields = || tables.iter().copied().flatten();
    for name in body.keys() {
        if !fields().any(|field| field.0 == name) {
            return Err(Refusal::bad(
                name,
                "Additional properties not allowed",
                format!("{place}/additionalProperties"),
            ));
        }
    }
    for Field(name, shape, presence) in fields() {
        match (body.get(*name), presence) {
            (None, Presence::Required) => {
                return Err(Refusal::bad(
                    *name,
                    format!("Missing required property: {name}"),
                    format!("{place}/required"),
                ));
            }
            (None, Presence::Optional | Presence::Nullable)
            | (Some(Value::Null), Presence::Nullable) => {}
            (Some(value), Presence::Required | Presence::Optional | Presence::Nullable) => {
                value_in(shape, name, value, &format!("{place}/properties/{name}"))?;
            }
        }
    }
    Ok(())
}

fn value_in(shape: &Shape, name: &str, value: &Value, place: &str) -> Result<(), Refusal> {
    match shape {
        Shape::Text(min, max) => text(name, value, place, *min, *max),
        Shape::OneOf(values) => pattern(name, value, place, "enum", |text| values.contains(&text)),
        Shape::Id => pattern(name, value, place, "format", is_id),
        Shape::Time => pattern(name, value, place, "format", is_time),
        Shape::Uri => pattern(name, value, place, "format", is_uri),
        Shape::Phone => pattern(name, value, place, "format", is_phone),
        Shape::Email => pattern(name, value, place, "format", is_email),
        Shape::Tag => pattern(name, value, place, "pattern", is_tag),
        Shape::Whole(min, max) => {
            let whole = value
                .as_i64()
                .ok_or_else(|| wrong_type(name, "integer", place))?;
            in_range(name, place, (*min..=*max).contains(&whole))
        }
        Shape::Number(min, max) => {
            let number = value
                .as_f64()
                .ok_or_else(|| wrong_type(name, "number", place))?;
            in_range(name, place, (*min..=*max).contains(&number))
        }
        Shape::Bool if value.is_boolean() => Ok(()),
        Shape::Bool => Err(wrong_type(name, "boolean", place)),
        Shape::List(item, max) => list(item, *max, name, value, place),
        Shape::Object(fields) => object(&[fields], as_object(name, value, place)?, place),
        Shape::SomeOf(fields) => {
            let inner = as_object(name, value, place)?;
            if inner.is_empty() {
                return Err(Refusal::bad(
                    name,
                    "Data does not match any schemas from \"anyOf\"",
                    format!("{place}/anyOf"),
                ));
            }
            object(&[fields], inner, place)
        }
        Shape::Free | Shape::Custom => as_object(name, value, place).map(|_| ()),
        Shape::Either(first, second) => value_in(first, name, value, place)
            .or_else(|refusal| value_in(second, name, value, place).map_err(|_| refusal)),
    }
}

fn text(name: &str, value: &Value, place: &str, min: usize, max: usize) -> Result<(), Refusal> {
    let text = value
        .as_str()
        .ok_or_else(|| wrong_type(name, "string", place))?;
    let length = text.chars().count();
    if length < min {
        return Err(Refusal::bad(
            name,
            format!("String is too short ({length} chars), minimum {min}"),
            format!("{place}/minLength"),
        ));
    }
    if length > max {
        return Err(Refusal::bad(
            name,
            format!("String is too long ({length} chars), maximum {max}"),
            format!("{place}/maxLength"),
        ));
    }
    Ok(())
}

fn pattern(
    name: &str,
    value: &Value,
    place: &str,
    rule: &str,
    holds: impl Fn(&str) -> bool,
) -> Result<(), Refusal> {
    let text = value
        .as_str()
        .ok_or_else(|| wrong_type(name, "string", place))?;
    if holds(text) {
        return Ok(());
    }
    let title = match rule {
        "enum" => format!("No enum match for: {value}"),
        _ => format!("Format validation failed ({value} is not a valid {name})"),
    };
    Err(Refusal::bad(name, title, format!("{place}/{rule}")))
}

fn list(item: &Shape, max: usize, name: &str, value: &Value, place: &str) -> Result<(), Refusal> {
    let items = value
        .as_array()
        .ok_or_else(|| wrong_type(name, "array", place))?;
    if items.len() > max {
        return Err(Refusal::bad(
            name,
            format!("Array is too long ({}), maximum {max}", items.len()),
            format!("{place}/maxItems"),
        ));
    }
    for (at, one) in items.iter().enumerate() {
        if items.iter().take(at).any(|earlier| earlier == one) {
            return Err(Refusal::bad(
                name,
                "Array items are not unique",
                format!("{place}/uniqueItems"),
            ));
        }
        value_in(item, name, one, &format!("{place}/items"))?;
    }
    Ok(())
}

fn as_object<'a>(
    name: &str,
    value: &'a Value,
    place: &str,
) -> Result<&'a Map<String, Value>, Refusal> {
    value
        .as_object()
        .ok_or_else(|| wrong_type(name, "object", place))
}

fn wrong_type(name: &str, expected: &str, place: &str) -> Refusal {
    Refusal::bad(
        name,
        format!("Invalid type (expected {expected})"),
        format!("{place}/type"),
    )
}

fn in_range(name: &str, place: &str, holds: bool) -> Result<(), Refusal> {
    if holds {
        return Ok(());
    }
    Err(Refusal::bad(
        name,
        "Value is out of range",
        format!("{place}/minimum"),
    ))
}

fn is_email(text: &str) -> bool {
    let mut parts = text.split('@');
    let filled = |part: Option<&str>| {
        part.is_some_and(|part| !part.is_empty() && !part.contains(char::is_whitespace))
    };
    filled(parts.next()) && filled(parts.next()) && parts.next().is_none()
}

fn is_uri(text: &str) -> bool {
    text.split_once(':').is_some_and(|(scheme, rest)| {
        !rest.is_empty()
            && scheme.starts_with(|first: char| first.is_ascii_alphabetic())
            && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric())
    }) && !text.contains(char::is_whitespace)
}

fn is_tag(text: &str) -> bool {
    let allowed = |letter: char| {
        letter.is_ascii_alphanumeric()
            || ('À'..='ÿ').contains(&letter)
            || matches!(letter, '_' | '/' | '<' | '>' | '-' | '.')
    };
    text.chars().count() <= 64
        && text.starts_with(allowed)
        && text.chars().all(|letter| letter == ' ' || allowed(letter))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::customer_schema::CUSTOMER;
    use super::super::schemas;
    use super::*;

    fn refused(tables: &[&[Field]], body: &Value) -> String {
        check(tables, body.as_object().expect("an object"))
            .err()
            .map_or_else(|| "ok".to_owned(), |refusal| refusal.line())
    }

    #[test]
    fn bodies_that_break_a_schema_are_refused_with_the_rule() {
        let customer: &[&[Field]] = &[CUSTOMER];
        let note = schemas::NOTE;
        for (tables, body, part) in [
            (customer, json!({}), "ok"),
            (customer, json!({"surname": "x"}), "surname: Additional"),
            (
                customer,
                json!({"phones": ["+4912345678"]}),
                "phones/items/type",
            ),
            (
                customer,
                json!({"phones": [{"phone": "0171 1"}]}),
                "phone/format",
            ),
            (
                customer,
                json!({"phones": [{"phone": "+491711234567", "id": null}]}),
                "id: Additional",
            ),
            (
                customer,
                json!({"gender": null, "tags": ["a", "a"]}),
                "uniqueItems",
            ),
            (customer, json!({"tags": ["+49"]}), "pattern"),
            (
                customer,
                json!({"createdAt": "yesterday"}),
                "createdAt/format",
            ),
            (customer, json!({"name": "x".repeat(257)}), "maxLength"),
            (customer, json!({"custom": 3}), "custom/type"),
            (note, json!({"externalId": "x"}), "body: Missing"),
            (note, json!({"body": ""}), "minLength"),
            (note, json!({"body": "ü".repeat(10_240)}), "ok"),
            (note, json!({"body": "ü".repeat(10_241)}), "maxLength"),
            (
                &[schemas::CONVERSATION],
                json!({"status": "snoozed"}),
                "status/enum",
            ),
            (
                &[schemas::CONVERSATION],
                json!({"priority": 6}),
                "priority/minimum",
            ),
            (
                &[schemas::CONVERSATION],
                json!({"queue": {}}),
                "queue/anyOf",
            ),
            (
                &[schemas::CONVERSATION],
                json!({"channels": []}),
                "channels: Additional",
            ),
        ] {
            let line = refused(tables, &body);
            assert!(line.contains(part), "{body}: {line}");
        }
    }
}
