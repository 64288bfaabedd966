//! Settings: what comes out of the layers, and what every fault says.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tempfile::TempDir;
use tieline::settings::fault::Faults;
use tieline::settings::load::{DEFAULTS, Sources, load, load_without_secrets};
use tieline::settings::schema::schema;
use tieline::settings::summary::summary;
use tieline::settings::types::{AdminAddress, Auth, Matcher, Settings};

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
    let live = live.split("[[client]]").next().unwrap();
    let mut documented = good().write("tieline.toml", live).settings();
    // That the section is there is what makes it live.
    for kustomer in &mut documented.kustomers {
        assert!(std::mem::take(&mut kustomer.contacts.active));
    }
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
            let written = [format!("{key} "), format!("{key}="), format!(".{key}]")];
            assert!(
                written.iter().any(|written| DEFAULTS.contains(written)),
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
    let Some(Auth::Basic {
        user,
        password_file,
    }) = &settings.pbxs[0].auth
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
    assert!(matches!(
        etc.settings().pbxs[0].auth,
        Some(Auth::Bearer { .. })
    ));
}

#[test]
fn numbers_may_stand_in_a_file_of_their_own() {
    let lists = "[kustomer.calls]\nignore = { file = \"lists/numbers.txt\" }\n";
    let etc = good()
        .write("tieline.toml", &format!("{GOOD}{lists}"))
        .write(
            "lists/numbers.txt",
            "# ours\n+49 30 1234-567  # landlord\n\n+4930555*\n101\n",
        );
    let settings = etc.settings();
    let ignore = &settings.kustomers[0].calls.ignore;
    assert_eq!(ignore.len(), 3);
    assert!(
        matches!(&ignore[0].matcher, Matcher::Number(number) if number.as_str() == "+49301234567")
    );
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
    assert!(
        notes.contains("everybody on this machine can read"),
        "{notes}"
    );
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
        assert!(settings.notes.is_empty(), "{path:?}: {:?}", settings.notes);
        assert!(!summary(&settings).is_empty());
    }
    assert_eq!(seen, 5);
}

/// What stands after [`GOOD`], so from line 12 on, and what is said of it.
const FAULTS: &[(&str, &str)] = &[
    // Keys.
    (
        "actve = false",
        "tieline.toml:12: kustomer.support.actve: there is no such key; did you mean active?; allowed: active, api_key_file, budget_window, bulk_land_time, ca_file, calls, contact_tag, contacts, land_time, name, org, parallel, pbx, proxy, requests_per_minute, retry, retry_for, searches_per_minute, texts, timeout, url, webhook",
    ),
    (
        "[kustomer.txts]",
        "tieline.toml:12: kustomer.support.txts: there is no such key; did you mean texts?; allowed: active, api_key_file, budget_window, bulk_land_time, ca_file, calls, contact_tag, contacts, land_time, name, org, parallel, pbx, proxy, requests_per_minute, retry, retry_for, searches_per_minute, texts, timeout, url, webhook",
    ),
    (
        "[pbxs]",
        "tieline.toml:12: pbxs: there is no such key; did you mean pbx?; allowed: agents, carddav, client, daemon, kustomer, pbx",
    ),
    (
        "[client]\nname = \"a\"",
        "tieline.toml:12: client: client is a list of entries: write [[client]] in double brackets, and its name below",
    ),
    // Types.
    (
        "active = \"no\"",
        "tieline.toml:12: kustomer.support.active: this is text; allowed: true or false",
    ),
    (
        "timeout = 5",
        "tieline.toml:12: kustomer.support.timeout: this is a whole number; allowed: text in quotes",
    ),
    (
        "pbx = \"hq\"",
        "tieline.toml:12: kustomer.support.pbx: this is text; allowed: a list in [ ]",
    ),
    (
        "calls = true",
        "tieline.toml:12: kustomer.support.calls: this is true or false; allowed: a table, in { } or under a heading in [ ]",
    ),
    (
        "parallel = 1.5",
        "tieline.toml:12: kustomer.support.parallel: this is a number with a fraction; allowed: a whole number from 1 to 32",
    ),
    // Words and ranges.
    (
        "[kustomer.calls]\nseveral = \"first\"",
        "tieline.toml:13: kustomer.support.calls.several: \"first\" is not one of \"newest\", \"oldest\", \"skip\"",
    ),
    (
        "[kustomer.calls]\nlog.voicemail = \"closed\"",
        "tieline.toml:13: kustomer.support.calls.log.voicemail: \"closed\" is not one of \"open\", \"done\", \"off\"",
    ),
    (
        "requests_per_minute = 0",
        "tieline.toml:12: kustomer.support.requests_per_minute: 0 is out of range; allowed: a whole number from 1 to 1000",
    ),
    (
        "requests_per_minute = 1001",
        "tieline.toml:12: kustomer.support.requests_per_minute: 1001 is out of range; allowed: a whole number from 1 to 1000",
    ),
    (
        "searches_per_minute = 0",
        "tieline.toml:12: kustomer.support.searches_per_minute: 0 is out of range; allowed: a whole number from 1 to 100",
    ),
    (
        "retry = []",
        "tieline.toml:12: kustomer.support.retry: there is no wait in the list; allowed: one wait at least, such as [\"5s\", \"1h\"]",
    ),
    (
        "retry = [\"5s\", \"soon\"]",
        "tieline.toml:12: kustomer.support.retry[1]: \"soon\" is no duration; allowed: 1ms to 24h, such as \"5s\", \"2min\", \"72h\"",
    ),
    (
        "budget_window = \"1s\"",
        "tieline.toml:12: kustomer.support.budget_window: \"1s\" is out of range; allowed: 1m alone",
    ),
    (
        "contact_tag = \"#phone\"",
        "tieline.toml:12: kustomer.support.contact_tag: \"#phone\" is no tag; allowed: 1 to 64 letters, digits, spaces and _ / < > - . (Kustomer takes no + # : in a tag)",
    ),
    (
        "[kustomer.calls]\ntags = [\"a\", \"b\", \"a\"]",
        "tieline.toml:13: kustomer.support.calls.tags[2]: \"a\" is there twice",
    ),
    (
        "[kustomer.calls]\nanonymous = \"some one\"",
        "tieline.toml:13: kustomer.support.calls.anonymous: \"some one\" is neither a word nor an id; allowed: \"skip\", or the id of one customer",
    ),
    // Names.
    (
        "pbx = [\"hq\", \"hk\"]",
        "tieline.toml:12: kustomer.support.pbx[1]: \"hk\" is no [[pbx]]; allowed: hq",
    ),
    (
        "[kustomer.contacts]\nphonebook = \"office\"",
        "tieline.toml:13: kustomer.support.contacts.phonebook: \"office\" is no phone book; allowed: directory",
    ),
    (
        "[[pbx]]\nname = \"hq\"\ndialect = \"tieline\"\nauth = { kind = \"none\" }",
        "tieline.toml:13: pbx.#2.name: this file has another [[pbx]] of the name \"hq\"; allowed: each name once a file",
    ),
    (
        "[[pbx]]\nname = \"HQ 2\"\ndialect = \"tieline\"\nauth = { kind = \"none\" }",
        "tieline.toml:13: pbx.#2.name: \"HQ 2\" is no name; allowed: 1 to 32 of a-z, 0-9, _ and -",
    ),
    (
        "[[pbx]]\ndialect = \"tieline\"\nauth = { kind = \"none\" }",
        "tieline.toml:12: pbx.#2.name: this [[pbx]] has no name; allowed: 1 to 32 of a-z, 0-9, _ and -",
    ),
    (
        "[[pbx]]\nname = \"b\"\ndialect = \"4cx\"\nauth = { kind = \"none\" }",
        "tieline.toml:14: pbx.b.dialect: \"4cx\" is not one of \"tieline\", \"freeswitch\", \"asterisk\", \"aircall\", \"cloudtalk\", \"dialpad\", \"ringcentral\", \"twilio\", \"yeastar\", \"3cx\", \"gammu\", \"grandstream\", \"jasmin\", \"kamailio\", \"kannel\", \"playsms\", \"zammad\"",
    ),
    (
        "[[pbx]]\nname = \"b\"\ndialect = \"tieline\"",
        "tieline.toml:12: pbx.b.auth: auth is missing",
    ),
    (
        "[[pbx]]\nname = \"b\"\ndialect = \"tieline\"\nauth = { user = \"a\" }",
        "tieline.toml:15: pbx.b.auth.kind: kind is missing; allowed: \"basic\", \"bearer\", \"hmac\", \"query\", \"header\", \"body\", \"jwt\", \"twilio\", \"none\"",
    ),
    (
        "[[pbx]]\nname = \"b\"\ndialect = \"tieline\"\nauth = { kind = \"digest\" }",
        "tieline.toml:15: pbx.b.auth.kind: \"digest\" is not one of \"basic\", \"bearer\", \"hmac\", \"query\", \"header\", \"body\", \"jwt\", \"twilio\", \"none\"",
    ),
    (
        "[[pbx]]\nname = \"b\"\ndialect = \"tieline\"\nauth = { kind = \"query\", name = \"t\" }",
        "tieline.toml:15: pbx.b.auth.token_file: token_file is missing; allowed: the path of a file that holds the secret alone",
    ),
    (
        "[[pbx]]\nname = \"b\"\ndialect = \"twilio\"\nauth = { kind = \"twilio\", token_file = \"hq-password\" }",
        "tieline.toml:15: pbx.b.auth.url: url is missing",
    ),
    (
        "[[pbx]]\nname = \"b\"\ndialect = \"twilio\"\nauth = { kind = \"twilio\", token_file = \"hq-password\", url = \"https://me@example.com/x\" }",
        "tieline.toml:15: pbx.b.auth.url: \"https://me@example.com/x\" is no such address; allowed: the address that the phone system posts to, such as \"https://tieline.example.com/v1/pbx/twilio/events\", without user, query and fragment",
    ),
    (
        "[[pbx]]\nname = \"b\"\ndialect = \"ringcentral\"\nauth = { kind = \"header\", name = \"a b\", token_file = \"hq-password\" }",
        "tieline.toml:15: pbx.b.auth.name: \"a b\" is no name of a header; allowed: letters, digits and -, such as \"x-signature\"",
    ),
    (
        "[[pbx]]\nname = \"b\"\ndialect = \"aircall\"\nauth = { kind = \"body\", field = \"a.b c\", token_file = \"hq-password\" }",
        "tieline.toml:15: pbx.b.auth.field: \"a.b c\" is no name of a parameter; allowed: letters, digits, _, - and .",
    ),
    (
        "[[pbx]]\nname = \"b\"\ndialect = \"dialpad\"\nauth = { kind = \"jwt\" }",
        "tieline.toml:15: pbx.b.auth.secret_file: secret_file is missing; allowed: the path of a file that holds the secret alone",
    ),
    (
        "[[pbx]]\nname = \"b\"\ndialect = \"tieline\"\nauth = { kind = \"none\" }\nallow_from = [\"10.0.0.0/33\"]",
        "tieline.toml:16: pbx.b.allow_from[0]: \"10.0.0.0/33\" is no network; allowed: networks and addresses such as \"10.1.0.0/16\" or \"10.1.2.3\"",
    ),
    (
        "[[pbx]]\nname = \"b\"\ndialect = \"tieline\"\nauth = { kind = \"none\" }\nextensions = [\"199-100\"]",
        "tieline.toml:16: pbx.b.extensions[0]: the range ends before it begins: the smaller number comes first",
    ),
    (
        "[[pbx]]\nname = \"b\"\ndialect = \"tieline\"\nauth = { kind = \"none\" }\nregion = \"UK\"",
        "tieline.toml:16: pbx.b.region: \"UK\" is not a region that has phone numbers: write its two capital letters, such as \"DE\" or \"US\"",
    ),
    (
        "[[kustomer]]\nname = \"b\"\napi_key_file = \"kustomer-key\"",
        "tieline.toml:12: kustomer.b.org: org is missing; allowed: org = \"acme\", or url for another host",
    ),
    (
        "url = \"https://a.example\"",
        "tieline.toml:12: kustomer.support.url: org and url are both set; allowed: one of them: org, or url for another host",
    ),
    (
        "[[kustomer]]\nname = \"b\"\nurl = \"http://crm.example\"\napi_key_file = \"kustomer-key\"",
        "tieline.toml:14: kustomer.b.url: over http: the secret could be read on the way; allowed: https, or http on loopback (127.0.0.1)",
    ),
    (
        "[[kustomer]]\nname = \"b\"\nurl = \"https://u:geheim@crm.example\"\napi_key_file = \"kustomer-key\"",
        "tieline.toml:14: kustomer.b.url: user and password don't belong into a URL; allowed: a host, and a port if need be",
    ),
    (
        "[[kustomer]]\nname = \"b\"\nurl = \"https://crm.example/v1\"\napi_key_file = \"kustomer-key\"",
        "tieline.toml:14: kustomer.b.url: this is more than an origin; allowed: \"https://\" and a host, without a path",
    ),
    // Numbers: never repeated.
    (
        "[kustomer.calls]\nignore = [\"101\",\n  \"+49 171 12\"]",
        "tieline.toml:14: kustomer.support.calls.ignore[1]: no such number can exist: its length or its first digits are not in use in its country; allowed: a number such as \"+49 30 1234-567\", \"+4930555*\", \"+4930555100..+4930555199\", \"101\" or \"100-199\"",
    ),
    (
        "[kustomer.calls]\nignore = [\"+4930555199..+4930555100\"]",
        "tieline.toml:13: kustomer.support.calls.ignore[0]: the range ends before it begins: the smaller number comes first",
    ),
    (
        "[kustomer.calls]\nignore = [\"+4930555..+4930555100\"]",
        "tieline.toml:13: kustomer.support.calls.ignore[0]: the ends of a range have the same number of digits",
    ),
    (
        "[kustomer.calls]\nignore = [\"030555*\"]",
        "tieline.toml:13: kustomer.support.calls.ignore[0]: a prefix is written with + and the country's code, and one * at its end: +4930555*",
    ),
    (
        "[kustomer.calls]\nignore = { fiel = \"a\" }",
        "tieline.toml:13: kustomer.support.calls.ignore.fiel: there is no such key; did you mean file?",
    ),
    (
        "[kustomer.calls.labels]\n\"+49 171 12\" = \"x\"",
        "tieline.toml:13: kustomer.support.calls.labels: no such number can exist: its length or its first digits are not in use in its country",
    ),
    (
        "[agents]\n\"101\" = \"grace\"",
        "tieline.toml:13: agents.101: this is no e-mail address; allowed: the e-mail of a Kustomer user",
    ),
    // Types of calls, custom attributes, assignment.
    (
        "[kustomer.calls]\ncustom = { callDuration = \"x\" }",
        "tieline.toml:13: kustomer.support.calls.custom.callDuration: the name of a custom attribute ends in its type; allowed: letters, digits and _, then one of Str, Txt, Num, Bool, At, Url, such as \"callDurationNum\"",
    ),
    (
        "[kustomer.calls.types.voicemail]\ncustom = { callDurationNum = \"{{ talked }}\" }",
        "tieline.toml:13: kustomer.support.calls.types.voicemail.custom.callDurationNum: the template can't be used: it gives something else than a number, such as {{ talk_seconds }}; allowed: the fields that docs/operating.md names under custom attributes",
    ),
    (
        "[kustomer.texts]\ncustom = { queueStr = \"{{ queue }}\" }",
        "tieline.toml:13: kustomer.support.texts.custom.queueStr: the template can't be used: line 1: undefined value; allowed: the fields that docs/operating.md names under custom attributes",
    ),
    (
        "[kustomer.calls]\nassign = [\"boss\"]",
        "tieline.toml:13: kustomer.support.calls.assign[0]: \"boss\" is not one of \"agent\", \"queue_agent\", \"voicemail_owner\", \"last_agent\", \"default\"",
    ),
    (
        "[kustomer.calls]\nassign = [\"agent\", \"default\"]",
        "tieline.toml:13: kustomer.support.calls.assign[1]: assign_default is not set; allowed: the e-mail of a Kustomer user, or the name of a team",
    ),
    (
        "[kustomer.calls.types.voicemail]\nassign = [\"agent\", \"agent\"]",
        "tieline.toml:13: kustomer.support.calls.types.voicemail.assign[1]: \"agent\" is there twice",
    ),
    (
        "[kustomer.calls]\nqueues = { support = \"a@b\" }",
        "tieline.toml:13: kustomer.support.calls.queues.support: this is neither an e-mail nor a name; allowed: the e-mail of a Kustomer user, or the name of a team",
    ),
    (
        "[kustomer.calls.types.missed]\ntags = []",
        "tieline.toml:12: kustomer.support.calls.types.missed: there is no such key here; allowed: incoming_answered, incoming_missed, internal, outgoing_answered, outgoing_unanswered, voicemail",
    ),
    (
        "[kustomer.calls]\nnote_template_file = \"odd.j2\"",
        "odd.j2:1: kustomer.support.calls.note_template_file: the template can't be used: undefined value",
    ),
    // Files.
    (
        "[kustomer.calls]\nignore = { file = \"none.txt\" }",
        "tieline.toml:13: kustomer.support.calls.ignore.file: none.txt can't be read: No such file or directory (os error 2)",
    ),
    (
        "[kustomer.calls]\nnote_template_file = \"bad.j2\"",
        "bad.j2:2: kustomer.support.calls.note_template_file: the template can't be used: syntax error: unexpected end of input, expected end of variable block",
    ),
    (
        "[[client]]\nname = \"c\"\ntoken_file = \"none\"\nmay = [\"lookup\"]",
        "tieline.toml:14: client.c.token_file: the file none can't be read: No such file or directory (os error 2)",
    ),
    (
        "[[client]]\nname = \"c\"\ntoken_file = \"empty\"\nmay = [\"lookup\"]",
        "tieline.toml:14: client.c.token_file: the file empty is empty: write the secret into it, and nothing else",
    ),
    (
        "[[client]]\nname = \"c\"\ntoken_file = \"hq-password\"\nmay = [\"all\"]",
        "tieline.toml:15: client.c.may[0]: \"all\" is not one of \"lookup\", \"contacts:read\", \"contacts:write\"",
    ),
    // Proxies.
    (
        "[kustomer.proxy]\nurl = \"http://u:p@proxy:3128\"",
        "tieline.toml:13: kustomer.support.proxy.url: user and password don't belong into a URL; allowed: \"http://HOST:PORT\", or https, without user, password and path",
    ),
    (
        "[kustomer.proxy]\nurl = \"socks5://proxy:1080\"",
        "tieline.toml:13: kustomer.support.proxy.url: this is no URL of an HTTP proxy; allowed: \"http://HOST:PORT\", or https, without user, password and path",
    ),
    (
        "[kustomer.proxy]\nurl = \"http://proxy:3128/x\"",
        "tieline.toml:13: kustomer.support.proxy.url: this is more than an origin; allowed: \"http://HOST:PORT\", or https, without user, password and path",
    ),
    (
        "[kustomer.proxy]\nurl = \"http://proxy:3128\"\nuser = \"u\"",
        "tieline.toml:12: kustomer.support.proxy.password_file: password_file is missing; allowed: the path of a file that holds the secret alone",
    ),
    (
        "[kustomer.proxy]\nurl = \"http://proxy:3128\"\npassword_file = \"hq-password\"",
        "tieline.toml:12: kustomer.support.proxy.user: user is missing",
    ),
    (
        "[kustomer.proxy]\nuser = \"u\"",
        "tieline.toml:13: kustomer.support.proxy.user: user is for a proxy, and there is no url of one",
    ),
    (
        "[kustomer.proxy]\nurl = \"http://proxy:3128\"\npassword = \"x\"",
        "tieline.toml:14: kustomer.support.proxy.password: secrets are not written into settings, which are copied and shown: put it alone into a file and name that file with password_file",
    ),
    (
        "ca_file = \"gone.pem\"",
        "tieline.toml:12: kustomer.support.ca_file: the file gone.pem is not there",
    ),
    // No TOML at all.
    (
        "active = ",
        "tieline.toml:12: this is no TOML: string values must be quoted, expected literal string",
    ),
    (
        "org = \"other\"",
        "tieline.toml:12: this is no TOML: duplicate key",
    ),
];

#[test]
fn every_fault_names_its_place_and_what_is_right() {
    for (text, expected) in FAULTS {
        let etc = good()
            .write("bad.j2", "Call\n{{ other\n")
            .write("odd.j2", "{{ agnet }}\n")
            .write("empty", "\n")
            .write("tieline.toml", &format!("{GOOD}{text}\n"));
        assert_eq!(etc.faults(), [*expected], "{text}");
    }
}

#[test]
fn the_daemons_own_values_are_checked() {
    let table = [
        (
            "listen = \"localhost\"",
            "daemon.listen: \"localhost\" is no address; allowed: an IP address and a port, such as \"127.0.0.1:8480\"",
        ),
        (
            "admin = \"0.0.0.0:8481\"",
            "daemon.admin: whoever reaches this address rules the daemon: it must not leave the machine; allowed: \"unix:\" and a path, or a loopback address such as \"127.0.0.1:8481\"",
        ),
        (
            "time_zone = \"Europe/Bärlin\"",
            "daemon.time_zone: \"Europe/Bärlin\" is no time zone; allowed: a name of the IANA list such as \"Europe/Berlin\" (package tzdata must be installed)",
        ),
        (
            "default_region = \"Germany\"",
            "daemon.default_region: \"Germany\" is not a region that has phone numbers: write its two capital letters, such as \"DE\" or \"US\"",
        ),
        (
            "area_code = \"0\"",
            "daemon.area_code: \"0\" is not an area code: write 1 to 6 digits, such as \"211\"",
        ),
        (
            "disk_reserve = \"64 MB!\"",
            "daemon.disk_reserve: \"64 MB!\" is no size; allowed: such as \"64 MiB\"",
        ),
        (
            "keep = \"1 month\"",
            "daemon.keep: \"1 month\" is no duration; allowed: 1h to 8784h, such as \"5s\", \"2min\", \"72h\"",
        ),
        (
            "grace = \"0s\"",
            "daemon.grace: \"0s\" is out of range; allowed: 1s to 1m 20s, such as \"5s\", \"2min\", \"72h\"",
        ),
        (
            "intake = { body_bytes = \"1 B\" }",
            "daemon.intake.body_bytes: \"1 B\" is out of range; allowed: 1024 to 67108864 bytes, such as \"64 MiB\"",
        ),
        (
            "intake = { queue = 0 }",
            "daemon.intake.queue: 0 is out of range; allowed: a whole number from 1 to 1000000",
        ),
    ];
    for (text, expected) in table {
        let etc = Etc::new().write("tieline.toml", &format!("[daemon]\n{text}\n"));
        assert_eq!(
            etc.faults(),
            [format!("tieline.toml:2: {expected}")],
            "{text}"
        );
    }
}

/// What a tieline with the feature makes of it is in tests/otel.
#[cfg(not(feature = "otel"))]
#[test]
fn traces_need_a_tieline_that_was_built_for_them() {
    let etc = Etc::new().write(
        "tieline.toml",
        "[daemon.otel]\nendpoint = \"https://collector.example:4318\"\n",
    );
    assert_eq!(
        etc.faults(),
        [
            "tieline.toml:1: daemon.otel: this tieline sends no traces: it was built without the feature otel; allowed: no [daemon.otel]; or a tieline of `cargo build --release --locked --features otel`"
        ]
    );
}

#[test]
fn without_proof_the_listener_stays_on_the_machine() {
    let open = "[daemon]\nlisten = \"0.0.0.0:8480\"\n[[pbx]]\nname = \"hq\"\ndialect = \"tieline\"\nauth = { kind = \"none\" }\n";
    let etc = Etc::new().write("tieline.toml", open);
    assert_eq!(
        etc.faults(),
        [
            "tieline.toml:6: pbx.hq.auth: without a proof anybody who reaches daemon.listen could write calls into Kustomer; allowed: kind = \"none\" only while daemon.listen is on loopback (127.0.0.1)"
        ]
    );
}

#[test]
fn the_environment_is_named_by_its_variables() {
    let etc = good()
        .env("TIELINE_DAEMON__LISTN", "127.0.0.1:1")
        .env("TIELINE_KUSTOMER__SUPPORT__PARALLEL", "many")
        .env("TIELINE_KUSTOMER__SUPPORT__API_KEY", "geheim")
        .env("TIELINE_PBX__H.Q__SETTLE", "1s")
        .env("TIELINE_TOKEN", "geheim")
        .env("TIELINE_COLOUR", "blue");
    assert_eq!(
        etc.faults(),
        [
            "TIELINE_DAEMON__LISTN: daemon.listn: there is no such key; did you mean listen?; allowed: admin, area_code, default_region, disk_reserve, grace, intake, keep, listen, otel, state_dir, time_zone, tls",
            "TIELINE_KUSTOMER__SUPPORT__API_KEY: kustomer.support.api_key: secrets are not written into settings, which are copied and shown: put it alone into a file and name that file with api_key_file",
            "TIELINE_KUSTOMER__SUPPORT__PARALLEL: kustomer.support.parallel: this text can't be read as a value; allowed: a whole number from 1 to 32",
            "TIELINE_PBX__H.Q__SETTLE: pbx: \"h.q\" is no name; allowed: 1 to 32 of a-z, 0-9, _ and -",
            "TIELINE_TOKEN: secrets are not taken from the environment: name a file that holds it",
        ]
    );
}

#[test]
fn all_faults_of_all_files_come_at_once() {
    let etc = good()
        .write(
            "tieline.toml",
            r#"[daemon]
listen = "everywhere"
admin = "0.0.0.0:1"
time_zone = "Mars"
keep = "long"
[[pbx]]
name = "hq"
dialect = "freeswich"
auth = { kind = "basic", user = "a:b", password_file = "none" }
allow_from = ["10.0.0.0/40"]
settle = "-1s"
[[kustomer]]
name = "support"
org = "ac me"
api_key_file = "kustomer-key"
pbx = ["hk"]
requests_per_minute = 0
colour = "blue"
[kustomer.calls]
ignore = ["abc def"]
several = "first"
tags = ["+"]
"#,
        )
        .write(
            "conf.d/b.toml",
            "[[kustomer]]\nname = \"sales\"\n[kustomer.texts]\nwindow = \"x\"\n",
        )
        .write("conf.d/c.toml", "[daemon\n");
    let faults = etc.faults();
    let places: Vec<String> = faults
        .iter()
        .map(|fault| fault.split(": ").take(2).collect::<Vec<_>>().join(" "))
        .collect();
    assert_eq!(
        places,
        [
            "tieline.toml:2 daemon.listen",
            "tieline.toml:3 daemon.admin",
            "tieline.toml:4 daemon.time_zone",
            "tieline.toml:5 daemon.keep",
            "tieline.toml:8 pbx.hq.dialect",
            "tieline.toml:9 pbx.hq.auth.password_file",
            "tieline.toml:9 pbx.hq.auth.user",
            "tieline.toml:10 pbx.hq.allow_from[0]",
            "tieline.toml:11 pbx.hq.settle",
            "tieline.toml:14 kustomer.support.org",
            "tieline.toml:17 kustomer.support.requests_per_minute",
            "tieline.toml:18 kustomer.support.colour",
            "tieline.toml:20 kustomer.support.calls.ignore[0]",
            "tieline.toml:21 kustomer.support.calls.several",
            "tieline.toml:22 kustomer.support.calls.tags[0]",
            "conf.d/b.toml:4 kustomer.sales.texts.window",
            "conf.d/c.toml:1 this is no TOML",
        ],
        "{faults:#?}"
    );
    let json = etc.load().unwrap_err().to_json();
    assert_eq!(json[0]["line"], 2);
    assert_eq!(json[0]["key"], "daemon.listen");
}

#[test]
fn a_missing_file_named_by_hand_is_a_fault() {
    let etc = good().config("other.toml");
    assert_eq!(
        etc.faults(),
        ["other.toml: can't be read: No such file or directory (os error 2)"]
    );
    let etc = good().write("conf.d/a.toml", "");
    fs::write(etc.path("conf.d/a.toml"), b"[daemon]\nlisten = \"\xff\"\n").unwrap();
    assert_eq!(
        etc.faults(),
        ["conf.d/a.toml:2: this is not UTF-8 text; save the file as UTF-8"]
    );
}

#[test]
fn no_fault_repeats_a_secret_or_a_number() {
    const SECRET: &str = "geheim-4711";
    const NUMBER: &str = "+49 171 99999999999999";
    let texts = [
        format!("password = \"{SECRET}\""),
        format!("api_key = \"{SECRET}\""),
        format!("api_key = \"{SECRET}"),
        format!("api_key = {SECRET}"),
        format!("api_key = [\"{SECRET}\", 1, {{ a = \"{SECRET}\" }}]"),
        format!(
            "[[pbx]]\nname = \"b\"\ndialect = \"tieline\"\nauth = {{ kind = \"bearer\", token = \"{SECRET}\" }}"
        ),
        format!("[[pbx]]\nname = \"b\"\ndialect = \"tieline\"\nauth = \"{SECRET}\""),
        format!("[[kustomer]]\nname = \"b\"\napi_key_file = \"eyJ{SECRET}\""),
        format!(
            "[[kustomer]]\nname = \"b\"\nurl = \"https://{SECRET}@a.example/\"\napi_key_file = \"kustomer-key\""
        ),
        format!("[kustomer.calls]\nignore = [\"{NUMBER}\"]"),
        format!("[kustomer.calls]\nconnected_numbers = \"{NUMBER}\""),
        format!("[kustomer.calls.labels]\n\"{NUMBER}\" = \"x\""),
        "[[client]]\nname = \"c\"\ntoken_file = \"lines\"\nmay = []".to_owned(),
    ];
    for text in texts {
        let etc = good()
            .write("lines", &format!("{SECRET}\n{SECRET}\n"))
            .write("tieline.toml", &format!("{GOOD}{text}\n"));
        let faults = etc.load().unwrap_err();
        let shown = format!("{faults} {faults:?} {}", faults.to_json());
        assert!(
            !shown.contains(SECRET) && !shown.contains(NUMBER),
            "{text}\n{shown}"
        );
    }
}

#[test]
fn the_contact_side_is_summed_up() {
    let more = "[kustomer.contacts]\nimport = false\n[[client]]\nname = \"c\"\ntoken_file = \"hq-password\"\nmay = [\"lookup\"]\n[[carddav]]\nname = \"office\"\nurl = \"https://dav.example/\"\nuser = \"u\"\npassword_file = \"hq-password\"\n";
    let settings = good()
        .write("tieline.toml", &format!("{GOOD}{more}"))
        .settings();
    let lines = summary(&settings).join("\n");
    let contacts = "contacts: exported from the phone book directory; merged by phone and name; looked at every 1m";
    assert!(lines.contains(contacts), "{lines}");
    assert!(lines.contains(
        "pbx hq: freeswitch, posts to /v1/pbx/hq/events from anywhere with user and password"
    ));
    assert!(
        lines
            .contains("kustomer support: https://acme.api.kustomerapp.com takes all phone systems")
    );
    assert!(lines.contains("client c: may lookup"));
}

#[test]
fn a_live_connection_is_checked_whole() {
    let with = |lines: &str| {
        let pbx = format!(
            "[daemon]\ndefault_region = \"DE\"\ntime_zone = \"Europe/Berlin\"\n[[pbx]]\nname = \"hq\"\n{lines}\n"
        );
        Etc::new()
            .write("hq-manager", "manager-secret\n")
            .write("tieline.toml", &pbx)
    };
    let right = with(
        "dialect = \"asterisk\"\nconnect = \"ami://[::1]\"\nuser = \"tieline\"\nsecret_file = \"hq-manager\"\ngap_csv = \"/var/log/Master.csv\"",
    );
    let pbx = right.settings().pbxs.remove(0);
    let link = pbx.link.unwrap();
    assert_eq!(
        (link.host.as_str(), link.port, link.tls, link.plain_login),
        ("::1", 5038, false, false)
    );
    assert_eq!(link.gap_csv, Some("/var/log/Master.csv".into()));
    assert!(pbx.auth.is_none());
    let lines = summary(&right.settings()).join("\n");
    assert!(
        lines.contains("pbx hq: asterisk, connects to the manager interface at ::1:5038"),
        "{lines}"
    );
    let table = [
        (
            "dialect = \"asterisk\"\nconnect = \"ami://u:hidden@pbx\"\nuser = \"a\"\nsecret_file = \"hq-manager\"",
            "this is no address of a phone system",
        ),
        (
            "dialect = \"asterisk\"\nconnect = \"ami://pbx\"\nsecret_file = \"hq-manager\"",
            "user is missing",
        ),
        (
            "dialect = \"asterisk\"\nconnect = \"ami://pbx\"\nuser = \"a\"",
            "secret_file is missing",
        ),
        (
            "dialect = \"freeswitch\"\nconnect = \"ami://pbx\"\nuser = \"a\"\nsecret_file = \"hq-manager\"",
            "another dialect's",
        ),
        (
            "dialect = \"asterisk\"\nconnect = \"ami://pbx\"\nuser = \"a\\nSecret: b\"\nsecret_file = \"hq-manager\"",
            "no control characters",
        ),
        (
            "dialect = \"asterisk\"\nconnect = \"amis://pbx\"\nuser = \"a\"\nsecret_file = \"hq-manager\"\nca_file = \"none.pem\"",
            "none.pem is not there",
        ),
        (
            "dialect = \"freeswitch\"\nconnect = \"esl://pbx\"\nsecret_file = \"hq-manager\"\ngap_csv = \"a\"",
            "there is pickup_dir",
        ),
        (
            "dialect = \"asterisk\"\nuser = \"a\"\nauth = { kind = \"none\" }",
            "there is no connect",
        ),
        ("dialect = \"asterisk\"", "auth is missing"),
    ];
    for (lines, expected) in table {
        let faults = with(lines).faults().join("\n");
        assert!(faults.contains(expected), "{lines}: {faults}");
        assert!(!faults.contains("hidden"), "{faults}");
    }
}
