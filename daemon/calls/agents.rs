//! Which Kustomer user an agent's e-mail belongs to: the org's user list, read once and again when it is old.
//!
//! Used by `log` to assign conversations. A key that may not read users leaves conversations unassigned, loudly once.

use crate::clock;
use crate::kustomer::client::Client;
use crate::kustomer::fault::KustomerFault;
use crate::pace::Lane;
use crate::terms::ids::UserId;
use std::collections::HashMap;
use std::time::Duration;
use tokio::sync::Mutex;
use tokio::time::Instant;

/// People join and leave by the day; one request per 500 users an hour is little.
const LIST_AGE_MAX: Duration = Duration::from_secs(60 * 60);

/// The user list of one integration.
#[derive(Default)]
pub struct Agents {
    list: Mutex<Option<List>>,
}

struct List {
    read_at: Instant,
    by_email: HashMap<String, UserId>,
}

impl Agents {
    /// The user with this e-mail, as a list for `assignedUsers`; empty if unknown. Reads the list on first use.
    pub async fn user_ids(
        &self,
        client: &Client,
        email: Option<&str>,
    ) -> Result<Vec<UserId>, KustomerFault> {
        let Some(email) = email else {
            return Ok(Vec::new());
        };
        let mut list = self.list.lock().await;
        let now = clock::monotonic();
        let fresh = list
            .as_ref()
            .is_some_and(|list| now.duration_since(list.read_at) < LIST_AGE_MAX);
        if !fresh {
            *list = Some(List {
                read_at: now,
                // Whoever reads it, live calls wait for it.
                by_email: read(&client.lane(Lane::Live)).await?,
            });
        }
        let user = list
            .as_ref()
            .and_then(|list| list.by_email.get(&email.to_ascii_lowercase()));
        Ok(user.cloned().into_iter().collect())
    }
}

async fn read(client: &Client) -> Result<HashMap<String, UserId>, KustomerFault> {
    match client.all_users().await {
        Ok(users) => {
            let pairs = users
                .into_iter()
                .filter_map(|user| Some((user.email?.to_ascii_lowercase(), user.id)));
            Ok(pairs.collect())
        }
        Err(KustomerFault::Unauthorized { .. }) if client.current_user().await.is_ok() => {
            tracing::warn!(
                "the API key may not read users (org.permission.user.read): conversations stay unassigned"
            );
            Ok(HashMap::new())
        }
        Err(fault) => Err(fault),
    }
}
