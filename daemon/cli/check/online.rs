//! What `check --online` asks of one integration: the way to Kustomer, the key, its roles, custom attributes, whom
//! conversations are assigned to, the webhook. Each answer goes to `doctor/`.

use crate::calls::agents::Agents;
use crate::calls::attributes::{lacking, rules};
use crate::clock;
use crate::contacts::webhooks::watch::look;
use crate::doctor::network::{self, Reach};
use crate::doctor::{Finding, key, machine, phones, roles};
use crate::kustomer::client::{Client, Past};
use crate::kustomer::fault::KustomerFault;
use crate::settings::types::{KustomerSettings, Settings};
use hyper::Uri;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;

/// As for a request: a connection that takes longer will not do better by waiting.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Everything that Kustomer can be asked, for each integration; then the clock, against the first that answered.
pub async fn look_online(settings: &Settings) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut ahead = None;
    for integration in &settings.kustomers {
        match Client::new(integration, Past::default()) {
            Ok(client) => {
                let answer = client.current_user().await.map(drop);
                let ours = clock::now();
                let theirs = client.their_time();
                ahead = ahead.or_else(|| theirs.map(|theirs| ours.duration_since(theirs)));
                findings.extend(first(integration, &client, &answer).await);
                if answer.is_ok() {
                    findings.extend(all_roles(integration, &client).await);
                    findings.extend(attributes(integration, &client).await);
                    findings.extend(people(integration, &settings.agents, &client).await);
                    findings.extend(webhook(integration, &client).await);
                }
            }
            Err(fault) => findings.push(unusable(&integration.name, fault)),
        }
    }
    if !settings.kustomers.is_empty() {
        findings.push(machine::clock(ahead));
    }
    findings
}

/// The client can't be made: nothing was sent.
fn unusable(name: &str, fault: KustomerFault) -> Finding {
    let words = fault.to_string();
    key::accepted(name, &Err(fault))
        .unwrap_or_else(|| Finding::fault("network", name, words, "correct these settings"))
}

/// The way and the key.
async fn first(
    integration: &KustomerSettings,
    client: &Client,
    answer: &Result<(), KustomerFault>,
) -> Vec<Finding> {
    let name = &integration.name;
    let reach = reach(integration, answer.is_ok()).await;
    let mut findings = vec![network::way(name, &reach, answer)];
    findings.extend(key::accepted(name, answer));
    findings.push(key::expiry(name, client.key_expires(), clock::now()));
    findings
}

/// How far one comes; not tried where an answer came.
async fn reach(integration: &KustomerSettings, answered: bool) -> Reach {
    let address = |url: &str| {
        let uri: Uri = url.parse().unwrap_or_default();
        let standard = if uri.scheme_str() == Some("https") {
            443
        } else {
            80
        };
        let host = uri.host().unwrap_or_default();
        let host = host.trim_start_matches('[').trim_end_matches(']');
        (host.to_owned(), uri.port_u16().unwrap_or(standard))
    };
    let target = address(&integration.url);
    let proxy = integration.proxy.as_ref().map(|proxy| address(&proxy.url));
    let mut reach = Reach {
        host: target.0.clone(),
        proxied: proxy.is_some(),
        door: proxy.unwrap_or(target),
        resolved: Ok(1),
        connected: Ok(()),
    };
    if answered {
        return reach;
    }
    let door = (reach.door.0.as_str(), reach.door.1);
    let resolved = lookup_host(door).await;
    reach.resolved = resolved
        .map(Iterator::count)
        .map_err(|error| error.to_string());
    reach.connected = match timeout(CONNECT_TIMEOUT, TcpStream::connect(door)).await {
        Ok(connected) => connected.map(drop).map_err(|error| error.to_string()),
        Err(_) => Err(format!("no answer within {CONNECT_TIMEOUT:?}")),
    };
    reach
}

async fn all_roles(integration: &KustomerSettings, client: &Client) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (role, needed_for) in roles::needs(integration) {
        let answer = client.try_role(role).await;
        findings.push(roles::judge(&integration.name, role, needed_for, &answer));
    }
    findings
}

/// Each custom attribute that Kustomer wouldn't take; without the role to see them nothing, for that is told already.
async fn attributes(integration: &KustomerSettings, client: &Client) -> Vec<Finding> {
    const CHECK: &str = "attribute";
    let name = &integration.name;
    let rules = rules(integration);
    if rules.is_empty() {
        return Vec::new();
    }
    let Ok(known) = client.conversation_attributes().await else {
        return Vec::new();
    };
    let lacking = lacking(&rules, &known);
    if lacking.is_empty() {
        let what = format!("Kustomer takes each of the {} in custom", rules.len());
        return vec![Finding::ok(CHECK, name, what)];
    }
    let todo = "create it in Kustomer (Settings, Conversation, Attributes), or correct custom: it is left out until then";
    let faulty = |why| Finding::fault(CHECK, name, why, todo);
    lacking.into_iter().map(faulty).collect()
}

/// Users and teams that the settings name.
async fn people(
    integration: &KustomerSettings,
    phones: &BTreeMap<String, String>,
    client: &Client,
) -> Vec<Finding> {
    const CHECK: &str = "assign";
    let name = &integration.name;
    let mut findings = Vec::new();
    if let Ok(users) = client.all_users().await {
        let emails = users.into_iter().filter_map(|user| user.email);
        let emails: BTreeSet<String> = emails.map(|email| email.to_lowercase()).collect();
        findings.extend(phones::strangers(name, phones, &emails));
    }
    let agents = Agents::default();
    let assignees: BTreeSet<&String> = roles::assignees(integration).collect();
    for assignee in assignees {
        let found = match agents.find(client, assignee).await {
            Ok(Some(_)) => Finding::ok(CHECK, name, format!("{assignee} is known to Kustomer")),
            Ok(None) => Finding::fault(
                CHECK,
                name,
                format!(
                    "Kustomer has no such user or team: {assignee}; the next in assign is asked"
                ),
                "correct assign_default or queues, or create them in Kustomer",
            ),
            // That the role is missing is told already.
            Err(fault) if fault.is_forbidden() => continue,
            Err(fault) => Finding::fault(
                CHECK,
                name,
                format!("{assignee}: {fault}"),
                "ask again in some minutes",
            ),
        };
        findings.push(found);
    }
    findings
}

/// Whether Kustomer's webhook is there and on, if one is set.
async fn webhook(integration: &KustomerSettings, client: &Client) -> Option<Finding> {
    const CHECK: &str = "webhook";
    let settings = integration.webhook.as_ref()?;
    let name = &integration.name;
    let url = settings.address(name);
    let seen = look(client, name, url.as_deref()).await;
    Some(match seen.problem() {
        None => Finding::ok(CHECK, name, "Kustomer posts changes here"),
        Some(why) => Finding::fault(CHECK, name, why, "tieline webhook install"),
    })
}
