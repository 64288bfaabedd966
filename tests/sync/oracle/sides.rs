//! Both sides without the sync: what lies there, read by ways of our own, and people who change it.

use super::history::{Act, Card, Change, Customer, Key, List, Whose, normal};
use crate::carddav::radicale::Radicale;
use crate::support::{World, attribute};
use reqwest::{Client, Method, Response, StatusCode};
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::sync::Mutex;
use tieline::sandbox::SANDBOX_KEY;

/// Somebody else may be faster so often.
const TRIES_MAX: usize = 50;

/// Lists of a customer, with the field of an item.
const LISTS: [(List, &str, &str); 4] = [
    (List::Phones, "phones", "phone"),
    (List::Emails, "emails", "email"),
    (List::Whatsapps, "whatsapps", "phone"),
    (List::Shared, "sharedPhones", "phone"),
];

pub struct Sides {
    pub world: World,
    pub radicale: Radicale,
    http: Client,
    /// Kustomer's ids.
    ids: Mutex<BTreeMap<Key, String>>,
}

/// Where everybody's card was when it was looked at.
pub struct Cards(BTreeMap<String, String>);

impl Sides {
    pub fn new(world: World, radicale: Radicale) -> Self {
        let http = Client::builder().no_proxy().build().unwrap();
        let ids = Mutex::default();
        Self {
            world,
            radicale,
            http,
            ids,
        }
    }

    pub fn seed(&self, key: &Key, customer: &Customer, updated_at: &str) {
        let mut body = body(customer);
        body["updatedAt"] = json!(updated_at);
        let id = self.world.sandbox.seed_customer(body).unwrap();
        self.ids.lock().unwrap().insert(key.clone(), id);
    }

    /// What Kustomer has, by the oracle's keys; a customer that no story knows by its id.
    pub fn customers(&self) -> BTreeMap<Key, Customer> {
        let mut ids = self.ids.lock().unwrap();
        let all = self.world.sandbox.customers();
        for one in &all {
            let external_id = attribute(one, "externalId");
            if !external_id.is_empty() {
                let known = ids.insert(format!("ext:{external_id}"), id_of(one));
                assert!(known.is_none_or(|known| known == id_of(one)), "{one}");
            }
        }
        let keys: BTreeMap<&String, &Key> = ids.iter().map(|(key, id)| (id, key)).collect();
        let named = |one: &Value| {
            let id = id_of(one);
            let key = keys.get(&id).map_or(id.clone(), |key| (*key).clone());
            (key, customer(one))
        };
        all.iter().map(named).collect()
    }

    /// What the address book has, its customers by the oracle's keys; with the file's name.
    pub fn cards(&self) -> Vec<(String, Card)> {
        let ids = self.ids.lock().unwrap();
        let keys: BTreeMap<&String, &Key> = ids.iter().map(|(key, id)| (id, key)).collect();
        let mut cards = Vec::new();
        for file in fs::read_dir(self.radicale.book()).unwrap() {
            let name = file.unwrap().file_name().into_string().unwrap();
            if !name.ends_with(".vcf") || name.starts_with('.') {
                continue;
            }
            // One that is deleted at this moment isn't there.
            let Ok(text) = fs::read_to_string(self.radicale.book().join(&name)) else {
                continue;
            };
            let mut card = read(&text);
            let key = |id: &String| {
                keys.get(id)
                    .map_or_else(|| id.clone(), |key| (*key).clone())
            };
            card.of = card.of.iter().map(key).collect();
            cards.push((name, card));
        }
        cards
    }

    pub fn places(&self) -> Cards {
        let mut places = BTreeMap::new();
        for (name, card) in self.cards() {
            for key in card.of {
                places.insert(format!("of {key}"), name.clone());
            }
            places.insert(card.uid.unwrap(), name);
        }
        Cards(places)
    }

    pub async fn act(&self, act: &Act, cards: &Cards) {
        match act {
            Act::Customer(key, change) => self.change_customer(&self.id(key), change).await,
            Act::New(key, customer) => {
                let made = self
                    .kustomer(Method::POST, "", Some(body(customer)))
                    .await
                    .unwrap();
                let id = id_of(&made["data"]);
                self.ids.lock().unwrap().insert(key.clone(), id);
            }
            Act::Delete(key) => {
                let path = format!("/{}", self.id(key));
                self.kustomer(Method::DELETE, &path, None).await.unwrap();
            }
            Act::Merge { source, target } => {
                let body = json!({"source": self.id(source), "target": self.id(target)});
                self.kustomer(Method::POST, "/merges", Some(body))
                    .await
                    .unwrap();
            }
            Act::Card(whose, change) => self.change_card(cards.of(whose), change).await,
            Act::CardNew(card) => {
                let name = format!("{}.vcf", card.uid.as_ref().unwrap());
                let answer = self.dav(Method::PUT, &name, Some(write(card)), None).await;
                assert_eq!(answer.status(), StatusCode::CREATED);
            }
            Act::CardDelete(whose) => {
                let answer = self.dav(Method::DELETE, cards.of(whose), None, None).await;
                assert!(answer.status().is_success(), "{whose:?}: {answer:?}");
            }
        }
    }

    fn id(&self, key: &Key) -> String {
        let known = self.ids.lock().unwrap().get(key).cloned();
        known.unwrap_or_else(|| panic!("{key} has no id"))
    }

    async fn kustomer(
        &self,
        method: Method,
        path: &str,
        body: Option<Value>,
    ) -> Result<Value, StatusCode> {
        let url = format!("{}/v1/customers{path}", self.world.sandbox.url());
        let mut ask = self.http.request(method, url).bearer_auth(SANDBOX_KEY);
        if let Some(body) = body {
            ask = ask.json(&body);
        }
        let answer = ask.send().await.unwrap();
        let status = answer.status();
        let text = answer.text().await.unwrap();
        if status.is_success() {
            Ok(serde_json::from_str(&text).unwrap_or_default())
        } else {
            Err(status)
        }
    }

    /// As the web application does it: what was read, changed, unless somebody was faster.
    async fn change_customer(&self, id: &str, change: &Change) {
        let path = format!("/{id}");
        for _ in 0..TRIES_MAX {
            let read = self.kustomer(Method::GET, &path, None).await.unwrap();
            let attributes = &read["data"]["attributes"];
            let mut body = json!({"rev": attributes["rev"]});
            match change {
                Change::Name(name) => body["name"] = json!(name),
                Change::Add(list, value) | Change::Remove(list, value) => {
                    let (_, list, field) = LISTS.iter().find(|one| one.0 == *list).unwrap();
                    let held = attributes[*list].as_array().cloned().unwrap_or_default();
                    let is_it = |item: &Value| {
                        let text = item[*field].as_str().unwrap();
                        text == value || normal(text) == *value
                    };
                    let mut items: Vec<Value> =
                        held.into_iter().filter(|item| !is_it(item)).collect();
                    if matches!(change, Change::Add(..)) {
                        let kind = if *field == "email" { "home" } else { "mobile" };
                        items.push(json!({*field: value, "type": kind}));
                    }
                    for item in &mut items {
                        item.as_object_mut().unwrap().remove("id");
                    }
                    body[*list] = json!(items);
                }
            }
            match self.kustomer(Method::PUT, &path, Some(body)).await {
                Ok(_) => return,
                Err(StatusCode::CONFLICT) => {}
                Err(status) => panic!("{change:?}: {status}"),
            }
        }
        panic!("{change:?}: always somebody was faster");
    }

    /// As a phone does it.
    async fn change_card(&self, name: &str, change: &Change) {
        for _ in 0..TRIES_MAX {
            let read = self.dav(Method::GET, name, None, None).await;
            assert_eq!(read.status(), StatusCode::OK, "{name} {change:?}");
            let etag = read.headers()["etag"].to_str().unwrap().to_owned();
            let text = changed(&read.text().await.unwrap(), change);
            let answer = self.dav(Method::PUT, name, Some(text), Some(&etag)).await;
            match answer.status() {
                status if status.is_success() => return,
                StatusCode::PRECONDITION_FAILED => {}
                status => panic!("{name} {change:?}: {status}"),
            }
        }
        panic!("{change:?}: always somebody was faster");
    }

    async fn dav(
        &self,
        method: Method,
        name: &str,
        body: Option<String>,
        etag: Option<&str>,
    ) -> Response {
        let ask = self.radicale.request(&self.http, method, name);
        let ask = match etag {
            Some(etag) => ask.header("if-match", etag),
            None => ask,
        };
        ask.body(body.unwrap_or_default()).send().await.unwrap()
    }
}

impl Cards {
    fn of(&self, whose: &Whose) -> &str {
        let place = match whose {
            Whose::Uid(uid) => self.0.get(uid),
            Whose::Of(key) => self.0.get(&format!("of {key}")),
        };
        place.unwrap_or_else(|| panic!("{whose:?} has no card"))
    }
}

fn id_of(resource: &Value) -> String {
    resource["id"].as_str().unwrap().to_owned()
}

fn body(customer: &Customer) -> Value {
    let mut body = Map::new();
    let mut put = |name: &str, value: Value| drop(body.insert(name.to_owned(), value));
    if !customer.name.is_empty() {
        put("name", json!(customer.name));
    }
    if !customer.company.is_empty() {
        put("company", json!(customer.company));
    }
    let phones = customer.phones.iter();
    let phones: Vec<Value> = phones
        .map(|(raw, kind)| json!({"phone": raw, "type": kind}))
        .collect();
    put("phones", json!(phones));
    let all = |field: &str, values: &BTreeSet<String>| {
        let values = values.iter();
        values.map(|one| json!({field: one})).collect::<Vec<_>>()
    };
    put("emails", json!(all("email", &customer.emails)));
    put("whatsapps", json!(all("phone", &customer.whatsapps)));
    put("sharedPhones", json!(all("phone", &customer.shared)));
    Value::Object(body)
}

fn customer(resource: &Value) -> Customer {
    let items = |list: &str| {
        let items = resource["attributes"][list].as_array();
        items.cloned().unwrap_or_default()
    };
    let text = |item: &Value, field: &str| item[field].as_str().unwrap_or_default().to_owned();
    let all = |list: &str, field: &str| items(list).iter().map(|one| text(one, field)).collect();
    let phones = items("phones");
    let held: BTreeMap<String, String> = phones
        .iter()
        .map(|one| (text(one, "phone"), text(one, "type")))
        .collect();
    assert_eq!(held.len(), phones.len(), "a number twice: {resource}");
    Customer {
        name: attribute(resource, "name"),
        company: attribute(resource, "companyName"),
        phones: held,
        emails: all("emails", "email"),
        whatsapps: all("whatsapps", "phone"),
        shared: all("sharedPhones", "phone"),
    }
}

/// A card's file, as people's programs write them.
pub fn write(card: &Card) -> String {
    let uid = card.uid.as_ref().unwrap();
    let mut lines = vec![
        "BEGIN:VCARD".to_owned(),
        "VERSION:3.0".to_owned(),
        format!("UID:{uid}"),
        format!("FN:{}", card.name),
        format!("N:{};;;;", card.name),
    ];
    // As it is dialled here.
    let numbers = card.numbers.iter();
    lines.extend(numbers.map(|one| format!("TEL;TYPE=HOME:{}", one.replace("+49", "0"))));
    lines.extend(card.emails.iter().map(|one| format!("EMAIL:{one}")));
    lines.push(format!("NOTE:{}", card.note));
    lines.push("END:VCARD\r\n".to_owned());
    lines.join("\r\n")
}

/// A card's lines: name and value.
fn lines(text: &str) -> Vec<(String, String)> {
    let whole = text.replace("\r\n", "\n").replace("\n ", "");
    let split = |line: &str| {
        let (head, value) = line.split_once(':')?;
        let name = head.split(';').next()?;
        let name = name.rsplit('.').next()?.to_uppercase();
        let value = value.replace("\\,", ",").replace("\\;", ";");
        Some((name, value))
    };
    whole.lines().filter_map(split).collect()
}

fn read(text: &str) -> Card {
    let lines = lines(text);
    let all = |name: &str| {
        let own = lines.iter().filter(|line| line.0 == name);
        own.map(|line| line.1.trim().to_owned()).collect::<Vec<_>>()
    };
    let first = |name: &str| all(name).first().cloned().unwrap_or_default();
    let call = |raw: &String| {
        if raw.starts_with('*') {
            raw.clone()
        } else {
            normal(raw)
        }
    };
    let numbers: BTreeSet<String> = all("TEL").iter().map(call).collect();
    assert_eq!(numbers.len(), all("TEL").len(), "a number twice: {text}");
    let company = first("ORG");
    let tags = all("CATEGORIES").join(",");
    let sources = all("X-TIELINE-SOURCE").into_iter();
    Card {
        uid: Some(first("UID")),
        name: first("FN"),
        company: company.split(';').next().unwrap_or_default().to_owned(),
        numbers,
        emails: all("EMAIL").into_iter().collect(),
        note: first("NOTE"),
        tagged: tags.split(',').any(|tag| tag == "phone"),
        of: sources
            .map(|one| one.strip_prefix("support/").unwrap().to_owned())
            .collect(),
    }
}

fn changed(text: &str, change: &Change) -> String {
    let whole = text.replace("\r\n", "\n").replace("\n ", "");
    let is = |line: &str, name: &str, value: &str| {
        lines(line)
            .first()
            .is_some_and(|one| one.0 == name && (one.1 == value || normal(&one.1) == value))
    };
    let mut kept: Vec<String> = whole.lines().map(str::to_owned).collect();
    let end = kept.iter().position(|line| line == "END:VCARD").unwrap();
    match change {
        Change::Name(name) => {
            for line in &mut kept {
                match lines(line).first().map(|one| one.0.as_str()) {
                    Some("FN") => *line = format!("FN:{name}"),
                    Some("N") => *line = format!("N:{name};;;;"),
                    _ => {}
                }
            }
        }
        Change::Add(List::Phones, number) => {
            kept.insert(end, format!("TEL;TYPE=HOME:{}", number.replace("+49", "0")));
        }
        Change::Add(List::Emails, email) => kept.insert(end, format!("EMAIL:{email}")),
        Change::Remove(List::Phones, number) => kept.retain(|line| !is(line, "TEL", number)),
        Change::Remove(List::Emails, email) => kept.retain(|line| !is(line, "EMAIL", email)),
        Change::Add(..) | Change::Remove(..) => panic!("a card has no {change:?}"),
    }
    kept.join("\r\n") + "\r\n"
}
