//! What `check --online` asks about late facts, custom attributes, whom conversations are assigned to, and contacts. Part of
//! `check`.

use super::{Probe, verdict};
use crate::calls::agents::Agents;
use crate::calls::attributes::{lacking, rules};
use crate::contacts::webhooks::watch::look;
use crate::kustomer::client::Client;
use crate::kustomer::conversations::Status;
use crate::kustomer::webhooks::READ_ROLE;
use crate::settings::types::{CustomRules, KustomerSettings};
use crate::terms::ids::{ConversationId, CustomerId};
use serde_json::json;
use std::borrow::Cow;
use std::collections::BTreeSet;

/// Roles that only some settings need, each attribute that Kustomer wouldn't take, and each user or team that it doesn't
/// have.
pub async fn probe(integration: &KustomerSettings, client: &Client) -> Vec<Probe> {
    let mut probes = Vec::new();
    let rules = rules(integration);
    if !rules.is_empty() {
        attributes(&rules, client, &mut probes).await;
    }
    let assign = &integration.calls.assign;
    let names: BTreeSet<&String> = assign
        .default
        .iter()
        .chain(assign.queues.values())
        .collect();
    if names.iter().any(|name| !name.contains('@')) {
        probes.push(Probe {
            role: Cow::Borrowed("org.permission.team.read"),
            needed_for: "assigning conversations to teams",
            outcome: verdict(client.all_teams().await),
        });
    }
    let agents = Agents::default();
    for name in names {
        let outcome = match agents.find(client, name).await {
            Ok(Some(_)) => continue,
            Ok(None) => "Kustomer has no such user or team: the next in assign is asked".to_owned(),
            Err(fault) => fault.to_string(),
        };
        probes.push(Probe {
            role: Cow::Owned(name.clone()),
            needed_for: "assign_default or queues",
            outcome: Err(outcome),
        });
    }
    probes
}

/// Whether what comes after a call can be put into what nobody has.
pub async fn late(client: &Client, nothing: &ConversationId) -> [Probe; 2] {
    let note = verdict(client.update_note(&nothing.0, "tieline check").await);
    let conversation = verdict(client.update_conversation(nothing, Status::Done).await);
    [
        Probe {
            role: Cow::Borrowed("org.permission.note.update"),
            needed_for: "recordings that come after the call",
            outcome: note,
        },
        Probe {
            role: Cow::Borrowed("org.permission.conversation.update"),
            needed_for: "tags that come after the call",
            outcome: conversation,
        },
    ]
}

/// Whether Kustomer's webhook is there and on, if one is set.
pub async fn webhook(integration: &KustomerSettings, client: &Client) -> Option<Probe> {
    let settings = integration.webhook.as_ref()?;
    let url = settings.address(&integration.name);
    let seen = look(client, &integration.name, url.as_deref()).await;
    Some(Probe {
        role: Cow::Borrowed(READ_ROLE),
        needed_for: "seeing that Kustomer's webhook is on",
        outcome: seen.problem().map_or(Ok(()), Err),
    })
}

/// Whether customers can be read, found and changed for the contact sync; nothing where there is none.
pub async fn contacts(
    integration: &KustomerSettings,
    client: &Client,
    nobody: &CustomerId,
) -> Vec<Probe> {
    let rules = &integration.contacts;
    if !rules.active {
        return Vec::new();
    }
    let query = json!({"queryContext": "customer", "and": []});
    let searched = client.search(query, 1, 1).await;
    let mut probes = vec![
        Probe {
            role: Cow::Borrowed("org.permission.search.create"),
            needed_for: "seeing which customers changed",
            outcome: verdict(searched),
        },
        Probe {
            role: Cow::Borrowed("org.permission.customer_merge.read"),
            needed_for: "following merged customers",
            outcome: verdict(client.merges_of(nobody).await),
        },
    ];
    if rules.export {
        // Nobody has this id: it changes nothing.
        let changed = client
            .update_customer(nobody, json!({"name": "tieline check"}))
            .await;
        probes.push(Probe {
            role: Cow::Borrowed("org.permission.customer.update"),
            needed_for: "changes on the phone side",
            outcome: verdict(changed),
        });
    }
    probes
}

async fn attributes(rules: &CustomRules, client: &Client, probes: &mut Vec<Probe>) {
    let known = client.conversation_attributes().await;
    let outcome = known.as_ref().map(|_| ()).map_err(ToString::to_string);
    probes.push(Probe {
        role: Cow::Borrowed("org.permission.metadata.read"),
        needed_for: "leaving out custom attributes that aren't there",
        outcome,
    });
    let lacking = known.map_or_else(|_| Vec::new(), |known| lacking(rules, &known));
    for why in lacking {
        let (name, why) = why.split_once(": ").unwrap_or(("custom", why.as_str()));
        probes.push(Probe {
            role: Cow::Owned(name.to_owned()),
            needed_for: "custom attributes",
            outcome: Err(why.to_owned()),
        });
    }
}
