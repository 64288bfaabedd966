//! The kill test for exchanges: whatever was acknowledged has one note, in one conversation for each exchange.
//!
//! `TIELINE_KILLS` and `TIELINE_SEED` as in the kill test for calls.

use super::{at, exchanges};
use crate::crash::{generous, kills, post_event, quick};
use crate::support::{OURS, Place, World, seed, text};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU16, Ordering};
use std::time::Duration;
use tieline::sandbox::{Fault, FaultKind, SandboxOptions};

const KILLS: u32 = 60;
const POSTERS: u64 = 3;

/// One exchange with a person of its own: some texts from both sides, at once or one after the other; their ids.
async fn one_exchange(place: &Place, number: u16, chance: &mut fastrand::Rng) -> Vec<String> {
    let person = format!("+491511{number:07}");
    let ids: Vec<String> = (0..chance.u8(1..6))
        .map(|text| format!("m{number}-{text}"))
        .collect();
    let mut posts = Vec::new();
    for id in &ids {
        let event = if chance.bool() {
            text(id, "in", &person, OURS)
        } else {
            text(id, "out", OURS, &person)
        };
        let (event, place) = (at(event, chance.i64(0..50)), place.clone());
        let again = chance.u8(..4) == 0;
        let told = async move {
            for _ in 0..=usize::from(again) {
                post_event(&place, &event).await;
            }
        };
        if chance.bool() {
            posts.push(tokio::spawn(told));
        } else {
            told.await;
        }
    }
    for post in posts {
        post.await.unwrap();
    }
    ids
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_at_random_moments_every_exchange_is_one_conversation() {
    let kills = kills(KILLS);
    let mut chance = fastrand::Rng::with_seed(seed());
    let mut config = quick();
    config.integrations[0].texts = "window = \"1h\"\ntext_message = true".to_owned();
    let options = SandboxOptions {
        seed: chance.u64(..),
        ..generous()
    };
    let world = World::with(&config, options).await;
    for kind in [
        FaultKind::CommitThenClose,
        FaultKind::CommitThenStatus { status: 500 },
        FaultKind::CloseBefore,
    ] {
        for method in ["POST", "PUT"] {
            let fault = Fault::on("/v1/", kind.clone());
            world
                .sandbox
                .add_fault(fault.method(method).probability(0.15));
        }
    }
    let (over, next) = (
        Arc::new(AtomicBool::new(false)),
        Arc::new(AtomicU16::new(0)),
    );
    let mut posters = Vec::new();
    for _ in 0..POSTERS {
        let (place, over, next) = (world.place.clone(), Arc::clone(&over), Arc::clone(&next));
        let mut chance = chance.fork();
        posters.push(tokio::spawn(async move {
            let mut acknowledged = Vec::new();
            while !over.load(Ordering::Relaxed) {
                let number = next.fetch_add(1, Ordering::Relaxed);
                acknowledged.push(one_exchange(&place, number, &mut chance).await);
                tokio::time::sleep(Duration::from_millis(chance.u64(..400))).await;
            }
            acknowledged
        }));
    }
    for _ in 0..kills {
        let daemon = world.place.start().await;
        let longest = if chance.u8(..3) == 0 { 600 } else { 150 };
        tokio::time::sleep(Duration::from_millis(chance.u64(2..longest))).await;
        daemon.kill();
    }
    over.store(true, Ordering::Relaxed);
    let daemon = world.place.start().await;
    let mut expected = BTreeSet::new();
    for poster in posters {
        for mut ids in poster.await.unwrap() {
            ids.sort();
            expected.insert(ids);
        }
    }
    world.sandbox.clear_faults();
    let status = daemon.at_rest("every text has its end").await;
    let found = exchanges(&world.sandbox);
    assert!(
        found.iter().all(|(first, texts)| texts.contains(first)),
        "{found:?}"
    );
    let texts: usize = expected.iter().map(Vec::len).sum();
    println!(
        "{} exchanges of {texts} texts, {kills} kills",
        expected.len()
    );
    assert_eq!(found.into_values().collect::<BTreeSet<_>>(), expected);
    assert_eq!(status["events"]["dead"], 0);
    assert_eq!(world.sandbox.messages().len(), texts);
    let customers = world.sandbox.counts().customers;
    assert_eq!(customers, expected.len() + 1, "one a person, and Max");
}
