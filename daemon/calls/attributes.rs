//! Which custom attributes Kustomer takes: its metadata, read at the start, again when it is old, and sooner while
//! something doesn't fit it.
//!
//! `extras` asks before a conversation is created, `status` shows what is left out. Metadata that can't be read holds up
//! nothing: then every attribute is sent, and a conversation that is refused for one is created without any.

use super::custom::Kind;
use crate::clock;
use crate::kustomer::client::Client;
use crate::kustomer::fault::KustomerFault;
use crate::kustomer::metadata::{Attribute, Attributes as Metadata};
use crate::pace::Lane;
use crate::settings::types::{CustomRules, KustomerSettings};
use serde_json::{Map, Value};
use std::collections::BTreeSet;
use std::sync::{Arc, PoisonError};
use std::time::Duration;
use tokio::sync::{Mutex, watch};
use tokio::time::Instant;

/// Attributes are changed by hand, and seldom.
const GOOD_FOR: Duration = Duration::from_secs(60 * 60);

/// While something is left out somebody may be mending it.
const LACKING_FOR: Duration = Duration::from_secs(5 * 60);

/// Between two tries to read what couldn't be read; also how often it is looked whether it is old.
const RETRY_EVERY: Duration = Duration::from_secs(60);

/// Most values of a list named in a message: more is no help.
const OPTIONS_SHOWN_MAX: usize = 10;

/// What `status` says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AttributesStatus {
    /// Attributes that are left out of every conversation, and why.
    pub left_out: Vec<String>,
    /// Why it isn't known which ones Kustomer takes.
    pub unread: Option<String>,
}

/// The metadata of one integration; clones share it.
#[derive(Clone)]
pub struct Attributes {
    /// All that any rule sets.
    rules: Arc<CustomRules>,
    reading: Arc<Mutex<Reading>>,
    status: Arc<std::sync::Mutex<AttributesStatus>>,
}

#[derive(Default)]
struct Reading {
    known: Option<Metadata>,
    /// From when on it is read again; none: never read.
    again_at: Option<Instant>,
    /// Attributes whose values were remarked already.
    remarked: BTreeSet<String>,
}

impl Attributes {
    pub fn new(settings: &KustomerSettings) -> Self {
        Self {
            rules: Arc::new(rules(settings)),
            reading: Arc::default(),
            status: Arc::default(),
        }
    }

    /// Reads the metadata at once and whenever it is old, until `stop` turns true; so that what is wrong is known before
    /// the first call.
    pub async fn watch(self, client: Client, mut stop: watch::Receiver<bool>) {
        loop {
            tokio::select! {
                biased;
                _ = stop.wait_for(|stop| *stop) => return,
                () = self.look(&client) => {}
            }
            tokio::select! {
                biased;
                _ = stop.wait_for(|stop| *stop) => return,
                () = tokio::time::sleep(RETRY_EVERY) => {}
            }
        }
    }

    /// Those of `custom` that Kustomer takes, and why it doesn't take the others.
    pub async fn fit(
        &self,
        client: &Client,
        custom: &Map<String, Value>,
    ) -> (Map<String, Value>, Vec<String>) {
        if custom.is_empty() {
            return (Map::new(), Vec::new());
        }
        self.look(client).await;
        let mut reading = self.reading.lock().await;
        let Some(known) = &reading.known else {
            return (custom.clone(), Vec::new());
        };
        let (fitting, left_out) = sort(custom, known);
        let new: Vec<_> = left_out
            .iter()
            .filter(|(name, _)| unfit(name, known).is_none())
            .filter(|(name, _)| !reading.remarked.contains(name.as_str()))
            .map(|(name, _)| name.clone())
            .collect();
        for name in new {
            tracing::warn!(
                attribute = name,
                "its value is not in Kustomer's list; left out"
            );
            reading.remarked.insert(name);
        }
        let words = left_out
            .into_iter()
            .map(|(name, why)| format!("{name}: {why}"));
        (fitting, words.collect())
    }

    /// What is known seems to be wrong: it is read again, though not at once.
    pub async fn doubt(&self) {
        let soon = clock::monotonic() + RETRY_EVERY;
        let mut reading = self.reading.lock().await;
        reading.again_at = reading.again_at.map(|at| at.min(soon));
    }

    pub fn status(&self) -> AttributesStatus {
        let status = self.status.lock().unwrap_or_else(PoisonError::into_inner);
        status.clone()
    }

    async fn look(&self, client: &Client) {
        if self.rules.is_empty() {
            return;
        }
        let mut reading = self.reading.lock().await;
        let now = clock::monotonic();
        if reading.again_at.is_some_and(|at| now < at) {
            return;
        }
        // Whoever reads it, live calls wait for it.
        let read = client.lane(Lane::Live).conversation_attributes().await;
        let mut found = AttributesStatus::default();
        let good_for = match read {
            Ok(known) => {
                found.left_out = lacking(&self.rules, &known);
                reading.known = Some(known);
                if found.left_out.is_empty() {
                    GOOD_FOR
                } else {
                    LACKING_FOR
                }
            }
            // Nobody was asked: it says nothing of them.
            Err(KustomerFault::Stopping) => return,
            Err(fault) => {
                found.unread = Some(unread(&fault));
                if let Some(known) = &reading.known {
                    found.left_out = lacking(&self.rules, known);
                }
                RETRY_EVERY
            }
        };
        reading.again_at = Some(now + good_for);
        self.show(found);
    }

    fn show(&self, found: AttributesStatus) {
        let mut status = self.status.lock().unwrap_or_else(PoisonError::into_inner);
        for why in &found.left_out {
            if !status.left_out.contains(why) {
                tracing::warn!(why, "a custom attribute is left out");
            }
        }
        if let Some(why) = &found.unread
            && status.unread.is_none()
        {
            tracing::warn!(
                why,
                "Kustomer's custom attributes can't be read; all are sent"
            );
        }
        *status = found;
    }
}

/// Every attribute that any rule of the integration sets; of several templates one.
pub fn rules(settings: &KustomerSettings) -> CustomRules {
    let calls = &settings.calls;
    let own = calls.types.values().filter_map(|own| own.custom.as_ref());
    own.chain([&calls.custom, &settings.texts.custom])
        .flatten()
        .map(|(name, source)| (name.clone(), source.clone()))
        .collect()
}

fn unread(fault: &KustomerFault) -> String {
    if fault.is_forbidden() {
        "the key may not read them (org.permission.metadata.read)".to_owned()
    } else {
        fault.to_string()
    }
}

/// The attributes of `rules` that Kustomer would refuse in every conversation, and why.
pub fn lacking(rules: &CustomRules, known: &Metadata) -> Vec<String> {
    let why = |(name, source): (&String, &String)| {
        let fixed = || {
            // A template without a field always gives the same.
            let text = source.trim();
            let value = Value::from(text);
            (!text.contains('{') && Kind::of(name)?.json_type() == "string")
                .then(|| not_listed(&value, known.get(name)?))
                .flatten()
        };
        let why = unfit(name, known).or_else(fixed)?;
        Some(format!("{name}: {why}"))
    };
    rules.iter().filter_map(why).collect()
}

/// Divides attributes into those that Kustomer takes and those that it doesn't, with the reason.
fn sort(
    custom: &Map<String, Value>,
    known: &Metadata,
) -> (Map<String, Value>, Vec<(String, String)>) {
    let (mut fitting, mut left_out) = (Map::new(), Vec::new());
    for (name, value) in custom {
        let listed = || not_listed(value, known.get(name)?);
        match unfit(name, known).or_else(listed) {
            None => drop(fitting.insert(name.clone(), value.clone())),
            Some(why) => left_out.push((name.clone(), why)),
        }
    }
    (fitting, left_out)
}

/// Why Kustomer would refuse the attribute whatever its value. A type that we don't know says nothing.
fn unfit(name: &str, known: &Metadata) -> Option<String> {
    let Some(about) = known.get(name) else {
        return Some("Kustomer's conversations have no such attribute".to_owned());
    };
    if about.multi {
        return Some("it holds several values at once, which isn't supported".to_owned());
    }
    let ours = Kind::of(name)?.json_type();
    let theirs = about.kind.as_deref()?;
    let theirs = if theirs == "integer" {
        "number"
    } else {
        theirs
    };
    let other = matches!(theirs, "string" | "number" | "boolean") && theirs != ours;
    other.then(|| format!("it is a {theirs} in Kustomer, and by its name a {ours}"))
}

fn not_listed(value: &Value, about: &Attribute) -> Option<String> {
    if about.options.is_empty() || about.options.contains(value) {
        return None;
    }
    let words = |option: &Value| match option {
        Value::String(text) => text.clone(),
        option => option.to_string(),
    };
    let mut shown: Vec<String> = about
        .options
        .iter()
        .take(OPTIONS_SHOWN_MAX)
        .map(words)
        .collect();
    if about.options.len() > OPTIONS_SHOWN_MAX {
        shown.push("…".to_owned());
    }
    let shown = shown.join(", ");
    Some(format!("its value is not in Kustomer's list: {shown}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn known() -> Metadata {
        let attribute = |kind: &str, options: &[&str]| Attribute {
            kind: Some(kind.to_owned()),
            options: options.iter().map(|option| json!(option)).collect(),
            multi: false,
        };
        let several = Attribute {
            multi: true,
            ..attribute("string", &[])
        };
        Metadata::from(
            [
                ("aNum", attribute("number", &[])),
                ("bNum", attribute("string", &[])),
                ("queueStr", attribute("string", &["support", "sales"])),
                ("oddAt", attribute("moment", &[])),
                ("manyStr", several),
            ]
            .map(|(name, about)| (name.to_owned(), about)),
        )
    }

    #[test]
    fn exactly_what_kustomer_would_refuse_is_left_out() {
        let sent = json!({"aNum": 5, "bNum": 5, "queueStr": "support", "oddAt": "x", "manyStr": "x", "goneStr": "x"});
        let (fitting, left_out) = sort(sent.as_object().unwrap(), &known());
        assert_eq!(
            Value::Object(fitting),
            json!({"aNum": 5, "queueStr": "support", "oddAt": "x"})
        );
        let names: Vec<&str> = left_out.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["bNum", "goneStr", "manyStr"]);
        let sent = json!({"queueStr": "claims"});
        let (_, left_out) = sort(sent.as_object().unwrap(), &known());
        assert_eq!(
            left_out[0].1,
            "its value is not in Kustomer's list: support, sales"
        );
    }

    #[test]
    fn what_every_conversation_lacks_is_known_beforehand() {
        let rules = [
            ("aNum", "{{ talk_seconds }}"),
            ("bNum", "{{ talk_seconds }}"),
            ("queueStr", "{{ queue }}"),
            ("goneStr", "x"),
        ];
        let mut rules =
            CustomRules::from(rules.map(|(name, source)| (name.to_owned(), source.to_owned())));
        assert_eq!(
            lacking(&rules, &known()),
            [
                "bNum: it is a string in Kustomer, and by its name a number",
                "goneStr: Kustomer's conversations have no such attribute",
            ]
        );
        rules.insert("queueStr".to_owned(), "claims".to_owned());
        assert_eq!(lacking(&rules, &known()).len(), 3);
    }
}
