//! The daemon as a `Type=notify` service: each step of its life is told, the watchdog is fed while it works, and not while its
//! store hangs.

use super::told::{Told, value};
use crate::crash::quick;
use crate::support::disk::{self, Disk};
use crate::support::{Config, Daemon, World, call};
use rustix::process::Signal;
use std::fs;
use std::path::Path;

/// `WatchdogSec=` of the test, in microseconds.
const WATCHDOG_USEC: &str = "500000";
/// Status messages in a row without a sign of life that show that there is none: a sign of life follows each status.
const STATUSES: usize = 4;

fn supervised(world: &World, told: &Told) -> Daemon {
    let watchdog = Path::new(WATCHDOG_USEC);
    world
        .place
        .spawn_with(&[("NOTIFY_SOCKET", &told.path), ("WATCHDOG_USEC", watchdog)])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_step_of_its_life_is_told() {
    let world = World::start(&Config::default()).await;
    let told = Told::new(world.place.folder.join("notify"));
    let daemon = supervised(&world, &told);
    let ready = told.until("READY=1").await;
    assert!(value(&ready, "STATUS").is_some(), "{ready:?}");
    // Ready means that it takes events.
    daemon.post(&call("a", "+491711234567")).await;
    told.until("WATCHDOG=1").await;

    daemon.signal(Signal::HUP);
    let reloading = told.until("RELOADING=1").await;
    let since: u64 = value(&reloading, "MONOTONIC_USEC")
        .unwrap()
        .parse()
        .unwrap();
    assert!(since > 0, "{reloading:?}");
    told.until("READY=1").await;

    // Refused settings: a reload that has ended as well.
    let settings = world.place.folder.join("tieline.toml");
    let text = fs::read_to_string(&settings).unwrap();
    fs::write(&settings, format!("{text}\n[no\n")).unwrap();
    daemon.signal(Signal::HUP);
    told.until("RELOADING=1").await;
    told.until("READY=1").await;

    let stopped = tokio::spawn(daemon.stop());
    told.until("STOPPING=1").await;
    assert!(stopped.await.unwrap().success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hung_store_stops_the_watchdog() {
    if disk::left_out() {
        return;
    }
    let world = World::start(&quick()).await;
    let folder = &world.place.folder;
    let disk = Disk::new(folder.join("image"), &folder.join("state"));
    let told = Told::new(folder.join("notify"));
    let daemon = supervised(&world, &told);
    told.until("READY=1").await;
    told.until("WATCHDOG=1").await;

    disk.freeze();
    let place = world.place.clone();
    let event = call("a", "+491711234567").to_string();
    let posted = tokio::spawn(async move {
        place
            .try_post("script", None, Some("application/json"), event.as_bytes())
            .await
    });
    let mut silent = 0;
    while silent < STATUSES {
        let message = told.next().await;
        if value(&message, "WATCHDOG").is_some() {
            silent = 0;
        } else if value(&message, "STATUS").is_some() {
            silent += 1;
        }
    }
    assert!(!posted.is_finished(), "it said yes with nothing written");
    disk.thaw();
    told.until("WATCHDOG=1").await;
    assert_eq!(posted.await.unwrap().unwrap().0, 202);
    assert!(daemon.stop().await.success());
}
