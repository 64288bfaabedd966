//! Which roles the enabled features of an integration need, and what a key without one of them means.

use super::Finding;
use crate::kustomer::fault::KustomerFault;
use crate::kustomer::roles::Role;
use crate::settings::types::{KustomerSettings, LateFacts, LogAs, UnknownPolicy};
use std::collections::BTreeMap;
use std::time::Duration;

const CHECK: &str = "role";

/// Something that needs roles.
pub struct Feature {
    /// For people, with the setting that turns it on.
    pub words: &'static str,
    pub enabled: fn(&KustomerSettings) -> bool,
    pub roles: &'static [Role],
}

/// Every feature. The order is that of what is told.
pub const FEATURES: [Feature; 13] = [
    Feature {
        words: "logging calls and texts",
        enabled: |_| true,
        roles: &[
            Role::CustomerRead,
            Role::ConversationCreate,
            Role::ConversationRead,
            Role::NoteCreate,
            Role::NoteRead,
        ],
    },
    Feature {
        words: "customers for unknown numbers (unknown)",
        enabled: |of| {
            of.calls.unknown == UnknownPolicy::Create || of.texts.unknown == UnknownPolicy::Create
        },
        roles: &[Role::CustomerCreate],
    },
    Feature {
        words: "what comes after a call (late)",
        enabled: |of| of.calls.late == LateFacts::Staged,
        roles: &[Role::NoteUpdate, Role::ConversationUpdate],
    },
    Feature {
        words: "assigning conversations to agents (assign)",
        enabled: |of| {
            let own = of
                .calls
                .types
                .values()
                .filter_map(|own| own.assign.as_ref());
            !of.calls.assign.chain.is_empty() || own.into_iter().any(|chain| !chain.is_empty())
        },
        roles: &[Role::UserRead],
    },
    Feature {
        words: "assigning conversations to teams (assign_default, queues)",
        enabled: |of| assignees(of).any(|name| !name.contains('@')),
        roles: &[Role::TeamRead],
    },
    Feature {
        words: "leaving out custom attributes that aren't there (custom)",
        enabled: |of| {
            let own = of
                .calls
                .types
                .values()
                .filter_map(|own| own.custom.as_ref());
            let mut all = own.chain([&of.calls.custom, &of.texts.custom]);
            all.any(|custom| !custom.is_empty())
        },
        roles: &[Role::MetadataRead],
    },
    Feature {
        words: "catching up quickly after an outage",
        enabled: |_| true,
        roles: &[Role::BulkRead],
    },
    Feature {
        words: "voice and text messages (voice_message, text_message)",
        enabled: |of| of.calls.voice_message || of.texts.text_message,
        roles: &[
            Role::MessageCreate,
            Role::MessageRead,
            Role::ConversationUpdate,
        ],
    },
    Feature {
        words: "opening a conversation again for a text (window, log.failed)",
        enabled: |of| of.texts.window > Duration::ZERO || of.texts.failed == LogAs::Open,
        roles: &[Role::ConversationUpdate],
    },
    Feature {
        words: "contact sync ([kustomer.contacts])",
        enabled: |of| of.contacts.active,
        roles: &[
            Role::CustomerRead,
            Role::SearchCreate,
            Role::CustomerMergeRead,
        ],
    },
    Feature {
        words: "contacts to Kustomer (export)",
        enabled: |of| of.contacts.active && of.contacts.export,
        roles: &[Role::CustomerCreate, Role::CustomerUpdate],
    },
    Feature {
        words: "seeing that Kustomer's webhook is on ([kustomer.webhook])",
        enabled: |of| of.webhook.is_some(),
        roles: &[Role::WebhookRead],
    },
    Feature {
        words: "tieline webhook install and remove ([kustomer.webhook])",
        enabled: |of| of.webhook.is_some(),
        roles: &[Role::WebhookCreate, Role::WebhookDelete],
    },
];

/// The roles that these settings need, each with what for.
pub fn needs(of: &KustomerSettings) -> BTreeMap<Role, Vec<&'static str>> {
    let mut needs: BTreeMap<Role, Vec<&'static str>> = BTreeMap::new();
    for feature in FEATURES.iter().filter(|feature| (feature.enabled)(of)) {
        for role in feature.roles {
            needs.entry(*role).or_default().push(feature.words);
        }
    }
    needs
}

/// What the answer to a role's question says, asked with a key that works: 401 and 403 are the role's then.
pub fn judge(
    integration: &str,
    role: Role,
    needed_for: Vec<&'static str>,
    answer: &Result<(), KustomerFault>,
) -> Finding {
    let name = role.name();
    let features = needed_for.join("; ");
    let found = match answer {
        Ok(()) => Finding::ok(CHECK, integration, format!("{name}, for {features}")),
        Err(KustomerFault::Unauthorized { .. }) => {
            let what = format!(
                "the key lacks {name}, needed for {features}: without it {}",
                without(role)
            );
            let todo = "make a new key that has this role too, for roles can't be added to one";
            if matches!(role, Role::WebhookCreate | Role::WebhookDelete) {
                Finding::warning(CHECK, integration, what, todo)
            } else {
                Finding::fault(CHECK, integration, what, todo)
            }
        }
        Err(fault) => Finding::fault(
            CHECK,
            integration,
            format!("whether the key has {name}, for {features}, can't be told: {fault}"),
            "ask again in some minutes",
        ),
    };
    Finding {
        role: Some(name),
        needed_for,
        ..found
    }
}

/// Users and teams that the settings name.
pub fn assignees(of: &KustomerSettings) -> impl Iterator<Item = &String> {
    let assign = &of.calls.assign;
    assign.default.iter().chain(assign.queues.values())
}

/// What happens (docs/operating.md, "The key is refused").
const fn without(role: Role) -> &'static str {
    match role {
        Role::CustomerRead => "calls, texts and contacts wait",
        Role::ConversationCreate | Role::NoteCreate | Role::MessageCreate => "calls and texts wait",
        Role::CustomerCreate => "calls and texts of numbers that nobody has wait",
        Role::ConversationRead => "one whose reply was lost waits, and all with messages",
        Role::SearchCreate | Role::CustomerUpdate => "the contact sync waits",
        Role::NoteRead => "a note whose reply was lost waits",
        Role::CustomerMergeRead => "merged customers aren't followed",
        Role::ConversationUpdate => "conversations keep their status and tags",
        Role::NoteUpdate => "notes stay as they were written first",
        Role::MessageRead => "a message whose reply was lost waits",
        Role::UserRead => "conversations stay unassigned",
        Role::TeamRead => "no team gets a conversation",
        Role::MetadataRead => "a conversation with an attribute that isn't there is tried twice",
        Role::BulkRead => "calls that waited go one by one",
        Role::WebhookRead => "nobody sees that Kustomer turned it off",
        Role::WebhookCreate => "somebody has to create the webhook in Kustomer",
        Role::WebhookDelete => "somebody has to remove the webhook in Kustomer",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Level;
    use crate::settings::load::{Sources, load_without_secrets};
    use std::collections::BTreeSet;

    /// All features that can be off are off, but what the lines turn on.
    fn settings(integration: &str, calls: &str, texts: &str) -> KustomerSettings {
        let calls = format!(
            "unknown = \"skip\"\n{}\n{calls}",
            if calls.contains("late") {
                ""
            } else {
                "late = \"all_at_once\""
            }
        );
        let assign = if calls.contains("assign") {
            ""
        } else {
            "assign = []"
        };
        let failed = if texts.contains("failed") {
            ""
        } else {
            "log = { failed = \"done\" }"
        };
        let calls = if calls.contains("unknown = \"create\"") {
            calls.replacen("unknown = \"skip\"\n", "", 1)
        } else {
            calls
        };
        let text = format!(
            "[[kustomer]]\nname = \"k\"\norg = \"acme\"\napi_key_file = \"key\"\n{integration}\n[kustomer.calls]\n{calls}\n{assign}\n[kustomer.texts]\nunknown = \"skip\"\n{failed}\n{texts}\n"
        );
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("t.toml");
        std::fs::write(&file, text).unwrap();
        let sources = Sources {
            configs: vec![file],
            ..Sources::default()
        };
        load_without_secrets(&sources).unwrap().kustomers.remove(0)
    }

    /// Each feature by itself, and the settings that turn it on alone.
    fn alone(words: &str) -> KustomerSettings {
        match words.split('(').next_back().unwrap().trim_end_matches(')') {
            "unknown" => settings("", "unknown = \"create\"", ""),
            "late" => settings("", "late = \"staged\"", ""),
            "assign" => settings("", "assign = [\"agent\"]", ""),
            "assign_default, queues" => settings(
                "",
                "assign = [\"default\"]\nassign_default = \"Second line\"",
                "",
            ),
            "custom" => settings("", "custom = { queueStr = \"{{ queue }}\" }", ""),
            "voice_message, text_message" => settings("", "voice_message = true", ""),
            "window, log.failed" => settings("", "", "window = \"1h\""),
            "[kustomer.contacts]" => settings("contacts = { export = false }", "", ""),
            "export" => settings("contacts = { export = true }", "", ""),
            "[kustomer.webhook]" => settings("webhook = { secret_file = \"hook\" }", "", ""),
            _ => settings("", "", ""),
        }
    }

    #[test]
    fn every_role_is_named_with_the_feature_that_needs_it() {
        let always: BTreeSet<&str> = FEATURES
            .iter()
            .filter(|one| (one.enabled)(&settings("", "", "")))
            .map(|one| one.words)
            .collect();
        assert_eq!(
            always,
            BTreeSet::from([
                "logging calls and texts",
                "catching up quickly after an outage"
            ])
        );
        for feature in &FEATURES {
            let needs = needs(&alone(feature.words));
            for role in Role::ALL {
                let named = needs
                    .get(&role)
                    .is_some_and(|features| features.contains(&feature.words));
                assert_eq!(
                    named,
                    feature.roles.contains(&role),
                    "{}: {role:?}",
                    feature.words
                );
                let Some(features) = needs.get(&role) else {
                    continue;
                };
                let refused = KustomerFault::Unauthorized {
                    status: 403,
                    detail: String::new(),
                };
                let found = judge("k", role, features.clone(), &Err(refused));
                assert!(
                    found.level >= Level::Warning && found.what.contains(role.name()),
                    "{found:?}"
                );
                assert!(
                    features.iter().all(|words| found.what.contains(words)),
                    "{found:?}"
                );
            }
        }
        let needed: BTreeSet<Role> = FEATURES.iter().flat_map(|one| one.roles).copied().collect();
        assert_eq!(
            needed,
            Role::ALL.into_iter().collect(),
            "each role is for something"
        );
    }

    #[test]
    fn an_answer_that_says_nothing_of_the_role_is_no_yes() {
        let away = Err(KustomerFault::Unreachable("x".to_owned()));
        let found = judge("k", Role::NoteRead, vec!["x"], &away);
        assert_eq!(found.level, Level::Fault);
        assert!(found.what.contains("can't be told"), "{found:?}");
        assert_eq!(
            judge("k", Role::NoteRead, vec!["x"], &Ok(())).level,
            Level::Ok
        );
    }
}
