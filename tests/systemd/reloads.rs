//! Reloads under load, with good settings and bad ones: no post is refused, no call is lost or doubled, and what is refused is
//! named by its place.

use super::load::Load;
use super::told::Told;
use crate::support::{Config, World, logs};
use rustix::process::Signal;
use std::fs;
use std::path::Path;
use std::sync::Arc;

const RELOADS: usize = 100;

fn config(settle: &str) -> Config {
    let mut config = Config {
        settle: settle.to_owned(),
        ..Config::default()
    };
    // After a reload the budget counts as spent for as long.
    config.integrations[0].lines += "\nbudget_window = \"1s\"";
    config
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_reloads_under_load_lose_no_call_and_bad_ones_are_refused_by_their_place() {
    let world = Arc::new(World::start(&config("20ms")).await);
    let told = Told::new(world.place.folder.join("notify"));
    let notify: &Path = &told.path;
    let daemon = world.place.spawn_with(&[("NOTIFY_SOCKET", notify)]);
    told.until("READY=1").await;
    let load = Load::start(&world);
    for number in 0..RELOADS {
        load.goes_on().await;
        let bad = number % 2 == 1;
        let settle = format!("{}ms", 20 + number);
        world.configure(&config(if bad { "a while" } else { &settle }));
        daemon.signal(Signal::HUP);
        told.until("RELOADING=1").await;
        told.until("READY=1").await;
        let settings = &world.place.status().await["settings"];
        if bad {
            let refused = settings["refused"].as_str().unwrap_or_default();
            let text = fs::read_to_string(world.place.folder.join("tieline.toml")).unwrap();
            let mut lines = text.lines();
            let line = 1 + lines.position(|line| line.starts_with("settle")).unwrap();
            let place = format!("tieline.toml:{line}:");
            assert!(
                refused.contains(&place) && refused.contains("settle"),
                "{place} {settings}"
            );
        } else {
            assert!(settings["refused"].is_null(), "{settings}");
            assert_ne!(settings["in_force"], "since the start");
        }
    }
    let posted = load.stop().await;
    println!("{RELOADS} reloads, {posted} posts");
    let status = daemon.settled(posted).await;
    assert_eq!(status["events"]["accepted"], posted);
    let logged = logs(&world.sandbox);
    assert_eq!(logged.len(), posted);
    assert!(logged.values().all(|made| *made == (1, 1)), "{logged:?}");
    assert!(daemon.stop().await.success());
}
