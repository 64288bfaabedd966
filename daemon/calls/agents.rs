//! Which Kustomer user an agent's e-mail belongs to, and which team has a name: the org's lists, read once and again when
//! they are old.
//!
//! Used by `extras` to assign conversations. A key that may not read them leaves conversations unassigned, loudly once.

use crate::clock;
use crate::kustomer::client::Client;
use crate::kustomer::fault::{KustomerFault, Next};
use crate::pace::Lane;
use crate::terms::ids::{TeamId, UserId};
use std::collections::HashMap;
use std::time::Duration;
use tokio::sync::Mutex;
use tokio::time::Instant;

/// People join and leave by the day; one request per 500 users an hour is little.
const LIST_AGE_MAX: Duration = Duration::from_secs(60 * 60);

/// The lists of one integration.
#[derive(Default)]
pub struct Agents {
    users: Mutex<Option<List<UserId>>>,
    teams: Mutex<Option<List<TeamId>>>,
}

/// Whom a conversation can be assigned to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Assignee {
    User(UserId),
    Team(TeamId),
}

struct List<Id> {
    read_at: Instant,
    /// By e-mail or name, in lower case.
    by_name: HashMap<String, Id>,
}

impl<Id: Clone> List<Id> {
    fn of(list: Option<&Self>, name: &str) -> Option<Id> {
        list?.by_name.get(&name.to_lowercase()).cloned()
    }

    fn is_fresh(list: Option<&Self>, now: Instant) -> bool {
        list.is_some_and(|list| now.duration_since(list.read_at) < LIST_AGE_MAX)
    }
}

impl Agents {
    /// The user with this e-mail, or the team of this name; none if there is no such. Reads a list on first use.
    pub async fn find(
        &self,
        client: &Client,
        name: &str,
    ) -> Result<Option<Assignee>, KustomerFault> {
        let now = clock::monotonic();
        // Whoever reads a list, live calls wait for it.
        let client = client.lane(Lane::Live);
        if name.contains('@') {
            let mut list = self.users.lock().await;
            if !List::is_fresh(list.as_ref(), now) {
                let by_name = users(&client).await?;
                *list = Some(List {
                    read_at: now,
                    by_name,
                });
            }
            return Ok(List::of(list.as_ref(), name).map(Assignee::User));
        }
        let mut list = self.teams.lock().await;
        if !List::is_fresh(list.as_ref(), now) {
            let by_name = teams(&client).await?;
            *list = Some(List {
                read_at: now,
                by_name,
            });
        }
        Ok(List::of(list.as_ref(), name).map(Assignee::Team))
    }
}

async fn users(client: &Client) -> Result<HashMap<String, UserId>, KustomerFault> {
    match client.all_users().await {
        Ok(users) => {
            let pairs = users
                .into_iter()
                .filter_map(|user| Some((user.email?.to_lowercase(), user.id)));
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

/// Teams are asked for only where a name is set; whatever Kustomer says against it, calls are logged.
async fn teams(client: &Client) -> Result<HashMap<String, TeamId>, KustomerFault> {
    match client.all_teams().await {
        Ok(teams) => {
            let pairs = teams
                .into_iter()
                .filter_map(|team| Some((team.name?.to_lowercase(), team.id)));
            Ok(pairs.collect())
        }
        Err(fault) if fault.is_forbidden() || fault.next() == Next::Never => {
            tracing::warn!(%fault, "teams can't be read (org.permission.team.read): no conversation goes to one");
            Ok(HashMap::new())
        }
        Err(fault) => Err(fault),
    }
}
