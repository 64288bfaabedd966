//! The units in systemd/ are what systemd understands, and as closed as they claim to be. Needs systemd-analyze, which
//! tests/setup.sh installs: a missing one fails, because a unit that nobody checked would be shipped.

mod handover;
mod load;
mod protocol;
mod reloads;
mod told;

use std::path::{Path, PathBuf};
use std::process::Command;

/// Highest exposure that `systemd-analyze security` may find, in its own tenths of a point: 100 is no protection at
/// all, ours has 12. What keeps ours above 0 is that it must reach the network.
const EXPOSURE_MAX: &str = "12";

const UNITS: [&str; 5] = [
    "tieline.service",
    "tieline.socket",
    "tieline-admin.socket",
    "tieline-backup.service",
    "tieline-backup.timer",
];

/// Optional parts of tieline.service.
const DROP_INS: [&str; 2] = ["dynamic-user.conf", "notify-reload.conf"];

#[test]
fn units_are_understood() {
    let folder = tempfile::tempdir().unwrap();
    let units = runnable_copies(folder.path());
    let units: Vec<&Path> = units.iter().map(PathBuf::as_path).collect();
    let (passed, said) = analyze(&["verify", "--man=no"], &units);
    // It passes with a warning on a key that it doesn't know, so anything it says about ours is a fault.
    assert!(passed && !said.contains("tieline"), "{said}");
}

#[test]
fn a_user_of_the_moment_is_understood_and_no_less_closed() {
    let folder = tempfile::tempdir().unwrap();
    let [service, ..] = runnable_copies(folder.path());
    let parts = folder.path().join("tieline.service.d");
    std::fs::create_dir(&parts).unwrap();
    std::fs::copy(unit_path("dynamic-user.conf"), parts.join("user.conf")).unwrap();
    let (passed, said) = analyze(&["verify", "--man=no"], &[&service]);
    assert!(passed && !said.contains("tieline"), "{said}");
    let threshold = format!("--threshold={EXPOSURE_MAX}");
    let closed = ["security", "--offline=true", "--no-pager", &threshold];
    let (passed, said) = analyze(&closed, &[&service]);
    assert!(passed, "{said}");
}

#[test]
fn the_services_are_closed() {
    let folder = tempfile::tempdir().unwrap();
    let [service, _, _, backup, _] = runnable_copies(folder.path());
    let threshold = format!("--threshold={EXPOSURE_MAX}");
    let (passed, said) = analyze(
        &["security", "--offline=true", "--no-pager", &threshold],
        &[&service, &backup],
    );
    assert!(passed, "{said}");
}

#[test]
fn every_line_says_why() {
    for unit in UNITS.into_iter().chain(DROP_INS) {
        let text = std::fs::read_to_string(unit_path(unit)).unwrap();
        let mut explained = false;
        for line in text.lines() {
            let setting = !line.is_empty() && !line.starts_with(['#', '[']);
            assert!(explained || !setting, "{unit}: no comment above {line:?}");
            // A comment covers the settings right below it, up to the next empty line.
            explained = line.starts_with('#') || (setting && explained);
        }
    }
}

fn unit_path(unit: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("systemd")
        .join(unit)
}

/// The units as on an installed machine, but with a program that exists here: verify looks for it.
fn runnable_copies(folder: &Path) -> [PathBuf; 5] {
    UNITS.map(|unit| {
        let text = std::fs::read_to_string(unit_path(unit)).unwrap();
        let copy = folder.join(unit);
        std::fs::write(
            &copy,
            text.replace("/usr/bin/tieline", env!("CARGO_BIN_EXE_tieline")),
        )
        .unwrap();
        copy
    })
}

fn analyze(arguments: &[&str], units: &[&Path]) -> (bool, String) {
    let output = Command::new("systemd-analyze")
        .args(arguments)
        .args(units)
        .output()
        .expect("systemd-analyze runs; tests/setup.sh installs it");
    let said = [output.stdout, output.stderr].concat();
    (
        output.status.success(),
        String::from_utf8_lossy(&said).into_owned(),
    )
}
