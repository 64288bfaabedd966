//! Kustomer's users: whom a conversation is assigned to, and who our key is. Source: Kustomer: Users.

use super::client::{Client, PAGE_ROWS_LARGE, one, segment};
use super::fault::KustomerFault;
use super::wire::Record;
use crate::terms::ids::UserId;

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

impl Client {
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
