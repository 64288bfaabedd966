//! `tieline check --online` against a Kustomer, a network, a key and phone systems that each have one thing wrong: it is
//! named, with what to do.

use crate::support::{Config, OURS, Proxy, TlsDoor, World, call};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use tieline::kustomer::roles::Role;
use tieline::sandbox::{ApiKey, Fault, FaultKind, SANDBOX_KEY, SandboxOptions};

const MAX: &str = "+491711234567";

/// Exit code, and the findings that aren't ok: check, whose, level, what, what to do.
struct Checked {
    code: Option<i32>,
    all: Vec<Value>,
}

impl Checked {
    /// The findings of one check.
    fn by(&self, check: &str) -> Vec<&Value> {
        let all = self.all.iter();
        all.filter(|one| one["check"] == check).collect()
    }

    async fn of(world: &World, more: &[&str]) -> Self {
        let args = [&["check", "--online", "--json"], more].concat();
        let finished = world.place.cli(&args).await;
        let shown: Value =
            serde_json::from_str(&finished.out).unwrap_or_else(|_| panic!("{finished:?}"));
        let all = shown["findings"]
            .as_array()
            .unwrap_or_else(|| panic!("{shown:#}"));
        Self {
            code: finished.code,
            all: all.clone(),
        }
    }

    /// The one finding of that check, whoever's.
    fn one(&self, check: &str) -> &Value {
        let mut found = self.all.iter().filter(|one| one["check"] == check);
        let one = found.next().unwrap_or_else(|| panic!("{:#?}", self.all));
        assert!(found.next().is_none(), "{check} twice: {:#?}", self.all);
        one
    }

    /// That check found this, at this level, and says what to do.
    fn says(&self, check: &str, level: &str, what: &str, todo: &str) {
        let one = self.one(check);
        assert_eq!(one["level"], level, "{one:#}");
        let has = |key: &str, text: &str| one[key].as_str().unwrap().contains(text);
        assert!(has("what", what) && has("do", todo), "{one:#}");
        let faults = self.all.iter().any(|one| one["level"] == "fault");
        assert_eq!(self.code, Some(i32::from(faults)), "{:#?}", self.all);
    }
}

/// Everything is on that needs a role of its own.
fn everything() -> Config {
    let mut config = Config::calls(
        "voice_message = true\ncustom = { queueStr = \"{{ queue }}\" }\nassign = [\"agent\", \"default\"]\nassign_default = \"Second line\"",
    );
    config.integrations[0].texts = "text_message = true\nwindow = \"1h\"\n[kustomer.contacts]\n[kustomer.webhook]\nsecret_file = \"hook-token\"\nurl = \"https://tieline.example\"\n".to_owned();
    config
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_role_that_is_missing_is_named_with_what_needs_it() {
    let holding = |key: &str, roles: Vec<String>| ApiKey {
        key: key.to_owned(),
        roles,
    };
    let without = |lacking: Role| {
        let held = Role::ALL.into_iter().filter(|role| *role != lacking);
        holding(
            lacking.name(),
            held.map(|role| role.name().to_owned()).collect(),
        )
    };
    let mut keys: Vec<ApiKey> = Role::ALL.into_iter().map(without).collect();
    let all = Role::ALL.map(|role| role.name().to_owned()).to_vec();
    keys.push(holding(SANDBOX_KEY, all));
    let options = SandboxOptions {
        keys,
        custom: json!({"conversation": {"queueStr": {"type": "string"}}}),
        ..SandboxOptions::empty()
    };
    let world = World::with(&everything(), options).await;
    world
        .sandbox
        .seed_team(json!({"name": "Second line"}))
        .unwrap();
    fs::write(world.place.folder.join("hook-token"), "x").unwrap();
    let key = world.place.folder.join("kustomer-key");
    let before = world.sandbox.counts();
    let lacks = |one: &Value| format!("the key lacks {}", one["role"].as_str().unwrap());
    let mut wrong = Vec::new();
    for lacking in Role::ALL.map(Some).into_iter().chain([None]) {
        fs::write(&key, lacking.map_or(SANDBOX_KEY, Role::name)).unwrap();
        let checked = Checked::of(&world, &[]).await;
        let roles = checked.all.iter().filter(|one| one["check"] == "role");
        let named: BTreeSet<&str> = roles
            .clone()
            .filter(|one| one["level"] != "ok")
            .map(|one| one["role"].as_str().unwrap())
            .collect();
        if named != lacking.map(Role::name).into_iter().collect() {
            wrong.push(format!("without {lacking:?} it names {named:?}"));
        }
        for one in roles.filter(|one| one["level"] != "ok") {
            let what = one["what"].as_str().unwrap();
            let features = one["needed_for"].as_array().unwrap();
            let told = features
                .iter()
                .all(|words| what.contains(words.as_str().unwrap()));
            if features.is_empty() || !told || !what.starts_with(&lacks(one)) {
                wrong.push(format!("without {lacking:?}: {one:#}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    let after = world.sandbox.counts();
    let made = |counts: tieline::sandbox::Counts| {
        (
            counts.customers,
            counts.conversations,
            counts.notes,
            counts.messages,
        )
    };
    assert_eq!(made(after), made(before), "it creates nothing");
    assert!(world.sandbox.webhooks().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_found_where_nothing_is_wrong() {
    let mut config = Config::calls(&format!("connected_numbers = [\"{OURS}\"]"));
    config.integrations[0].texts = "connected_numbers = [\"+4930*\"]".to_owned();
    let (world, daemon) = World::running(&config).await;
    let silent = Checked::of(&world, &[]).await;
    assert_eq!(silent.code, Some(0));
    let unheard: Vec<&Value> = silent
        .all
        .iter()
        .filter(|one| one["check"] == "silence")
        .collect();
    assert!(unheard.len() == 2 && unheard.iter().all(|one| one["level"] == "warning"));
    daemon.post(&call("a1", MAX)).await;
    daemon.settled(1).await;
    let checked = Checked::of(&world, &[]).await;
    assert_eq!(checked.code, Some(0));
    for check in ["network", "clock", "agents", "numbers"] {
        assert_eq!(checked.one(check)["level"], "ok", "{:#?}", checked.all);
    }
    let mut of = checked.all.iter().filter(|one| one["check"] == "silence");
    assert!(of.any(|one| one["of"] == "script" && one["level"] == "ok"));
    // The same for people: what is wrong first.
    let shown = world.place.cli(&["check", "--online"]).await;
    let (_, looked) = shown.out.split_once("Looked at:\n").unwrap();
    assert!(looked.starts_with("  WARNING silence hq: "), "{looked}");
    assert!(
        looked.contains("\n  ok      role support: org.permission.note.create, for "),
        "{looked}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_only_the_daemon_knows_is_told_while_it_runs() {
    let mut config = Config::calls("connected_numbers = [\"+49 30 555*\", \"+4921155500100\"]");
    config.agents = "\"101\" = \"Grace@example.org\"\n\"109\" = \"gone@example.org\"".to_owned();
    let world = World::start(&config).await;
    let stopped = Checked::of(&world, &[]).await;
    stopped.says("daemon", "warning", "not looked for", "start the daemon");
    stopped.says("agents", "warning", "109 (gone@example.org)", "[agents]");
    let daemon = world.place.start().await;
    daemon.post(&call("a1", MAX)).await;
    daemon.settled(1).await;
    let checked = Checked::of(&world, &["--silence", "0s", "--calls", "5"]).await;
    checked.says(
        "numbers",
        "warning",
        "[kustomer.calls]: \"+49 30 555*\"",
        "as the phone system sends them",
    );
    let silent = checked.all.iter().filter(|one| one["check"] == "silence");
    let silent: Vec<&Value> = silent.collect();
    assert!(
        silent.iter().all(|one| one["level"] == "warning"),
        "{silent:#?}"
    );
    assert!(
        silent.iter().any(|one| one["of"] == "script"
            && one["what"].as_str().unwrap().contains("last heard 0 h ago"))
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_expires_or_is_of_another_region_is_told() {
    let until = |seconds: i64| {
        let exp = tieline::clock::now().as_second() + seconds;
        let payload = URL_SAFE_NO_PAD.encode(json!({"exp": exp}).to_string());
        format!("e30.{payload}.c2lnbmVk")
    };
    let (expired, near) = (until(-60), until(3 * 24 * 3600));
    let key = |key: &str| ApiKey {
        key: key.to_owned(),
        roles: vec!["org".to_owned()],
    };
    let options = SandboxOptions {
        keys: vec![key(&near), key(SANDBOX_KEY)],
        ..SandboxOptions::empty()
    };
    let world = World::with(&Config::default(), options).await;
    let file = world.place.folder.join("kustomer-key");
    fs::write(&file, &near).unwrap();
    let checked = Checked::of(&world, &[]).await;
    let keys = checked.by("key");
    assert!(
        keys.iter()
            .any(|one| one["level"] == "warning"
                && one["what"].as_str().unwrap().contains("in 2 days")),
        "{keys:#?}"
    );
    assert_eq!(checked.code, Some(0));
    // Kustomer doesn't know the one that has expired any more.
    fs::write(&file, &expired).unwrap();
    let checked = Checked::of(&world, &[]).await;
    let keys = checked.by("key");
    assert!(keys.iter().all(|one| one["level"] == "fault"), "{keys:#?}");
    assert!(
        keys.iter()
            .any(|one| one["what"].as_str().unwrap().starts_with("expired at ")),
        "{keys:#?}"
    );
    assert_eq!(
        (checked.code, checked.one("network")["level"].as_str()),
        (Some(1), Some("ok"))
    );
    fs::write(&file, SANDBOX_KEY).unwrap();
    let pod = json!({"errors": [{"status": 401, "title": "Auth token associated with pod prod2 but request is being handled by prod1"}]});
    let refusal = FaultKind::Status {
        status: 401,
        body: Some(pod),
        headers: BTreeMap::default(),
    };
    world
        .sandbox
        .add_fault(Fault::on("/v1/users/current", refusal));
    let checked = Checked::of(&world, &[]).await;
    checked.says(
        "region",
        "fault",
        "is of the region prod2, and prod1 was asked",
        "https://api.prod2.kustomerapp.com",
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clocks_that_differ_are_told() {
    let options = SandboxOptions {
        started_at: tieline::clock::now()
            .checked_add(jiff::SignedDuration::from_hours(1))
            .ok(),
        ..SandboxOptions::empty()
    };
    let world = World::with(&Config::default(), options).await;
    let checked = Checked::of(&world, &[]).await;
    checked.says("clock", "fault", "s behind Kustomer's", "timedatectl");
    let options = SandboxOptions {
        tells_time: false,
        ..SandboxOptions::empty()
    };
    let world = World::with(&Config::default(), options).await;
    let checked = Checked::of(&world, &[]).await;
    checked.says("clock", "warning", "tell no time", "timedatectl");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_part_of_the_way_is_told_by_itself() {
    let mut config = Config::default();
    let world = World::start(&config).await;
    let door = TlsDoor::open("127.0.0.1:0", world.sandbox.url()).await;
    let proxy = Proxy::open("tieline:secret").await;
    door.write_authority(&world.place.folder.join("ca.pem"));
    fs::write(world.place.folder.join("proxy-password"), "wrong\n").unwrap();
    // A name that is too long for any name server, so that none is asked.
    let nameless = format!("https://{}.example", "a".repeat(64));
    // A port that was just let go of.
    let closed = {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        format!("https://{}", listener.local_addr().unwrap())
    };
    let plain = world.sandbox.url().replace("http:", "https:");
    let trusting = "ca_file = \"ca.pem\"";
    let through = format!(
        "{trusting}\n[kustomer.proxy]\nurl = \"http://{}\"\nuser = \"tieline\"\npassword_file = \"proxy-password\"",
        proxy.address
    );
    let nobody = format!(
        "{trusting}\n[kustomer.proxy]\nurl = \"{}\"",
        closed.replace("https", "http")
    );
    let table = [
        (
            nameless.clone(),
            "",
            "fault",
            "has no address",
            "resolv.conf",
        ),
        (
            closed.clone(),
            "",
            "fault",
            "takes no connection",
            "firewall",
        ),
        (plain, "", "fault", "no TLS with 127.0.0.1", "http alone"),
        (door.url(), "", "fault", "isn't trusted", "ca_file"),
        (door.url(), trusting, "ok", "answers", ""),
        (
            door.url(),
            nobody.as_str(),
            "fault",
            "takes no connection",
            "the proxy runs",
        ),
        (
            door.url(),
            through.as_str(),
            "fault",
            "the proxy refuses user or password",
            "password_file",
        ),
    ];
    for (url, lines, level, what, todo) in table {
        config.integrations[0].url = Some(url);
        config.integrations[0].lines = format!("timeout = \"5s\"\n{lines}");
        world.configure(&config);
        let checked = Checked::of(&world, &[]).await;
        checked.says("network", level, what, todo);
    }
    fs::write(world.place.folder.join("proxy-password"), "secret\n").unwrap();
    Checked::of(&world, &[]).await.says(
        "network",
        "ok",
        "answers through the proxy 127.0.0.1:",
        "",
    );
    config.integrations[0].url = Some(closed);
    world.configure(&config);
    Checked::of(&world, &[])
        .await
        .says("network", "fault", "doesn't lead to 127.0.0.1", "CONNECT");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn secret_files_that_others_reach_are_told() {
    use std::os::unix::fs::PermissionsExt as _;
    let world = World::with(&Config::default(), SandboxOptions::empty()).await;
    let key = world.place.folder.join("kustomer-key");
    let modes = [
        (0o600, ""),
        (0o640, ""),
        (0o644, "can read"),
        (0o620, "can change"),
        (0o602, "can change"),
    ];
    for name in ["hq-password", "script-token"] {
        let mode = fs::Permissions::from_mode(0o600);
        fs::set_permissions(world.place.folder.join(name), mode).unwrap();
    }
    for (mode, words) in modes {
        fs::set_permissions(&key, fs::Permissions::from_mode(mode)).unwrap();
        let shown: Value =
            serde_json::from_str(&world.place.cli(&["check", "--json"]).await.out).unwrap();
        let notes = shown["notes"].as_array().unwrap();
        let told = notes
            .iter()
            .any(|note| note.as_str().unwrap().contains("kustomer-key"));
        assert_eq!(told, !words.is_empty(), "{mode:o}: {notes:?}");
        assert!(
            notes
                .iter()
                .all(|note| note.as_str().unwrap().contains(words)),
            "{mode:o}: {notes:?}"
        );
    }
    fs::remove_file(&key).unwrap();
    fs::create_dir(&key).unwrap();
    let shown = world.place.cli(&["check"]).await;
    assert_eq!(shown.code, Some(78), "{shown:?}");
    assert!(
        shown.out.contains("api_key_file") && shown.out.contains("can't be read"),
        "{shown:?}"
    );
}
