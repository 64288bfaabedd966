//! A disk that turns read-only while the daemon writes to it, as ext4 does after a fault of its own (`errors=remount-ro`),
//! and a start on one: what was acknowledged is kept, the daemon ends with words, and goes on once the disk is mended.
//!
//! Needs root, loop devices and ext4's `trigger_fs_error` in /sys. Where these are missing the test fails and says so;
//! `TIELINE_NO_MOUNT=1` leaves it out.

use super::crash::{generous, quick};
use super::support::{World, call, logs};
use rustix::process::Signal;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// Of the image, which is a file with holes; well above the disk's reserve.
const DISK_BYTES: u64 = 256 * 1024 * 1024;
/// Acknowledged before the disk turns, at least.
const CALLS: usize = 30;

/// An ext4 file system in a file, mounted; dropping it unmounts it.
struct Disk {
    image: PathBuf,
    at: PathBuf,
}

impl Disk {
    fn new(image: PathBuf, at: &Path) -> Self {
        File::create(&image).unwrap().set_len(DISK_BYTES).unwrap();
        fs::create_dir_all(at).unwrap();
        run("mkfs.ext4", &["-q", "-F", "-m", "0"], &[&image]);
        let disk = Self {
            image,
            at: at.to_owned(),
        };
        disk.mount("loop,errors=remount-ro");
        disk
    }

    fn mount(&self, options: &str) {
        run("mount", &["-o", options], &[&self.image, &self.at]);
    }

    fn unmount(&self) {
        run("umount", &[], &[&self.at]);
    }

    /// Has the file system find a fault in itself. `mount -o remount,ro` wouldn't do: it is refused while a file is open for writing.
    fn turn_read_only(&self) {
        let mounts = fs::read_to_string("/proc/mounts").unwrap();
        let at = self.at.canonicalize().unwrap();
        let mut lines = mounts.lines().map(|line| line.split(' '));
        let device = lines.find_map(|mut words| {
            let device = words.next()?;
            (Path::new(words.next()?) == at).then_some(device)
        });
        let device = device.expect("the disk is mounted").replace("/dev/", "");
        let trigger = format!("/sys/fs/ext4/{device}/trigger_fs_error");
        fs::write(&trigger, "the test").unwrap_or_else(|why| panic!("{trigger}: {why}; {NEEDS}"));
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Not mounted any more where the test came to its end.
        let _ = Command::new("umount").arg("-l").arg(&self.at).output();
    }
}

const NEEDS: &str = "this test needs root, loop devices and ext4; TIELINE_NO_MOUNT=1 leaves it out";

fn run(program: &str, words: &[&str], paths: &[&Path]) {
    let done = Command::new(program).args(words).args(paths).output();
    let done = done.unwrap_or_else(|why| panic!("{program}: {why}; {NEEDS}"));
    let said = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "{program}: {said}; {NEEDS}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_that_turns_read_only_ends_the_daemon_with_words_and_loses_nothing() {
    if std::env::var_os("TIELINE_NO_MOUNT").is_some() {
        eprintln!("left out: TIELINE_NO_MOUNT is set");
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
