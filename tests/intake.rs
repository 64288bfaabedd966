//! The listener over real sockets: every outcome of a post, bad input and floods included.

mod attacks;
mod handshakes;
mod shares;

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;
use tieline::calls::intake::{Intake, IntakeStats, routes, server};
use tieline::calls::journal::{Journal, QUEUE_POSTS_DEFAULT};
use tieline::settings::types::{Auth, Dialect, HmacAlgorithm, IntakeLimits, PbxSettings};
use tieline::store::{Store, StoreOptions};
use tieline::terms::number::NumberPlan;
use tieline::terms::party::Extensions;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;

const EVENT: &str = r#"{"event":"call.ended","id":"a1","direction":"in","from":"+491711234567","to":"+4921155500100","started":"2026-11-20T12:24:29Z","ended":"2026-11-20T12:24:36Z"}"#;
/// No answer takes this long unless it never comes.
const PATIENCE: Duration = Duration::from_secs(20);

struct World {
    address: SocketAddr,
    journal: Journal,
    stats: Arc<IntakeStats>,
    stop: watch::Sender<bool>,
    served: JoinHandle<Result<(), server::Panicked>>,
    _dir: tempfile::TempDir,
}

struct Wanted {
    limits: IntakeLimits,
    store: StoreOptions,
    grace: Duration,
}

impl Default for Wanted {
    fn default() -> Self {
        let limits = IntakeLimits {
            body_bytes: 64 * 1024,
            connections: 100,
            header_timeout: Duration::from_secs(10),
            body_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(60),
            queue: 100,
        };
        Self {
            limits,
            store: StoreOptions::default(),
            grace: Duration::from_secs(5),
        }
    }
}

fn pbx(name: &str, auth: Auth, allow_from: &[&str]) -> PbxSettings {
    PbxSettings {
        name: name.to_owned(),
        dialect: Dialect::Tieline,
        auth: Some(auth),
        allow_from: allow_from
            .iter()
            .map(|network| network.parse().unwrap())
            .collect(),
        extensions: Extensions::default(),
        settle: Duration::from_secs(5),
        plan: NumberPlan::new("DE", Some("211")).unwrap(),
        time_zone: jiff::tz::TimeZone::UTC,
        link: None,
        pickup_dir: None,
    }
}

fn pbxs(dir: &Path) -> Vec<PbxSettings> {
    let file = dir.join("secret");
    std::fs::write(&file, "s3cret\n").unwrap();
    let hmac = Auth::Hmac {
        secret_file: file.clone(),
        header: "x-signature".to_owned(),
        algorithm: HmacAlgorithm::Sha256,
    };
    vec![
        pbx(
            "hq",
            Auth::Bearer {
                token_file: file.clone(),
            },
            &["127.0.0.0/8"],
        ),
        pbx(
            "basic",
            Auth::Basic {
                user: "fs".to_owned(),
                password_file: file.clone(),
            },
            &[],
        ),
        pbx(
            "query",
            Auth::Query {
                name: "token".to_owned(),
                token_file: file,
            },
            &[],
        ),
        pbx("hmac", hmac, &[]),
        pbx("open", Auth::None, &[]),
        pbx("elsewhere", Auth::None, &["192.0.2.0/24"]),
    ]
}

async fn world(wanted: Wanted) -> World {
    world_behind(wanted, |listener| listener).await
}

/// The same with something in front of the listener.
async fn world_behind<L>(wanted: Wanted, guard: impl FnOnce(TcpListener) -> L) -> World
where
    L: server::Listener + Sync + 'static,
{
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(&dir.path().join("store"), wanted.store).unwrap();
    let journal = Journal::open(store, QUEUE_POSTS_DEFAULT).unwrap();
    let intake = Intake::new(&pbxs(dir.path()), wanted.limits, journal.clone()).unwrap();
    let stats = intake.stats();
    let router = routes::Front::new(intake, routes::or_unknown(axum::Router::new()));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let limits = server::ServeLimits {
        connections: wanted.limits.connections,
        header_timeout: wanted.limits.header_timeout,
        idle_timeout: wanted.limits.idle_timeout,
        grace: wanted.grace,
    };
    let (stop, stopped) = watch::channel(false);
    let served = tokio::spawn(server::serve(guard(listener), router, limits, stopped));
    World {
        address,
        journal,
        stats,
        stop,
        served,
        _dir: dir,
    }
}

impl World {
    /// Sends these bytes and gives all that comes back until the other side closes.
    async fn send(&self, bytes: impl AsRef<[u8]>) -> String {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        let _ = stream.write_all(bytes.as_ref()).await;
        read_all(&mut stream).await
    }

    async fn post(&self, target: &str, headers: &str, body: impl AsRef<[u8]>) -> String {
        self.send(request(target, headers, body.as_ref())).await
    }
}

fn request(target: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let head = format!(
        "POST {target} HTTP/1.1\r\nhost: t\r\nconnection: close\r\ncontent-length: {length}\r\n{headers}\r\n"
    );
    [head.as_bytes(), body].concat()
}

async fn read_all(stream: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    let _ = timeout(PATIENCE, stream.read_to_end(&mut answer))
        .await
        .expect("no answer in time");
    String::from_utf8(answer).unwrap()
}

/// Checks status, problem details and a word of the detail.
fn is_problem(answer: &str, status: u16, word: &str) {
    assert!(
        answer.starts_with(&format!("HTTP/1.1 {status} ")),
        "wanted {status}: {answer}"
    );
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(
        head.contains("content-type: application/problem+json"),
        "{head}"
    );
    let problem: serde_json::Value = serde_json::from_str(body).unwrap();
    assert_eq!(problem["status"], status);
    assert!(
        problem["type"]
            .as_str()
            .unwrap()
            .starts_with("urn:tieline:problem:")
    );
    assert!(problem["title"].is_string());
    assert!(
        problem["detail"].as_str().unwrap().contains(word),
        "{problem}"
    );
}

fn is_taken(answer: &str) -> (String, bool) {
    assert!(answer.starts_with("HTTP/1.1 202 "), "{answer}");
    let body: serde_json::Value =
        serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap();
    (
        body["id"].as_str().unwrap().to_owned(),
        body["repeat"].as_bool().unwrap(),
    )
}

const HQ: &str = "/v1/pbx/hq/events";
const BEARER: &str = "authorization: Bearer s3cret\r\ncontent-type: application/json\r\n";

#[tokio::test]
async fn an_event_is_taken_once_and_a_repeat_is_known() {
    let world = world(Wanted::default()).await;
    let (id, repeat) = is_taken(&world.post("/v1/pbx/hq/events?uuid=x", BEARER, EVENT).await);
    assert!(!repeat);
    assert_eq!(
        is_taken(&world.post("/v1/pbx/hq/events?uuid=y", BEARER, EVENT).await),
        (id.clone(), true)
    );
    assert_eq!(world.journal.last_seq(), 1);
    let entry = world.journal.get(1).unwrap().unwrap();
    assert_eq!(entry.id.to_string(), id);
    assert_eq!(entry.posted.body, EVENT.as_bytes());
    assert_eq!(entry.posted.query.as_deref(), Some("uuid=x"));
    assert_eq!(
        entry.posted.content_type.as_deref(),
        Some("application/json")
    );
    let counts = &world.stats.pbxs["hq"];
    assert_eq!(
        (counts.accepted.load(Relaxed), counts.repeated.load(Relaxed)),
        (1, 1)
    );
    // Well-formed but not understood: accepted, and dead with a reason later.
    is_taken(&world.post(HQ, BEARER, r#"{"event":"coffee"}"#).await);
    // In chunks, and after a 100 Continue.
    let chunked = "POST /v1/pbx/open/events HTTP/1.1\r\nhost: t\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n";
    is_taken(
        &world
            .send(format!(
                "{chunked}{:x}\r\n{EVENT}\r\n0\r\n\r\n",
                EVENT.len()
            ))
            .await,
    );
    let mut stream = TcpStream::connect(world.address).await.unwrap();
    let expecting = request(
        HQ,
        &format!("{BEARER}expect: 100-continue\r\n"),
        b"{\"event\":\"tea\"}",
    );
    let (head, body) = expecting.split_at(expecting.len() - 15);
    stream.write_all(head).await.unwrap();
    let mut go_on = [0; 25];
    timeout(PATIENCE, stream.read_exact(&mut go_on))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(&go_on, b"HTTP/1.1 100 Continue\r\n\r\n");
    stream.write_all(body).await.unwrap();
    is_taken(&read_all(&mut stream).await);
}

#[tokio::test]
async fn only_the_right_proof_is_taken() {
    let world = world(Wanted::default()).await;
    for (name, headers) in [
        ("hq", "authorization: Bearer wrong\r\n"),
        ("hq", ""),
        ("basic", "authorization: Basic ZnM6d3Jvbmc=\r\n"),
        ("query", ""),
        ("hmac", ""),
        ("hmac", "x-signature: 00ff\r\n"),
    ] {
        let answer = world
            .post(&format!("/v1/pbx/{name}/events"), headers, EVENT)
            .await;
        is_problem(&answer, 401, "missing or wrong");
        assert!(answer.contains("www-authenticate: "), "{answer}");
        assert!(!answer.contains("s3cret"));
    }
    is_problem(
        &world
            .post("/v1/pbx/query/events?token=wrong?uuid=1", "", EVENT)
            .await,
        401,
        "query",
    );
    is_problem(
        &world.post("/v1/pbx/elsewhere/events", "", EVENT).await,
        403,
        "allow_from",
    );
    assert_eq!(world.journal.last_seq(), 0);
    assert_eq!(world.stats.pbxs["hq"].unproven.load(Relaxed), 2);

    is_taken(
        &world
            .post(
                "/v1/pbx/basic/events",
                "authorization: Basic ZnM6czNjcmV0\r\n",
                EVENT,
            )
            .await,
    );
    is_taken(
        &world
            .post("/v1/pbx/query/events?token=s3cret?uuid=a_1", "", EVENT)
            .await,
    );
    assert_eq!(
        world
            .journal
            .get(2)
            .unwrap()
            .unwrap()
            .posted
            .query
            .as_deref(),
        Some("uuid=a_1")
    );
    let signature = format!("x-signature: sha256={}\r\n", hmac(EVENT.as_bytes()));
    is_taken(&world.post("/v1/pbx/hmac/events", &signature, EVENT).await);
    is_problem(
        &world
            .post("/v1/pbx/hmac/events", &signature, format!("{EVENT} "))
            .await,
        401,
        "HMAC",
    );
}

fn hmac(body: &[u8]) -> String {
    use hmac::{KeyInit, Mac};
    let mut mac = hmac::Hmac::<sha2::Sha256>::new_from_slice(b"s3cret").unwrap();
    mac.update(body);
    mac.finalize()
        .into_bytes()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

#[tokio::test]
async fn a_wrong_address_method_or_head_is_refused_with_what_to_do() {
    let world = world(Wanted::default()).await;
    for (target, word) in [
        ("/v1/pbx/nobody/events", "[[pbx]]"),
        ("/v1/pbx/%ff/events", "[[pbx]]"),
        ("/other", "/v1/pbx/"),
    ] {
        is_problem(&world.post(target, BEARER, EVENT).await, 404, word);
    }
    let head = format!("{HQ} HTTP/1.1\r\nhost: t\r\nconnection: close\r\n{BEARER}");
    let get = world.send(format!("GET {head}\r\n")).await;
    is_problem(&get, 405, "post");
    assert!(get.contains("allow: POST"), "{get}");
    is_problem(&world.send(format!("POST {head}\r\n")).await, 411, "body");
    let query = "x".repeat(3000);
    is_problem(
        &world.post(&format!("{HQ}?{query}"), BEARER, EVENT).await,
        400,
        "query",
    );
    // Broken HTTP and heads beyond the limits end in hyper's own answers.
    assert!(
        world
            .send("what is this\r\n\r\n")
            .await
            .starts_with("HTTP/1.1 400 ")
    );
    for large in [
        "x-many: 1\r\n".repeat(100),
        format!("x-long: {}\r\n", "x".repeat(40_000)),
    ] {
        let answer = world.post(HQ, &format!("{BEARER}{large}"), EVENT).await;
        assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");
    }
    assert_eq!(world.journal.last_seq(), 0);
    is_taken(&world.post(HQ, BEARER, EVENT).await);
}

#[tokio::test]
async fn a_body_that_is_no_event_is_refused_with_what_to_do() {
    let world = world(Wanted::default()).await;
    let png = "authorization: Bearer s3cret\r\ncontent-type: image/png\r\n";
    is_problem(&world.post(HQ, png, EVENT).await, 415, "JSON");
    let deep = "[".repeat(5000) + &"]".repeat(5000);
    for (body, word) in [
        (EVENT.split_at(60).0.as_bytes(), "JSON"),
        (b"", "empty"),
        (b"{\"event\":\"\xff\xfe\"}", "UTF-8"),
        (deep.as_bytes(), "deeper"),
    ] {
        is_problem(&world.post(HQ, BEARER, body).await, 400, word);
    }
    assert_eq!(world.stats.pbxs["hq"].malformed.load(Relaxed), 5);
    let head = format!("POST {HQ} HTTP/1.1\r\nhost: t\r\n{BEARER}content-length: 100\r\n\r\nhalf");
    let mut stream = TcpStream::connect(world.address).await.unwrap();
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.shutdown().await.unwrap();
    assert!(!read_all(&mut stream).await.contains(" 202 "));
    assert_eq!(world.journal.last_seq(), 0);
}

#[tokio::test]
async fn an_oversized_body_is_refused_by_its_length_and_while_it_comes() {
    let world = world(Wanted::default()).await;
    is_problem(
        &world.post(HQ, BEARER, vec![b' '; 65 * 1024]).await,
        413,
        "65536",
    );
    let chunk = format!("{:x}\r\n{}\r\n", 40_000, " ".repeat(40_000));
    let chunked = format!(
        "POST {HQ} HTTP/1.1\r\nhost: t\r\n{BEARER}transfer-encoding: chunked\r\n\r\n{chunk}{chunk}"
    );
    is_problem(&world.send(chunked).await, 413, "65536");
    let huge = format!(
        "POST {HQ} HTTP/1.1\r\nhost: t\r\n{BEARER}content-length: 99999999999\r\nexpect: 100-continue\r\n\r\n"
    );
    is_problem(&world.send(huge).await, 413, "65536");
    assert_eq!(world.stats.pbxs["hq"].oversized.load(Relaxed), 3);

    // A refused request whose body is small leaves the connection fit for the next one.
    let mut stream = TcpStream::connect(world.address).await.unwrap();
    let refused = format!(
        "POST {HQ} HTTP/1.1\r\nhost: t\r\ncontent-length: {}\r\n\r\n{EVENT}",
        EVENT.len()
    );
    stream.write_all(refused.as_bytes()).await.unwrap();
    stream
        .write_all(&request(HQ, BEARER, EVENT.as_bytes()))
        .await
        .unwrap();
    let both = read_all(&mut stream).await;
    assert!(
        both.starts_with("HTTP/1.1 401 ") && both.contains("HTTP/1.1 202 "),
        "{both}"
    );
}

#[tokio::test]
async fn slow_peers_are_let_go() {
    let mut wanted = Wanted::default();
    wanted.limits.header_timeout = Duration::from_millis(100);
    wanted.limits.body_timeout = Duration::from_millis(100);
    wanted.limits.idle_timeout = Duration::from_millis(200);
    let world = world(wanted).await;
    let head = format!(
        "POST /v1/pbx/hq/events HTTP/1.1\r\nhost: t\r\n{BEARER}content-length: 100\r\n\r\nhalf"
    );
    is_problem(&world.send(head).await, 408, "send it again");
    assert_eq!(world.stats.pbxs["hq"].slow.load(Relaxed), 1);
    assert_eq!(world.send("").await, "", "nothing sent");
    assert_eq!(world.send("POST /v1/pbx/hq/ev").await, "", "half a head");
    let kept = request(HQ, BEARER, EVENT.as_bytes());
    let kept = String::from_utf8(kept)
        .unwrap()
        .replace("connection: close\r\n", "");
    is_taken(&world.send(kept).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_connections_opened_and_left_do_not_keep_a_real_one_out() {
    let (soft, hard) = {
        let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
        (limit.current.unwrap_or(u64::MAX), limit.maximum)
    };
    let raised = rustix::process::Rlimit {
        current: hard,
        maximum: hard,
    };
    let _ = rustix::process::setrlimit(rustix::process::Resource::Nofile, raised);
    let files = usize::try_from(hard.unwrap_or(u64::MAX).max(soft)).unwrap_or(usize::MAX);
    // Ours and the listener's ends are both in this process; other tests need some files too.
    let flood = 10_000.min(files.saturating_sub(2_500));
    let world = world(Wanted::default()).await;
    let mut left = Vec::new();
    for number in 0..flood {
        if let Ok(Ok(stream)) = timeout(PATIENCE, TcpStream::connect(world.address)).await {
            // Some send a part of a head, as a slow attacker does.
            if number % 2 == 0 {
                let _ = stream.try_write(b"POST /v1/pbx/hq/events HTTP/1.1\r\nhost:");
            }
            left.push(stream);
        }
        if number % 1_000 == 999 {
            is_taken(
                &world
                    .post(
                        HQ,
                        BEARER,
                        format!("{{\"event\":\"tea\",\"id\":\"{number}\"}}"),
                    )
                    .await,
            );
        }
    }
    assert_eq!(left.len(), flood);
    is_taken(&world.post(HQ, BEARER, EVENT).await);
}

#[tokio::test]
async fn a_full_disk_is_503_with_a_time_to_come_again() {
    let wanted = Wanted {
        store: StoreOptions {
            disk_reserve: u64::MAX,
            ..StoreOptions::default()
        },
        ..Wanted::default()
    };
    let world = world(wanted).await;
    let answer = world.post(HQ, BEARER, EVENT).await;
    is_problem(&answer, 503, "disk is full");
    assert!(answer.contains("retry-after: 30"), "{answer}");
    assert_eq!(world.journal.last_seq(), 0);
    assert_eq!(world.stats.pbxs["hq"].unavailable.load(Relaxed), 1);
}

#[tokio::test]
async fn a_stop_lets_a_running_request_end_and_takes_no_more() {
    let world = world(Wanted::default()).await;
    let mut running = TcpStream::connect(world.address).await.unwrap();
    let bytes = request(
        HQ,
        &format!("{BEARER}expect: 100-continue\r\n"),
        EVENT.as_bytes(),
    );
    let (head, body) = bytes.split_at(bytes.len() - EVENT.len());
    running.write_all(head).await.unwrap();
    // The 100 shows that the request runs.
    let mut go_on = [0; 25];
    running.read_exact(&mut go_on).await.unwrap();
    let mut idle = TcpStream::connect(world.address).await.unwrap();
    world.stop.send(true).unwrap();
    assert_eq!(read_all(&mut idle).await, "");
    running.write_all(body).await.unwrap();
    is_taken(&read_all(&mut running).await);
    timeout(PATIENCE, world.served)
        .await
        .unwrap()
        .unwrap()
        .unwrap();
    assert!(TcpStream::connect(world.address).await.is_err());
}

#[tokio::test]
async fn a_stop_cuts_what_outlives_the_grace() {
    let world = world(Wanted {
        grace: Duration::from_millis(50),
        ..Wanted::default()
    })
    .await;
    let mut running = TcpStream::connect(world.address).await.unwrap();
    let bytes = request(
        HQ,
        &format!("{BEARER}expect: 100-continue\r\n"),
        EVENT.as_bytes(),
    );
    running
        .write_all(bytes.split_at(bytes.len() - EVENT.len()).0)
        .await
        .unwrap();
    let mut go_on = [0; 25];
    running.read_exact(&mut go_on).await.unwrap();
    world.stop.send(true).unwrap();
    timeout(PATIENCE, world.served)
        .await
        .unwrap()
        .unwrap()
        .unwrap();
    assert_eq!(read_all(&mut running).await, "");
}
