//! Holds one layer against the schema of `file.rs`: unknown keys, wrong types, words that aren't in a list, numbers out
//! of range, secrets where none may stand. Every fault is reported with its line and its value left out, so that what
//! remains can be merged and checked further. Called by `load.rs` per layer.

use super::fault::quoted;
use super::form::{self, Form, form, keys, kind_word, quoted_words, resolved};
use super::origin::Origins;
use figment::value::{Dict, Value as Merged};
use serde_json::Value as Schema;
use std::ops::Range;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// Lists of entries at the root, each entry with a `name`: entries of one name are one entry over all layers.
pub const ENTRIES: [&str; 4] = ["pbx", "kustomer", "client", "carddav"];

/// Keys that would hold a secret. None is a setting.
const SECRETS: [&str; 10] = [
    "password",
    "passwd",
    "token",
    "secret",
    "key",
    "api_key",
    "apikey",
    "api_token",
    "secret_key",
    "auth_token",
];

/// Longest name of an entry: it is part of every id that Kustomer stores.
const NAME_CHARS_MAX: usize = 32;
const NAME_ALLOWED: &str = "1 to 32 of a-z, 0-9, _ and -";

/// How many edits a misspelt key may be away from the one that is suggested.
const TYPO_EDITS_MAX: usize = 3;

/// Keys of files that are no secrets.
const NO_SECRETS: [&str; 3] = ["ca_file", "certificate_file", "note_template_file"];

/// Most keys listed as allowed: more is no help.
const KEYS_LISTED_MAX: usize = 24;

/// Reads the text of one layer; `textual` if values are all strings that stand for what the key wants (environment).
pub fn read(text: &str, textual: bool, root: &Schema, origins: &mut Origins) -> Dict {
    let starts = std::iter::once(0)
        .chain(text.match_indices('\n').map(|(at, _)| at + 1))
        .collect();
    let mut reading = Reading {
        root,
        origins,
        starts,
        textual,
        pinned: None,
    };
    let (table, errors) = DeTable::parse_recoverable(text);
    for error in errors {
        let line = error.span().map_or(0, |span| reading.line(&span));
        let what = error.message().lines().next().unwrap_or_default();
        reading
            .origins
            .unreadable(line, format!("this is no TOML: {what}"));
    }
    reading.table("", root, table.get_ref())
}

/// Names of phone systems, integrations, clients and contact servers: they stand in addresses and ids.
pub fn is_name(text: &str) -> bool {
    (1..=NAME_CHARS_MAX).contains(&text.len())
        && text
            .bytes()
            .all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-'))
}

/// Whether a setting of this name is the path of a file that holds a secret.
pub fn is_secret_file(key: &str) -> bool {
    key.ends_with("_file") && !NO_SECRETS.contains(&key)
}

/// Whether a setting of this name would be a secret.
pub fn is_secret(key: &str) -> bool {
    SECRETS.contains(&key)
}

struct Reading<'a> {
    root: &'a Schema,
    origins: &'a mut Origins,
    /// Offset of each line's first byte.
    starts: Vec<usize>,
    textual: bool,
    /// The line of the variable whose text is being read.
    pinned: Option<usize>,
}

impl<'a> Reading<'a> {
    fn line(&self, span: &Range<usize>) -> usize {
        self.pinned
            .unwrap_or_else(|| self.starts.partition_point(|start| *start <= span.start))
    }

    fn table(&mut self, path: &str, schema: &'a Schema, table: &DeTable<'_>) -> Dict {
        let mut read = Dict::new();
        for (key, value) in table {
            let name = key.get_ref().as_ref();
            let line = self.line(&key.span());
            let path = if path.is_empty() {
                name.to_owned()
            } else {
                format!("{path}.{name}")
            };
            let known = schema.get("properties").and_then(|all| all.get(name));
            let any = schema
                .get("additionalProperties")
                .filter(|other| other.is_object());
            let Some(wanted) = known.or(any) else {
                self.unknown(&path, name, line, schema);
                continue;
            };
            let value = if ENTRIES.contains(&path.as_str()) {
                self.entries(&path, wanted, line, value)
            } else {
                self.value(&path, wanted, line, value)
            };
            if let Some(value) = value {
                read.insert(name.to_owned(), value);
            }
        }
        read
    }

    fn unknown(&mut self, path: &str, name: &str, line: usize, schema: &Schema) {
        let keys = keys(schema);
        if is_secret(name) {
            let files: Vec<&str> = keys
                .iter()
                .copied()
                .filter(|key| is_secret_file(key))
                .collect();
            let instead = if files.is_empty() {
                "a key that ends in _file".to_owned()
            } else {
                files.join(", ")
            };
            let what = format!(
                "secrets are not written into settings, which are copied and shown: put it alone into a file and \
                 name that file with {instead}"
            );
            return self.origins.refuse(path, line, what, "");
        }
        let nearest = keys
            .iter()
            .map(|key| (strsim::damerau_levenshtein(key, name), *key))
            .filter(|(edits, key)| *edits <= TYPO_EDITS_MAX && *edits < key.len().max(2) / 2 + 1)
            .min();
        if let Some((_, key)) = nearest {
            // It is there, only misspelt: that it is missing is no second fault.
            let meant = path.strip_suffix(name).unwrap_or_default();
            self.origins.refused(&format!("{meant}{key}"));
        }
        let what = match nearest {
            Some((_, key)) => format!("there is no such key; did you mean {key}?"),
            None => "there is no such key here".to_owned(),
        };
        let allowed = if keys.len() > KEYS_LISTED_MAX {
            String::new()
        } else {
            keys.join(", ")
        };
        self.origins.refuse(path, line, what, &allowed);
    }

    /// `[[pbx]]` and the like, as a table by name.
    fn entries(
        &mut self,
        path: &str,
        schema: &'a Schema,
        line: usize,
        value: &Spanned<DeValue<'_>>,
    ) -> Option<Merged> {
        let items = schema
            .get("items")
            .map(|items| resolved(self.root, items))?;
        let mut read = Dict::new();
        match value.get_ref() {
            // The environment has no lists of tables: TIELINE_PBX__HQ__SETTLE.
            DeValue::Table(named) if self.textual => {
                for (name, entry) in named {
                    let line = self.line(&name.span());
                    if !is_name(name.get_ref()) {
                        let what = format!("{} is no name", quoted(name.get_ref()));
                        self.origins.refuse(path, line, what, NAME_ALLOWED);
                        continue;
                    }
                    let path = format!("{path}.{}", name.get_ref());
                    if let Some(value) = self.value(&path, items, line, entry) {
                        read.insert(name.get_ref().to_string(), value);
                    }
                }
            }
            DeValue::Array(list) if list.iter().all(|entry| entry.get_ref().is_table()) => {
                for (index, entry) in list.iter().enumerate() {
                    let line = self.line(&entry.span());
                    let name = self.entry_name(path, index, &read, entry);
                    let path = format!("{path}.{name}");
                    if let Some(value) = self.value(&path, items, line, entry) {
                        read.insert(name, value);
                    }
                }
            }
            _ => {
                let what = format!(
                    "{path} is a list of entries: write [[{path}]] in double brackets, and its name below"
                );
                self.origins.refuse(path, line, what, "");
                return None;
            }
        }
        Some(Merged::from(read))
    }

    /// The entry's name, or a place-holder that no name can be, so that the rest of a nameless entry is checked too.
    fn entry_name(
        &mut self,
        path: &str,
        index: usize,
        read: &Dict,
        entry: &Spanned<DeValue<'_>>,
    ) -> String {
        let stand_in = format!("#{}", index + 1);
        let line = self.line(&entry.span());
        let Some(name) = entry.get_ref().get("name") else {
            let what = format!("this [[{path}]] has no name");
            self.origins
                .refuse(&format!("{path}.{stand_in}.name"), line, what, NAME_ALLOWED);
            return stand_in;
        };
        let line = self.line(&name.span());
        let Some(text) = name.get_ref().as_str() else {
            return stand_in; // its type is refused with the other keys
        };
        if !is_name(text) {
            let what = format!("{} is no name", quoted(text));
            self.origins
                .refuse(&format!("{path}.{stand_in}.name"), line, what, NAME_ALLOWED);
            return stand_in;
        }
        if read.contains_key(text) {
            let what = format!(
                "this file has another [[{path}]] of the name {}",
                quoted(text)
            );
            self.origins.refuse(
                &format!("{path}.{stand_in}.name"),
                line,
                what,
                "each name once a file",
            );
            return stand_in;
        }
        text.to_owned()
    }

    fn value(
        &mut self,
        path: &str,
        schema: &'a Schema,
        line: usize,
        value: &Spanned<DeValue<'_>>,
    ) -> Option<Merged> {
        let found = value.get_ref();
        let form = form(self.root, schema, found);
        if self.textual
            && self.pinned.is_none()
            && let DeValue::String(text) = found
            && !matches!(form, Form::Text | Form::Words(_))
        {
            return self.as_toml(path, schema, line, text);
        }
        self.origins.found(path, line);
        match (form, found) {
            (Form::Text, DeValue::String(text)) => Some(Merged::from(text.to_string())),
            (Form::Words(words), DeValue::String(text)) => self.word(path, line, &words, text),
            (Form::Whole { min, max }, DeValue::Integer(number)) => {
                let number = i64::from_str_radix(number.as_str(), number.radix()).ok();
                let read = number.filter(|number| (min..=max).contains(number));
                if read.is_none() {
                    let shown = number.map_or("this".to_owned(), |number| number.to_string());
                    self.origins.refuse(
                        path,
                        line,
                        format!("{shown} is out of range"),
                        &form::range(min, max),
                    );
                }
                read.map(Merged::from)
            }
            (Form::Switch, DeValue::Boolean(switch)) => Some(Merged::from(*switch)),
            (Form::List(items), DeValue::Array(list)) => {
                let mut read = Vec::new();
                for (index, item) in list.iter().enumerate() {
                    let line = self.line(&item.span());
                    read.extend(self.value(&format!("{path}[{index}]"), items, line, item));
                }
                Some(Merged::from(read))
            }
            (Form::Table(schema), DeValue::Table(table)) => {
                Some(Merged::from(self.table(path, schema, table)))
            }
            (Form::Kinds(kinds), DeValue::Table(table)) => self.kind(path, line, &kinds, table),
            (form, found) => {
                let what = format!("this is {}", form::type_words(found));
                self.origins.refuse(path, line, what, &form.allowed());
                None
            }
        }
    }

    fn word(&mut self, path: &str, line: usize, words: &[&str], text: &str) -> Option<Merged> {
        if words.contains(&text) {
            return Some(Merged::from(text));
        }
        let allowed = quoted_words(words);
        self.origins.refuse(
            path,
            line,
            format!("{} is not one of {allowed}", quoted(text)),
            &allowed,
        );
        None
    }

    /// The text of an environment variable, as TOML.
    fn as_toml(
        &mut self,
        path: &str,
        schema: &'a Schema,
        line: usize,
        text: &str,
    ) -> Option<Merged> {
        let Ok(value) = DeValue::parse(text) else {
            let form = form(self.root, schema, &DeValue::Boolean(false));
            self.origins.refuse(
                path,
                line,
                "this text can't be read as a value",
                &form.allowed(),
            );
            return None;
        };
        self.pinned = Some(line);
        let read = self.value(path, schema, line, &value);
        self.pinned = None;
        read
    }

    /// A table whose `kind` says which keys it has.
    fn kind(
        &mut self,
        path: &str,
        line: usize,
        kinds: &[&'a Schema],
        table: &DeTable<'_>,
    ) -> Option<Merged> {
        let words: Vec<&str> = kinds.iter().filter_map(|kind| kind_word(kind)).collect();
        if self.textual && table.get("kind").is_none() {
            return Some(Merged::from(self.some_of_a_kind(path, kinds, table)));
        }
        let Some(kind) = table.get("kind") else {
            let kind = format!("{path}.kind");
            self.origins
                .refuse(&kind, line, "kind is missing", &quoted_words(&words));
            self.origins.refused(path);
            return None;
        };
        let line = self.line(&kind.span());
        let word = kind.get_ref().as_str().unwrap_or_default();
        let Some(schema) = kinds.iter().find(|kind| kind_word(kind) == Some(word)) else {
            self.word(&format!("{path}.kind"), line, &words, word);
            self.origins.refused(path);
            return None;
        };
        Some(Merged::from(self.table(path, schema, table)))
    }

    /// Variables may set one key of a table whose `kind` stands in a file.
    fn some_of_a_kind(&mut self, path: &str, kinds: &[&'a Schema], table: &DeTable<'_>) -> Dict {
        let mut read = Dict::new();
        for (key, value) in table {
            let name = key.get_ref().as_ref();
            let (path, line) = (format!("{path}.{name}"), self.line(&key.span()));
            let wanted = kinds
                .iter()
                .find_map(|kind| kind.get("properties")?.get(name));
            match wanted {
                Some(wanted) => read.extend(
                    self.value(&path, wanted, line, value)
                        .map(|value| (name.to_owned(), value)),
                ),
                None => self.unknown(&path, name, line, kinds.first().unwrap_or(&self.root)),
            }
        }
        read
    }
}
