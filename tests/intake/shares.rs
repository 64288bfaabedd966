//! Nobody keeps another out: connections by address, requests and bodies by phone system, the journal's queue.

use super::*;
use std::net::Ipv4Addr;
use tieline::calls::journal::{JournalLimits, Posted};
use tieline::store::StoreFault;
use tokio::net::TcpSocket;

/// Where the others come from.
const ELSEWHERE: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);

async fn connect_from(from: Ipv4Addr, to: SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind((from, 0).into()).unwrap();
    socket.connect(to).await.unwrap()
}

/// A request that is in hand: its head was taken, its body is waited for. Else the answer, empty if there was none.
async fn begin(mut stream: TcpStream, target: &str, headers: &str) -> Result<TcpStream, String> {
    let length = if headers.contains(CHUNKED) {
        String::new()
    } else {
        format!("content-length: {}\r\n", EVENT.len())
    };
    let head = format!(
        "POST {target} HTTP/1.1\r\nhost: t\r\nconnection: close\r\nexpect: 100-continue\r\n{length}{headers}\r\n"
    );
    let _ = stream.write_all(head.as_bytes()).await;
    let mut answer = [0; 25];
    let answered = timeout(PATIENCE, stream.read_exact(&mut answer)).await;
    match answered.expect("no answer in time") {
        Ok(_) if answer.starts_with(b"HTTP/1.1 100 ") => Ok(stream),
        Ok(_) => {
            let rest = read_all(&mut stream).await;
            Err(format!("{}{rest}", String::from_utf8_lossy(&answer)))
        }
        Err(_) => Err(String::new()),
    }
}

async fn finish(mut stream: TcpStream) {
    stream.write_all(EVENT.as_bytes()).await.unwrap();
    is_taken(&read_all(&mut stream).await);
}

fn small(connections: usize) -> Wanted {
    let mut wanted = Wanted::default();
    wanted.limits.connections = connections;
    wanted.limits.body_timeout = PATIENCE;
    wanted
}

const OPEN: &str = "/v1/pbx/open/events";
const CHUNKED: &str = "transfer-encoding: chunked\r\n";

#[tokio::test]
async fn a_phone_system_that_floods_leaves_room_for_another() {
    let world = world(small(16)).await;
    let mut held = Vec::new();
    let refused = loop {
        let stream = TcpStream::connect(world.address).await.unwrap();
        match begin(stream, HQ, BEARER).await {
            Ok(stream) => held.push(stream),
            Err(answer) => break answer,
        }
    };
    // Half of the places, and a 503 at once instead of a wait.
    assert_eq!(held.len(), 8);
    is_problem(&refused, 503, "send it again");
    assert!(refused.contains("retry-after: 1"), "{refused}");
    assert_eq!(world.stats.pbxs["hq"].unavailable.load(Relaxed), 1);
    // From the same address, as behind a proxy.
    is_taken(&world.post(OPEN, "", EVENT).await);
    // A flood from one address is none from another.
    let stream = connect_from(ELSEWHERE, world.address).await;
    finish(begin(stream, HQ, BEARER).await.unwrap()).await;
    for stream in held {
        finish(stream).await;
    }
    is_taken(&world.post(HQ, BEARER, EVENT).await);
}

#[tokio::test]
async fn an_address_that_floods_leaves_connections_for_others() {
    let world = world(small(16)).await;
    let mut held = Vec::new();
    // Of several phone systems, so that none of them is at its own share.
    let targets = [
        OPEN,
        "/v1/pbx/query/events?token=s3cret",
        "/v1/pbx/hmac/events",
    ];
    for (number, target) in targets.iter().cycle().enumerate() {
        let stream = TcpStream::connect(world.address).await.unwrap();
        match begin(stream, target, "x-signature: 00\r\n").await {
            Ok(stream) => held.push(stream),
            Err(answer) => {
                assert_eq!(answer, "", "{number} is closed without an answer");
                break;
            }
        }
    }
    assert_eq!(held.len(), 12, "three quarters");
    let stream = connect_from(ELSEWHERE, world.address).await;
    finish(begin(stream, HQ, BEARER).await.unwrap()).await;
    // Whoever goes makes room at home, too.
    finish(held.swap_remove(0)).await;
    is_taken(&world.post(HQ, BEARER, EVENT).await);
}

#[tokio::test]
async fn bodies_of_one_phone_system_leave_memory_for_another() {
    let mut wanted = small(100);
    // Of unknown length each may become as long: a quarter of what intake may use.
    wanted.limits.body_bytes = 16 * 1024 * 1024;
    let world = world(wanted).await;
    let mut held = Vec::new();
    let refused = loop {
        let stream = TcpStream::connect(world.address).await.unwrap();
        match begin(stream, HQ, &format!("{BEARER}{CHUNKED}")).await {
            Ok(stream) => held.push(stream),
            Err(answer) => break answer,
        }
    };
    assert_eq!(held.len(), 2);
    is_problem(&refused, 503, "send it again");
    let stream = TcpStream::connect(world.address).await.unwrap();
    assert!(begin(stream, OPEN, CHUNKED).await.is_ok());
    is_taken(&world.post(OPEN, "", EVENT).await);
}

/// One thread: the scribe doesn't come to take anything before all of these are in its queue.
#[tokio::test]
async fn the_queue_for_the_disk_has_room_for_every_phone_system() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(&dir.path().join("store"), StoreOptions::default()).unwrap();
    let journal = Journal::open(store, 8).unwrap();
    let append = |pbx: &str, number: usize| {
        journal.append(Posted {
            pbx: pbx.to_owned(),
            received: jiff::Timestamp::UNIX_EPOCH,
            content_type: None,
            query: None,
            body: format!("{{\"id\":{number}}}").into(),
        })
    };
    let (a, b, c, d, e, other) = tokio::join!(
        append("hq", 1),
        append("hq", 2),
        append("hq", 3),
        append("hq", 4),
        append("hq", 5),
        append("other", 1),
    );
    for taken in [a, b, c, d, other] {
        taken.unwrap();
    }
    assert_eq!(e.unwrap_err(), StoreFault::Busy);
    // What was written gave its place back.
    append("hq", 5).await.unwrap();
}

#[tokio::test]
async fn what_stays_in_memory_has_an_end() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(&dir.path().join("store"), StoreOptions::default()).unwrap();
    let limits = JournalLimits {
        in_flight: 3,
        held: 5,
        ..JournalLimits::with_queue(8)
    };
    let journal = Journal::with(store, limits).unwrap();
    let append = async |number: u64| {
        let posted = Posted {
            pbx: "hq".to_owned(),
            received: jiff::Timestamp::UNIX_EPOCH,
            content_type: None,
            query: None,
            body: format!("{{\"id\":{number}}}").into(),
        };
        journal
            .append(posted)
            .await
            .map_err(|fault| fault.to_string())
    };
    // Nobody has told yet how many have an end.
    for number in 1..=4 {
        append(number).await.unwrap();
    }
    journal.tell_ended(1);
    let why = append(5).await.unwrap_err();
    assert!(why.contains("3 events wait for their end"), "{why}");
    journal.tell_ended(4);
    let last = append(5).await.unwrap();
    let why = append(6).await.unwrap_err();
    assert!(why.contains("5 events are kept"), "{why}");
    journal.remove(vec![(last.seq, last.id)]).await.unwrap();
    append(6).await.unwrap();
}
