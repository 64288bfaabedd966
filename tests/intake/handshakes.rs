//! TLS handshakes under the listener's limits.

use super::*;
use crate::tls::{Made, made};
use tieline::calls::intake::tls::TlsListener;
use tieline::settings::certificate::Certificate;
use tieline::settings::types::TlsSettings;

async fn tls_world(wanted: Wanted) -> (World, Made) {
    let (dir, shown) = (tempfile::tempdir().unwrap(), made(90));
    shown.write(dir.path());
    let settings = TlsSettings {
        certificate_file: dir.path().join("chain.pem"),
        key_file: dir.path().join("key.pem"),
    };
    let certificate = Certificate::read(&settings).unwrap();
    let guard = |listener| TlsListener::new(listener, certificate.config);
    (world_behind(wanted, guard).await, shown)
}

#[tokio::test]
async fn a_handshake_that_never_ends_is_let_go() {
    let mut wanted = Wanted::default();
    wanted.limits.header_timeout = Duration::from_millis(100);
    let (world, shown) = tls_world(wanted).await;
    assert_eq!(world.send("").await, "", "nothing sent");
    let half_of_one = b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03";
    assert_eq!(world.send(half_of_one).await, "", "half a greeting");
    // A handshake alone is no request.
    let mut stream = shown.connect(world.address, &[]).await.unwrap();
    let ended = timeout(PATIENCE, stream.read(&mut [0; 1])).await;
    assert!(!matches!(ended.expect("no end in time"), Ok(1..)));
    assert!(!world.served.is_finished());
}

/// One place is a handshake's until it is wanted: the listener keeps one free for whoever comes.
#[tokio::test]
async fn a_handshake_holds_a_place_and_gives_way() {
    let mut wanted = Wanted::default();
    wanted.limits.connections = 2;
    wanted.limits.header_timeout = PATIENCE * 2;
    let (world, shown) = tls_world(wanted).await;
    let mut first = TcpStream::connect(world.address).await.unwrap();
    first.write_all(b"\x16\x03\x01").await.unwrap();
    let mut second = shown.connect(world.address, &[]).await.unwrap();
    let bytes = request(HQ, BEARER, EVENT.as_bytes());
    second.write_all(&bytes).await.unwrap();
    let mut answer = String::new();
    let read = timeout(PATIENCE, second.read_to_string(&mut answer)).await;
    read.expect("no answer in time").unwrap();
    is_taken(&answer);
    assert_eq!(read_all(&mut first).await, "");
}
