//! A disk that turns read-only while the daemon writes to it, as ext4 does after a fault of its own (`errors=remount-ro`),
//! and a start on one: what was acknowledged is kept, the daemon ends with words, and goes on once the disk is mended.

use super::crash::{generous, quick};
use super::support::disk::{self, Disk, run};
use super::support::{World, call, logs};
use rustix::process::Signal;
use std::fs;
use std::process::{Command, ExitStatus};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// Acknowledged before the disk turns, at least.
const CALLS: usize = 30;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_that_turns_read_only_ends_the_daemon_with_words_and_loses_nothing() {
    if disk::left_out() {
        return;
    }
    let world = World::with(&quick(), generous()).await;
    let disk = Disk::new(
        world.place.folder.join("disk"),
        &world.place.folder.join("state"),
    );
    let daemon = world.place.start().await;
    let (taken, stop) = (
        Arc::new(AtomicUsize::new(0)),
        Arc::new(AtomicBool::new(false)),
    );
    let poster = tokio::spawn({
        let (place, taken, stop) = (world.place.clone(), Arc::clone(&taken), Arc::clone(&stop));
        async move {
            let (mut acknowledged, mut refused) = (Vec::new(), 0);
            for number in 0.. {
                if stop.load(Ordering::Relaxed) {
                    break;
                }
                let id = format!("c{number}");
                let body = call(&id, "+491711234567").to_string();
                let json = Some("application/json");
                match place.try_post("script", None, json, body.as_bytes()).await {
                    Ok((202, _)) => {
                        acknowledged.push(format!("tieline:script:{id}"));
                        taken.fetch_add(1, Ordering::Relaxed);
                    }
                    Ok((503, answer)) => {
                        assert!(answer["detail"].is_string(), "{answer}");
                        refused += 1;
                    }
                    Ok((status, answer)) => panic!("{status}: {answer}"),
                    // It ends, or has ended.
                    Err(_) => tokio::task::yield_now().await,
                }
            }
            (acknowledged, refused)
        }
    });
    daemon
        .until("calls are taken", |_| {
            taken.load(Ordering::Relaxed) >= CALLS
        })
        .await;
    // Between two syncs: ext4 tells one that meets the fault itself that all is on disk though nothing is, which nobody can
    // make good.
    daemon.halt();
    disk.turn_read_only();
    daemon.signal(Signal::CONT);
    said_and_ended(daemon.ended().await, &world.place.log(), "read-only file");
    stop.store(true, Ordering::Relaxed);
    let (acknowledged, refused) = poster.await.unwrap();
    println!("{} taken, {refused} refused with 503", acknowledged.len());

    // systemd starts it again: on the same disk, and after somebody mounted it read-only to look.
    for remount in [false, true] {
        if remount {
            disk.unmount();
            // 1: errors were corrected, which is what it is called for.
            let checked = Command::new("e2fsck")
                .args(["-p", "-f"])
                .arg(&disk.image)
                .output();
            let checked = checked.unwrap();
            assert!(matches!(checked.status.code(), Some(0 | 1)), "{checked:?}");
            disk.mount("loop");
            run("mount", &["-o", "remount,ro"], &[&disk.at]);
        }
        fs::write(world.place.folder.join("log"), "").unwrap();
        let ended = world.place.spawn().ready().await.err();
        let ended = ended.expect("a read-only disk is nothing to start on");
        said_and_ended(ended, &world.place.log(), "daemon.state_dir must be");
    }
    run("mount", &["-o", "remount,rw"], &[&disk.at]);
    let daemon = world.place.start().await;
    daemon.at_rest("what was taken is logged").await;
    let logs = logs(&world.sandbox);
    for one in &acknowledged {
        assert_eq!(logs.get(one), Some(&(1, 1)), "{one}");
    }
    assert!(logs.values().all(|made| *made == (1, 1)), "{logs:?}");
    assert!(daemon.stop().await.success());
    disk.unmount();
}

fn said_and_ended(ended: ExitStatus, log: &str, words: &str) {
    assert_eq!(ended.code(), Some(1), "{log}");
    let last = log.lines().last().unwrap_or_default();
    println!("{last}");
    assert!(
        last.to_lowercase().contains(words) && !last.contains("Os {"),
        "{log}"
    );
}
