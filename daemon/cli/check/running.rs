//! What `check --online` asks of the running daemon: who was heard lately, and which of our numbers were called.

use super::super::ask;
use crate::clock;
use crate::doctor::phones::{self, Seen};
use crate::doctor::{Finding, Level};
use crate::settings::types::Settings;
use crate::terms::number::E164;
use crate::terms::party::{Contact, Extension, Party};
use hyper::Method;
use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use std::collections::BTreeMap;

/// How far back to look.
#[derive(Clone, Copy, Debug)]
pub struct Past {
    pub calls: u32,
    /// How long a phone system may be silent.
    pub silence: SignedDuration,
}

#[derive(Deserialize)]
struct Recent {
    heard: BTreeMap<String, Timestamp>,
    calls: Numbers,
    texts: Numbers,
}

#[derive(Deserialize)]
struct Numbers {
    count: u64,
    ours: Vec<Ours>,
}

#[derive(Deserialize)]
struct Ours {
    number: Option<E164>,
    raw: String,
}

impl From<Numbers> for Seen {
    fn from(numbers: Numbers) -> Self {
        let contact = |ours: Ours| {
            let party = match ours.number {
                Some(number) => Party::Number(number),
                None if ours.raw.is_empty() => Party::Anonymous,
                None => Party::Extension(Extension(ours.raw.clone())),
            };
            Contact::new(party, &ours.raw, None)
        };
        Self {
            count: numbers.count,
            ours: numbers.ours.into_iter().map(contact).collect(),
        }
    }
}

/// What only the running daemon knows, or that it wasn't there to say it.
pub async fn look(settings: &Settings, past: Past) -> Vec<Finding> {
    let path = format!("/recent?calls={}", past.calls);
    let answer = ask::ask(&settings.daemon.admin, Method::GET, &path, None).await;
    let recent: anyhow::Result<Recent> = answer
        .and_then(ask::Answer::ok)
        .and_then(|body| Ok(serde_json::from_value(body)?));
    let recent = match recent {
        Ok(recent) => recent,
        Err(error) => {
            let what = format!(
                "silent phone systems and numbers that nobody calls were not looked for: {error:#}"
            );
            let todo = "start the daemon (systemctl start tieline), then check again";
            return vec![Finding::warning("daemon", "", what, todo)];
        }
    };
    let now = clock::now();
    let heard = |name: &str| recent.heard.get(name).copied();
    let pbxs = settings.pbxs.iter();
    let mut findings: Vec<Finding> = pbxs
        .map(|pbx| phones::silence(&pbx.name, heard(&pbx.name), now, past.silence))
        .collect();
    let (calls, texts) = (Seen::from(recent.calls), Seen::from(recent.texts));
    for of in settings.kustomers.iter().filter(|one| one.active) {
        let lists = [
            (
                "connected_numbers of [kustomer.calls]",
                &of.calls.connected_numbers,
                &calls,
            ),
            (
                "connected_numbers of [kustomer.texts]",
                &of.texts.connected_numbers,
                &texts,
            ),
        ];
        findings.extend(
            lists
                .into_iter()
                .filter_map(|(list, numbers, seen)| phones::unseen(&of.name, list, numbers, seen)),
        );
    }
    if findings.iter().all(|finding| finding.level == Level::Ok) {
        findings.push(Finding::ok("daemon", "", "it runs"));
    }
    findings
}
