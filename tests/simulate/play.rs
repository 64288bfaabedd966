//! Plays a history: one daemon's life after the other on the same disk, while the steps happen; then everything is calm, and
//! what must have come of it is counted.

use super::checks;
use super::history::{Act, CALLERS, History, OURS, Step, Told};
use super::log::Log;
use super::people;
use super::world::{START, Subject, World, caller, ours};
use fastrand::Rng;
use serde_json::{Value, json};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tieline::app::{self, Wish};
use tieline::clock;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

/// How a run went wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The step after which it was seen; the number of steps: at the end.
    pub step: usize,
    pub what: String,
    pub log: String,
}

/// What a run came to; the same for the same history.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    pub requests: u64,
    pub lives: u64,
    pub conversations: usize,
    pub log: String,
}

/// Plays it on a runtime and a clock of its own.
pub fn play(history: &History) -> Result<Outcome, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    let log = Log::start();
    let step = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let ran = catch_unwind(AssertUnwindSafe(|| {
        runtime.block_on(async {
            clock::simulate(START.parse().unwrap(), Some(history.seed));
            Box::pin(run(history, &log, &step)).await
        })
    }));
    clock::stop_simulating();
    let what = match ran {
        Ok(Ok(told)) => return Ok(told),
        Ok(Err(what)) => what,
        Err(panic) => panic_text(&*panic),
    };
    let step = step.load(Ordering::Relaxed);
    let log = log.text();
    Err(Failure { step, what, log })
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
    format!("panic: {}", text.unwrap_or("?"))
}

async fn run(
    history: &History,
    log: &Log,
    step: &std::sync::atomic::AtomicUsize,
) -> Result<Outcome, String> {
    let world = World::new(history).await;
    let mut script = Box::pin(script(&world, history, log, step));
    let mut chance = Rng::with_seed(history.seed ^ 1);
    let mut lives = 0;
    loop {
        lives += 1;
        let (wishes, wished) = mpsc::channel(4);
        *world.wishes.lock().unwrap() = Some(wishes);
        world.fate.born();
        let settings = world.settings.lock().unwrap().clone();
        let settings = settings.unwrap_or_else(|| world.good.clone());
        let reload = {
            let settings = Arc::clone(&world.settings);
            move || {
                let settings = settings.lock().unwrap().clone();
                settings.ok_or_else(|| "line 1: this is no TOML".to_owned())
            }
        };
        let ground = world.ground();
        let life = app::live(&ground, settings, reload, wished, |_| {});
        tokio::select! {
            biased;
            done = &mut script => {
                done?;
                break;
            }
            () = world.fate.death() => {}
            ended = life => ended.map_err(|fault| format!("the daemon ended: {fault}"))?,
        }
        world.fate.gone();
        world.disk.crash(world.kept());
        if chance.bool() {
            world.events.hang_up().await;
        }
        let down = world.down_for();
        tokio::select! {
            biased;
            done = &mut script => {
                done?;
                break;
            }
            () = tokio::time::sleep(down) => {}
        }
    }
    drop(script);
    Ok(Outcome {
        requests: world.sandbox.requests().total,
        lives,
        conversations: world.sandbox.counts().conversations,
        log: log.text(),
    })
}

async fn script(
    world: &Arc<World>,
    history: &History,
    log: &Log,
    at: &std::sync::atomic::AtomicUsize,
) -> Result<(), String> {
    let (mut posts, mut spells) = (JoinSet::new(), JoinSet::new());
    for (number, step) in history.steps.iter().enumerate() {
        at.store(number, Ordering::Relaxed);
        tokio::time::sleep(Duration::from_millis(step.wait_ms)).await;
        act(world, step, &mut posts, &mut spells).await;
        checks::always(world)?;
        log.check(&world.known().private)?;
    }
    at.store(history.steps.len(), Ordering::Relaxed);
    spells.shutdown().await;
    world.calm();
    checks::in_the_end(world, &mut posts).await?;
    log.check(&world.known().private)
}

/// `spells` are what holds for a while, beside the next steps.
async fn act(world: &Arc<World>, step: &Step, posts: &mut JoinSet<()>, spells: &mut JoinSet<()>) {
    let mut chance = Rng::with_seed(step.seed);
    match &step.act {
        Act::Call {
            number,
            caller,
            ours,
            answered,
            told,
        } => {
            let events = call(*number, *caller, *ours, *answered, *told);
            let mut subject = Subject {
                wanted: caller.is_some() && *ours + 1 < OURS,
                ..Subject::default()
            };
            if chance.u32(0..1000) < world.odds.late_facts {
                let link = format!("https://pbx.example.org/recordings/{number}.wav");
                let event = json!({"event": "call.ended", "id": format!("call-{number}"), "recording": link});
                let wait = Duration::from_secs(chance.u64(1..900));
                let (world, chance) = (Arc::clone(world), chance.fork());
                posts.spawn(async move {
                    tokio::time::sleep(wait).await;
                    world.deliver(event, chance).await;
                });
                subject.late = Some(link);
            }
            world.expect(format!("call-{number}"), subject);
            send(world, events, &mut chance, posts);
        }
        Act::Burst { first, calls } => {
            for number in *first..first + calls {
                let from = chance.usize(0..CALLERS);
                let events = call(number, Some(from), 0, true, Told::Whole);
                let wanted = Subject {
                    wanted: true,
                    ..Subject::default()
                };
                world.expect(format!("call-{number}"), wanted);
                send(world, events, &mut chance, posts);
            }
        }
        Act::Text {
            number,
            caller: from,
            sent,
            ours: to,
        } => {
            let (them, us) = (caller(*from), ours(*to));
            let (direction, from, to_number) = if *sent {
                ("out", us, them)
            } else {
                ("in", them, us)
            };
            let event = json!({"event": "text", "id": format!("text-{number}"), "direction": direction, "from": from,
                "to": to_number, "at": clock::now().to_string(), "body": "Is my order ready?"});
            let subject = Subject {
                is_text: true,
                wanted: *to + 1 < OURS,
                late: None,
            };
            world.expect(format!("text-{number}"), subject);
            send(world, vec![event], &mut chance, posts);
        }
        Act::Junk(number) => {
            world.known().junk += 1;
            let event = json!({"event": "call.vanished", "id": format!("junk-{number}")});
            send(world, vec![event], &mut chance, posts);
        }
        Act::Customer(edit) => people::at_kustomer(world, *edit, &mut chance).await,
        Act::Contact(edit) => people::at_phone(world, *edit, &mut chance).await,
        Act::Pause { seconds } => tokio::time::sleep(Duration::from_secs(*seconds)).await,
        trouble => befall(world, trouble, spells),
    }
}

/// What happens to the daemon.
fn befall(world: &Arc<World>, trouble: &Act, spells: &mut JoinSet<()>) {
    match trouble {
        Act::Crash {
            moves,
            kept,
            down_ms,
        } => {
            world.crash(*kept, Duration::from_millis(*down_ms));
            world.fate.dies_after(*moves);
        }
        Act::Restart => world.wish(Wish::Stop),
        Act::Reload => world.wish(Wish::Reload),
        Act::BadReload => {
            *world.settings.lock().unwrap() = None;
            world.wish(Wish::Reload);
            let world = Arc::clone(world);
            spells.spawn(async move {
                tokio::time::sleep(Duration::from_secs(30)).await;
                *world.settings.lock().unwrap() = Some(world.good.clone());
            });
        }
        Act::Jump { seconds } => {
            let span = jiff::SignedDuration::from_secs(*seconds);
            clock::simulate(clock::now() + span, None);
        }
        Act::DiskFull { seconds } => {
            let (world, seconds) = (Arc::clone(world), *seconds);
            spells.spawn(async move {
                world.disk.fill(true);
                tokio::time::sleep(Duration::from_secs(seconds)).await;
                world.disk.fill(false);
            });
        }
        Act::Outage { seconds } => {
            let (world, seconds) = (Arc::clone(world), *seconds);
            spells.spawn(async move { while_true(&world.wires.cut, seconds).await });
        }
        Act::LockedOut { seconds } => {
            let (world, seconds) = (Arc::clone(world), *seconds);
            spells.spawn(async move { while_true(&world.wires.locked, seconds).await });
        }
        Act::Call { .. }
        | Act::Burst { .. }
        | Act::Text { .. }
        | Act::Junk(_)
        | Act::Customer(_)
        | Act::Contact(_)
        | Act::Pause { .. } => {}
    }
}

async fn while_true(switch: &AtomicBool, seconds: u64) {
    switch.store(true, Ordering::Relaxed);
    tokio::time::sleep(Duration::from_secs(seconds)).await;
    switch.store(false, Ordering::Relaxed);
}

fn call(number: u32, from: Option<usize>, to: usize, answered: bool, told: Told) -> Vec<Value> {
    let now = clock::now();
    let at = |seconds: i64| (now + jiff::SignedDuration::from_secs(seconds)).to_string();
    let base = json!({"id": format!("call-{number}"), "direction": "in",
        "from": from.map_or_else(|| "anonymous".to_owned(), caller), "to": ours(to)});
    let event = |name: &str, more: Value| {
        let mut event = base.clone();
        event["event"] = json!(name);
        for (key, value) in more.as_object().unwrap() {
            event[key] = value.clone();
        }
        event
    };
    let mut whole = json!({"started": at(-40), "ended": at(0)});
    if answered {
        whole["answered"] = json!(at(-30));
        whole["extension"] = json!("101");
    }
    if told == Told::Whole {
        return vec![event("call.ended", whole)];
    }
    let mut events = vec![
        event("call.started", json!({"at": at(-40)})),
        event("call.ringing", json!({"at": at(-39), "extension": "101"})),
    ];
    if answered {
        events.push(event(
            "call.answered",
            json!({"at": at(-30), "extension": "101"}),
        ));
    }
    events.push(event("call.ended", json!({"at": at(0)})));
    events
}

/// Each event goes its own way; the phone system keeps their order unless it doesn't.
fn send(world: &Arc<World>, mut events: Vec<Value>, chance: &mut Rng, posts: &mut JoinSet<()>) {
    if chance.u32(0..1000) < world.odds.shuffled {
        chance.shuffle(&mut events);
        for event in repeated(world, events, chance) {
            let wait = Duration::from_millis(chance.u64(0..4_000));
            let (world, chance) = (Arc::clone(world), chance.fork());
            posts.spawn(async move {
                tokio::time::sleep(wait).await;
                world.deliver(event, chance).await;
            });
        }
    } else {
        let events = repeated(world, events, chance);
        let (world, mut chance) = (Arc::clone(world), chance.fork());
        posts.spawn(async move {
            for event in events {
                Arc::clone(&world).deliver(event, chance.fork()).await;
            }
        });
    }
}

fn repeated(world: &World, events: Vec<Value>, chance: &mut Rng) -> Vec<Value> {
    let twice = |event: Value| {
        let times = 1 + usize::from(chance.u32(0..1000) < world.odds.repeated);
        vec![event; times]
    };
    events.into_iter().flat_map(twice).collect()
}
