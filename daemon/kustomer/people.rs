//! Customers whole, as the contact sync needs them: pages of a search, single records, creates and updates. Each method is
//! one request unless it says otherwise. Source: Kustomer: Customers; Search.

use super::client::{Ask, Client, found, segment};
use super::fault::KustomerFault;
use super::wire::{Record, Reply};
use crate::terms::ids::CustomerId;
use reqwest::Method;
use serde_json::Value;

/// By what a customer is looked up, as the path has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Selector {
    ExternalId,
    Phone,
    Email,
}

impl Client {
    /// One page of a search for customers, or of the archive: what nobody touched for two years is only there.
    ///
    /// # Errors
    /// `NotFound` where there is no archive.
    pub async fn customer_page(
        &self,
        query: Value,
        page: u32,
        rows: u32,
        archive: bool,
    ) -> Result<Reply, KustomerFault> {
        let (route, place) = if archive {
            ("POST /v1/customers/archive/search", "archive/search")
        } else {
            ("POST /v1/customers/search", "search")
        };
        self.send(&Ask {
            route,
            method: Method::POST,
            path: format!("/v1/customers/{place}?page={page}&pageSize={rows}"),
            body: Some(query),
            search: true,
        })
        .await
    }

    /// The customer as Kustomer has it; none if it is gone.
    pub async fn customer_record(&self, id: &CustomerId) -> Result<Option<Record>, KustomerFault> {
        let path = format!("/v1/customers/{}", segment(&id.0));
        found(self.get("GET /v1/customers/{id}", path).await)
    }

    /// Customers that have the value, or are found by it (a lookup may match shared ones too).
    pub async fn customers_by(
        &self,
        selector: Selector,
        value: &str,
    ) -> Result<Vec<Record>, KustomerFault> {
        let (route, word) = match selector {
            Selector::ExternalId => ("GET /v1/customers/externalId=", "externalId"),
            Selector::Phone => ("GET /v1/customers/phone=", "phone"),
            Selector::Email => ("GET /v1/customers/email=", "email"),
        };
        let path = format!("/v1/customers/{word}={}", segment(value));
        match self.get(route, path).await {
            Ok(reply) => Ok(reply.records),
            Err(KustomerFault::NotFound) => Ok(Vec::new()),
            Err(fault) => Err(fault),
        }
    }

    /// Creates a customer of a whole body. After `Rejected` or `Conflict` somebody may have one of its values.
    pub async fn post_customer(&self, body: Value) -> Result<Record, KustomerFault> {
        let path = "/v1/customers".to_owned();
        self.post("POST /v1/customers", path, body).await
    }

    /// Changes what the body names. Lists are replaced whole, and a company that isn't sent is unlinked.
    pub async fn put_customer(
        &self,
        id: &CustomerId,
        body: Value,
    ) -> Result<Record, KustomerFault> {
        let path = format!("/v1/customers/{}", segment(&id.0));
        self.put("PUT /v1/customers/{id}", path, body).await
    }
}
