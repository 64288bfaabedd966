//! People who edit on both sides: an agent in Kustomer, a clerk at the phone book. What they do may be refused, or get lost;
//! then they leave it.

use super::history::Edit;
use super::world::World;
use fastrand::Rng;
use serde_json::{Value, json};

fn number(of: u32) -> String {
    format!("+493020{of:05}")
}

/// Whether a person of this file brought it: nobody calls from it.
fn is_own(number: &str) -> bool {
    number.starts_with("+493020")
}

fn name(of: u32) -> String {
    format!("Mensch {of}")
}

/// Names and numbers that this edit brings are private.
fn hide(world: &World, edit: Edit) {
    if let Edit::Create(n) | Edit::CreateSpecial(n) | Edit::Rename(n) | Edit::AddNumber(n) = edit {
        let mut known = world.known();
        for word in [name(n) + ".", name(n) + "'", number(n), number(n + 50_000)] {
            known.private.insert(word);
        }
    }
}

pub async fn at_kustomer(world: &World, edit: Edit, chance: &mut Rng) {
    hide(world, edit);
    let customers = world.sandbox.customers();
    let any = |chance: &mut Rng| chance.choice(&customers).cloned();
    let path = |customer: &Value| format!("/v1/customers/{}", customer["id"].as_str().unwrap());
    match edit {
        Edit::Create(n) => {
            let body = json!({"name": name(n), "phones": [{"type": "mobile", "phone": number(n)}]});
            world.kustomer("POST", "/v1/customers", &body).await;
        }
        Edit::CreateSpecial(n) => {
            let (kind, special) = if chance.bool() {
                ("sharedPhones", number(n + 50_000))
            } else {
                ("whatsapps", number(n + 50_000))
            };
            world.known().special.insert(special.clone());
            let mut body =
                json!({"name": name(n), "phones": [{"type": "mobile", "phone": number(n)}]});
            body[kind] = json!([{"type": "mobile", "phone": special}]);
            world.kustomer("POST", "/v1/customers", &body).await;
        }
        Edit::Rename(n) => {
            let Some(customer) = any(chance) else { return };
            let body = json!({"name": name(n)});
            world.kustomer("PUT", &path(&customer), &body).await;
        }
        Edit::AddNumber(n) => {
            let Some(customer) = any(chance) else { return };
            let phones = customer["attributes"]["phones"].as_array().cloned();
            let mut phones = phones.unwrap_or_default();
            phones.push(json!({"type": "work", "phone": number(n)}));
            let body = json!({"phones": phones});
            world.kustomer("PUT", &path(&customer), &body).await;
        }
        Edit::Remove => {
            // Whoever calls stays: with a customer his conversations go, and what was logged can't be counted.
            let quiet = |customer: &&Value| {
                let phones = customer["attributes"]["phones"].as_array();
                let mut phones = phones.into_iter().flatten();
                phones.all(|phone| phone["phone"].as_str().is_some_and(is_own))
            };
            let quiet: Vec<&Value> = customers.iter().filter(quiet).collect();
            let Some(customer) = chance.choice(&quiet) else {
                return;
            };
            world
                .kustomer("DELETE", &path(customer), &Value::Null)
                .await;
        }
        Edit::Merge => {
            let (Some(one), Some(other)) = (any(chance), any(chance)) else {
                return;
            };
            world.known().merged = true;
            let body = json!({"source": one["id"], "target": other["id"]});
            world.kustomer("POST", "/v1/customers/merges", &body).await;
        }
    }
}

pub async fn at_phone(world: &World, edit: Edit, chance: &mut Rng) {
    hide(world, edit);
    let listed = world
        .post("GET", "/v1/contacts?limit=1000", &Value::Null)
        .await;
    let contacts = listed.and_then(|answer| answer.body["contacts"].as_array().cloned());
    let contacts = contacts.unwrap_or_default();
    let any = |chance: &mut Rng| chance.choice(&contacts).cloned();
    let path = |contact: &Value| format!("/v1/contacts/{}", contact["id"].as_str().unwrap());
    match edit {
        Edit::Create(n) | Edit::CreateSpecial(n) => {
            let body = json!({"name": name(n), "phones": [{"number": number(n), "kind": "work"}]});
            world.post("POST", "/v1/contacts", &body).await;
        }
        Edit::Rename(n) => {
            let Some(contact) = any(chance) else { return };
            let body = json!({"name": name(n)});
            world.post("PATCH", &path(&contact), &body).await;
        }
        Edit::AddNumber(n) => {
            let Some(contact) = any(chance) else { return };
            let mut phones = contact["phones"].as_array().cloned().unwrap_or_default();
            phones.push(json!({"number": number(n), "kind": "home"}));
            let body = json!({"phones": phones});
            world.post("PATCH", &path(&contact), &body).await;
        }
        Edit::Remove | Edit::Merge => {
            let Some(contact) = any(chance) else { return };
            world.known().contact_removed = true;
            let answer = world.post("DELETE", &path(&contact), &Value::Null).await;
            if answer.is_some_and(|answer| answer.status.is_success()) {
                let phones = contact["phones"].as_array().into_iter().flatten();
                let numbers = phones.filter_map(|phone| phone["number"].as_str());
                // Other callers' numbers come again with their calls.
                let own = numbers.filter(|number| is_own(number));
                world.known().removed.extend(own.map(str::to_owned));
            }
        }
    }
}
