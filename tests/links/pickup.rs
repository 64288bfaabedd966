//! Records that FreeSWITCH left in its error folder: each is logged once, and moved away when it is on disk.

use super::world;
use crate::support::{Config, logs, recorded};
use std::fs::{self, File};
use std::path::Path;
use std::time::{Duration, SystemTime};

/// Writes a file as if that long ago.
fn leave(path: &Path, bytes: &[u8], age: Duration) {
    fs::write(path, bytes).unwrap();
    let file = File::options().write(true).open(path).unwrap();
    #[allow(clippy::disallowed_methods, reason = "a file's time is the system's")]
    file.set_modified(SystemTime::now() - age).unwrap();
}

fn names(folder: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(folder) else {
        return Vec::new();
    };
    let files = entries
        .map(|entry| entry.unwrap())
        .filter(|entry| entry.path().is_file());
    let mut names: Vec<String> = files
        .map(|entry| entry.file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn records_left_while_we_were_down_are_taken_once() {
    let config = Config {
        daemon: "\n[[pbx]]\nname = \"left\"\ndialect = \"freeswitch\"\npickup_dir = \"errors\"\nextensions = [\"100-199\"]\nsettle = \"150ms\"\n".to_owned(),
        ..Config::default()
    };
    let world = world(&config).await;
    let errors = world.place.folder.join("errors");
    fs::create_dir(&errors).unwrap();
    let long_ago = Duration::from_secs(600);
    let (mut wanted, mut different) = (Vec::new(), std::collections::BTreeSet::new());
    for name in ["01-inbound-answered", "11-outbound-answered"] {
        let (posts, expected) = recorded(name);
        wanted.push(format!(
            "tieline:left:{}",
            expected["key"].as_str().unwrap()
        ));
        for (number, post) in posts.iter().enumerate() {
            let ending = if post.body.starts_with(b"<") {
                "xml"
            } else {
                "json"
            };
            different.insert(post.body.clone());
            leave(
                &errors.join(format!("{name}-{number}.cdr.{ending}")),
                &post.body,
                long_ago,
            );
        }
    }
    let count = names(&errors).len();
    leave(
        &errors.join("half.cdr.json"),
        b"{\"variables\":{\"uuid\":\"x",
        long_ago,
    );
    leave(
        &errors.join("fresh.cdr.json"),
        b"{\"variables\":",
        Duration::ZERO,
    );
    leave(&errors.join("freeswitch.log"), b"not ours", long_ago);
    let daemon = world.place.start().await;
    let status = daemon
        .until("all files are taken", |status| {
            let folder = &status["folders"][0];
            let known = folder["taken"].as_u64().unwrap() + folder["repeated"].as_u64().unwrap();
            known == count as u64 && folder["refused"] == 1
        })
        .await;
    // Two modules left the same record.
    assert!(
        different.len() < count && status["events"]["accepted"] == different.len(),
        "{status}"
    );
    assert_eq!(names(&errors), ["freeswitch.log", "fresh.cdr.json"]);
    assert_eq!(names(&errors.join("taken")).len(), count);
    assert_eq!(names(&errors.join("refused")), ["half.cdr.json"]);
    // One comes again: it is known.
    let again = names(&errors.join("taken")).remove(0);
    let bytes = fs::read(errors.join("taken").join(&again)).unwrap();
    leave(&errors.join("again.cdr.json"), &bytes, long_ago);
    let repeats = count - different.len() + 1;
    daemon
        .until("the repeat is known", |status| {
            status["folders"][0]["repeated"] == repeats
        })
        .await;
    let status = daemon.at_rest("every event has its end").await;
    assert_eq!(
        (&status["events"]["accepted"], &status["events"]["dead"]),
        (&different.len().into(), &0.into()),
        "{status}"
    );
    let made = logs(&world.sandbox);
    wanted.sort();
    assert_eq!(made.keys().cloned().collect::<Vec<_>>(), wanted);
    assert!(made.values().all(|made| *made == (1, 1)));
}
