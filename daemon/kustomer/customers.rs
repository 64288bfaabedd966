//! Customers: look up, create, follow merges, search. Each method is one request unless it says otherwise.
//! Source: Kustomer: Customers; Search.

use super::client::{Ask, Client, PAGE_ROWS, found, one, segment};
use super::fault::KustomerFault;
use super::text;
use super::wire::{Record, Reply};
use crate::terms::ids::CustomerId;
use crate::terms::number::E164;
use hyper::Method;
use jiff::Timestamp;
use serde_json::{Map, Value, json};
use std::sync::atomic::Ordering;

/// 300 merges of one customer; more is a mistake.
const MERGE_PAGES_MAX: u32 = 3;

/// What is read of a customer. Shared phones and e-mails and WhatsApp numbers are never read (invariant 5).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Customer {
    pub id: CustomerId,
    pub name: Option<String>,
    pub external_id: Option<String>,
    /// As sent, mostly E.164.
    pub phones: Vec<String>,
    pub emails: Vec<String>,
    pub company: Option<String>,
    pub created_at: Option<Timestamp>,
    pub updated_at: Option<Timestamp>,
    pub deleted: bool,
}

/// A customer to create; what is empty isn't sent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NewCustomer {
    pub name: Option<String>,
    pub external_id: Option<String>,
    /// Sent with type `other`: a call doesn't say what kind of phone it came from.
    pub phones: Vec<E164>,
    pub emails: Vec<String>,
}

/// One merge: `source` is gone, `target` is who has its conversations now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Merge {
    pub source: CustomerId,
    pub target: CustomerId,
}

impl Client {
    /// Customers that carry the number themselves, empty if none.
    ///
    /// The number is asked with its `+`. Kustomer's own sample writes it without, so until a lookup with `+` has found
    /// somebody, a 404 is asked again without (a second request); a rejected `create` starts that anew.
    pub async fn by_phone(&self, number: &E164) -> Result<Vec<Customer>, KustomerFault> {
        let found = self.records_by_phone(number).await?;
        Ok(found.iter().map(customer).collect())
    }

    /// As `by_phone`, with all that Kustomer says of them.
    pub async fn records_by_phone(&self, number: &E164) -> Result<Vec<Record>, KustomerFault> {
        let found = self.phone_lookup(number, number.as_str()).await?;
        if !found.is_empty() {
            self.plus_understood().store(true, Ordering::Relaxed);
            return Ok(found);
        }
        if self.plus_understood().load(Ordering::Relaxed) {
            return Ok(found);
        }
        self.phone_lookup(number, number.as_str().trim_start_matches('+'))
            .await
    }

    async fn phone_lookup(
        &self,
        number: &E164,
        written: &str,
    ) -> Result<Vec<Record>, KustomerFault> {
        let path = format!("/v1/customers/phone={}", segment(written));
        let mut records = listed(self.get("GET /v1/customers/phone=", path).await)?;
        records.retain(|record| carries(&customer(record), number));
        Ok(records)
    }

    /// Customers with this e-mail, empty if none.
    pub async fn by_email(&self, email: &str) -> Result<Vec<Customer>, KustomerFault> {
        let found = self.records_by_email(email).await?;
        Ok(found.iter().map(customer).collect())
    }

    /// As `by_email`, with all that Kustomer says of them.
    pub async fn records_by_email(&self, email: &str) -> Result<Vec<Record>, KustomerFault> {
        let path = format!("/v1/customers/email={}", segment(email));
        listed(self.get("GET /v1/customers/email=", path).await)
    }

    pub async fn by_external_id(
        &self,
        external_id: &str,
    ) -> Result<Option<Customer>, KustomerFault> {
        let found = self.record_by_external_id(external_id).await?;
        Ok(found.as_ref().map(customer))
    }

    /// As `by_external_id`, with all that Kustomer says of it.
    pub async fn record_by_external_id(
        &self,
        external_id: &str,
    ) -> Result<Option<Record>, KustomerFault> {
        let path = format!("/v1/customers/externalId={}", segment(external_id));
        found(self.get("GET /v1/customers/externalId=", path).await)
    }

    /// `None` if there is none (or none any more); a deleted one may also come with `deleted` set.
    pub async fn customer(&self, id: &CustomerId) -> Result<Option<Customer>, KustomerFault> {
        let found = self.customer_record(id).await?;
        Ok(found.as_ref().map(customer))
    }

    /// As `customer`, with all that Kustomer says of it. One that was merged into another may come as that one.
    pub async fn customer_record(&self, id: &CustomerId) -> Result<Option<Record>, KustomerFault> {
        let path = format!("/v1/customers/{}", segment(&id.0));
        found(self.get("GET /v1/customers/{id}", path).await)
    }

    /// Creates a customer. Phones, e-mails and externalId are unique in Kustomer, and the status of a refused duplicate
    /// is not documented: after `Rejected` or `Conflict` look each of them up before giving up.
    pub async fn create_customer(&self, new: &NewCustomer) -> Result<Customer, KustomerFault> {
        let created = self.create_customer_as(customer_body(new)).await?;
        Ok(customer(&created))
    }

    /// As `create_customer`, of a body made elsewhere.
    pub async fn create_customer_as(&self, body: Value) -> Result<Record, KustomerFault> {
        let path = "/v1/customers".to_owned();
        let created = self.post("POST /v1/customers", path, body).await;
        if let Err(KustomerFault::Rejected { .. } | KustomerFault::Conflict { .. }) = created {
            self.plus_understood().store(false, Ordering::Relaxed);
        }
        created
    }

    /// Changes the attributes in `body` and no others but the company, which is unlinked if it isn't in there.
    pub async fn update_customer(
        &self,
        id: &CustomerId,
        body: Value,
    ) -> Result<Record, KustomerFault> {
        let path = format!("/v1/customers/{}", segment(&id.0));
        self.put("PUT /v1/customers/{id}", path, body).await
    }

    /// Merges this customer took part in; empty also when Kustomer doesn't know the customer any more.
    pub async fn merges_of(&self, id: &CustomerId) -> Result<Vec<Merge>, KustomerFault> {
        let path = format!(
            "/v1/customers/{}/merges?page=1&pageSize={PAGE_ROWS}",
            segment(&id.0)
        );
        let records = match self
            .list("GET /v1/customers/{id}/merges", path, MERGE_PAGES_MAX)
            .await
        {
            Err(KustomerFault::NotFound) => Vec::new(),
            other => other?,
        };
        let merge = |record: &Record| {
            let (source, target) = (record.related("source")?, record.related("target")?);
            Some(Merge {
                source: CustomerId(source),
                target: CustomerId(target),
            })
        };
        Ok(records.iter().filter_map(merge).collect())
    }

    /// One page of a search, which counts against both budgets. The index lags by about a minute: never a check of what
    /// exists. Source: Kustomer: Search.
    pub async fn search(&self, query: Value, page: u32, rows: u32) -> Result<Reply, KustomerFault> {
        let path = format!("/v1/customers/search?page={page}&pageSize={rows}");
        self.search_at("POST /v1/customers/search", path, query)
            .await
    }

    /// The same for what wasn't updated within the last two years; whether it has a budget of its own isn't documented.
    pub async fn search_archive(
        &self,
        query: Value,
        page: u32,
        rows: u32,
    ) -> Result<Reply, KustomerFault> {
        let path = format!("/v1/customers/archive/search?page={page}&pageSize={rows}");
        self.search_at("POST /v1/customers/archive/search", path, query)
            .await
    }

    async fn search_at(
        &self,
        route: &'static str,
        path: String,
        query: Value,
    ) -> Result<Reply, KustomerFault> {
        self.send(&Ask {
            route,
            method: Method::POST,
            path,
            body: Some(query),
            search: true,
        })
        .await
    }

    /// The defined custom attributes of `conversation`, `customer` or `message`: name and type. Only these may be written.
    pub async fn metadata(&self, resource: &str) -> Result<Vec<(String, String)>, KustomerFault> {
        let path = format!("/v1/metadata/{}", segment(resource));
        let record = one(self.get("GET /v1/metadata/{resource}", path).await?)?;
        let kind = |field: &Value| {
            field
                .get("type")
                .and_then(Value::as_str)
                .unwrap_or_default()
                .to_owned()
        };
        let properties = record.object("properties").into_iter().flatten();
        Ok(properties
            .map(|(name, field)| (name.clone(), kind(field)))
            .collect())
    }
}

/// Reads a search result or lookup as a customer.
pub fn customer(record: &Record) -> Customer {
    Customer {
        id: CustomerId(record.id.clone()),
        name: record.text("name").map(str::to_owned),
        external_id: record.text("externalId").map(str::to_owned),
        phones: record.texts("phones", "phone"),
        emails: record.texts("emails", "email"),
        company: record.related("company"),
        created_at: record.time("createdAt"),
        updated_at: record.time("updatedAt"),
        deleted: record.flag("deleted"),
    }
}

pub(super) fn customer_body(new: &NewCustomer) -> Value {
    let mut body = Map::new();
    if let Some(name) = &new.name {
        body.insert("name".to_owned(), json!(text::name(name)));
    }
    if let Some(external_id) = &new.external_id {
        body.insert("externalId".to_owned(), json!(external_id));
    }
    if !new.phones.is_empty() {
        let phones = new
            .phones
            .iter()
            .map(|phone| json!({"type": "other", "phone": phone.as_str()}));
        body.insert("phones".to_owned(), phones.collect());
    }
    if !new.emails.is_empty() {
        let emails = new
            .emails
            .iter()
            .map(|email| json!({"type": "work", "email": email}));
        body.insert("emails".to_owned(), emails.collect());
    }
    Value::Object(body)
}

fn listed(reply: Result<Reply, KustomerFault>) -> Result<Vec<Record>, KustomerFault> {
    match reply {
        Ok(reply) => Ok(reply.records),
        Err(KustomerFault::NotFound) => Ok(Vec::new()),
        Err(fault) => Err(fault),
    }
}

/// Whether the number is one of the customer's own phones: a lookup may also match a shared one. A key without the
/// role for sensitive attributes gets masked phones; those are taken on the server's word.
fn carries(customer: &Customer, number: &E164) -> bool {
    let digits = |text: &str| {
        text.chars()
            .filter(char::is_ascii_digit)
            .collect::<String>()
    };
    let masked = |text: &str| text.contains(['*', '•', 'x', 'X', '#']);
    let wanted = digits(number.as_str());
    customer
        .phones
        .iter()
        .any(|phone| masked(phone) || digits(phone) == wanted)
}
