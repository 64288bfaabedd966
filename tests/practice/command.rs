//! `tieline simulate` as an administrator uses it: against a running daemon, and as the phone system that a daemon connects to.

use crate::support::{Config, Integration, World, attribute, logs, within};
use serde_json::Value;
use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tieline::settings::types::Dialect;
use tieline::simulate::play::{self, Target};
use tieline::simulate::{Proof, Scenario, writers};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_are_played_and_their_ends_told() {
    let (world, daemon) = World::running(&Config::default()).await;
    let played = [
        "simulate",
        "pbx",
        "--dialect",
        "tieline",
        "--rate",
        "500/s",
        "--seed",
        "7",
    ];
    let all = Scenario::ALL.len();
    let report = daemon.place.json(&played).await;
    assert_eq!(report["accepted"], report["posts"], "{report:#}");
    assert_eq!(report["seed"], 7);
    let calls = report["calls"].as_array().unwrap();
    assert_eq!(calls.len(), all, "{report:#}");
    for call in calls {
        let filtered = matches!(call["what"].as_str().unwrap(), "internal" | "anonymous");
        assert_eq!(
            call["end"],
            if filtered { "filtered" } else { "logged" },
            "{call:#}"
        );
        assert_eq!(call["conversation"].is_null(), filtered, "{call:#}");
    }
    // All but those two, each once; the recording came after its call was logged, and stands in its note.
    let once = logs(&world.sandbox);
    assert_eq!(once.len(), all - 2);
    assert!(once.values().all(|counts| *counts == (1, 1)), "{once:?}");
    let notes = world.sandbox.notes();
    let with_link = notes
        .iter()
        .filter(|note| attribute(note, "body").contains("/recordings/"));
    assert_eq!(with_link.count(), 1);
    // For people, in disorder and twice: new calls of one scenario.
    let again = [
        "simulate",
        "pbx",
        "--pbx",
        "hq",
        "--scenario",
        "busy,queue",
        "--calls",
        "4",
        "--shuffle",
        "--double",
        "--rate",
        "500",
    ];
    let finished = daemon.place.cli(&again).await;
    assert_eq!(finished.code, Some(0), "{finished:?}");
    assert!(
        finished.out.contains("incoming missed (busy)"),
        "{}",
        finished.out
    );
    assert_eq!(logs(&world.sandbox).len(), all - 2 + 4);
    // A recording, made new.
    let file = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/fixtures/calls/freeswitch/01-inbound-answered"
    );
    let recorded = [
        "simulate",
        "pbx",
        "--dialect",
        "freeswitch",
        "--file",
        file,
        "--calls",
        "2",
    ];
    let report = daemon.place.json(&recorded).await;
    assert_eq!(report["calls"].as_array().unwrap().len(), 2, "{report:#}");
    assert_eq!(logs(&world.sandbox).len(), all - 2 + 4 + 2);
}

#[tokio::test]
async fn what_goes_wrong_is_said() {
    let (world, daemon) = World::running(&Config::default()).await;
    let place = &daemon.place;
    let url = format!("http://{}", place.listen);
    let far = [
        "simulate",
        "pbx",
        "--url",
        "http://192.0.2.1:8480",
        "--pbx",
        "hq",
        "--dialect",
        "freeswitch",
    ];
    let finished = place.cli(&far).await;
    assert_eq!(finished.code, Some(1));
    assert!(finished.err.contains("--yes"), "{}", finished.err);
    // Without the proof, and with it.
    let one = [
        "simulate",
        "pbx",
        "--url",
        &url,
        "--pbx",
        "script",
        "--dialect",
        "tieline",
        "--scenario",
        "text-in",
    ];
    let finished = place.cli(&one).await;
    assert_eq!(finished.code, Some(1), "{finished:?}");
    assert!(
        finished
            .out
            .contains("refused: 401 the token is missing or wrong"),
        "{}",
        finished.out
    );
    let proven = ["--auth", "bearer", "--token-file", "script-token"];
    let finished = place.cli(&[one.as_slice(), &proven].concat()).await;
    assert_eq!(finished.code, Some(0), "{finished:?}");
    let unable = place
        .cli(&[
            "simulate",
            "pbx",
            "--dialect",
            "freeswitch",
            "--scenario",
            "text-in",
        ])
        .await;
    assert_eq!(unable.code, Some(1));
    assert!(
        unable.err.contains("freeswitch can't tell of `text-in`"),
        "{}",
        unable.err
    );
    let listed = place.cli(&["simulate", "pbx", "--dialect", "twilio"]).await;
    assert!(
        listed.err.contains("dialect = \"twilio\""),
        "{}",
        listed.err
    );
    // A daemon whose calls go to a real Kustomer.
    let real = Config {
        integrations: vec![Integration {
            url: Some("https://acme.api.kustomerapp.com".to_owned()),
            ..Integration::named("support")
        }],
        ..Config::default()
    };
    world.configure(&real);
    let finished = place
        .cli(&["simulate", "pbx", "--dialect", "freeswitch"])
        .await;
    assert_eq!(finished.code, Some(1), "{finished:?}");
    assert!(finished.err.contains("--yes"), "{}", finished.err);
    world.configure(&Config::default());
    let place = daemon.place.clone();
    assert!(daemon.stop().await.success());
    let finished = place
        .cli(&["simulate", "pbx", "--dialect", "freeswitch"])
        .await;
    assert_eq!(finished.code, Some(69), "{finished:?}");
    let list = place.json(&["simulate", "list"]).await;
    for dialect in Dialect::ALL {
        let says = writers::says(dialect).len();
        assert_eq!(
            list["dialects"][dialect.word()].as_array().map(Vec::len),
            Some(says)
        );
    }
}

/// Not a daemon: it says 503 twice, then yes.
#[tokio::test]
async fn a_post_is_tried_again_after_the_wait_that_503_asks_for() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let turn = count.fetch_add(1, Ordering::Relaxed);
            let mut head = [0; 4096];
            let _ = stream.read(&mut head).await;
            let answer = if turn < 2 {
                "HTTP/1.1 503 Service Unavailable\r\nRetry-After: 0\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
            } else {
                "HTTP/1.1 202 Accepted\r\nContent-Length: 27\r\nConnection: close\r\n\r\n{\"id\":\"e1\",\"repeat\":false}\r\n"
            };
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    });
    let target = Arc::new(Target {
        address,
        path: "/v1/pbx/hq/events".to_owned(),
        proof: Proof::None,
    });
    let told = writers::write(Dialect::Tieline, &super::call(Scenario::TextIn, 1));
    let posts = told.posts.into_iter().map(|post| (0, post)).collect();
    let tally = within("three tries", play::play(&target, posts, 100.0, true))
        .await
        .unwrap();
    assert_eq!((tally.accepted, tally.retried), (1, 2), "{tally:?}");
    assert_eq!(tally.events[&0], "e1");
    assert_eq!(asked.load(Ordering::Relaxed), 3);
}

/// The command as a phone system, and the address that it says it has.
struct Served {
    child: std::process::Child,
    address: String,
}

impl Served {
    fn start(args: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tieline"));
        command
            .args([
                "simulate",
                "pbx",
                "--listen",
                "127.0.0.1:0",
                "--rate",
                "1000",
            ])
            .args(args);
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        let address = line
            .split('"')
            .nth(1)
            .unwrap_or_else(|| panic!("{line}"))
            .to_owned();
        Self { child, address }
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_daemon_that_connects_hears_the_calls() {
    let recording = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/fixtures/calls/freeswitch/01-inbound-answered"
    );
    let ami = Served::start(&["--serve", "ami"]);
    let esl = Served::start(&["--serve", "esl"]);
    let recorded = Served::start(&["--serve", "esl", "--file", recording]);
    let mut daemon = String::new();
    for (name, dialect, at, user) in [
        ("as", "asterisk", &ami.address, "user = \"tieline\""),
        ("fs", "freeswitch", &esl.address, ""),
        ("rec", "freeswitch", &recorded.address, ""),
    ] {
        daemon += &format!(
            "\n[[pbx]]\nname = \"{name}\"\ndialect = \"{dialect}\"\nconnect = \"{at}\"\n{user}\nsecret_file = \"script-token\"\n\
             extensions = [\"100-199\"]\nsettle = \"300ms\"\n"
        );
    }
    let (world, daemon) = World::running(&Config {
        daemon,
        ..Config::default()
    })
    .await;
    // Anonymous and internal ones aren't logged.
    let calls = |dialect: Dialect| {
        let says = writers::says(dialect).iter();
        says.filter(|scenario| {
            !scenario.is_text() && !matches!(scenario, Scenario::Internal | Scenario::Anonymous)
        })
        .count()
    };
    let wanted = calls(Dialect::Asterisk) + calls(Dialect::Freeswitch) + 1;
    daemon
        .until("all calls are logged", |status| {
            status["events"]["logged"] == wanted && status["events"]["in_flight"] == 0
        })
        .await;
    let logs = logs(&world.sandbox);
    assert_eq!(logs.len(), wanted, "{logs:#?}");
    assert!(logs.values().all(|counts| *counts == (1, 1)), "{logs:#?}");
    let mut heads: Vec<String> = world.sandbox.notes().iter().map(head).collect();
    heads.sort();
    let count = |line: &str| heads.iter().filter(|head| *head == line).count();
    // Answered, queue and transfer on both, and the recorded one.
    assert_eq!(count("Incoming call, answered"), 7, "{heads:#?}");
    assert_eq!(count("Incoming call, missed: busy"), 2, "{heads:#?}");
    assert_eq!(
        count("Incoming call, missed: caller gave up"),
        2,
        "{heads:#?}"
    );
    assert_eq!(count("Outgoing call, not answered: busy"), 2, "{heads:#?}");
    assert_eq!(
        heads
            .iter()
            .filter(|head| head.starts_with("Incoming call, voicemail"))
            .count(),
        2,
        "{heads:#?}"
    );
}

fn head(note: &Value) -> String {
    attribute(note, "body").lines().next().unwrap().to_owned()
}
