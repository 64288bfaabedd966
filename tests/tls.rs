//! The listener with a certificate: posts over TLS, a reload with a new certificate and with bad files, what `check` says.

use crate::support::{Config, Daemon, World, call, within};
use jiff::ToSpan as _;
use rcgen::{CertificateParams, KeyPair};
use rustix::process::Signal;
use serde_json::Value;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

const TLS: &str = "[daemon.tls]\ncertificate_file = \"chain.pem\"\nkey_file = \"key.pem\"";
const MAX: &str = "+491711234567";

/// A certificate for 127.0.0.1's name, its key, and what a client trusts then.
pub struct Made {
    certificate: String,
    key: String,
    der: CertificateDer<'static>,
}

pub fn made(valid_for_days: i64) -> Made {
    let mut params = CertificateParams::new(vec!["pbx.example".to_owned()]).unwrap();
    let day = |days: i64| {
        let at = tieline::clock::now() + (days * 24).hours();
        let date = at.to_zoned(jiff::tz::TimeZone::UTC).date();
        let part = |value: i8| u8::try_from(value).unwrap();
        rcgen::date_time_ymd(date.year().into(), part(date.month()), part(date.day()))
    };
    (params.not_before, params.not_after) = (day(-400), day(valid_for_days));
    let key = KeyPair::generate().unwrap();
    let certificate = params.self_signed(&key).unwrap();
    Made {
        certificate: certificate.pem(),
        key: key.serialize_pem(),
        der: certificate.der().clone(),
    }
}

impl Made {
    pub fn write(&self, folder: &Path) {
        fs::write(folder.join("chain.pem"), &self.certificate).unwrap();
        fs::write(folder.join("key.pem"), &self.key).unwrap();
    }

    /// A connection of somebody who trusts this certificate alone and speaks these protocols.
    pub async fn connect(
        &self,
        to: SocketAddr,
        protocols: &[&str],
    ) -> Result<TlsStream<TcpStream>, String> {
        let mut roots = RootCertStore::empty();
        roots.add(self.der.clone()).unwrap();
        let mut config = ClientConfig::builder()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let protocols = protocols.iter().map(|name| name.as_bytes().to_vec());
        config.alpn_protocols = protocols.collect();
        let stream = TcpStream::connect(to).await.unwrap();
        let name = ServerName::try_from("pbx.example").unwrap();
        let connector = TlsConnector::from(Arc::new(config));
        let connected = within("a handshake", connector.connect(name, stream)).await;
        connected.map_err(|error| error.to_string())
    }

    /// The answer to a post over such a connection.
    async fn post(
        &self,
        to: SocketAddr,
        protocols: &[&str],
        event: &Value,
    ) -> Result<String, String> {
        let mut stream = self.connect(to, protocols).await?;
        let body = event.to_string();
        let request = format!(
            "POST /v1/pbx/script/events HTTP/1.1\r\nhost: t\r\nconnection: close\r\nauthorization: Bearer token\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        within("an answer", stream.read_to_end(&mut answer))
            .await
            .unwrap();
        Ok(String::from_utf8(answer).unwrap())
    }

    async fn is_shown(&self, daemon: &Daemon, id: &str) {
        let answer = self
            .post(daemon.place.listen, &["http/1.1"], &call(id, MAX))
            .await;
        let answer = answer.unwrap();
        assert!(answer.starts_with("HTTP/1.1 202 "), "{answer}");
    }
}

fn config() -> Config {
    Config {
        daemon: TLS.to_owned(),
        ..Config::default()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn posts_come_over_tls_and_in_no_other_way() {
    let (world, (ours, others)) = (World::start(&config()).await, (made(90), made(90)));
    ours.write(&world.place.folder);
    let daemon = world.place.start().await;
    let listen = world.place.listen;
    ours.is_shown(&daemon, "a1").await;
    // Without ALPN, as old libraries do.
    let answer = ours.post(listen, &[], &call("a2", MAX)).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 202 "), "{answer}");
    let refused = others
        .post(listen, &[], &call("a3", MAX))
        .await
        .unwrap_err();
    assert!(refused.contains("certificate"), "{refused}");
    let refused = ours
        .post(listen, &["h2"], &call("a3", MAX))
        .await
        .unwrap_err();
    assert!(refused.to_lowercase().contains("protocol"), "{refused}");
    // Plain HTTP gets an alert, and no answer of HTTP.
    let mut plain = TcpStream::connect(listen).await.unwrap();
    plain
        .write_all(b"GET / HTTP/1.1\r\nhost: t\r\n\r\n")
        .await
        .unwrap();
    let mut answer = Vec::new();
    let _ = within("an end", plain.read_to_end(&mut answer)).await;
    assert!(!answer.starts_with(b"HTTP"), "{answer:?}");
    let status = daemon.settled(2).await;
    assert!(status["tls"]["expires"].is_string(), "{status}");
    assert_eq!(status["tls"]["doubt"], Value::Null);
    assert!(daemon.stop().await.success());
}

/// Invariant 8.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reload_shows_the_new_certificate_or_keeps_the_old_one() {
    let (world, first, second) = (World::start(&config()).await, made(90), made(90));
    let folder = &world.place.folder;
    first.write(folder);
    let daemon = world.place.start().await;
    first.is_shown(&daemon, "a0").await;
    let mut posted = 1;
    let chain = folder.join("chain.pem");
    for (broken, named, why) in [
        // The certificate is renewed, the key isn't yet.
        (
            Some(second.certificate.as_str()),
            "key.pem",
            "isn't that of",
        ),
        (Some("nonsense"), "chain.pem", "no certificate"),
        (None, "chain.pem", "can't be read"),
    ] {
        match broken {
            Some(text) => fs::write(&chain, text).unwrap(),
            None => fs::remove_file(&chain).unwrap(),
        }
        daemon.signal(Signal::HUP);
        daemon
            .until(why, |status| {
                let refused = status["settings"]["refused"].as_str().unwrap_or_default();
                refused.contains(why) && refused.contains(named)
            })
            .await;
        first.is_shown(&daemon, &format!("a{posted}")).await;
        posted += 1;
    }
    second.write(folder);
    daemon.signal(Signal::HUP);
    daemon
        .until("the new one is in force", |status| {
            status["settings"]["refused"].is_null()
        })
        .await;
    second.is_shown(&daemon, "last").await;
    assert!(
        first
            .post(world.place.listen, &[], &call("never", MAX))
            .await
            .is_err()
    );
    daemon.settled(posted + 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn check_says_what_is_wrong_with_the_files() {
    let (world, good, other) = (World::start(&config()).await, made(90), made(90));
    let folder = &world.place.folder;
    let (encrypted, empty) = (
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n",
        "",
    );
    for (certificate, key, words) in [
        (
            good.certificate.as_str(),
            other.key.as_str(),
            ["key_file", "isn't that of the first certificate"],
        ),
        (
            empty,
            &good.key,
            ["certificate_file", "holds no certificate"],
        ),
        (
            &good.key,
            &good.key,
            ["certificate_file", "holds no certificate"],
        ),
        (&good.certificate, empty, ["key_file", "no private key"]),
        (&good.certificate, encrypted, ["key_file", "passphrase"]),
        (
            "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
            &good.key,
            ["certificate_file", "can't be used"],
        ),
    ] {
        fs::write(folder.join("chain.pem"), certificate).unwrap();
        fs::write(folder.join("key.pem"), key).unwrap();
        let checked = world.place.cli(&["check"]).await;
        assert_eq!(checked.code, Some(78), "{words:?}: {checked:?}");
        for word in words {
            assert!(checked.out.contains(word), "{word}: {}", checked.out);
        }
    }
    fs::remove_file(folder.join("key.pem")).unwrap();
    let checked = world.place.cli(&["check"]).await;
    assert!(checked.out.contains("key.pem can't be read"), "{checked:?}");
    // It works, but not for long; and not with phone systems that look at it.
    for (days, words) in [(90, ""), (10, "expires in "), (-3, "expired ")] {
        made(days).write(folder);
        let checked = world.place.cli(&["check"]).await;
        assert_eq!(checked.code, Some(0), "{checked:?}");
        assert!(checked.out.contains("(TLS)"), "{}", checked.out);
        let noted = checked.out.contains("certificate expire");
        assert_eq!(noted, !words.is_empty(), "{}", checked.out);
        assert!(checked.out.contains(words), "{words}: {}", checked.out);
        assert!(checked.out.contains("everybody on this machine can read"));
    }
    // Half of the block is none.
    let half = Config {
        daemon: TLS.replace("key_file = \"key.pem\"", ""),
        ..Config::default()
    };
    world.configure(&half);
    let checked = world.place.cli(&["check"]).await;
    assert_eq!(checked.code, Some(78));
    assert!(checked.out.contains("key_file is missing"), "{checked:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn check_remarks_a_listener_that_others_reach_without_tls() {
    let world = World::start(&Config::default()).await;
    let noted = async |listen: &str, config: &Config| {
        let (place, url) = (&world.place, world.sandbox.url());
        config.write(&place.folder, listen.parse().unwrap(), url);
        let checked = place.cli(&["check"]).await;
        assert_eq!(checked.code, Some(0), "{checked:?}");
        checked.out.contains("can be read on the way")
    };
    assert!(!noted("127.0.0.1:8480", &Config::default()).await);
    assert!(noted("0.0.0.0:8480", &Config::default()).await);
    made(90).write(&world.place.folder);
    assert!(!noted("0.0.0.0:8480", &config()).await);
}
