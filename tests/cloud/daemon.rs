//! Each cloud dialect's proofs and manners against the whole program, signed here independently of `daemon/simulate/`: what
//! is altered or unsigned leaves nothing. That calls and texts become conversations is in `tests/each_dialect.rs`.

use super::{DIALECTS, scenarios};
use crate::support::{Config, Daemon, PATIENCE, Place, World};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use hmac::{Hmac, KeyInit, Mac};
use serde_json::json;
use sha1::Sha1;
use sha2::{Digest, Sha256};
use tieline::cli::recording::posts;
use tieline::settings::types::Dialect;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// The address that Twilio is told; the daemon listens on another.
const TWILIO_URL: &str = "https://tieline.example.com/v1/pbx/twilio/events";

fn auth(dialect: Dialect) -> (&'static str, &'static str) {
    match dialect {
        Dialect::Aircall => ("body", "field = \"token\", token_file = \"aircall-secret\""),
        Dialect::Dialpad => ("jwt", "secret_file = \"dialpad-secret\""),
        Dialect::Ringcentral => (
            "header",
            "name = \"Verification-Token\", token_file = \"ringcentral-secret\"",
        ),
        Dialect::Twilio => (
            "twilio",
            "token_file = \"twilio-secret\", url = \"https://tieline.example.com/v1/pbx/twilio/events\"",
        ),
        Dialect::Yeastar => (
            "hmac",
            "secret_file = \"yeastar-secret\", header = \"X-Signature\", algorithm = \"sha256\"",
        ),
        _ => ("bearer", "token_file = \"cloudtalk-secret\""),
    }
}

const fn secret(dialect: Dialect) -> &'static str {
    match dialect {
        Dialect::Aircall => "aircall-token",
        Dialect::Dialpad => "dialpad-secret",
        Dialect::Ringcentral => "ringcentral-token",
        Dialect::Twilio => "twilio-token",
        Dialect::Yeastar => "yeastar-secret",
        _ => "cloudtalk-token",
    }
}

async fn running() -> (World, Daemon) {
    let mut daemon = String::new();
    for dialect in DIALECTS {
        let (name, (kind, rest)) = (dialect.word(), auth(dialect));
        daemon += &format!(
            "\n[[pbx]]\nname = \"{name}\"\ndialect = \"{name}\"\nauth = {{ kind = \"{kind}\", {rest} }}\n\
             extensions = [\"100-199\", \"1001-1099\"]\nsettle = \"1s\"\n"
        );
    }
    let world = World::start(&Config {
        daemon,
        ..Config::default()
    })
    .await;
    for dialect in DIALECTS {
        let file = world
            .place
            .folder
            .join(format!("{}-secret", dialect.word()));
        std::fs::write(file, secret(dialect)).unwrap();
    }
    let daemon = world.place.start().await;
    (world, daemon)
}

fn hmac_of<M: Mac + KeyInit>(secret: &str, parts: &[&[u8]]) -> Vec<u8> {
    let mut mac = <M as KeyInit>::new_from_slice(secret.as_bytes()).unwrap();
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes().to_vec()
}

fn twilio_signature(url: &str, form: &[(String, String)]) -> String {
    let mut form = form.to_vec();
    form.sort();
    let mut signed = url.to_owned();
    for (name, value) in form {
        signed += &name;
        signed += &value;
    }
    STANDARD.encode(hmac_of::<Hmac<Sha1>>("twilio-token", &[signed.as_bytes()]))
}

fn pairs(form: &[u8]) -> Vec<(String, String)> {
    let plain = |text: &str| {
        let text = text.replace('+', " ");
        percent_encoding::percent_decode_str(&text)
            .decode_utf8()
            .unwrap()
            .into_owned()
    };
    let form = std::str::from_utf8(form).unwrap();
    form.split('&')
        .filter_map(|pair| pair.split_once('='))
        .map(|(name, value)| (plain(name), plain(value)))
        .collect()
}

/// A token of this header and payload.
fn token(head: &str, payload: &str) -> String {
    let signed = format!(
        "{}.{}",
        URL_SAFE_NO_PAD.encode(head),
        URL_SAFE_NO_PAD.encode(payload)
    );
    let signature = hmac_of::<Hmac<Sha256>>("dialpad-secret", &[signed.as_bytes()]);
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
}

const HS256: &str = r#"{"alg":"HS256","typ":"JWT"}"#;

/// What a token carries; the body itself if it is none.
fn payload(body: &[u8]) -> String {
    let text = std::str::from_utf8(body).unwrap();
    match text.split('.').nth(1).filter(|_| text.starts_with("eyJ")) {
        Some(payload) => String::from_utf8(URL_SAFE_NO_PAD.decode(payload).unwrap()).unwrap(),
        None => text.to_owned(),
    }
}

/// The headers and the body as the system would send them.
fn proven(dialect: Dialect, body: &[u8]) -> (String, Vec<u8>) {
    match dialect {
        Dialect::Twilio => {
            let signature = twilio_signature(TWILIO_URL, &pairs(body));
            let headers = "Content-Type: application/x-www-form-urlencoded\r\n";
            (
                format!("{headers}X-Twilio-Signature: {signature}\r\n"),
                body.to_vec(),
            )
        }
        Dialect::Yeastar => {
            let signature = STANDARD.encode(hmac_of::<Hmac<Sha256>>("yeastar-secret", &[body]));
            (format!("X-Signature: {signature}\r\n"), body.to_vec())
        }
        Dialect::Dialpad => (String::new(), token(HS256, &payload(body)).into_bytes()),
        Dialect::Ringcentral => (
            "Verification-Token: ringcentral-token\r\n".to_owned(),
            body.to_vec(),
        ),
        Dialect::Cloudtalk => (
            "Authorization: Bearer cloudtalk-token\r\n".to_owned(),
            body.to_vec(),
        ),
        _ => (String::new(), body.to_vec()),
    }
}

/// Status, head and body of the answer.
async fn post(place: &Place, target: &str, headers: &str, body: &[u8]) -> (u16, String) {
    let head = format!(
        "POST /v1/pbx/{target} HTTP/1.1\r\nHost: tieline\r\nConnection: close\r\nContent-Length: {}\r\n{headers}\r\n",
        body.len()
    );
    let sent = async {
        let mut stream = TcpStream::connect(place.listen).await.unwrap();
        stream
            .write_all(&[head.as_bytes(), body].concat())
            .await
            .unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.unwrap();
        String::from_utf8(answer).unwrap()
    };
    let answer = tokio::time::timeout(PATIENCE, sent).await.unwrap();
    (answer.split(' ').nth(1).unwrap().parse().unwrap(), answer)
}

async fn send(place: &Place, dialect: Dialect, (headers, body): &(String, Vec<u8>)) -> u16 {
    let target = format!("{}/events", dialect.word());
    post(place, &target, headers, body).await.0
}

/// The first post of the dialect's first recording.
fn first(dialect: Dialect) -> (String, Vec<u8>) {
    let all = scenarios();
    let mut own = all.iter().filter(|scenario| scenario.dialect == dialect);
    let post = posts(&own.next().unwrap().posts).remove(0);
    proven(dialect, payload(&post.body).as_bytes())
}

#[tokio::test]
async fn what_is_altered_or_unsigned_is_refused_and_leaves_nothing() {
    let (_world, daemon) = running().await;
    let place = &daemon.place;
    for dialect in DIALECTS {
        let (headers, body) = &first(dialect);
        let text = std::str::from_utf8(body).unwrap();
        let mut refused = vec![("unsigned", (String::new(), body.clone()))];
        let wrong = |text: String| text.into_bytes();
        match dialect {
            Dialect::Twilio => {
                let altered = text.replace("1711234567", "1711234568");
                refused.push(("altered", (headers.clone(), wrong(altered))));
                let more = format!("{text}&Extra=1");
                refused.push(("longer", (headers.clone(), wrong(more))));
                let elsewhere = twilio_signature("https://other.example.com/", &pairs(body));
                let headers = format!("X-Twilio-Signature: {elsewhere}\r\n");
                refused.push(("of another address", (headers, body.clone())));
            }
            Dialect::Yeastar => {
                refused.push((
                    "altered",
                    (headers.clone(), wrong(text.replace("24", "25"))),
                ));
            }
            Dialect::Aircall => {
                let other = text.replace("aircall-token", "aircall-tokem");
                refused = vec![("wrong token", (String::new(), wrong(other)))];
                let nested = text.replace("\"token\"", "\"tokens\"");
                refused.push(("no token", (String::new(), wrong(nested))));
                refused.push(("no JSON", (String::new(), b"token=aircall-token".to_vec())));
            }
            Dialect::Dialpad => {
                let payload = payload(body);
                refused = vec![("plain", (String::new(), payload.clone().into_bytes()))];
                let (signed, signature) = text.rsplit_once('.').unwrap();
                let (head, _) = signed.split_once('.').unwrap();
                let other = URL_SAFE_NO_PAD.encode(payload.replace("5001", "5009"));
                refused.push((
                    "altered",
                    (String::new(), wrong(format!("{head}.{other}.{signature}"))),
                ));
                refused.push((
                    "without signature",
                    (String::new(), wrong(format!("{signed}."))),
                ));
                for head in [
                    r#"{"alg":"none"}"#,
                    r#"{"alg":"None"}"#,
                    r#"{"alg":"HS512"}"#,
                    r#"{"alg":"RS256"}"#,
                    r#"{"alg":["HS256"]}"#,
                    r#"{"alg":"HS256","crit":["b64"],"b64":false}"#,
                    r#"{}"#,
                    "no JSON",
                ] {
                    refused.push((
                        "another head",
                        (String::new(), wrong(token(head, &payload))),
                    ));
                    let bare = format!(
                        "{}.{}.",
                        URL_SAFE_NO_PAD.encode(head),
                        URL_SAFE_NO_PAD.encode(&payload)
                    );
                    refused.push(("another head, unsigned", (String::new(), wrong(bare))));
                }
            }
            Dialect::Ringcentral => {
                let headers = "Verification-Token: ringcentral-toke\r\n".to_owned();
                refused.push(("wrong token", (headers, body.clone())));
            }
            _ => {
                let headers = "Authorization: Bearer cloudtalk\r\n".to_owned();
                refused.push(("wrong token", (headers, body.clone())));
            }
        }
        for (how, proven) in &refused {
            assert_eq!(
                send(place, dialect, proven).await,
                401,
                "{dialect:?}: {how}"
            );
        }
    }
    assert_eq!(place.status().await["events"]["accepted"], 0);
}

#[tokio::test]
async fn twilio_signs_addresses_with_ports_queries_and_hashes_of_bodies() {
    let (_world, daemon) = running().await;
    let body = b"CallSid=CA1&CallStatus=completed&From=%2B491711234567&To=%2B4921155500100&Direction=inbound&CallDuration=5&b=2&a=x%20y&a=x+y";
    let form = "CallDuration5CallSidCA1CallStatuscompletedDirectioninboundFrom+491711234567To+4921155500100ax yb2";
    let sign = |text: &str| {
        let signature = STANDARD.encode(hmac_of::<Hmac<Sha1>>("twilio-token", &[text.as_bytes()]));
        format!("X-Twilio-Signature: {signature}\r\n")
    };
    let bare = "https://tieline.example.com/v1/pbx/twilio/events";
    let ported = "https://tieline.example.com:443/v1/pbx/twilio/events";
    let place = &daemon.place;
    for (signed, query, status) in [
        (format!("{bare}{form}"), "", 202),
        (format!("{ported}{form}"), "", 202),
        (format!("{bare}?x=1&y=%20{form}"), "?x=1&y=%20", 202),
        (format!("{bare}{form}"), "?x=1", 401),
        (
            format!("http://tieline.example.com/v1/pbx/twilio/events{form}"),
            "",
            401,
        ),
    ] {
        let target = format!("twilio/events{query}");
        let (got, answer) = post(place, &target, &sign(&signed), body).await;
        assert_eq!(got, status, "{signed}");
        if got == 202 {
            // Anything else would be an answer to the caller or the sender.
            assert!(answer.contains("content-type: text/xml"), "{answer}");
            assert!(answer.ends_with("<Response/>"), "{answer}");
        }
    }
    let json =
        json!({"CallSid": "CA2", "CallStatus": "ringing", "From": "+491711234567"}).to_string();
    let hash: String = Sha256::digest(&json)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let query = format!("?bodySHA256={hash}");
    let headers = sign(&format!("{bare}{query}"));
    let target = format!("twilio/events{query}");
    assert_eq!(post(place, &target, &headers, json.as_bytes()).await.0, 202);
    let other = json.replace("CA2", "CA3");
    assert_eq!(
        post(place, &target, &headers, other.as_bytes()).await.0,
        401
    );
    let target = format!("twilio/events{}", query.replace(&hash[..2], "zz"));
    assert_eq!(post(place, &target, &headers, json.as_bytes()).await.0, 401);
}

#[tokio::test]
async fn ringcentral_is_answered_when_it_asks_whether_somebody_is_here() {
    let (_world, daemon) = running().await;
    let place = &daemon.place;
    let ask = "Validation-Token: 7c2d9a04-0a38-4f3d-a7f0-2f1c1a1b2c3d\r\n";
    let echo = "validation-token: 7c2d9a04-0a38-4f3d-a7f0-2f1c1a1b2c3d";
    let own = format!("{ask}Verification-Token: ringcentral-token\r\n");
    for headers in [ask, &own] {
        let (status, answer) = post(place, "ringcentral/events", headers, b"").await;
        assert_eq!(status, 200, "{answer}");
        assert!(answer.contains(echo), "{answer}");
    }
    let wrong = format!("{ask}Verification-Token: other\r\n");
    let long = format!("Validation-Token: {}\r\n", "x".repeat(200));
    for (target, headers) in [
        ("ringcentral/events", wrong.as_str()),
        ("ringcentral/events", &long),
        ("yeastar/events", ask),
    ] {
        let (status, answer) = post(place, target, headers, b"{}").await;
        assert_eq!(status, 401, "{answer}");
        assert!(
            !answer.to_lowercase().contains("validation-token:"),
            "{answer}"
        );
    }
    assert_eq!(place.status().await["events"]["accepted"], 0);
}

/// Every file below `folder`, in one.
fn all_bytes(folder: &std::path::Path) -> Vec<u8> {
    let mut all = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        all.extend(if path.is_dir() {
            all_bytes(&path)
        } else {
            std::fs::read(path).unwrap()
        });
    }
    all
}

#[tokio::test]
async fn a_token_in_the_body_is_not_stored() {
    let (_world, daemon) = running().await;
    let proven = first(Dialect::Aircall);
    assert_eq!(send(&daemon.place, Dialect::Aircall, &proven).await, 202);
    let stored = all_bytes(&daemon.place.folder.join("state"));
    let holds = |text: &str| {
        stored
            .windows(text.len())
            .any(|bytes| bytes == text.as_bytes())
    };
    assert!(
        holds("\"resource\": \"call\""),
        "events are stored as they came"
    );
    assert!(holds("\"token\": \"*************\""));
    assert!(!holds("aircall-token"));
}
