//! The Debian package, installed as people install it, in a machine of its own with a running systemd: what it puts there, that an
//! upgrade loses no post and no setting, what a removal leaves and a purge doesn't; and docs/quickstart.md, command by command.
//!
//! `TIELINE_DEB` names the package; without it one is packed of the program that these tests are built with.

mod kustomer;
mod machine;

use crate::support::logs;
use machine::{Machine, Said};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;
use tieline::sandbox::SANDBOX_KEY;

/// What lintian remarks of a package that means to become part of Debian; this one doesn't.
const NOT_MEANT: &str = "initial-upload-closes-no-bugs";

/// Settings of an administrator: one phone system that needs no secret, and a Kustomer that takes nothing.
const SETTINGS: &str = r#"
[[pbx]]
name = "script"
dialect = "tieline"
auth = { kind = "none" }

[[kustomer]]
name = "support"
org = "acme"
active = false
api_key_file = "kustomer-key"
"#;

/// Where the machine sees the package.
const HERE: &str = "/srv/outside/tieline.deb";

/// The package under test.
static PACKAGE: LazyLock<PathBuf> = LazyLock::new(|| {
    if let Some(given) = std::env::var_os("TIELINE_DEB") {
        return PathBuf::from(given).canonicalize().unwrap();
    }
    let packed = root().join("target/package/tests.deb");
    let options = format!("DEB_OPTIONS=--fast --output {}", packed.display());
    make(&["deb-of", &options]);
    packed
});

/// Runs the Makefile with the program that these tests are built with.
fn make(arguments: &[&str]) {
    let output = Command::new("make")
        .current_dir(root())
        // Of a `make test` that runs this.
        .env_remove("MAKEFLAGS")
        .env_remove("MAKELEVEL")
        .arg(concat!("PROGRAM=", env!("CARGO_BIN_EXE_tieline")))
        .args(arguments)
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
}

/// Every file below this folder, as if that were the root.
fn files(folder: &Path) -> Vec<String> {
    let found = Command::new("find")
        .args([".", "-type", "f"])
        .current_dir(folder)
        .output()
        .unwrap();
    let found = String::from_utf8(found.stdout).unwrap();
    let mut found: Vec<String> = found.lines().map(|path| path[1..].to_owned()).collect();
    found.sort();
    found
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A machine that has the package lying ready.
fn machine() -> Machine {
    let machine = Machine::boot();
    let place = HERE.strip_prefix("/srv/outside/").unwrap();
    std::fs::copy(&*PACKAGE, machine.outside().join(place)).unwrap();
    machine
}

/// One that has it installed, with an administrator's settings, running.
fn at_work() -> Machine {
    let machine = machine();
    machine.run(&format!("apt-get install -y {HERE}"));
    machine.write("/etc/tieline/tieline.toml", "644", SETTINGS);
    machine.write("/etc/tieline/credentials/kustomer-key", "600", "key");
    machine.run("systemctl start tieline");
    machine
}

impl Machine {
    fn running(&self) -> String {
        self.run("systemctl show tieline --property MainPID --value")
    }

    /// Installs the same package again as a later version.
    fn upgrade(&self, version: &str) -> Said {
        self.shell(&format!(
            "cd /tmp; rm -rf later; dpkg-deb -R {HERE} later; \
             sed -i 's/^Version: .*/Version: {version}/' later/DEBIAN/control; \
             dpkg-deb -Znone -b later later.deb; apt-get install -y ./later.deb"
        ))
    }
}

#[test]
fn debian_finds_no_fault_with_it() {
    let output = Command::new("lintian")
        .args(["--fail-on", "error,warning", "--suppress-tags", NOT_MEANT])
        .arg(&*PACKAGE)
        .output()
        .expect("lintian runs; tests/setup.sh installs it");
    assert!(output.status.success(), "{output:?}");
}

#[test]
fn make_installs_the_same_files_elsewhere_and_takes_them_away() {
    let folder = tempfile::tempdir().unwrap();
    let destination = format!("DESTDIR={}", folder.path().display());
    make(&["install", &destination]);
    // Debian's own, and what only a release build comes with.
    let own = ["copyright", "changelog.Debian.gz", "tieline.cdx.json"];
    let both = |path: &String| !own.iter().any(|name| path.ends_with(name));
    let installed: Vec<String> = files(folder.path()).into_iter().filter(both).collect();
    let packed = Command::new("dpkg-deb")
        .args(["--contents".as_ref(), PACKAGE.as_os_str()])
        .output()
        .unwrap();
    let mut packed: Vec<String> = String::from_utf8(packed.stdout)
        .unwrap()
        .lines()
        .filter_map(|line| line.split_once(" ./").map(|(_, path)| format!("/{path}")))
        .filter(|path| !path.ends_with('/'))
        .filter(both)
        .map(|path| path.replace("vendor-completions", "site-functions"))
        .map(|path| path.replacen("/usr/", "/usr/local/", 1))
        .collect();
    packed.sort();
    assert_eq!(installed, packed);
    let service = folder
        .path()
        .join("usr/local/lib/systemd/system/tieline.service");
    let service = std::fs::read_to_string(service).unwrap();
    assert!(service.contains("\nExecStart=/usr/local/bin/tieline run\n"));
    assert!(!service.contains("/usr/bin/tieline"));

    // What the administrator owns stays, in both directions.
    let settings = folder.path().join("etc/tieline/tieline.toml");
    std::fs::write(&settings, SETTINGS).unwrap();
    make(&["install", &destination]);
    make(&["uninstall", &destination]);
    assert_eq!(files(folder.path()), ["/etc/tieline/tieline.toml"]);
    assert_eq!(std::fs::read_to_string(&settings).unwrap(), SETTINGS);
}

#[test]
fn it_has_this_version() {
    let version = Command::new("dpkg-deb")
        .arg("--field")
        .args([PACKAGE.as_os_str(), "Version".as_ref()])
        .output()
        .unwrap();
    let version = String::from_utf8(version.stdout).unwrap();
    let changelog = std::fs::read_to_string(root().join("packaging/debian/changelog")).unwrap();
    let expected = concat!(env!("CARGO_PKG_VERSION"), "-1");
    assert_eq!(version.trim(), expected);
    assert!(changelog.starts_with(&format!("tieline ({expected}) ")));
}

#[test]
fn what_is_installed_works_and_is_not_started() {
    let machine = machine();
    machine.run(&format!("apt-get install -y {HERE}"));
    assert_eq!(
        machine.run("tieline --version").trim(),
        concat!("tieline ", env!("CARGO_PKG_VERSION"))
    );
    let units = machine.run(
        "for unit in tieline.service tieline.socket tieline-backup.timer; do \
         echo $unit $(systemctl is-enabled $unit) $(systemctl is-active $unit); done || true",
    );
    assert_eq!(
        units,
        "tieline.service enabled inactive\ntieline.socket disabled inactive\n\
         tieline-backup.timer disabled inactive\n"
    );
    let folders = "/etc/tieline /etc/tieline/credentials /etc/tieline/conf.d /var/backups/tieline";
    assert_eq!(
        machine.run(&format!("stat --format '%n %a %U' {folders}")),
        "/etc/tieline 755 root\n/etc/tieline/credentials 700 root\n\
         /etc/tieline/conf.d 755 root\n/var/backups/tieline 700 tieline\n"
    );
    let check = machine.shell("tieline check");
    assert_eq!(check.code, Some(78), "{check:#?}");
    for missing in ["hq-password", "kustomer-key", "org is missing"] {
        assert!(check.out.contains(missing), "{missing}: {check:#?}");
    }
    let pages = machine.shell("man --warnings --local-file /usr/share/man/man1/tieline*.1.gz");
    assert_eq!((pages.code, pages.err.as_str()), (Some(0), ""));
    assert!(machine.run("man tieline").contains("tieline-explain(1)"));
    let verified = machine.shell("systemd-analyze verify /lib/systemd/system/tieline*");
    assert_eq!((verified.code, verified.err.as_str()), (Some(0), ""));
    let completed = machine.run(
        "source /usr/share/bash-completion/completions/tieline; \
         COMP_WORDS=(tieline expl) COMP_CWORD=1; _tieline tieline expl tieline; echo ${COMPREPLY[@]}",
    );
    assert_eq!(completed.trim(), "explain");
}

#[test]
fn an_upgrade_loses_no_post_and_no_setting() {
    let machine = at_work();
    machine.run(
        "systemctl stop tieline; systemctl enable --now tieline.socket; systemctl start tieline",
    );
    let before = machine.running();
    // Posts all the while: each must be answered 202.
    machine.write(
        "/tmp/post",
        "755",
        r#"#!/bin/bash
        for ((n = 0; ; n++)); do
            call='{"event":"text","id":"m'$n'","direction":"in","from":"+491711234567","to":"+4921155500100","at":"2026-11-20T12:24:29Z","body":"x"}'
            curl --silent --output /dev/null --write-out '%{http_code}\n' --json "$call" http://127.0.0.1:8480/v1/pbx/script/events || true
        done"#,
    );
    machine.run(
        "systemd-run --unit posts --property StandardOutput=file:/tmp/posts /tmp/post; \
                 until [ -s /tmp/posts ]; do sleep 0.05; done",
    );
    let upgraded = machine.upgrade("9.1-1");
    assert_eq!(upgraded.code, Some(0), "{upgraded:#?}");
    assert_ne!(machine.running(), before, "it wasn't restarted");
    // Some more are answered by the new one.
    machine.run(
        "seen=$(wc -l </tmp/posts); until [ $(wc -l </tmp/posts) -gt $((seen + 5)) ]; do sleep 0.05; done; \
         systemctl kill --signal STOP posts",
    );
    let answers = machine.run("sort -u /tmp/posts");
    assert_eq!(answers, "202\n");
    assert_eq!(machine.run("cat /etc/tieline/tieline.toml"), SETTINGS);
    assert!(machine.run("tieline status").contains("healthy"));

    // A new version that finds a fault in the settings leaves the old one at work.
    let before = machine.running();
    machine.write(
        "/etc/tieline/conf.d/new.toml",
        "644",
        "[daemon]\nlisten = 1\n",
    );
    let upgraded = machine.upgrade("9.2-1");
    assert_eq!(upgraded.code, Some(0), "{upgraded:#?}");
    for word in ["conf.d/new.toml:2", "the old version runs on"] {
        assert!(upgraded.out.contains(word), "{word}: {upgraded:#?}");
    }
    assert_eq!(machine.running(), before);
}

#[test]
fn a_removal_keeps_what_is_yours_and_a_purge_does_not() {
    let machine = at_work();
    machine.run("systemctl stop tieline; systemctl enable --now tieline.socket tieline-backup.timer; systemctl start tieline tieline-backup");
    machine.run("apt-get remove -y tieline");
    let left = machine.run(
        "! systemctl is-active tieline.service tieline.socket tieline-backup.timer >&2; ! pgrep -x tieline; \
         ! test -e /usr/bin/tieline; ls -d /etc/tieline/tieline.toml /etc/tieline/credentials/kustomer-key /var/lib/tieline/store",
    );
    assert_eq!(left.lines().count(), 3, "{left}");
    // Back again, with all of it.
    machine.run(&format!(
        "apt-get install -y {HERE}; systemctl start tieline; tieline status"
    ));
    assert_eq!(machine.run("cat /etc/tieline/tieline.toml"), SETTINGS);
    assert_eq!(
        machine.run("systemctl is-enabled tieline tieline.socket"),
        "enabled\nenabled\n"
    );

    machine.run("apt-get purge -y tieline");
    let left = machine.run(
        "find / -xdev -iname '*tieline*' -not -path '/srv/outside/*' -not -path '/tmp/*' | sort",
    );
    let backups: Vec<&str> = left.lines().collect();
    assert_eq!(backups[0], "/var/backups/tieline", "{left}");
    assert!(
        backups.len() == 2 && backups[1].ends_with(".backup"),
        "{left}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_quick_start_leads_to_a_logged_call() {
    let machine = machine();
    let sandbox = kustomer::reachable_as("acme.api.kustomerapp.com", &machine).await;
    // Somebody who may use sudo, with the package in the home folder; and a password that isn't asked for.
    let name = concat!("tieline_", env!("CARGO_PKG_VERSION"), "-1_amd64.deb");
    machine.run(&format!(
        "useradd --create-home --shell /bin/bash kim; echo 'kim ALL=(ALL) NOPASSWD: ALL' >/etc/sudoers.d/kim; cp {HERE} ~kim/{name}"
    ));
    let document = std::fs::read_to_string(root().join("docs/quickstart.md")).unwrap();
    let blocks: Vec<&str> = document
        .split("```sh\n")
        .skip(1)
        .map(|block| block.split_once("```").unwrap().0)
        .collect();
    let (mut id, mut last) = (String::new(), String::new());
    for block in &blocks {
        // What the page says to do with it.
        let block = block.replace("explain ID", &format!("explain {id}"));
        let said = machine.shell_of("kim", &block, SANDBOX_KEY);
        assert_eq!(said.code, Some(0), "{block}: {said:#?}");
        if let Some(row) = said.out.lines().find(|line| line.starts_with("answered ")) {
            id = row.split_whitespace().last().unwrap().to_owned();
        }
        last = said.out;
    }
    let logged = logs(&sandbox);
    assert_eq!(logged.values().collect::<Vec<_>>(), [&(1, 1)]);
    let conversation = sandbox.conversations()[0]["id"]
        .as_str()
        .unwrap()
        .to_owned();
    assert!(last.contains(&conversation), "{conversation}: {last}");
    assert!(
        last.contains("healthy") && last.contains("1 asked = 1 logged"),
        "{last}"
    );
}
