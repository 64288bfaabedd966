//! What administrators' networks ask for: a proxy with a password, a private authority, IPv6 on both sides.

use crate::support::{Config, Daemon, Proxy, QUICK, TlsDoor, World, call, logs};
use std::fs;
use std::net::SocketAddr;
use tieline::sandbox::SandboxOptions;

const MAX: &str = "+491711234567";

async fn logged(daemon: &Daemon, id: &str) {
    daemon.post(&call(id, MAX)).await;
    daemon
        .until("the call is logged", |status| {
            status["integrations"][0]["settled_since_start"] == 1
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_are_logged_through_a_proxy_that_wants_a_password() {
    let mut config = Config::default();
    let world = World::start(&config).await;
    let door = TlsDoor::open("127.0.0.1:0", world.sandbox.url()).await;
    let proxy = Proxy::open("tieline:se cret:x").await;
    let folder = &world.place.folder;
    door.write_authority(&folder.join("ca.pem"));
    fs::write(folder.join("proxy-password"), "wrong\n").unwrap();
    config.integrations[0].url = Some(door.url());
    config.integrations[0].lines = format!(
        "{}\nca_file = \"ca.pem\"\n[kustomer.proxy]\nurl = \"http://{}\"\nuser = \"tieline\"\npassword_file = \"proxy-password\"",
        QUICK, proxy.address
    );
    world.configure(&config);
    let daemon = world.place.start().await;
    daemon.post(&call("a1", MAX)).await;
    let held = daemon
        .until("the proxy refuses", |status| {
            status["integrations"][0]["held"].is_string()
        })
        .await;
    let why = held["integrations"][0]["last_fault"]["why"]
        .as_str()
        .unwrap();
    assert!(why.contains("proxy authorization required"), "{why}");
    assert_eq!(held["events"]["dead"], 0, "it waits, as for any outage");
    fs::write(folder.join("proxy-password"), "se cret:x\n").unwrap();
    daemon.signal(rustix::process::Signal::HUP);
    daemon.settled(1).await;
    assert_eq!(logs(&world.sandbox).len(), 1);
    let asked = proxy.asked();
    let wanted = format!("CONNECT {} HTTP/1.1", door.address);
    assert!(
        asked.len() > 1 && asked.iter().all(|line| *line == wanted),
        "{asked:?}"
    );
    let log = world.place.log();
    assert!(!log.contains("se cret"), "the password is nobody's to read");
    assert!(daemon.stop().await.success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_private_authority_is_trusted_where_it_is_named_and_alone() {
    let mut config = Config::default();
    let world = World::start(&config).await;
    let door = TlsDoor::open("127.0.0.1:0", world.sandbox.url()).await;
    let other = TlsDoor::open("127.0.0.1:0", world.sandbox.url()).await;
    let ca = world.place.folder.join("ca.pem");
    other.write_authority(&ca);
    config.integrations[0].url = Some(door.url());
    config.integrations[0].lines += "\nca_file = \"ca.pem\"";
    world.configure(&config);
    let daemon = world.place.start().await;
    daemon.post(&call("a1", MAX)).await;
    let status = daemon
        .until("the other's certificate is refused", |status| {
            status["integrations"][0]["held"].is_string()
        })
        .await;
    let why = status["integrations"][0]["last_fault"]["why"].to_string();
    assert!(why.contains("certificate"), "{why}");
    door.write_authority(&ca);
    daemon.signal(rustix::process::Signal::HUP);
    daemon.settled(1).await;
    assert_eq!(logs(&world.sandbox).len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_of_it_speaks_ipv6() {
    let config = Config::default();
    let options = SandboxOptions {
        listen: "[::1]:0".to_owned(),
        ..SandboxOptions::empty()
    };
    let mut world = World::with(&config, options).await;
    assert!(world.sandbox.url().starts_with("http://[::1]:"));
    let free = tokio::net::TcpListener::bind("[::1]:0").await.unwrap();
    world.place.listen = free.local_addr().unwrap();
    drop(free);
    world.configure(&config);
    let daemon = world.place.start().await;
    logged(&daemon, "a1").await;
    assert_eq!(logs(&world.sandbox).len(), 1);
    let checked = world.place.cli(&["check", "--online"]).await;
    assert_eq!(checked.code, Some(0), "{checked:?}");
    assert!(
        checked.out.contains("network support: ::1 answers"),
        "{checked:?}"
    );
    assert!(daemon.stop().await.success());
    // One listener for both: IPv4 comes as it is, not as an IPv6 address that no list has.
    let port = world.place.listen.port();
    world.place.listen = SocketAddr::from(([0_u16; 8], port));
    world.configure(&config);
    let file = world.place.folder.join("tieline.toml");
    let text = fs::read_to_string(&file).unwrap();
    let allowed = "name = \"script\"\nallow_from = [\"127.0.0.0/8\"]";
    fs::write(&file, text.replace("name = \"script\"", allowed)).unwrap();
    let mut daemon = world.place.start().await;
    daemon.place.listen = SocketAddr::from(([127, 0, 0, 1], port));
    logged(&daemon, "a2").await;
    daemon.place.listen = SocketAddr::from(([0, 0, 0, 0, 0, 0, 0, 1_u16], port));
    let (status, _) = daemon
        .place
        .try_post(
            "script",
            None,
            Some("application/json"),
            call("a3", MAX).to_string().as_bytes(),
        )
        .await
        .unwrap();
    assert_eq!(status, 403, "::1 is not in allow_from");
}
