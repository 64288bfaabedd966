//! Kustomer's users: whom a conversation is assigned to, and who our key is. Source: Kustomer: Users.

use super::client::{Client, PAGE_ROWS_LARGE, one, segment};
use super::fault::KustomerFault;
use super::wire::Record;
use crate::terms::ids::{TeamId, UserId};

/// 1,000 teams.
const TEAM_PAGES_MAX: u32 = 2;

/// 10,000 users; more than any organisation here.
const USER_PAGES_MAX: u32 = 20;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    pub id: UserId,
    pub name: Option<String>,
    pub email: Option<String>,
    /// `user`, `machine`, `limited`, as sent.
    pub kind: Option<String>,
}

/// People who work together; a conversation may be assigned to all of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Team {
    pub id: TeamId,
    pub name: Option<String>,
}

impl Client {
    /// All teams that aren't deleted, one request for each 500.
    pub async fn all_teams(&self) -> Result<Vec<Team>, KustomerFault> {
        let path = format!("/v1/teams?page=1&pageSize={PAGE_ROWS_LARGE}");
        let records = self.list("GET /v1/teams", path, TEAM_PAGES_MAX).await?;
        let alive = records.iter().filter(|team| !team.flag("deleted"));
        Ok(alive.map(team).collect())
    }

    /// Users with this e-mail, compared without case; empty if none.
    pub async fn users(&self, email: &str) -> Result<Vec<User>, KustomerFault> {
        let reply = self
            .get(
                "GET /v1/users?email=",
                format!("/v1/users?email={}", segment(email)),
            )
            .await?;
        let same = |user: &User| {
            user.email
                .as_ref()
                .is_some_and(|other| other.eq_ignore_ascii_case(email))
        };
        Ok(reply.records.iter().map(user).filter(same).collect())
    }

    /// All users, one request for each 500.
    pub async fn all_users(&self) -> Result<Vec<User>, KustomerFault> {
        let path = format!("/v1/users?page=1&pageSize={PAGE_ROWS_LARGE}");
        let records = self.list("GET /v1/users", path, USER_PAGES_MAX).await?;
        Ok(records.iter().map(user).collect())
    }

    /// The key's own machine user; any key that works at all may ask this.
    pub async fn current_user(&self) -> Result<User, KustomerFault> {
        let reply = self
            .get("GET /v1/users/current", "/v1/users/current".to_owned())
            .await?;
        one(reply).map(|record| user(&record))
    }
}

fn team(record: &Record) -> Team {
    let names = ["name", "displayName"];
    Team {
        id: TeamId(record.id.clone()),
        name: names
            .iter()
            .find_map(|name| record.text(name))
            .map(str::to_owned),
    }
}

fn user(record: &Record) -> User {
    User {
        id: UserId(record.id.clone()),
        name: record
            .text("name")
            .or_else(|| record.text("displayName"))
            .map(str::to_owned),
        email: record.text("email").map(str::to_owned),
        kind: record.text("userType").map(str::to_owned),
    }
}
