//! Bytes that somebody sends who means harm: requests in requests, paths out of the house, heads without an end, noise.
//! Never a 2xx for anything but a whole request with its proof; whoever comes next is taken; the counts add up.

use super::*;
use crate::support::seed;
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

/// A whole request with its proof that stands where another's body should be.
fn smuggled() -> String {
    String::from_utf8(request(HQ, BEARER, b"{\"event\":\"smuggled\"}")).unwrap()
}

fn head(headers: &str) -> String {
    format!("POST {HQ} HTTP/1.1\r\nhost: t\r\n{BEARER}{headers}")
}

/// How many answers of each class there are in what came back.
fn answers(text: &str) -> (usize, usize) {
    let good = text.matches("HTTP/1.1 2").count();
    (good, text.matches("HTTP/1.1 ").count() - good)
}

impl World {
    /// Whoever comes next is taken, and what was taken is what stands in the journal.
    async fn is_well(&self, taken: usize) {
        let last = format!("{{\"event\":\"tea\",\"id\":\"after {taken}\"}}");
        is_taken(&self.post(HQ, BEARER, last).await);
        assert_eq!(self.journal.last_seq(), taken as u64 + 1);
        let pbxs = self.stats.pbxs.values();
        let accepted = pbxs
            .map(|counts| counts.accepted.load(Relaxed))
            .sum::<u64>();
        assert_eq!(accepted, taken as u64 + 1);
        assert!(!self.served.is_finished());
    }

    fn bodies(&self) -> Vec<String> {
        let entries = self.journal.after(0, 1000).unwrap();
        let text = |entry: tieline::calls::journal::Entry| {
            String::from_utf8(entry.posted.body.to_vec()).unwrap()
        };
        entries.into_iter().map(text).collect()
    }
}

#[tokio::test]
async fn no_request_hides_in_another() {
    let world = world(Wanted::default()).await;
    let (inner, length) = (smuggled(), EVENT.len());
    let chunks = format!("{length:x}\r\n{EVENT}\r\n0\r\n\r\n");
    let mut taken = 0;
    // A length and chunks: the chunks count, and what comes after them is no request (RFC 9112, 6.1).
    for (number, headers) in [
        format!(
            "content-length: {}\r\ntransfer-encoding: chunked\r\n",
            chunks.len() + inner.len()
        ),
        format!(
            "transfer-encoding: chunked\r\ncontent-length: {}\r\n",
            chunks.len() + inner.len()
        ),
        "transfer-encoding: chunked\r\ncontent-length: 4\r\n".to_owned(),
    ]
    .into_iter()
    .enumerate()
    {
        let event = EVENT.replace("a1", &format!("c{number}"));
        let chunks = chunks.replace(EVENT, &event);
        let answer = world
            .send(format!("{}\r\n{chunks}{inner}", head(&headers)))
            .await;
        assert_eq!(answers(&answer), (1, 0), "{headers}: {answer}");
        assert!(answer.contains("connection: close"), "{headers}: {answer}");
        taken += 1;
    }
    // Everything about which two servers could disagree is refused, and the connection with it.
    for headers in [
        format!("content-length: {length}\r\ncontent-length: 0\r\n"),
        format!("content-length: 0, {length}\r\n"),
        format!("content-length: +{length}\r\n"),
        "content-length: -1\r\n".to_owned(),
        format!("content-length: 0x{length:x}\r\n"),
        format!("content-length: {length} \x0b\r\n"),
        format!("content-length : {length}\r\n"),
        format!("content-length\t: {length}\r\n"),
        format!("content-length: 0\r\n {length}\r\n"),
        format!("x: y\r\n\tcontent-length: {length}\r\n"),
        format!(" content-length: {length}\r\n"),
        format!("content-length: 0\rcontent-length: {length}\r\n"),
        format!("content\0-length: {length}\r\n"),
        format!("x: \0\r\ncontent-length: {length}\r\n"),
        "transfer-encoding: xchunked\r\n".to_owned(),
        "transfer-encoding: chunked, identity\r\n".to_owned(),
        "transfer-encoding: identity\r\n".to_owned(),
        "transfer-encoding : chunked\r\n".to_owned(),
        "transfer-encoding: chunked\r\ntransfer-encoding: identity\r\n".to_owned(),
    ] {
        let answer = world
            .send(format!("{}\r\n{EVENT}{inner}", head(&headers)))
            .await;
        assert_eq!(answers(&answer).0, 0, "{headers:?}: {answer}");
    }
    let old = head("transfer-encoding: chunked\r\n").replace("HTTP/1.1", "HTTP/1.0");
    let answer = world.send(format!("{old}\r\n{chunks}{inner}")).await;
    assert!(!answer.contains(" 202 "), "{answer}");
    for body in [
        format!("0x{length:x}\r\n{EVENT}\r\n0\r\n\r\n"),
        format!("+{length:x}\r\n{EVENT}\r\n0\r\n\r\n"),
        format!("-1\r\n{EVENT}\r\n0\r\n\r\n"),
        format!("{length:x}{EVENT}\r\n0\r\n\r\n"),
        format!("{:x}\r\n{EVENT}\r\n0\r\n\r\n", length - 1),
        format!("{:x}\r\n{EVENT}\r\n0\r\n\r\n", length + 1),
        format!("10000000000000000{length:x}\r\n{EVENT}\r\n0\r\n\r\n"),
        format!("ffffffffffffffff\r\n{EVENT}\r\n0\r\n\r\n"),
        format!("{length:x};{}\r\n{EVENT}\r\n0\r\n\r\n", "x".repeat(40_000)),
        format!("\r\n{EVENT}\r\n0\r\n\r\n"),
        format!("{length:x}\r\n{EVENT}\r\n\r\n"),
    ] {
        let request = format!(
            "{}\r\n{body}{inner}",
            head("transfer-encoding: chunked\r\n")
        );
        let answer = world.send(request).await;
        assert_eq!(answers(&answer).0, 0, "{body:.60}: {answer}");
    }
    assert!(world.bodies().iter().all(|body| !body.contains("smuggled")));
    world.is_well(taken).await;
}

#[tokio::test]
async fn no_path_leads_out_of_the_house_or_around_the_door() {
    let world = world(Wanted::default()).await;
    for path in [
        "/v1/pbx/../pbx/hq/events",
        "/v1/pbx/hq/../hq/events",
        "/v1/pbx/open/../hq/events",
        "/v1/pbx/./hq/events",
        "/v1/pbx/%2e%2e/hq/events",
        "/v1/pbx/%2e%2e%2fhq/events",
        "/v1/pbx/hq%2fevents",
        "/v1/pbx/hq%00/events",
        "/v1/pbx/hq%00open/events",
        "/v1/pbx/%68q/events",
        "/v1/pbx/hq%20/events",
        "/v1/pbx/hq;x=y/events",
        "/v1/pbx/HQ/events",
        "/V1/pbx/hq/events",
        "//v1/pbx/hq/events",
        "/v1//pbx/hq/events",
        "/v1/pbx//events",
        "/v1/pbx/events",
        "/v1/pbx/hq/events/",
        "/v1/pbx/hq/events/../../../../etc/passwd",
        "/../../etc/passwd",
        "/%2e%2e/%2e%2e/etc/passwd",
        "/v1/pbx/..%5c..%5chq/events",
        "/v1/pbx/hq\\events",
        "/status",
        "/dead/drop",
        "/metrics",
    ] {
        let answer = world.post(path, BEARER, EVENT).await;
        assert_eq!(answers(&answer), (0, 1), "{path}: {answer}");
        assert!(answer.starts_with("HTTP/1.1 40"), "{path}: {answer}");
    }
    for target in ["*", "hq:80", "http:/", "v1/pbx/hq/events", "?x", ""] {
        let answer = world.post(target, BEARER, EVENT).await;
        assert_eq!(answers(&answer).0, 0, "{target}: {answer}");
    }
    for method in [
        "CONNECT", "OPTIONS", "TRACE", "PUT", "DELETE", "post", "PO ST", "PRI",
    ] {
        let request = String::from_utf8(request(HQ, BEARER, EVENT.as_bytes())).unwrap();
        let answer = world.send(request.replacen("POST", method, 1)).await;
        assert_eq!(answers(&answer).0, 0, "{method}: {answer}");
    }
    // Another phone system's name doesn't make its proof ours.
    let answer = world.post("/v1/pbx/basic/events", BEARER, EVENT).await;
    is_problem(&answer, 401, "missing or wrong");
    world.is_well(0).await;
}

#[tokio::test]
async fn heads_without_an_end_and_other_protocols_are_cut_off() {
    let world = world(Wanted::default()).await;
    let lines = |count: usize| {
        (0..count)
            .map(|number| format!("x-{number}: y\r\n"))
            .collect::<String>()
    };
    for noise in [
        // Never a line end; never an end of the head; more headers than any phone system has.
        format!("POST {HQ}?{}", "x".repeat(1 << 20)).into_bytes(),
        format!("POST {HQ} HTTP/1.1\r\nx: {}", "y".repeat(1 << 20)).into_bytes(),
        format!("POST {HQ} HTTP/1.1\r\n{}", lines(100_000)).into_bytes(),
        head(&lines(65)).into_bytes(),
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0".to_vec(),
        // TLS and SIP, to a port that speaks HTTP.
        b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03".repeat(100),
        b"INVITE sip:101@example.org SIP/2.0\r\n\r\n".to_vec(),
        b"\r\n".repeat(100_000),
        vec![0; 1 << 20],
    ] {
        let mut stream = TcpStream::connect(world.address).await.unwrap();
        let _ = stream.write_all(&noise).await;
        let _ = stream.shutdown().await;
        let answer = read_all(&mut stream).await;
        assert_eq!(answers(&answer).0, 0, "{answer}");
    }
    let upgrade = format!("{BEARER}upgrade: h2c\r\nhttp2-settings: AAMAAABkAARAAAAA\r\n");
    is_taken(&world.post(HQ, &upgrade, EVENT).await);
    world.is_well(1).await;
}

/// What somebody may do to the bytes of a good request.
#[derive(Clone, Debug)]
enum Edit {
    Put(usize, u8),
    Insert(usize, Vec<u8>),
    Cut(usize, usize),
    Repeat(usize, usize),
}

fn edit() -> impl Strategy<Value = Edit> {
    let at = 0_usize..400;
    let piece = prop_oneof![
        prop::collection::vec(any::<u8>(), 1..8),
        prop::sample::select(vec![
            "\r\n",
            "\n",
            "\r",
            "\0",
            " ",
            "\t",
            ":",
            "\r\n\r\n",
            "0\r\n\r\n",
            "content-length: 1\r\n",
            "transfer-encoding: chunked\r\n",
            "HTTP/1.0",
            "%00",
            "/../",
            "expect: 100-continue\r\n",
        ])
        .prop_map(|text| text.as_bytes().to_vec()),
    ];
    prop_oneof![
        (at.clone(), any::<u8>()).prop_map(|(at, byte)| Edit::Put(at, byte)),
        (at.clone(), piece).prop_map(|(at, piece)| Edit::Insert(at, piece)),
        (at.clone(), 1_usize..40).prop_map(|(at, count)| Edit::Cut(at, count)),
        (at, 1_usize..200).prop_map(|(at, count)| Edit::Repeat(at, count)),
    ]
}

fn edited(mut bytes: Vec<u8>, edits: &[Edit]) -> Vec<u8> {
    for edit in edits {
        let last = bytes.len();
        match edit {
            Edit::Put(at, byte) => {
                if let Some(place) = bytes.get_mut(*at) {
                    *place = *byte;
                }
            }
            Edit::Insert(at, piece) => {
                let at = (*at).min(last);
                bytes.splice(at..at, piece.iter().copied());
            }
            Edit::Cut(at, count) => {
                let from = (*at).min(last);
                bytes.drain(from..(from + count).min(last));
            }
            Edit::Repeat(at, count) => {
                let from = (*at).min(last);
                let piece = bytes[from..(from + count).min(last)].to_vec();
                bytes.splice(from..from, piece);
            }
        }
    }
    bytes
}

fn noise() -> impl Strategy<Value = Vec<u8>> {
    let edits = prop::collection::vec(edit(), 1..5);
    prop_oneof![
        1 => prop::collection::vec(any::<u8>(), 0..2000),
        4 => (edits, any::<bool>()).prop_map(|(edits, proof)| {
            let proof = if proof { BEARER } else { "authorization: Bearer wrong!\r\n" };
            edited(request(HQ, proof, EVENT.as_bytes()), &edits)
        }),
    ]
}

fn holds(bytes: &[u8], wanted: &[u8]) -> bool {
    bytes
        .windows(wanted.len().max(1))
        .any(|window| window == wanted)
}

#[test]
fn noise_is_never_taken_for_an_event() {
    let seed = seed();
    let bytes: Vec<u8> = seed.to_le_bytes().repeat(4);
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
    let config = Config {
        cases: 2_000,
        failure_persistence: None,
        ..Config::default()
    };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let world = runtime.block_on(world(Wanted::default()));
    let mut told = std::collections::BTreeSet::new();
    let told = std::cell::RefCell::new(&mut told);
    let outcome = TestRunner::new_with_rng(config, rng).run(&noise(), |bytes| {
        let before = world.journal.last_seq();
        let answer = runtime.block_on(async {
            let mut stream = TcpStream::connect(world.address).await.unwrap();
            let _ = stream.write_all(&bytes).await;
            let _ = stream.shutdown().await;
            let mut answer = Vec::new();
            let ended = timeout(PATIENCE, stream.read_to_end(&mut answer)).await;
            ended.expect("no answer in time").ok();
            String::from_utf8_lossy(&answer).into_owned()
        });
        let good = answers(&answer).0;
        let new = world.journal.after(before, 100).unwrap();
        for entry in &new {
            // What was taken stood in what was sent, with the proof before it.
            prop_assert!(holds(&bytes, b"Bearer s3cret"), "{answer}");
            prop_assert!(holds(&bytes, &entry.posted.body), "{answer}");
            prop_assert_eq!(entry.posted.pbx.as_str(), "hq");
        }
        prop_assert!(good == 0 || holds(&bytes, b"Bearer s3cret"), "{answer}");
        told.borrow_mut().extend(new.iter().map(|entry| entry.id));
        Ok(())
    });
    if let Err(fault) = outcome {
        panic!("TIELINE_SEED={seed}: {fault}");
    }
    let told = told.into_inner().len();
    assert_eq!(told as u64, world.journal.last_seq());
    runtime.block_on(world.is_well(told));
}
