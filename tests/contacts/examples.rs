//! The worked examples of docs/contacts.md, each played by the whole program: a sandbox Kustomer, the daemon, the built-in phone
//! book over its API, the commands. `examples/script.rs` reads their lines.

mod script;

use super::super::directory::desk::request as api;
use super::super::support::{Config, Daemon, World, attribute, request};
use hyper::Method;
use script::{Item, Line, Side, parse};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::fs;

const PROOF: (&str, &str) = ("authorization", "Bearer client-token");

/// One example on the way.
struct Stage {
    world: World,
    daemon: Option<Daemon>,
    /// Kustomer's ids by the names of the example.
    customers: BTreeMap<String, String>,
}

/// Every block, each in a world of its own.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_documents_examples_are_true() {
    let text =
        fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/contacts.md")).unwrap();
    let mut blocks = Vec::new();
    for (number, block) in text.split("```example\n").skip(1).enumerate() {
        blocks.push((number, block.split("```").next().unwrap().to_owned()));
    }
    assert!(blocks.len() >= 8, "{} examples", blocks.len());
    let mut playing = tokio::task::JoinSet::new();
    for (number, block) in blocks {
        playing.spawn(async move { play(number, &block).await });
    }
    let wrong: Vec<String> = playing.join_all().await.into_iter().flatten().collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// What is wrong with an example, if anything is.
async fn play(number: usize, block: &str) -> Option<String> {
    let lines: Vec<(&str, Line)> = block.lines().map(|line| (line, parse(line))).collect();
    let settings = lines.iter().filter_map(|(_, line)| match line {
        Line::Settings(text) => Some(text.as_str()),
        _ => None,
    });
    let mut stage = Stage::new(&settings.collect::<Vec<_>>().join("\n")).await;
    for (written, line) in &lines {
        if let Err(why) = stage.take(line).await {
            let log = stage.world.place.log();
            return Some(format!("example {}: {written}\n{why}\n{log}", number + 1));
        }
    }
    None
}

impl Stage {
    async fn new(settings: &str) -> Self {
        let mut config = Config {
            daemon: "[[client]]\nname = \"pbx\"\ntoken_file = \"client-token\"\nmay = [\"contacts:read\", \"contacts:write\"]".to_owned(),
            ..Config::default()
        };
        config.integrations[0].texts =
            format!("[kustomer.contacts]\nsearch_lag = \"0s\"\npoll = \"1h\"\n{settings}\n");
        let world = World::start(&config).await;
        fs::write(world.place.folder.join("client-token"), "client-token\n").unwrap();
        // Nobody but those of the example.
        let max = world.sandbox.customers()[0]["id"]
            .as_str()
            .unwrap()
            .to_owned();
        let path = format!("/v1/customers/{max}");
        request(&world.sandbox, Method::DELETE, &path, None).await;
        Self {
            world,
            daemon: None,
            customers: BTreeMap::new(),
        }
    }

    async fn take(&mut self, line: &Line) -> Result<(), String> {
        match line {
            Line::Nothing | Line::Settings(_) => Ok(()),
            Line::Gets(Side::Kustomer, who, items) => self.customer_gets(who, items).await,
            Line::Gets(Side::Phone, who, items) => self.contact_gets(who, items).await,
            Line::Removed(side, who) => self.remove(*side, who).await,
            Line::Merged(loser, winner) => self.merge(loser, winner).await,
            Line::Parted(who) => self.part(who).await,
            Line::Sync => self.sync(0).await.map(|_| ()),
            Line::Approved => self.approve().await,
            Line::Waits(why) => {
                let plan = self.sync(3).await?;
                let stopped = plan["plans"][0]["stopped"].to_string();
                ensure(stopped.contains(why.as_str()), &stopped)
            }
            Line::Has(side, who, items) => self.look(*side, who, items).await,
            Line::Missing(Side::Kustomer, who) => {
                let found = self.customer(who);
                ensure(found.is_none(), &format!("{found:?}"))
            }
            Line::Missing(Side::Phone, who) => {
                let found = self.contact(who).await;
                ensure(found.is_none(), &format!("{found:?}"))
            }
            Line::One(one, two) => {
                let ids = [self.contact(one).await, self.contact(two).await];
                let ids = ids.map(|found| found.map(|contact| contact["id"].clone()));
                let one = ids[0].is_some() && ids[0] == ids[1];
                ensure(one, &format!("{ids:?}"))
            }
            Line::LeftOut(value, why) => {
                let plan = self.plan().await;
                let all = plan["plans"][0]["left_out"].as_array().unwrap();
                let is = |one: &Value| one["value"] == value.as_str() && one["why"] == why.as_str();
                ensure(all.iter().any(is), &format!("{all:?}"))
            }
            Line::Conflict(field) => {
                let told = self.world.place.cli(&["contacts", "conflicts"]).await;
                ensure(told.out.contains(field.as_str()), &told.out)
            }
        }
    }

    async fn running(&mut self) {
        if self.daemon.is_none() {
            self.daemon = Some(self.world.place.start().await);
        }
    }

    async fn plan(&self) -> Value {
        let told = self.world.place.cli(&["plan", "--json"]).await;
        serde_json::from_str(&told.out).unwrap_or_else(|_| panic!("{told:?}"))
    }

    /// A run with this exit code; after a whole one a second would do nothing.
    async fn sync(&mut self, code: i32) -> Result<Value, String> {
        self.running().await;
        let done = self.world.place.cli(&["sync", "now"]).await;
        ensure(done.code == Some(code), &format!("{done:?}"))?;
        let plan = self.plan().await;
        if code == 0 {
            ensure(plan["plans"][0]["writes"] == 0, &format!("{plan:#}"))?;
        }
        Ok(plan)
    }

    async fn approve(&mut self) -> Result<(), String> {
        let plan = self.plan().await;
        let id = plan["plans"][0]["plan"].as_str().unwrap();
        let done = self
            .world
            .place
            .cli(&["sync", "now", "--approve", id])
            .await;
        ensure(done.code == Some(0), &format!("{done:?}"))
    }

    fn customer(&self, who: &str) -> Option<Value> {
        let id = self.customers.get(who);
        let is = |one: &Value| match id {
            Some(id) => one["id"] == id.as_str(),
            None => attribute(one, "externalId") == who,
        };
        self.world.sandbox.customers().into_iter().find(is)
    }

    async fn call(&self, method: &str, path: &str, body: &str) -> Result<Value, String> {
        let reply = api(self.world.place.listen, method, path, &[PROOF], body).await;
        if reply.status >= 300 {
            return Err(format!("{reply:?}"));
        }
        Ok(serde_json::from_str(&reply.body).unwrap_or_default())
    }

    /// The contact of a customer, or the one with this id.
    async fn contact(&self, who: &str) -> Option<Value> {
        let listed = self.call("GET", "/v1/contacts?limit=1000", "").await.ok()?;
        let id = self.customers.get(who);
        let is = |contact: &&Value| {
            let of = |source: &Value| id.is_some_and(|id| source["customer"] == id.as_str());
            contact["id"] == who || contact["sources"].as_array().unwrap().iter().any(of)
        };
        listed["contacts"].as_array()?.iter().find(is).cloned()
    }

    async fn customer_gets(&mut self, who: &str, items: &[Item]) -> Result<(), String> {
        let body: Map<String, Value> = items.iter().map(Item::of_customer).collect();
        if let Some(customer) = self.customer(who) {
            let path = format!("/v1/customers/{}", customer["id"].as_str().unwrap());
            request(&self.world.sandbox, Method::PUT, &path, Some(&json!(body))).await;
            return Ok(());
        }
        let made = self.world.sandbox.seed_customer(json!(body));
        let id = made.map_err(|refusal| format!("{refusal:?}"))?;
        self.customers.insert(who.to_owned(), id);
        Ok(())
    }

    async fn contact_gets(&mut self, who: &str, items: &[Item]) -> Result<(), String> {
        self.running().await;
        let body: Map<String, Value> = items.iter().map(Item::of_contact).collect();
        let (method, id) = match self.contact(who).await {
            Some(contact) => ("PATCH", contact["id"].as_str().unwrap().to_owned()),
            None => ("PUT", who.to_owned()),
        };
        let path = format!("/v1/contacts/{id}");
        self.call(method, &path, &json!(body).to_string()).await?;
        Ok(())
    }

    async fn remove(&self, side: Side, who: &str) -> Result<(), String> {
        match side {
            Side::Kustomer => {
                let customer = self.customer(who).ok_or("there is no such customer")?;
                let path = format!("/v1/customers/{}", customer["id"].as_str().unwrap());
                request(&self.world.sandbox, Method::DELETE, &path, None).await;
            }
            Side::Phone => {
                let contact = self.contact(who).await.ok_or("there is no such contact")?;
                let path = format!("/v1/contacts/{}", contact["id"].as_str().unwrap());
                self.call("DELETE", &path, "").await?;
            }
        }
        Ok(())
    }

    async fn merge(&self, loser: &str, winner: &str) -> Result<(), String> {
        let id = |who: &str| self.customers.get(who).ok_or("there is no such customer");
        let body = json!({"source": id(loser)?, "target": id(winner)?});
        let path = "/v1/customers/merges";
        request(&self.world.sandbox, Method::POST, path, Some(&body)).await;
        Ok(())
    }

    async fn part(&self, who: &str) -> Result<(), String> {
        let contact = self.contact(who).await.ok_or("there is no such contact")?;
        let id = contact["id"].as_str().unwrap();
        let done = self.world.place.cli(&["contacts", "unmerge", id]).await;
        ensure(done.code == Some(0), &format!("{done:?}"))
    }

    async fn look(&self, side: Side, who: &str, items: &[Item]) -> Result<(), String> {
        let found = match side {
            Side::Kustomer => self.customer(who).map(|one| one["attributes"].clone()),
            Side::Phone => self.contact(who).await,
        };
        let found = found.ok_or("isn't there")?;
        for item in items {
            let (mut there, mut wanted) = (item.read(side, &found), item.written());
            if item.key.is_set() {
                there.sort();
                wanted.sort();
            }
            let what = format!("{there:?} instead of {wanted:?}: {found:#}");
            ensure(there == wanted, &what)?;
        }
        Ok(())
    }
}

fn ensure(holds: bool, what: &str) -> Result<(), String> {
    if holds {
        return Ok(());
    }
    Err(what.to_owned())
}
