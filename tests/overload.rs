//! The whole program under more than it can take: the admin interface answers, memory stays within what intake may use,
//! another phone system gets through, and what was acknowledged has its end.

use crate::support::{Config, PATIENCE, World, call, within};
use bytes::Bytes;
use hyper::Method;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::PermissionsExt as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinSet;

/// Where the other phone system is.
const ELSEWHERE: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);
const BODY_BYTES: usize = 1024 * 1024;
/// Each with a body of a megabyte: ten times what intake may hold, of which one sender may have half.
const FLOOD: usize = 640;
const HELD: usize = 32;

/// Resident memory of a process, in MiB.
fn resident(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmRSS:"))
        .unwrap();
    let kilobytes = line.split_whitespace().nth(1).unwrap();
    kilobytes.parse::<u64>().unwrap() / 1024
}

async fn connect_from(from: Ipv4Addr, to: SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind((from, 0).into()).unwrap();
    socket.connect(to).await.unwrap()
}

fn head(length: usize) -> String {
    format!(
        "POST /v1/pbx/script/events HTTP/1.1\r\nhost: t\r\nauthorization: Bearer token\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n"
    )
}

/// The status of one post on a connection of its own.
async fn post(mut stream: TcpStream, body: &str) -> Option<u16> {
    let request = head(body.len()) + body;
    stream.write_all(request.as_bytes()).await.ok()?;
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).await.ok()?;
    std::str::from_utf8(&answer)
        .ok()?
        .rsplit_once(' ')?
        .1
        .parse()
        .ok()
}

/// Bodies that never end: most are refused, the others held within the limit.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_bodies_leaves_memory_and_the_admin_interface_alone() {
    let config = Config {
        daemon: "[daemon.intake]\nconnections = 700\nbody_timeout = \"5min\"".to_owned(),
        ..Config::default()
    };
    let (world, daemon) = World::running(&config).await;
    // It is for its owner and group alone.
    let socket = std::fs::metadata(world.place.folder.join("admin.sock")).unwrap();
    assert_eq!(socket.permissions().mode() & 0o777, 0o660);
    let before = resident(daemon.pid());
    let half = Bytes::from(vec![b' '; BODY_BYTES - 1]);
    let mut flood = JoinSet::new();
    for _ in 0..FLOOD {
        let (listen, half) = (world.place.listen, half.clone());
        flood.spawn(async move {
            let Ok(mut stream) = TcpStream::connect(listen).await else {
                return;
            };
            let _ = stream.write_all(head(BODY_BYTES).as_bytes()).await;
            let _ = stream.write_all(&half).await;
            // Refused ones are answered, or cut.
            let _ = stream.read(&mut [0; 12]).await;
        });
    }
    let refused = async {
        while flood.len() > HELD {
            flood.join_next().await;
        }
    };
    within("all but those that there is room for are refused", refused).await;
    // The admin interface has places of its own.
    for path in ["/health", "/ready", "/status", "/metrics"] {
        let answer = world.place.ask(Method::GET, path, None).await;
        assert!(answer.is_some() || path == "/metrics", "{path}");
    }
    assert_eq!(world.place.cli(&["status"]).await.code, Some(0));
    // 64 MiB of bodies, hyper's buffers of each connection, and what the allocator keeps.
    let grown = resident(daemon.pid()).saturating_sub(before);
    assert!(grown < 250, "grown by {grown} MiB");
    // Another address gets through, though it is the same phone system.
    let event = call("a1", "+491711234567").to_string();
    let stream = connect_from(ELSEWHERE, world.place.listen).await;
    assert_eq!(within("an answer", post(stream, &event)).await, Some(202));
    daemon.settled(1).await;
    assert_eq!(flood.len(), HELD);
    drop(flood);
    assert!(daemon.stop().await.success());
}

/// More posts than are taken: each is acknowledged or told to come again, and the sums add up.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_events_loses_nothing_and_status_answers_meanwhile() {
    let mut config = Config::calls("ignore = [\"+49151*\"]");
    config.daemon = "[daemon.intake]\nconnections = 64\nqueue = 8".to_owned();
    let (world, daemon) = World::running(&config).await;
    let stop = Arc::new(AtomicBool::new(false));
    let (taken, busy) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let mut flood = JoinSet::new();
    for poster in 0..48 {
        let (listen, stop) = (world.place.listen, Arc::clone(&stop));
        let (taken, busy) = (Arc::clone(&taken), Arc::clone(&busy));
        flood.spawn(async move {
            for number in 0.. {
                if stop.load(Ordering::Relaxed) {
                    return;
                }
                let event = call(&format!("p{poster}-{number}"), "+4915112345678").to_string();
                let Ok(stream) = TcpStream::connect(listen).await else {
                    continue;
                };
                match post(stream, &event).await {
                    Some(202) => drop(taken.fetch_add(1, Ordering::Relaxed)),
                    Some(503) => drop(busy.fetch_add(1, Ordering::Relaxed)),
                    // Closed: the address has its share.
                    None => {}
                    Some(other) => panic!("{other}"),
                }
            }
        });
    }
    let flooded = async {
        while busy.load(Ordering::Relaxed) < 200 || taken.load(Ordering::Relaxed) < 200 {
            assert!(
                world
                    .place
                    .ask(Method::GET, "/status", None)
                    .await
                    .is_some()
            );
            assert!(
                world
                    .place
                    .ask(Method::GET, "/health", None)
                    .await
                    .is_some()
            );
        }
    };
    within("there is more than is taken", flooded).await;
    // In the midst of it another one's call is taken, logged, and has its end.
    let event = call("other", "+491711234567").to_string();
    loop {
        let stream = connect_from(ELSEWHERE, world.place.listen).await;
        if within("an answer", post(stream, &event)).await == Some(202) {
            break;
        }
    }
    daemon
        .until("it is logged", |status| status["events"]["logged"] == 1)
        .await;
    assert!(!flood.is_empty());
    stop.store(true, Ordering::Relaxed);
    tokio::time::timeout(PATIENCE, flood.join_all())
        .await
        .unwrap();
    let status = daemon.at_rest("all have their ends").await;
    let accepted = status["events"]["accepted"].as_u64().unwrap();
    assert!(accepted >= taken.load(Ordering::Relaxed) as u64, "{status}");
    assert_eq!(status["events"]["adds_up"], true);
}
