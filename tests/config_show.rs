//! `tieline config show`: every setting with its value and where it was written, and no secret.

use crate::support::{Config, World};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use tieline::sandbox::SANDBOX_KEY;
use tieline::settings::load::{Sources, shown};
use tieline::settings::origin::Whence;
use tieline::settings::schema::schema;
use tieline::settings::shown::Setting;

const MAIN: &str = r#"[daemon]
area_code = "211"
grace = "10s"
[[pbx]]
name = "hq"
dialect = "freeswitch"
auth = { kind = "basic", user = "fs", password_file = "hq-password" }
[[kustomer]]
name = "support"
org = "acme"
api_key_file = "kustomer-key"
"#;

/// The settings of two files and the environment, by key, with paths from the folder.
fn all(main: &str) -> BTreeMap<String, (Value, String, Option<String>)> {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    write("tieline.toml", main);
    let more = "# Numbers.\n[[kustomer]]\nname = \"support\"\nparallel = 2\n[kustomer.calls]\nignore = [\"+49171*\",\n  \"101\"]\n[agents]\n\"101\" = \"grace@example.org\"\n";
    write("conf.d/numbers.toml", more);
    write("run/tieline_kustomer-key", "the key itself");
    write("hq-password", "the password itself");
    let path = |name: &str| folder.path().join(name).display().to_string();
    let variable = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let sources = Sources {
        etc: folder.path().to_owned(),
        env: vec![
            variable("CREDENTIALS_DIRECTORY", &path("run")),
            variable("TIELINE_DAEMON__GRACE", "15s"),
            variable("TIELINE_KUSTOMER__SUPPORT__ACTIVE", "false"),
        ],
        configs: Vec::new(),
    };
    let prefix = format!("{}/", folder.path().display());
    let short = |text: String| text.replace(&prefix, "");
    let entry = |setting: Setting| {
        let secret = setting.secret.map(|secret| {
            let file = short(secret.file.display().to_string());
            if secret.credential {
                format!("credential {file}")
            } else {
                file
            }
        });
        (
            setting.key,
            (setting.value, short(setting.whence.to_string()), secret),
        )
    };
    shown(&sources)
        .unwrap_or_else(|faults| panic!("{faults}"))
        .into_iter()
        .map(entry)
        .collect()
}

#[test]
fn each_value_has_the_place_that_it_comes_from() {
    let all = all(MAIN);
    let table = [
        ("daemon.listen", json!("127.0.0.1:8480"), "default", None),
        ("daemon.area_code", json!("211"), "tieline.toml:2", None),
        ("daemon.grace", json!("15s"), "TIELINE_DAEMON__GRACE", None),
        ("daemon.tls.key_file", Value::Null, "default", None),
        ("pbx.hq.name", json!("hq"), "tieline.toml:5", None),
        ("pbx.hq.settle", json!("5s"), "default", None),
        ("pbx.hq.auth.kind", json!("basic"), "tieline.toml:7", None),
        (
            "pbx.hq.auth.password_file",
            json!("hq-password"),
            "tieline.toml:7",
            Some("hq-password"),
        ),
        (
            "kustomer.support.org",
            json!("acme"),
            "tieline.toml:10",
            None,
        ),
        (
            "kustomer.support.active",
            json!(false),
            "TIELINE_KUSTOMER__SUPPORT__ACTIVE",
            None,
        ),
        (
            "kustomer.support.api_key_file",
            json!("kustomer-key"),
            "tieline.toml:11",
            Some("credential run/tieline_kustomer-key"),
        ),
        (
            "kustomer.support.parallel",
            json!(2),
            "conf.d/numbers.toml:4",
            None,
        ),
        (
            "kustomer.support.calls.ignore",
            json!(["+49171*", "101"]),
            "conf.d/numbers.toml:6",
            None,
        ),
        (
            "kustomer.support.calls.log.internal",
            json!("off"),
            "default",
            None,
        ),
        ("kustomer.support.calls.labels", json!({}), "default", None),
        ("kustomer.support.ca_file", Value::Null, "default", None),
        (
            "agents.101",
            json!("grace@example.org"),
            "conf.d/numbers.toml:9",
            None,
        ),
        ("client", json!({}), "default", None),
    ];
    for (key, value, whence, secret) in table {
        let (shown, from, file) = all
            .get(key)
            .unwrap_or_else(|| panic!("{key}: {:#?}", all.keys()));
        assert_eq!(
            (shown, from.as_str(), file.as_deref()),
            (&value, whence, secret),
            "{key}"
        );
    }
}

#[test]
fn no_key_is_left_out() {
    let all = all(MAIN);
    let names: BTreeSet<&str> = all.keys().flat_map(|key| key.split('.')).collect();
    let schema = schema();
    // What is in force is one kind of proof of many, and neither a client nor a contact server.
    let elsewhere = [
        "AuthFile",
        "ClientFile",
        "CardDavFile",
        "NumberFile",
        "EachConflictFile",
    ];
    let mut missing = Vec::new();
    for (definition, shape) in schema["$defs"].as_object().unwrap() {
        for (key, _) in shape["properties"].as_object().into_iter().flatten() {
            if !names.contains(key.as_str()) && !elsewhere.contains(&definition.as_str()) {
                missing.push(format!("{definition}.{key}"));
            }
        }
    }
    assert!(missing.is_empty(), "{missing:?}");
}

#[test]
fn faulty_settings_are_not_shown() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(
        folder.path().join("tieline.toml"),
        "[daemon]\ngrace = \"soon\"\n",
    )
    .unwrap();
    let sources = Sources {
        etc: folder.path().to_owned(),
        ..Sources::default()
    };
    assert!(
        shown(&sources)
            .unwrap_err()
            .to_string()
            .contains("daemon.grace")
    );
    assert_eq!(Whence::File("a".to_owned(), 3).to_string(), "a:3");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_command_shows_them_without_a_daemon_and_without_a_secret() {
    let world = World::start(&Config::default()).await;
    let shown = world.place.cli(&["config", "show"]).await;
    assert_eq!(shown.code, Some(0), "{shown:?}");
    let line = |start: &str| {
        let mut lines = shown.out.lines();
        lines
            .find(|line| line.starts_with(start))
            .unwrap_or_else(|| panic!("{start}: {}", shown.out))
    };
    let key = world
        .place
        .folder
        .join("kustomer-key")
        .display()
        .to_string();
    assert!(
        line("kustomer.support.api_key_file = \"kustomer-key\"  # tieline.toml:")
            .ends_with(&format!("; the secret is read from {key}"))
    );
    assert_eq!(
        line("kustomer.support.searches_per_minute"),
        "kustomer.support.searches_per_minute = 100  # default"
    );
    assert_eq!(
        line("pbx.hq.connect"),
        "pbx.hq.connect = (unset)  # default"
    );
    let set = world.place.json(&["config", "show", "--set"]).await;
    let set = set["settings"].as_array().unwrap();
    assert!(
        set.iter().all(|one| one["from"] == "file"
            && one["file"] == "tieline.toml"
            && one["line"].is_u64()),
        "{set:#?}"
    );
    assert!(
        set.iter()
            .any(|one| one["key"] == "daemon.area_code" && one["value"] == "211")
    );
    for secret in [SANDBOX_KEY, "\"secret\"", "\"token\""] {
        assert!(!shown.out.contains(secret), "{secret}: {}", shown.out);
    }
    fs::write(
        world.place.folder.join("tieline.toml"),
        "[daemon]\nlisen = 1\n",
    )
    .unwrap();
    let faulty = world.place.cli(&["config", "show"]).await;
    assert_eq!(faulty.code, Some(78));
    assert!(
        faulty.err.contains("tieline.toml:2: daemon.lisen") && faulty.out.is_empty(),
        "{faulty:?}"
    );
}
