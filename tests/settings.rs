//! Settings: what comes out of the layers, and what every fault says.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tempfile::TempDir;
use tieline::settings::fault::Faults;
use tieline::settings::load::{DEFAULTS, Sources, load, load_without_secrets};
use tieline::settings::schema::schema;
use tieline::settings::summary::summary;
use tieline::settings::types::{AdminAddress, Auth, LogAs, Matcher, Settings};

/// A folder with tieline.toml, conf.d and secrets.
struct Etc {
    folder: TempDir,
    sources: Sources,
}

impl Etc {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let sources = Sources {
            etc: folder.path().to_owned(),
            ..Sources::default()
        };
        Self { folder, sources }
    }

    fn write(self, name: &str, text: &str) -> Self {
        let path = self.folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        self
    }

    fn env(mut self, name: &str, value: &str) -> Self {
        self.sources.env.push((name.to_owned(), value.to_owned()));
        self
    }

    fn config(mut self, name: &str) -> Self {
        let path = self.folder.path().join(name);
        self.sources.configs.push(path);
        self
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn load(&self) -> Result<Settings, Faults> {
        load(&self.sources)
    }

    fn settings(&self) -> Settings {
        self.load().unwrap_or_else(|faults| panic!("{faults}"))
    }

    /// The faults as lines, paths from this folder.
    fn faults(&self) -> Vec<String> {
        let faults = self.load().expect_err("no fault was found");
        let folder = format!("{}/", self.folder.path().display());
        faults
            .0
            .iter()
            .map(|fault| fault.to_string().replace(&folder, ""))
            .collect()
    }
}

/// One phone system and one integration that are right; `kustomer.support` is open at the end.
const GOOD: &str = r#"[daemon]
default_region = "DE"
time_zone = "Europe/Berlin"
[[pbx]]
name = "hq"
dialect = "freeswitch"
auth = { kind = "basic", user = "fs", password_file = "hq-password" }
[[kustomer]]
name = "support"
org = "acme"
api_key_file = "kustomer-key"
"#;

fn good() -> Etc {
    Etc::new()
        .write("hq-password", "fs-secret\n")
        .write("kustomer-key", "key-secret\n")
        .write("tieline.toml", GOOD)
}

#[test]
fn the_defaults_are_right_by_themselves() {
    let settings = Etc::new().settings();
    assert!(settings.pbxs.is_empty() && settings.kustomers.is_empty());
    assert_eq!(settings.daemon.disk_reserve, 64 * 1024 * 1024);
    assert_eq!(settings.daemon.keep, Duration::from_secs(30 * 24 * 3600));
    assert_eq!(settings.daemon.intake.body_bytes, 1024 * 1024);
    let admin = AdminAddress::Unix("/run/tieline/admin.sock".into());
    assert_eq!(settings.daemon.admin, admin);
    let notes = settings.notes.join("\n");
    assert!(
        notes.contains("daemon.default_region is not set, so it is \"DE\""),
        "{notes}"
    );
}

#[test]
fn every_documented_default_is_the_default() {
    // The commented blocks of tieline.toml, made live: what is needed, and each default as documented.
    let live: String = DEFAULTS
        .lines()
        .filter_map(|line| line.strip_prefix('#'))
        .filter(|line| line.starts_with('[') || line.starts_with(|c: char| c.is_ascii_lowercase()))
        .filter(|line| !line.contains("unset") && !line.starts_with("url "))
        .map(|line| format!("{line}\n"))
        .collect();
    let live = live.replace("[[client]]", "[[client]] # live");
    let live = live.split("[[client]]").next().unwrap();
    let documented = good().write("tieline.toml", live).settings();
    let built_in = good().settings();
    let shown = |settings: &Settings| {
        format!("{:#?}\n{:#?}", settings.pbxs, settings.kustomers)
            .lines()
            .filter(|line| !line.contains("/"))
            .collect::<Vec<_>>()
            .join("\n")
    };
    assert_eq!(shown(&documented), shown(&built_in));
    // Every key of the schema is documented.
    let schema = schema();
    for (definition, shape) in schema["$defs"].as_object().unwrap() {
        for key in shape["properties"].as_object().into_iter().flatten() {
            let key = key.0;
            assert!(
                DEFAULTS.contains(&format!("{key} ")) || DEFAULTS.contains(&format!("{key}=")),
                "{definition}.{key} is not in config/tieline.toml"
            );
        }
    }
}

#[test]
fn the_schema_is_as_published() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/tieline.schema.json");
    let made = serde_json::to_string_pretty(&schema()).unwrap() + "\n";
    if std::env::var_os("TIELINE_UPDATE_GOLDEN").is_some() {
        fs::write(&path, &made).unwrap();
    }
    let published = fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(
        made, published,
        "run the tests with TIELINE_UPDATE_GOLDEN=1 and look at the difference"
    );
}

#[test]
fn later_layers_override_key_by_key() {
    let etc = good()
        .write(
            "conf.d/10-a.toml",
            "[[kustomer]]\nname = \"support\"\nactive = false\n[kustomer.calls]\nmin_talk = \"3s\"\nignore = [\"101\", \"102\"]\n",
        )
        .write(
            "conf.d/20-b.toml",
            "[[kustomer]]\nname = \"support\"\n[kustomer.calls]\nmin_talk = \"4s\"\nignore = [\"103\"]\n[[kustomer]]\nname = \"sales\"\norg = \"acme\"\napi_key_file = \"../kustomer-key\"\n",
        )
        .write("conf.d/ignored.txt", "no toml")
        .write("last.toml", "[daemon]\nlisten = \"127.0.0.1:3\"\n")
        .env("TIELINE_DAEMON__LISTEN", "127.0.0.1:2")
        .env("TIELINE_DAEMON__AREA_CODE", "211")
        .env("TIELINE_DAEMON__INTAKE__QUEUE", "7")
        .env("TIELINE_KUSTOMER__SUPPORT__ACTIVE", "true")
        .env("TIELINE_KUSTOMER__SUPPORT__RETRY", "[\"1s\"]")
        .env("TIELINE_PBX__HQ__AUTH__USER", "other")
        .env("TIELINE_LOG", "debug")
        .env("PATH", "/bin")
        .config("last.toml");
    let settings = etc.settings();
    assert_eq!(settings.daemon.listen, "127.0.0.1:3".parse().unwrap());
    assert_eq!(settings.daemon.intake.queue, 7);
    assert_eq!(
        settings.daemon.plan.parse("5550123").unwrap().as_str(),
        "+492115550123"
    );
    let [sales, support] = settings.kustomers.as_slice() else {
        panic!("{:?}", settings.kustomers)
    };
    assert_eq!((sales.name.as_str(), sales.active), ("sales", true));
    assert!(support.active);
    assert_eq!(support.retry, [Duration::from_secs(1)]);
    assert_eq!(support.calls.min_talk, Duration::from_secs(4));
    assert_eq!(support.calls.ignore.len(), 1);
    assert_eq!(support.calls.ignore[0].written, "103");
    let Auth::Basic {
        user,
        password_file,
    } = &settings.pbxs[0].auth
    else {
        panic!("{:?}", settings.pbxs[0].auth)
    };
    assert_eq!(user, "other");
    assert_eq!(password_file, &etc.path("hq-password"));
}

#[test]
fn a_later_kind_of_proof_replaces_the_former_one() {
    let etc = good().write("token", "t").write(
        "conf.d/a.toml",
        "[[pbx]]\nname = \"hq\"\nauth = { kind = \"bearer\", token_file = \"../token\" }\n",
    );
    assert!(matches!(etc.settings().pbxs[0].auth, Auth::Bearer { .. }));
}

#[test]
fn numbers_may_stand_in_a_file_of_their_own() {
    let lists = "[kustomer.calls]\nignore = { file = \"lists/numbers.txt\" }\n";
    let etc = good()
        .write("tieline.toml", &format!("{GOOD}{lists}"))
        .write("lists/numbers.txt", "# ours\n+49 30 1234-567  # landlord\n\n+4930555*\n101\n");
    let settings = etc.settings();
    let ignore = &settings.kustomers[0].calls.ignore;
    assert_eq!(ignore.len(), 3);
    assert!(matches!(&ignore[0].matcher, Matcher::Number(number) if number.as_str() == "+49301234567"));
    assert_eq!(ignore[1].matcher, Matcher::Prefix("+4930555".into()));
    let etc = etc.write("lists/numbers.txt", "101\n+49 30 12x\n0049*\n5..\n");
    assert_eq!(
        etc.faults(),
        [
            "lists/numbers.txt:2: kustomer.support.calls.ignore: a number has no letters; an extension's name has no spaces",
            "lists/numbers.txt:4: kustomer.support.calls.ignore: a range is written with + and the country's code at both ends: +4930555100..+4930555199",
        ]
    );
}

#[test]
fn secrets_are_found_among_the_credentials_first() {
    let etc = good()
        .write("run/hq-password", "p")
        .write("run/tieline_kustomer-key", "k");
    let run = etc.path("run").display().to_string();
    let etc = etc.env("CREDENTIALS_DIRECTORY", &run);
    let settings = etc.settings();
    assert_eq!(
        settings.kustomers[0].api_key_file,
        etc.path("run/tieline_kustomer-key")
    );
    let etc = good().write("credentials/other-key", "k").write(
        "conf.d/a.toml",
        "[[kustomer]]\nname = \"support\"\napi_key_file = \"other-key\"\n",
    );
    assert_eq!(
        etc.settings().kustomers[0].api_key_file,
        etc.path("credentials/other-key")
    );
}

#[test]
fn a_secret_that_everybody_can_read_is_a_note() {
    let etc = good();
    let file = etc.path("kustomer-key");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    let notes = etc.settings().notes.join("\n");
    assert!(notes.contains("everybody on this machine can read"), "{notes}");
}

#[test]
fn commands_that_ask_the_daemon_need_no_secrets() {
    let etc = good();
    fs::remove_file(etc.path("kustomer-key")).unwrap();
    assert!(load_without_secrets(&etc.sources).is_ok());
    assert_eq!(etc.faults().len(), 1);
}

#[test]
fn every_example_loads() {
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/examples");
    let mut seen = 0;
    for entry in fs::read_dir(&examples).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|ending| ending != "toml") {
            continue;
        }
        seen += 1;
        let mut configs = vec![path.clone()];
        if path.ends_with("numbers.toml") {
            configs.insert(0, examples.join("minimal.toml"));
        }
        let sources = Sources {
            configs,
            ..Sources::default()
        };
        let settings = load_without_secrets(&sources).unwrap_or_else(|faults| panic!("{faults}"));
        assert!(settings.later.is_empty(), "{path:?}: {:?}", settings.later);
        assert!(settings.notes.is_empty(), "{path:?}: {:?}", settings.notes);
        assert!(!summary(&settings).is_empty());
    }
    assert_eq!(seen, 4);
}
