//! The phone book of the real program: what was acknowledged is there after a kill; the commands; a reload.

use super::super::support::{Config, World};
use super::desk::request;
use serde_json::json;
use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

const PROOF: (&str, &str) = ("authorization", "Bearer client-token");

async fn world() -> World {
    let config = Config {
        daemon: "[[client]]\nname = \"pbx\"\ntoken_file = \"client-token\"\nmay = [\"lookup\", \"contacts:read\", \"contacts:write\"]".to_owned(),
        ..Config::default()
    };
    let world = World::start(&config).await;
    fs::write(world.place.folder.join("client-token"), "client-token\n").unwrap();
    world
}

/// Puts until the daemon is gone; how many were acknowledged.
async fn write_until_killed(world: &World, run: usize, killed: Arc<AtomicBool>) -> usize {
    let mut acknowledged = 0;
    while !killed.load(Ordering::Relaxed) {
        let body = json!({"name": format!("N{run}-{acknowledged}"), "phones": [{"number": format!("+49211{run}{acknowledged:06}")}]});
        let path = format!("/v1/contacts/c{run}-{acknowledged}");
        let sent = request_if_there(world, &path, &body.to_string()).await;
        match sent {
            Some(201) => acknowledged += 1,
            Some(other) => panic!("{path}: {other}"),
            None => break,
        }
    }
    acknowledged
}

async fn request_if_there(world: &World, path: &str, body: &str) -> Option<u16> {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let mut stream = tokio::net::TcpStream::connect(world.place.listen)
        .await
        .ok()?;
    let head = format!(
        "PUT {path} HTTP/1.1\r\nhost: t\r\nconnection: close\r\n{}: {}\r\ncontent-length: {}\r\n\r\n{body}",
        PROOF.0,
        PROOF.1,
        body.len()
    );
    stream.write_all(head.as_bytes()).await.ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.ok()?;
    answer.split(' ').nth(1)?.parse().ok()
}

#[tokio::test]
async fn what_was_acknowledged_survives_kills() {
    let world = world().await;
    let mut acknowledged = Vec::new();
    for run in 5..8 {
        let daemon = world.place.start().await;
        let killed = Arc::new(AtomicBool::new(false));
        let writing = write_until_killed(&world, run, Arc::clone(&killed));
        let killing = async {
            // Amid the writing: some are there, and it goes on.
            let there = format!("/v1/contacts/c{run}-5");
            while request(world.place.listen, "GET", &there, &[PROOF], "")
                .await
                .status
                != 200
            {}
            killed.store(true, Ordering::Relaxed);
            daemon.kill();
        };
        let (count, ()) = tokio::join!(writing, killing);
        acknowledged.push((run, count));
    }
    let _daemon = world.place.start().await;
    let mut last = None;
    for (run, count) in acknowledged {
        assert!(count >= 5, "{count}");
        for number in 0..count {
            let path = format!("/v1/lookup?number=%2B49211{run}{number:06}&format=text");
            let reply = request(world.place.listen, "GET", &path, &[PROOF], "").await;
            assert_eq!(reply.body, format!("N{run}-{number}"));
        }
        let path = format!("/v1/contacts/c{run}-0");
        last = Some(request(world.place.listen, "GET", &path, &[PROOF], "").await);
    }
    // Versions and the history go on where they were.
    let last = last.unwrap();
    let etag = last.header("etag").to_owned();
    let path = format!("/v1/contacts/{}", last.json()["id"].as_str().unwrap());
    let headers = [PROOF, ("if-match", etag.as_str())];
    let reply = request(
        world.place.listen,
        "PATCH",
        &path,
        &headers,
        r#"{"name":"New"}"#,
    )
    .await;
    assert_eq!(reply.status, 200);
    let since = etag.trim_matches('"').parse::<u64>().unwrap();
    let path = format!("/v1/contacts/changes?limit=1000&since={since}");
    let changes = request(world.place.listen, "GET", &path, &[PROOF], "")
        .await
        .json();
    let newest = changes["changes"]
        .as_array()
        .unwrap()
        .last()
        .unwrap()
        .clone();
    assert_eq!(newest["contact"]["name"], "New");
}

#[tokio::test]
async fn the_commands_import_list_show_and_export() {
    let world = world().await;
    let place = &world.place;
    let mut daemon = Some(place.start().await);
    assert!(
        place
            .cli(&["contacts", "list"])
            .await
            .out
            .contains("the phone book is empty")
    );
    let mut file = "name,mobile,work,company\n".to_owned();
    for n in 0..600 {
        file.push_str(&format!("Person {n},0171 {:07},,Acme\n", 1_000_000 + n));
    }
    file.push_str("Wrong,1,,\n");
    fs::write(place.folder.join("people.csv"), file).unwrap();
    let dry = place
        .cli(&["contacts", "import", "people.csv", "--dry-run"])
        .await;
    assert_eq!(dry.code, Some(1), "{dry:?}");
    assert!(dry.out.contains("600 would be new"), "{}", dry.out);
    assert_eq!(place.status().await["contacts"], 0);
    let done = place
        .cli(&["contacts", "import", "people.csv", "--json"])
        .await;
    assert!(
        done.out.contains("\"created\":600") && done.out.contains("\"line\":602"),
        "{}",
        done.out
    );
    assert_eq!(place.status().await["contacts"], 600);

    let list = place.json(&["contacts", "list"]).await;
    assert_eq!(
        (list["contacts"].as_array().unwrap().len(), &list["more"]),
        (600, &json!(false))
    );
    let few = place.cli(&["contacts", "list", "--limit", "3"]).await.out;
    assert!(
        few.contains("+491711000") && few.contains("There are more"),
        "{few}"
    );
    let shown = place.json(&["contacts", "show", "0171/1000007"]).await;
    assert_eq!(shown["name"], "Person 7");
    let shown = place
        .cli(&["contacts", "show", shown["id"].as_str().unwrap()])
        .await
        .out;
    assert!(shown.contains("company   Acme"), "{shown}");
    let nobody = place.cli(&["contacts", "show", "nobody"]).await;
    assert_eq!(nobody.code, Some(3), "{nobody:?}");

    for (format, name) in [("csv", "all.csv"), ("vcard", "all.vcf")] {
        let done = place
            .cli(&["contacts", "export", "--format", format, name])
            .await;
        assert_eq!(done.code, Some(0), "{done:?}");
        let again = place.cli(&["contacts", "import", name]).await;
        assert!(
            again
                .out
                .starts_with("0 new, 0 changed, 600 as they were, 0 refused"),
            "{again:?}"
        );
    }
    let shown = place
        .cli(&["contacts", "export", "--format", "csv"])
        .await
        .out;
    assert_eq!(shown.lines().count(), 601);
    let metrics = place.metrics().await;
    assert!(metrics.contains("tieline_contacts{} 600"), "{metrics}");

    let path = "/v1/lookup?number=0171%201000007&format=text";
    let found = request(place.listen, "GET", path, &[PROOF], "").await;
    assert_eq!(found.body, "Person 7");
    assert!(
        place
            .metrics()
            .await
            .contains("tieline_lookups_total{outcome=\"found\"} 1")
    );
    assert!(!place.log().contains("1711000007"), "no number in the log");
    daemon.take().unwrap().stop().await;
    let away = place.cli(&["contacts", "list"]).await;
    assert_eq!(away.code, Some(69), "{away:?}");
}
