//! Whether Kustomer still posts: it turns a webhook off whose endpoint keeps failing, and tells nobody. `status`, the log and
//! `check --online` say so. Contacts are synced all the same, only later.

use crate::kustomer::client::Client;
use crate::kustomer::fault::KustomerFault;
use crate::kustomer::webhooks::{OutboundWebhook, READ_ROLE};
use crate::pace::Lane;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::watch;

/// Between two looks: one request each; a webhook that is off costs minutes, no more.
const LOOK_EVERY: Duration = Duration::from_secs(10 * 60);

/// What Kustomer says of our webhook.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Registered {
    /// Not asked yet.
    #[default]
    Unknown,
    Enabled,
    /// Kustomer, or somebody, turned it off.
    Disabled,
    /// There is none of ours.
    Missing,
    /// It couldn't be asked, and why.
    Unread(String),
}

impl Registered {
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Enabled => "enabled",
            Self::Disabled => "disabled",
            Self::Missing => "missing",
            Self::Unread(_) => "unread",
        }
    }

    /// What is wrong and what to do; none if nothing is.
    pub fn problem(&self) -> Option<String> {
        match self {
            Self::Unknown | Self::Enabled => None,
            Self::Disabled => Some(
                "Kustomer has turned the webhook off; once this machine can be reached, `tieline webhook install` turns it on"
                    .to_owned(),
            ),
            Self::Missing => {
                Some("Kustomer has no webhook of ours; `tieline webhook install` creates it".to_owned())
            }
            Self::Unread(why) => Some(why.clone()),
        }
    }
}

/// The name that our webhook has in Kustomer.
pub fn name_of(integration: &str) -> String {
    format!("tieline-{integration}")
}

/// Ours among all: the one of our name, else the one that posts to our address.
pub fn ours<'a>(
    all: &'a [OutboundWebhook],
    integration: &str,
    url: Option<&str>,
) -> Option<&'a OutboundWebhook> {
    let name = name_of(integration);
    let named = all.iter().find(|one| one.name == name);
    named.or_else(|| all.iter().find(|one| Some(one.url.as_str()) == url))
}

/// Asks Kustomer once.
pub async fn look(client: &Client, integration: &str, url: Option<&str>) -> Registered {
    match client.outbound_webhooks().await {
        Ok(all) => match ours(&all, integration, url) {
            Some(one) if one.enabled => Registered::Enabled,
            Some(_) => Registered::Disabled,
            None => Registered::Missing,
        },
        Err(fault) => Registered::Unread(unread(&fault)),
    }
}

fn unread(fault: &KustomerFault) -> String {
    if fault.is_forbidden() {
        format!("the key may not see whether the webhook is on ({READ_ROLE})")
    } else {
        format!("it can't be seen whether the webhook is on: {fault}")
    }
}

/// The watch over one integration's webhook; clones share what it knows.
#[derive(Clone)]
pub struct HookWatch {
    integration: Arc<str>,
    url: Option<String>,
    seen: Arc<Mutex<Registered>>,
}

impl HookWatch {
    /// `url`: the address that Kustomer posts to, if it is set.
    pub fn new(integration: &str, url: Option<String>) -> Self {
        Self {
            integration: integration.into(),
            url,
            seen: Arc::default(),
        }
    }

    pub fn seen(&self) -> Registered {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.clone()
    }

    /// Looks at once and then every ten minutes, until `stop` turns true.
    pub async fn watch(self, client: Client, mut stop: watch::Receiver<bool>) {
        let client = client.lane(Lane::Sync);
        loop {
            tokio::select! {
                biased;
                _ = stop.wait_for(|stop| *stop) => return,
                found = look(&client, &self.integration, self.url.as_deref()) => self.show(found),
            }
            tokio::select! {
                biased;
                _ = stop.wait_for(|stop| *stop) => return,
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
        }
    }

    /// Says what is new.
    fn show(&self, found: Registered) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if *seen != found {
            match found.problem() {
                Some(why) => tracing::warn!(integration = %self.integration, why, "webhook"),
                None => {
                    tracing::info!(integration = %self.integration, "Kustomer's webhook is on");
                }
            }
        }
        *seen = found;
    }
}
