//! What must hold after each step and in the end. Numbers are those of docs/architecture.md's invariants.

use super::world::World;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;

/// Simulated time in which everything must have come to its end: longer than the last gap of the retries.
const DRAIN_MAX: Duration = Duration::from_secs(30 * 3600);
const LOOK_EVERY: Duration = Duration::from_secs(60);
/// Rounds of taking up dead deliveries, or of syncing, until nothing is left.
const ROUNDS_MAX: usize = 5;
/// Looks at a daemon that doesn't run.
const STARTS_MAX: usize = 20;

/// What Kustomer has of each call and text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Logged {
    conversations: usize,
    notes: usize,
    messages: usize,
}

/// At any moment: what is in Kustomer, and what was asked of it.
pub fn always(world: &World) -> Result<(), String> {
    for (name, logged) in logged(world)? {
        let subject = world.known().subjects.get(&name).cloned();
        if !subject.is_some_and(|subject| subject.wanted) {
            return Err(format!("{name} was logged, and nobody wanted it"));
        }
        if logged.conversations > 1 || logged.notes > 1 || logged.messages > 1 {
            return Err(format!(
                "invariant 3: {name} is there more than once: {logged:?}"
            ));
        }
    }
    within_budget(world)
}

fn logged(world: &World) -> Result<BTreeMap<String, Logged>, String> {
    let mut logged: BTreeMap<String, Logged> = BTreeMap::new();
    let sandbox = &world.sandbox;
    let all = [
        ("", sandbox.conversations()),
        (":note", sandbox.notes()),
        (":message", sandbox.messages()),
    ];
    for (index, (ending, resources)) in all.into_iter().enumerate() {
        for resource in resources {
            let external = text(&resource["attributes"]["externalId"]);
            let name = external.strip_prefix("tieline:script:");
            let name = name.and_then(|name| name.strip_suffix(ending));
            let name = name.ok_or_else(|| format!("whose is {resource}?"))?;
            // By a clock that was set its events may seem hours apart, as of two calls with one id.
            let id = name.split_once('~').map_or(name, |(id, _)| id);
            let logged = logged.entry(id.to_owned()).or_default();
            match index {
                0 => logged.conversations += 1,
                1 => logged.notes += 1,
                _ => logged.messages += 1,
            }
        }
    }
    Ok(logged)
}

/// Invariant 7. Who sets the clock forward shortens the minute that a restarted daemon remembers.
fn within_budget(world: &World) -> Result<(), String> {
    if world.odds.jump > 0 {
        return Ok(());
    }
    let requests = world.sandbox.requests();
    let times: Vec<u64> = requests
        .arrivals
        .iter()
        .filter(|arrival| !world.of_people(arrival.at_ms))
        .map(|arrival| arrival.at_ms)
        .collect();
    let limit = usize::try_from(world.odds.budget).unwrap();
    let full = times
        .windows(limit + 1)
        .find(|window| window[limit] - window[0] < 60_000);
    match full {
        Some(window) => {
            let of = window[0]..=window[limit];
            let asked = requests
                .arrivals
                .iter()
                .filter(|one| of.contains(&one.at_ms));
            let asked: Vec<String> = asked
                .map(|one| format!("{} {}", one.at_ms, one.route))
                .collect();
            Err(format!(
                "invariant 7: more than {limit} requests in a minute:\n{}",
                asked.join("\n")
            ))
        }
        None => Ok(()),
    }
}

/// When nothing goes wrong any more.
pub async fn in_the_end(world: &Arc<World>, posts: &mut JoinSet<()>) -> Result<(), String> {
    let all_posted = async { while posts.join_next().await.is_some() {} };
    tokio::time::timeout(DRAIN_MAX, all_posted)
        .await
        .map_err(|_| "invariant 1: a post is refused for ever".to_owned())?;
    drained(world).await?;
    for _ in 0..ROUNDS_MAX {
        if !revived(world).await? {
            break;
        }
        drained(world).await?;
    }
    accounts(world).await?;
    everything_logged(world).await?;
    contacts_agree(world).await?;
    always(world)
}

async fn status(world: &World) -> Result<Value, String> {
    for _ in 0..STARTS_MAX {
        let Some(answer) = world.ask("GET", "/status", &Value::Null).await else {
            // It died a moment ago.
            tokio::time::sleep(LOOK_EVERY).await;
            continue;
        };
        return if answer.status.is_success() {
            Ok(answer.body)
        } else {
            Err(format!("status: {}", answer.body))
        };
    }
    Err("the daemon doesn't answer its administrator".to_owned())
}

async fn drained(world: &World) -> Result<(), String> {
    let mut waited = Duration::ZERO;
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        waited += LOOK_EVERY;
        let status = status(world).await?;
        adds_up(&status)?;
        let owed = &status["integrations"][0]["owed"];
        let accounts = status["accounts"]["integrations"].as_object();
        let mut accounts = accounts.into_iter().flatten();
        let all_ended = accounts.all(|(_, one)| one["in_flight"] == json!(0));
        if status["events"]["in_flight"] == json!(0) && *owed == json!(0) && all_ended {
            return Ok(());
        }
        if waited > DRAIN_MAX {
            return Err(format!("it doesn't come to an end: {status:#}"));
        }
    }
}

/// Invariant 2: by what the daemon counts on both sides, and by its sums: all events are those of the phone systems and what
/// isn't read yet, each account is the sum of its ends, and every integration was asked about the same.
fn adds_up(status: &Value) -> Result<(), String> {
    let (events, accounts) = (&status["events"], &status["accounts"]);
    let of = |one: &Value, what: &[&str]| -> u64 {
        what.iter().filter_map(|what| one[what].as_u64()).sum()
    };
    let ends = [
        "logged",
        "joined",
        "filtered",
        "dead",
        "erased",
        "in_flight",
    ];
    let pbxs = accounts["phone_systems"].as_object().into_iter().flatten();
    let integrations = accounts["integrations"].as_object().into_iter().flatten();
    let each = pbxs.clone().chain(integrations.clone()).all(|(_, one)| {
        one["adds_up"] == json!(true) && of(one, &["accepted", "asked"]) == of(one, &ends)
    });
    let read: u64 = pbxs.map(|(_, one)| of(one, &["accepted"])).sum();
    let asked: BTreeSet<u64> = integrations.map(|(_, one)| of(one, &["asked"])).collect();
    let all = of(events, &["accepted"]) == read + of(events, &["unread"]);
    if events["adds_up"] == json!(true) && each && all && asked.len() == 1 {
        return Ok(());
    }
    Err(format!("invariant 2: {events}\n{accounts:#}"))
}

/// Takes dead deliveries up again; whether there were any.
async fn revived(world: &World) -> Result<bool, String> {
    let dead = world.ask("GET", "/dead", &Value::Null).await;
    let dead = dead.ok_or("no list of dead letters")?.body;
    let rows = dead["dead"].as_array().cloned().unwrap_or_default();
    let ids: Vec<&Value> = rows
        .iter()
        .filter(|row| row["kind"] == "delivery")
        .map(|row| &row["id"])
        .collect();
    if ids.is_empty() {
        return Ok(false);
    }
    if world.odds.refused_400 == 0 {
        return Err(format!("given up without a reason: {dead}"));
    }
    let retried = world.ask("POST", "/dead/retry", &json!({"ids": ids})).await;
    let retried = retried.ok_or("a retry isn't answered")?;
    if retried.body["retried"] != json!(ids.len()) {
        return Err(format!("{} of {dead}", retried.body));
    }
    Ok(true)
}

/// Invariants 1 and 2: every event is there once, with its end.
async fn accounts(world: &World) -> Result<(), String> {
    let status = status(world).await?;
    let (sent, acknowledged, junk) = {
        let known = world.known();
        (known.sent.len(), known.acknowledged.len(), known.junk)
    };
    let events = &status["events"];
    if events["accepted"] != json!(sent) || sent != acknowledged {
        return Err(format!(
            "invariant 1: {sent} events sent, {acknowledged} acknowledged: {events}"
        ));
    }
    if events["dead"] != json!(junk) {
        let dead = world.ask("GET", "/dead", &Value::Null).await;
        let dead = dead.map(|answer| answer.body).unwrap_or_default();
        return Err(format!(
            "invariant 2: {junk} events were junk: {events}\n{dead:#}"
        ));
    }
    Ok(())
}

/// Invariant 3, the other half: what was to be logged is, and its note says what came late.
async fn everything_logged(world: &World) -> Result<(), String> {
    let logged = logged(world)?;
    let notes = world.sandbox.notes();
    let subjects = world.known().subjects.clone();
    for (name, subject) in subjects.iter().filter(|(_, subject)| subject.wanted) {
        let found = logged.get(name).copied().unwrap_or_default();
        let joins = subject.is_text && world.odds.texts_joined;
        let whole = found.notes == 1
            && (found.conversations == 1 || joins)
            && found.messages == usize::from(world.odds.messages);
        if !whole {
            let path = format!("/explain?of=script:{name}");
            let why = world.ask("GET", &path, &Value::Null).await;
            let why = why.map(|answer| answer.body).unwrap_or_default();
            return Err(format!("{name} is logged {found:?}: {why:#}"));
        }
        let external = format!("tieline:script:{name}:note");
        let of = |note: &&Value| note["attributes"]["externalId"] == external.as_str();
        let note = notes.iter().find(of);
        let body = note
            .map(|note| text(&note["attributes"]["body"]))
            .unwrap_or_default();
        let says_it_once = |late: &String| body.matches(late.as_str()).count() == 1;
        // What Kustomer refuses to have in a note is told by `explain`; what is taken for another call's isn't in this one's.
        let refused = world.odds.refused_400 > 0;
        let refused = refused || (world.odds.jump > 0 && note.is_none());
        if !refused && !subject.late.as_ref().is_none_or(says_it_once) {
            return Err(format!(
                "{name}: the note doesn't say {:?} once: {body}",
                subject.late
            ));
        }
    }
    Ok(())
}

/// Invariants 5 and 6: both sides agree, a second run changes nothing, and what may not be imported isn't.
async fn contacts_agree(world: &World) -> Result<(), String> {
    let mut last = Value::Null;
    for _ in 0..ROUNDS_MAX {
        tokio::time::sleep(Duration::from_secs(200)).await;
        let approve = match &last["stopped"] {
            Value::Null => json!({}),
            _ => json!({"approve": last["plan"]}),
        };
        world.ask("POST", "/sync/now", &approve).await;
        let plan = world.ask("GET", "/sync/plan", &Value::Null).await;
        let plan = plan.ok_or("no plan")?;
        if !plan.status.is_success() {
            return Err(format!("no plan: {}", plan.body));
        }
        last = plan.body["plans"][0].clone();
        if last["steps"] == json!([]) {
            return sides(world, &last).await;
        }
    }
    Err(format!(
        "invariant 6: the sync doesn't come to rest: {last:#}"
    ))
}

async fn sides(world: &World, plan: &Value) -> Result<(), String> {
    let listed = world
        .post("GET", "/v1/contacts?limit=1000", &Value::Null)
        .await;
    let listed = listed.ok_or("no contacts")?.body;
    let contacts = listed["contacts"].as_array().cloned().unwrap_or_default();
    let special = world.known().special.clone();
    let mut at_phone = BTreeMap::new();
    for contact in &contacts {
        for phone in contact["phones"].as_array().into_iter().flatten() {
            let number = text(&phone["number"]);
            if special.contains(&number) {
                return Err(format!("invariant 5: {number} was imported"));
            }
            if at_phone
                .insert(number.clone(), text(&contact["name"]))
                .is_some()
            {
                return Err(format!("{number} is in two contacts"));
            }
        }
    }
    let mut at_kustomer: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for customer in world.sandbox.customers() {
        for phone in customer["attributes"]["phones"]
            .as_array()
            .into_iter()
            .flatten()
        {
            let names = at_kustomer.entry(text(&phone["phone"])).or_default();
            names.insert(text(&customer["attributes"]["name"]));
        }
    }
    // Kustomer's time is the machine's, or told with its replies; else nobody knows what to ask for.
    let timed = world.odds.jump == 0 || world.odds.tells_time;
    let settled = ["conflicts", "left_out", "refused"]
        .iter()
        .all(|what| plan[what] == json!([]));
    let settled = settled && timed;
    for (number, name) in &at_phone {
        match at_kustomer.get(number) {
            None if settled => return Err(format!("invariant 6: {number} is on the phone alone")),
            Some(names) if settled && names.len() == 1 && !names.contains(name) => {
                return Err(format!(
                    "invariant 6: {number} is {name:?}, in Kustomer {names:?}"
                ));
            }
            None | Some(_) => {}
        }
    }
    let known = world.known();
    if known.merged {
        return Ok(());
    }
    if let Some(number) = known
        .removed
        .iter()
        .find(|number| at_phone.contains_key(*number))
    {
        return Err(format!("invariant 6: {number} was removed and came back"));
    }
    let missing = at_kustomer
        .keys()
        .find(|number| !at_phone.contains_key(*number));
    match missing.filter(|_| settled && !known.contact_removed) {
        Some(number) => Err(format!("invariant 6: {number} isn't on the phone")),
        None => Ok(()),
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
