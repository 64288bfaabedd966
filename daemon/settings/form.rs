//! What the schema says that a key wants, in the few forms that settings have. Pure; `shape.rs` asks it.

use serde_json::Value as Schema;
use toml::de::DeValue;

/// What a key wants.
pub enum Form<'a> {
    /// One of some words.
    Words(Vec<&'a str>),
    Text,
    /// A whole number, both ends allowed.
    Whole {
        min: i64,
        max: i64,
    },
    Switch,
    /// A list of what the schema describes.
    List(&'a Schema),
    /// A table with the schema's keys.
    Table(&'a Schema),
    /// One of several tables, told apart by `kind`.
    Kinds(Vec<&'a Schema>),
}

impl Form<'_> {
    /// In words, for a fault.
    pub fn allowed(&self) -> String {
        match self {
            Self::Words(words) => quoted_words(words),
            Self::Text => "text in quotes".to_owned(),
            Self::Whole { min, max } => range(*min, *max),
            Self::Switch => "true or false".to_owned(),
            Self::List(_) => "a list in [ ]".to_owned(),
            Self::Table(_) => "a table, in { } or under a heading in [ ]".to_owned(),
            Self::Kinds(_) => {
                "a table such as { kind = \"bearer\", token_file = \"…\" }".to_owned()
            }
        }
    }
}

/// The form of `schema`; where it leaves a choice, the one that fits what was `found`.
pub fn form<'a>(root: &'a Schema, schema: &'a Schema, found: &DeValue<'_>) -> Form<'a> {
    let schema = resolved(root, schema);
    let choices = schema
        .get("oneOf")
        .or_else(|| schema.get("anyOf"))
        .and_then(Schema::as_array);
    if let Some(choices) = choices {
        let choices: Vec<&Schema> = choices
            .iter()
            .map(|one| resolved(root, one))
            .filter(|one| type_name(one) != "null")
            .collect();
        let words: Vec<&str> = choices.iter().flat_map(|one| words(one)).collect();
        if !words.is_empty() {
            return Form::Words(words);
        }
        if choices.iter().all(|one| kind_word(one).is_some()) {
            return Form::Kinds(choices);
        }
        let fitting = choices
            .iter()
            .find(|one| found.is_table() == (type_name(one) == "object"));
        return fitting
            .or(choices.first())
            .map_or(Form::Text, |one| form(root, one, found));
    }
    let words = words(schema);
    if !words.is_empty() {
        return Form::Words(words);
    }
    let bound = |key: &str| schema.get(key).and_then(Schema::as_i64);
    match type_name(schema) {
        "integer" => Form::Whole {
            min: bound("minimum").unwrap_or(0),
            max: bound("maximum").unwrap_or(i64::MAX),
        },
        "boolean" => Form::Switch,
        "array" => schema.get("items").map_or(Form::Text, Form::List),
        "object" => Form::Table(schema),
        _ => Form::Text,
    }
}

/// The schema that a `$ref` leads to, else itself.
pub fn resolved<'a>(root: &'a Schema, schema: &'a Schema) -> &'a Schema {
    let name = schema
        .get("$ref")
        .and_then(Schema::as_str)
        .and_then(|path| path.strip_prefix("#/$defs/"));
    name.and_then(|name| root.get("$defs")?.get(name))
        .unwrap_or(schema)
}

/// The keys of a table, without `kind`'s own.
pub fn keys(schema: &Schema) -> Vec<&str> {
    let properties = schema.get("properties").and_then(Schema::as_object);
    properties
        .map(|all| all.keys().map(String::as_str).collect())
        .unwrap_or_default()
}

/// The word that `kind` must be in a table of this schema.
pub fn kind_word(schema: &Schema) -> Option<&str> {
    schema
        .get("properties")?
        .get("kind")?
        .get("const")?
        .as_str()
}

/// `"newest", "oldest", "skip"`.
pub fn quoted_words(words: &[&str]) -> String {
    let words: Vec<String> = words.iter().map(|word| format!("{word:?}")).collect();
    words.join(", ")
}

/// `a whole number from 1 to 1000`.
pub fn range(min: i64, max: i64) -> String {
    if max == i64::MAX {
        format!("a whole number, {min} or more")
    } else {
        format!("a whole number from {min} to {max}")
    }
}

/// What was written, in words.
pub fn type_words(found: &DeValue<'_>) -> &'static str {
    match found {
        DeValue::String(_) => "text",
        DeValue::Integer(_) => "a whole number",
        DeValue::Float(_) => "a number with a fraction",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date or time",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}

/// The words of an enumeration.
fn words(schema: &Schema) -> Vec<&str> {
    if let Some(word) = schema.get("const").and_then(Schema::as_str) {
        return vec![word];
    }
    let list = schema.get("enum").and_then(Schema::as_array);
    list.map(|list| list.iter().filter_map(Schema::as_str).collect())
        .unwrap_or_default()
}

/// The type; of an optional key the one that isn't `null`.
fn type_name(schema: &Schema) -> &str {
    match schema.get("type") {
        Some(Schema::Array(types)) => types
            .iter()
            .filter_map(Schema::as_str)
            .find(|name| *name != "null"),
        other => other.and_then(Schema::as_str),
    }
    .unwrap_or_default()
}
