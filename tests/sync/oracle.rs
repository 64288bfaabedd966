//! The contact sync against an oracle of its own: people in a sandbox Kustomer and in a real Radicale, in all the cases of
//! docs/contacts.md, imported, edited on both sides and merged, while the program is killed again and again. In the end both
//! sides must be what the oracle says, who knows each person's story and nothing of the sync.
//!
//! `TIELINE_PEOPLE` sets how many customers, `TIELINE_KILLS` how often the program is killed, `TIELINE_SEED` replays a run's
//! chances. All of it: `TIELINE_PEOPLE=20000 TIELINE_KILLS=50 cargo test --locked --test main sync::oracle -- --nocapture`.

mod history;
mod sides;
mod stories;

use crate::carddav::radicale::Radicale;
use crate::support::{Config, Daemon, World, seed};
use fastrand::Rng;
use history::{Act, Card, Customer, Key, Story, WAVES};
use hyper::Method;
use serde_json::{Value, json};
use sides::Sides;
use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tieline::clock::{monotonic, now};
use tieline::sandbox::{LimitOptions, SandboxOptions};

const PEOPLE: usize = 200;
const KILLS: usize = 4;

/// Radicale looks through all cards at each new one: beyond so many it gets a storage that doesn't.
const PLAIN_MAX: usize = 2000;

/// Between the edits of a wave and those that must come later: contact servers count seconds.
const LATER: Duration = Duration::from_millis(2100);

/// Between two looks at the program's status.
const LOOK: Duration = Duration::from_millis(50);

/// Differences shown.
const SHOWN_MAX: usize = 20;

fn number(name: &str, otherwise: usize) -> usize {
    let given = std::env::var(name).ok();
    given.map_or(otherwise, |text| text.parse().expect("a number"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_sides_end_as_the_oracle_says() {
    let (people, kills) = (
        number("TIELINE_PEOPLE", PEOPLE),
        number("TIELINE_KILLS", KILLS),
    );
    let mut chance = Rng::with_seed(seed());
    let stories = stories::tell(people, &mut chance);
    let began = monotonic();
    let run = Run {
        sides: prepare(&stories, people, &mut chance).await,
        stories,
        asked: Arc::default(),
        patience: Duration::from_secs(90)
            .max(Duration::from_millis(500) * u32::try_from(people).unwrap()),
    };
    let said = |what: &str| {
        let counts = run.sides.world.sandbox.counts();
        println!(
            "{:>6.1} s {what}: {} customers, {} cards, {} requests to Kustomer",
            began.elapsed().as_secs_f64(),
            counts.customers,
            run.sides.cards().len(),
            counts.requests
        );
    };
    said("seeded");
    let share = kills.div_ceil(WAVES + 1);
    run.killed(share, None, &mut chance).await;
    said("import killed");
    run.settled(0).await;
    said("imported");
    for wave in 0..WAVES {
        let acts = run.acts(wave, &mut chance);
        let left = if wave + 1 == WAVES {
            kills - share * WAVES
        } else {
            share
        };
        run.killed(left, Some(&acts), &mut chance).await;
        said("edited and killed");
        run.settled(wave + 1).await;
        said("as the oracle says");
    }
}

/// What a wave of edits is.
struct Acts {
    first: Vec<Act>,
    late: Vec<Act>,
    done: AtomicBool,
}

struct Run {
    sides: Sides,
    stories: Vec<Story>,
    patience: Duration,
    /// A run is asked for and not over.
    asked: Arc<AtomicBool>,
}

async fn prepare(stories: &[Story], people: usize, chance: &mut Rng) -> Sides {
    let cards = stories.iter().flat_map(|story| &story.before);
    let cards: Vec<(String, String)> = cards
        .map(|card| {
            (
                format!("{}.vcf", card.uid.as_ref().unwrap()),
                sides::write(card),
            )
        })
        .collect();
    let radicale = Radicale::storing(&cards, people > PLAIN_MAX).await;
    let options = SandboxOptions {
        limits: LimitOptions {
            requests: 1_000_000,
            searches: 1_000_000,
            ..LimitOptions::default()
        },
        ..SandboxOptions::empty()
    };
    let mut config = Config::kustomer(
        "requests_per_minute = 1000\nsearches_per_minute = 100\nbudget_window = \"100ms\"\nretry = [\"20ms\", \"50ms\", \"100ms\"]\nland_time = \"50ms\"",
    );
    // An administrator who lets much change at once; the first export still asks.
    config.integrations[0].texts = format!(
        "[kustomer.contacts]\nsearch_lag = \"0s\"\npoll = \"10s\"\nphonebook = \"office\"\nmax_changes = {{ count = 1000000, percent = 100 }}\n{}",
        radicale.lines()
    );
    let world = World::with(&config, options).await;
    // In memory, where Radicale is: a killed process loses nothing of it, and a busy disk takes minutes.
    let state = radicale.folder.path().join("state");
    fs::create_dir(&state).unwrap();
    fs::set_permissions(&state, Permissions::from_mode(0o700)).unwrap();
    symlink(&state, world.place.folder.join("state")).unwrap();
    let sides = Sides::new(world, radicale);
    let now = now();
    for story in stories {
        for (key, customer) in &story.seeds {
            // Some are in the archive.
            let age = jiff::SignedDuration::from_hours(chance.i64(1..3 * 365 * 24));
            let at = now.checked_sub(age).unwrap();
            sides.seed(key, customer, &format!("{at:.3}"));
        }
    }
    sides
}

impl Run {
    fn acts(&self, wave: usize, chance: &mut Rng) -> Acts {
        let waves = self.stories.iter().map(|story| &story.waves[wave]);
        let mut acts = Acts {
            first: waves.clone().flat_map(|wave| wave.first.clone()).collect(),
            late: waves.flat_map(|wave| wave.late.clone()).collect(),
            done: AtomicBool::new(false),
        };
        chance.shuffle(&mut acts.first);
        chance.shuffle(&mut acts.late);
        acts
    }

    async fn do_all(&self, acts: &Acts) {
        let places = self.sides.places();
        for act in &acts.first {
            self.sides.act(act, &places).await;
        }
        tokio::time::sleep(LATER).await;
        for act in &acts.late {
            self.sides.act(act, &places).await;
        }
        acts.done.store(true, Ordering::Relaxed);
        println!("         {} edits", acts.first.len() + acts.late.len());
    }

    /// The program killed so often while people edit.
    async fn killed(&self, kills: usize, acts: Option<&Acts>, chance: &mut Rng) {
        let kill = async {
            for left in (1..=kills).rev() {
                self.until_killed(left, acts, chance).await;
            }
        };
        let edit = async {
            if let Some(acts) = acts {
                self.do_all(acts).await;
            }
        };
        tokio::join!(kill, edit);
    }

    /// Starts the program and kills it somewhere on its way: while it starts or reads, or after some writes.
    async fn until_killed(&self, left: usize, acts: Option<&Acts>, chance: &mut Rng) {
        if chance.u8(..4) == 0 {
            let daemon = self.sides.world.place.spawn();
            let longest = 300 + self.stories.len() as u64;
            tokio::time::sleep(Duration::from_millis(chance.u64(..longest))).await;
            daemon.kill();
            return;
        }
        let daemon = self.sides.world.place.start().await;
        let todo = match acts {
            Some(acts) => acts.first.len() + acts.late.len(),
            None => {
                let wanted = self.stories.iter().map(|story| story.wants[0].cards.len());
                // For a moment there may be more than in the end.
                wanted
                    .sum::<usize>()
                    .saturating_sub(self.sides.cards().len())
            }
        };
        let writes = chance.usize(..=(2 * todo / left).clamp(1, todo.max(1))) as u64;
        let began = monotonic();
        while began.elapsed() < self.patience {
            let status = self.sync(&daemon).await;
            let written = &status["written"];
            let all =
                written["phone"].as_u64().unwrap_or(0) + written["kustomer"].as_u64().unwrap_or(0);
            let through = !status["last_run"].is_null()
                && status["stopped"].is_null()
                && acts.is_none_or(|acts| acts.done.load(Ordering::Relaxed));
            if all >= writes && writes > 0 || through {
                break;
            }
            tokio::time::sleep(LOOK).await;
        }
        tokio::time::sleep(Duration::from_micros(chance.u64(..50_000))).await;
        daemon.kill();
    }

    /// The status of the sync. It is asked to go on, and a plan that waits is approved.
    async fn sync(&self, daemon: &Daemon) -> Value {
        let place = &daemon.place;
        let status = place.ask(Method::GET, "/status", None).await;
        let sync = status.map(|status| status["integrations"][0]["contacts"].clone());
        let sync = sync.unwrap_or_default();
        if let Some(why) = sync["stopped"]["why"].as_str() {
            assert!(why.contains("for the first time"), "{why}");
        }
        if !sync["last_run"].is_null() && !self.asked.swap(true, Ordering::Relaxed) {
            let (place, asked) = (place.clone(), Arc::clone(&self.asked));
            let body = json!({"approve": sync["stopped"]["plan"]});
            tokio::spawn(async move {
                // Not answered when the program is killed.
                place.ask(Method::POST, "/sync/now", Some(&body)).await;
                asked.store(false, Ordering::Relaxed);
            });
        }
        sync
    }

    /// Both sides come to rest as the oracle says.
    async fn settled(&self, stage: usize) {
        let daemon = self.sides.world.place.start().await;
        let began = monotonic();
        loop {
            assert!(
                began.elapsed() < self.patience,
                "no rest: {}",
                self.sync(&daemon).await
            );
            let sync = self.sync(&daemon).await;
            if sync["last_run"].is_null() || !sync["stopped"].is_null() {
                tokio::time::sleep(LOOK).await;
                continue;
            }
            let place = &self.sides.world.place;
            if place.cli(&["sync", "now"]).await.code == Some(0)
                && place.cli(&["plan"]).await.code == Some(0)
            {
                break;
            }
        }
        let differences = self.compare(stage);
        for difference in differences.iter().take(SHOWN_MAX) {
            println!("{difference}");
        }
        if !differences.is_empty() {
            let plan = self.sides.world.place.cli(&["plan"]).await;
            println!("{}", plan.out);
        }
        assert!(differences.is_empty(), "{} differences", differences.len());
        assert!(daemon.stop().await.success());
    }

    fn compare(&self, stage: usize) -> Vec<String> {
        let (mut customers, mut cards) = (self.sides.customers(), BTreeMap::new());
        for (_, card) in self.sides.cards() {
            cards
                .entry(handle(&card))
                .or_insert_with(Vec::new)
                .push(card);
        }
        let mut differences = Vec::new();
        for story in &self.stories {
            let title = story.title;
            let want = &story.wants[stage];
            for (key, customer) in &want.customers {
                let is = customers.remove(key);
                if is.as_ref() != Some(customer) {
                    differences.push(format!(
                        "{title}: customer {key} should be\n  {customer:?}\nis\n  {is:?}"
                    ));
                }
            }
            for card in want.cards.values() {
                let is = cards.remove(&handle(card)).unwrap_or_default();
                let ours: Vec<Card> = is.into_iter().map(|is| named(is, card)).collect();
                if ours != [card.clone()] {
                    differences.push(format!(
                        "{title}: card should be\n  {card:?}\nis\n  {ours:?}"
                    ));
                }
            }
        }
        // Max, whom every sandbox has.
        let max = |name: &str, numbers: usize| name == "Max Muster" && numbers == 1;
        customers.retain(|_: &Key, one: &mut Customer| !max(&one.name, one.phones.len()));
        cards.retain(|_, all| !(all.len() == 1 && max(&all[0].name, all[0].numbers.len())));
        differences.extend(customers.iter().map(|one| format!("too many: {one:?}")));
        differences.extend(cards.iter().map(|one| format!("too many: {one:?}")));
        differences
    }
}

/// Names a card: by its customers, or as people's own.
fn handle(card: &Card) -> String {
    let own = card.uid.iter().find(|uid| !uid.starts_with("kustomer-"));
    let first = || card.of.first().cloned().unwrap_or_default();
    own.cloned().unwrap_or_else(first)
}

/// The card with its id left out where the oracle doesn't know it.
fn named(mut is: Card, card: &Card) -> Card {
    if card.uid.is_none() {
        is.uid = None;
    }
    is
}
