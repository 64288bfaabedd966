//! Two texts and ten calls of every dialect, as its phone system would post them, through a real daemon into the sandbox: the
//! expected conversations, once each, however often they are posted; and nothing of what is altered, unsigned or signed
//! with another secret.

use crate::support::{Config, Daemon, World, attribute, related};
use jiff::{SignedDuration, Timestamp};
use secrecy::SecretString;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;
use tieline::sandbox::{LimitOptions, SandboxOptions};
use tieline::settings::types::{Dialect, HmacAlgorithm};
use tieline::simulate::play::{self, Sender, Target};
use tieline::simulate::{Call, Parties, Post, Proof, Scenario, Told, writers};

const CALLS: usize = 10;
const TEXTS: usize = 2;

const TWILIO_URL: &str = "https://tieline.example.com/v1/pbx/twilio/events";

/// `auth` of each dialect, as docs/phone-systems.md has it.
fn auth(dialect: Dialect) -> String {
    let file = format!("\"{}-secret\"", dialect.word());
    match dialect {
        Dialect::Freeswitch => format!("kind = \"basic\", user = \"fs\", password_file = {file}"),
        Dialect::Tieline
        | Dialect::Asterisk
        | Dialect::Cloudtalk
        | Dialect::ThreeCx
        | Dialect::Grandstream
        | Dialect::Gammu => format!("kind = \"bearer\", token_file = {file}"),
        Dialect::Aircall => format!("kind = \"body\", field = \"token\", token_file = {file}"),
        Dialect::Dialpad => format!("kind = \"jwt\", secret_file = {file}"),
        Dialect::Ringcentral => {
            format!("kind = \"header\", name = \"Verification-Token\", token_file = {file}")
        }
        Dialect::Twilio => {
            format!("kind = \"twilio\", token_file = {file}, url = \"{TWILIO_URL}\"")
        }
        Dialect::Yeastar => {
            format!(
                "kind = \"hmac\", secret_file = {file}, header = \"X-Signature\", algorithm = \"sha256\""
            )
        }
        Dialect::Kamailio
        | Dialect::Zammad
        | Dialect::Jasmin
        | Dialect::Kannel
        | Dialect::PlaySms => {
            format!("kind = \"query\", name = \"token\", token_file = {file}")
        }
    }
}

/// The phone system's side of it.
fn proof(dialect: Dialect, secret: &str) -> Proof {
    let secret = SecretString::from(secret);
    match dialect {
        Dialect::Freeswitch => Proof::Basic {
            user: "fs".to_owned(),
            password: secret,
        },
        Dialect::Tieline
        | Dialect::Asterisk
        | Dialect::Cloudtalk
        | Dialect::ThreeCx
        | Dialect::Grandstream
        | Dialect::Gammu => Proof::Bearer(secret),
        Dialect::Aircall => Proof::Body {
            field: "token".to_owned(),
            token: secret,
        },
        Dialect::Dialpad => Proof::Jwt(secret),
        Dialect::Ringcentral => Proof::Header {
            name: "verification-token".to_owned(),
            token: secret,
        },
        Dialect::Twilio => Proof::Twilio {
            token: secret,
            url: TWILIO_URL.to_owned(),
        },
        Dialect::Yeastar => Proof::Hmac {
            secret,
            header: "x-signature".to_owned(),
            algorithm: HmacAlgorithm::Sha256,
        },
        Dialect::Kamailio
        | Dialect::Zammad
        | Dialect::Jasmin
        | Dialect::Kannel
        | Dialect::PlaySms => Proof::Query {
            name: "token".to_owned(),
            token: secret,
        },
    }
}

fn secret(dialect: Dialect) -> String {
    format!("secret of {} & 100%", dialect.word())
}

/// A sandbox that counts in short windows.
fn roomy() -> SandboxOptions {
    let limits = LimitOptions {
        window: std::time::Duration::from_millis(500),
        requests: 100_000,
        creations_per_customer: 100_000,
        ..LimitOptions::default()
    };
    SandboxOptions {
        limits,
        ..SandboxOptions::empty()
    }
}

async fn running() -> (World, Daemon) {
    let mut daemon = String::new();
    for dialect in Dialect::ALL {
        let (name, auth) = (dialect.word(), auth(dialect));
        write!(
            daemon,
            "\n[[pbx]]\nname = \"{name}\"\ndialect = \"{name}\"\nauth = {{ {auth} }}\nextensions = [\"100-199\"]\nsettle = \"1s\"\n"
        )
        .unwrap();
    }
    let mut config = Config {
        daemon,
        ..Config::default()
    };
    // Some two hundred conversations are no backlog that waits for its budget.
    config.integrations[0].lines += "\nrequests_per_minute = 1000\nbudget_window = \"500ms\"";
    let world = World::with(&config, roomy()).await;
    for dialect in Dialect::ALL {
        let file = world
            .place
            .folder
            .join(format!("{}-secret", dialect.word()));
        std::fs::write(file, secret(dialect)).unwrap();
    }
    let daemon = world.place.start().await;
    (world, daemon)
}

fn target(daemon: &Daemon, dialect: Dialect, proof: Proof) -> Target {
    Target {
        address: daemon.place.listen.to_string(),
        path: format!("/v1/pbx/{}/events", dialect.word()),
        proof,
    }
}

/// Where agents are known by e-mail.
const fn by_mail(dialect: Dialect) -> bool {
    matches!(
        dialect,
        Dialect::Aircall | Dialect::Cloudtalk | Dialect::Dialpad
    )
}

/// Ten calls and two texts; of a system that knows only one kind, so many of that.
fn day(dialect: Dialect) -> Vec<(Scenario, Told)> {
    let says = writers::says(dialect).iter().copied();
    let (texts, calls): (Vec<Scenario>, Vec<Scenario>) =
        says.partition(|scenario| scenario.is_text());
    let texts_wanted = if calls.is_empty() { CALLS } else { TEXTS };
    let day = calls
        .iter()
        .cycle()
        .take(CALLS)
        .chain(texts.iter().cycle().take(texts_wanted));
    let (agent, colleague) = if by_mail(dialect) {
        ("grace@example.org", "alan@example.org")
    } else {
        ("101", "102")
    };
    let now: Timestamp = "2026-11-20T12:24:29Z".parse().unwrap();
    let told = |(number, scenario): (i64, &Scenario)| {
        let call = Call {
            scenario: *scenario,
            tale: scenario.tale(),
            id: 0x9e37_79b9_7f4a_7c15_u64.wrapping_mul(u64::try_from(number + 1).unwrap()),
            start: now - SignedDuration::from_secs(number),
            parties: Parties {
                customer: "+491711234567".to_owned(),
                ours: "+4921155500100".to_owned(),
                agent: agent.to_owned(),
                colleague: colleague.to_owned(),
                words: format!("Is it \"ready\"?\nText {number}, 100% & ü"),
            },
            zone: jiff::tz::TimeZone::get("Europe/Berlin").unwrap(),
        };
        (*scenario, writers::write(dialect, &call))
    };
    (0..).zip(day).map(told).collect()
}

/// Why nobody talked, as far as that phone system tells.
pub fn reason(dialect: Dialect, scenario: Scenario) -> Option<&'static str> {
    let reason = match scenario {
        Scenario::Missed | Scenario::OutUnanswered => "no answer",
        Scenario::Busy | Scenario::OutBusy => "busy",
        Scenario::GaveUp => "caller gave up",
        _ => return None,
    };
    let told = match dialect {
        Dialect::ThreeCx | Dialect::Cloudtalk | Dialect::Dialpad => false,
        Dialect::Yeastar | Dialect::Grandstream => reason == "busy",
        Dialect::Aircall => scenario != Scenario::OutUnanswered,
        _ => true,
    };
    told.then_some(reason)
}

/// The note's first line, the conversation's direction and status; none for what no rule lets through.
fn expected(dialect: Dialect, scenario: Scenario) -> Option<(String, &'static str, &'static str)> {
    let why = |line: &str| match reason(dialect, scenario) {
        Some(reason) => format!("{line}: {reason}"),
        None => line.to_owned(),
    };
    let (line, direction, status) = match scenario {
        Scenario::Answered | Scenario::Queue | Scenario::Transfer | Scenario::Recording => {
            ("Incoming call, answered".to_owned(), "in", "done")
        }
        Scenario::Missed | Scenario::Busy | Scenario::GaveUp => {
            (why("Incoming call, missed"), "in", "open")
        }
        Scenario::Voicemail => (why("Incoming call, voicemail"), "in", "open"),
        Scenario::OutAnswered => ("Outgoing call, answered".to_owned(), "out", "done"),
        Scenario::OutBusy | Scenario::OutUnanswered => {
            (why("Outgoing call, not answered"), "out", "done")
        }
        Scenario::TextIn => ("Text received".to_owned(), "in", "open"),
        Scenario::TextOut => ("Text sent".to_owned(), "out", "done"),
        Scenario::Internal | Scenario::Anonymous => return None,
    };
    Some((line, direction, status))
}

/// Every conversation by its external id, with its only note.
fn logged(world: &World) -> BTreeMap<String, (Value, String)> {
    let mut notes: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for note in world.sandbox.notes() {
        let of = notes.entry(related(&note, "conversation")).or_default();
        of.push(attribute(&note, "body"));
    }
    let mut logged = BTreeMap::new();
    for conversation in world.sandbox.conversations() {
        let external = attribute(&conversation, "externalId");
        let mut own = notes
            .remove(conversation["id"].as_str().unwrap())
            .unwrap_or_default();
        assert_eq!(own.len(), 1, "{external}: {own:#?}");
        let twice = logged.insert(external.clone(), (conversation, own.remove(0)));
        assert!(twice.is_none(), "{external} twice");
    }
    logged
}

fn check(dialect: Dialect, scenario: Scenario, (conversation, note): &(Value, String)) {
    let (line, direction, status) = expected(dialect, scenario).unwrap();
    let place = format!("{dialect:?} {scenario:?}: {conversation:#}\n{note}");
    let head = note.lines().next().unwrap();
    // Some tell why nobody came before the mailbox did.
    let right = head == line || scenario == Scenario::Voicemail && head.starts_with(&line);
    assert!(right, "{line:?} of {place}");
    assert_eq!(attribute(conversation, "direction"), direction, "{place}");
    assert_eq!(attribute(conversation, "status"), status, "{place}");
    assert!(note.contains("+491711234567"), "{place}");
    let answered_by = match scenario {
        Scenario::Answered | Scenario::Recording => Some("101"),
        Scenario::Queue | Scenario::Transfer => Some("102"),
        _ => None,
    };
    // A proxy doesn't know who of ours it was.
    if let Some(agent) = answered_by.filter(|_| dialect != Dialect::Kamailio) {
        let mail = if agent == "101" {
            "grace@example.org"
        } else {
            "alan@example.org"
        };
        assert!(note.contains("Agent") && note.contains(mail), "{place}");
        let assigned = conversation["attributes"]["assignedUsers"].as_array();
        assert_eq!(assigned.map(Vec::len), Some(1), "{place}");
    }
    match scenario {
        Scenario::TextIn | Scenario::TextOut => assert!(note.contains("100% & ü"), "{place}"),
        Scenario::Recording => assert!(note.contains("Recording"), "{place}"),
        _ => {}
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_texts_and_ten_calls_become_the_expected_conversations() {
    let (world, daemon) = running().await;
    let mut accepted = 0;
    for round in 0..2 {
        for dialect in Dialect::ALL {
            let day = day(dialect);
            let told = day.iter().enumerate();
            let posts: Vec<(usize, Post)> = told
                .flat_map(|(number, (_, told))| {
                    told.posts.iter().map(move |post| (number, post.clone()))
                })
                .collect();
            let count = posts.len();
            let target = Arc::new(target(&daemon, dialect, proof(dialect, &secret(dialect))));
            let tally = play::play(&target, posts, 50_000.0, true).await.unwrap();
            assert_eq!(
                (tally.accepted, tally.refused.len()),
                (count, 0),
                "{dialect:?}: {tally:?}"
            );
            // Sent again: repeats, where the answer has words for it.
            let repeats = if round == 1 && !tally.events.is_empty() {
                count
            } else {
                0
            };
            assert_eq!(tally.repeats, repeats, "{dialect:?}: {tally:?}");
            accepted += if round == 0 { count } else { 0 };
        }
        daemon.settled(accepted).await;
        let mut logged = logged(&world);
        for dialect in Dialect::ALL {
            for (scenario, told) in day(dialect) {
                let Some((line, _, _)) = expected(dialect, scenario) else {
                    continue;
                };
                let prefix = format!("tieline:{}:", dialect.word());
                let of_key = told.key.map(|key| format!("{prefix}{key}"));
                let alike = || {
                    let mut all = logged.iter().filter(|(id, _)| id.starts_with(&prefix));
                    all.find(|(_, (_, note))| note.starts_with(&line))
                        .map(|(id, _)| id.clone())
                };
                let id = of_key
                    .or_else(alike)
                    .unwrap_or_else(|| panic!("{dialect:?} {scenario:?} isn't logged"));
                let found = logged
                    .remove(&id)
                    .unwrap_or_else(|| panic!("{id} ({scenario:?}) isn't logged"));
                check(dialect, scenario, &found);
            }
        }
        assert!(logged.is_empty(), "nobody meant these: {:?}", logged.keys());
    }
    assert!(daemon.stop().await.success());
}

/// What a signature covers, changed behind it; none where a secret is shown instead of a signature.
fn altered(dialect: Dialect, signed: &Post) -> Option<Post> {
    let text = String::from_utf8(signed.body.clone()).unwrap();
    let body = match dialect {
        Dialect::Twilio => text.replace("1711234567", "1711234568"),
        Dialect::Yeastar => text.replace("+491711234567", "+491711234568"),
        Dialect::Dialpad => {
            let (head, rest) = text.split_once('.').unwrap();
            let (claims, signature) = rest.split_once('.').unwrap();
            let (first, rest) = claims.split_at(claims.len() / 2);
            let other = if rest.starts_with('A') { 'B' } else { 'A' };
            format!("{head}.{first}{other}{}.{signature}", &rest[1..])
        }
        _ => return None,
    };
    assert_ne!(body, text, "{dialect:?}");
    Some(Post {
        body: body.into_bytes(),
        ..signed.clone()
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_altered_unsigned_or_signed_by_another_leaves_nothing() {
    let (_world, daemon) = running().await;
    for dialect in Dialect::ALL {
        let post = day(dialect).remove(0).1.posts.remove(0);
        let as_it_is = target(&daemon, dialect, Proof::None);
        let signed = proof(dialect, &secret(dialect)).sign(post.clone()).unwrap();
        let by_another = proof(dialect, "another").sign(post.clone()).unwrap();
        let mut refused = vec![("unsigned", post.clone()), ("another secret", by_another)];
        refused.extend(altered(dialect, &signed).map(|altered| ("altered", altered)));
        for (how, post) in refused {
            let answer = Sender::new(&as_it_is).send(post).await.unwrap();
            assert_eq!(answer.status, 401, "{dialect:?}, {how}: {answer:?}");
        }
    }
    assert_eq!(daemon.place.status().await["events"]["accepted"], 0);
    // The same ones, signed as they should be, and replayed with the same signature.
    for dialect in Dialect::ALL {
        let post = day(dialect).remove(0).1.posts.remove(0);
        let as_it_is = target(&daemon, dialect, Proof::None);
        let signed = proof(dialect, &secret(dialect)).sign(post).unwrap();
        for _ in 0..2 {
            let answer = Sender::new(&as_it_is).send(signed.clone()).await.unwrap();
            assert!(
                matches!(answer.status, 200 | 202),
                "{dialect:?}: {answer:?}"
            );
        }
    }
    let status = daemon.place.status().await;
    assert_eq!(status["events"]["accepted"], Dialect::ALL.len());
}
