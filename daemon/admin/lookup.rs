//! How a number is read, and whose it is: from the directory, and from Kustomer itself when asked to.

use super::{Admin, Integration};
use crate::clock;
use crate::store::StoreFault;
use crate::terms::ids::CustomerId;
use crate::terms::number::E164;
use crate::terms::party::{self, Extensions, Party};
use serde_json::{Value, json};

/// The reading and every integration's customer.
pub async fn lookup(admin: &Admin, written: &str, online: bool) -> Result<Value, StoreFault> {
    let none = Extensions::default();
    let extensions = admin
        .settings
        .pbxs
        .first()
        .map_or(&none, |pbx| &pbx.extensions);
    let contact = party::read(written, None, &admin.settings.daemon.plan, extensions);
    let kind = match &contact.party {
        Party::Number(_) => "number",
        Party::Extension(_) => "extension",
        Party::Short(_) => "short or emergency number",
        Party::Anonymous => "anonymous",
        Party::Invalid => "not a number",
    };
    let mut customers = Vec::new();
    if let Some(number) = contact.number() {
        for part in &admin.integrations {
            let name = &part.settings.name;
            let known = admin.directory.find(name, number, clock::now())?;
            let mut row = json!({"integration": name, "customer": known, "from": "directory"});
            if online {
                row = ask(part, number).await;
            }
            customers.push(row);
        }
    }
    Ok(
        json!({"written": written, "is": kind, "number": contact.number().map(E164::as_str), "customers": customers}),
    )
}

async fn ask(part: &Integration, number: &E164) -> Value {
    let name = &part.settings.name;
    match part.client.by_phone(number).await {
        Ok(found) => {
            let ids: Vec<String> = found
                .into_iter()
                .map(|customer| {
                    let CustomerId(id) = customer.id;
                    id
                })
                .collect();
            json!({"integration": name, "customer": ids.first(), "all": ids, "from": "Kustomer"})
        }
        Err(fault) => {
            json!({"integration": name, "customer": null, "from": "Kustomer", "fault": fault.to_string()})
        }
    }
}
