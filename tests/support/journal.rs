//! A real systemd-journald in a mount namespace of its own, and what is found in it.

use super::{LOOK_EVERY, Place, within};
use serde_json::Value;
use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use tempfile::TempDir;

/// A running journal; dropping it kills it.
pub struct Journal {
    folder: TempDir,
    child: Child,
}

/// Whoever isn't root gets a namespace of users too.
fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

impl Journal {
    /// With /run of its own, where its sockets and its files are.
    pub async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        for name in ["systemd/journal", "log/journal"] {
            fs::create_dir_all(folder.path().join(name)).unwrap();
        }
        let mut command = Command::new("unshare");
        if !is_root() {
            command.arg("--map-root-user");
        }
        let child = command
            .args([
                "--mount",
                "sh",
                "-c",
                "mount --bind \"$0\" /run && exec /usr/lib/systemd/systemd-journald",
            ])
            .arg(folder.path())
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let journal = Self { folder, child };
        within("a journal, which needs the right to mount", async {
            while !journal
                .folder
                .path()
                .join("systemd/journal/socket")
                .exists()
            {
                tokio::time::sleep(LOOK_EVERY).await;
            }
        })
        .await;
        journal
    }

    /// What starts a program beside it.
    pub fn starter(&self, place: &Place) -> Vec<String> {
        let of = |what: &str| format!("/proc/{}/ns/{what}", self.child.id());
        let mut words = vec!["nsenter".to_owned(), format!("--mount={}", of("mnt"))];
        if !is_root() {
            words.extend([
                format!("--user={}", of("user")),
                "--preserve-credentials".to_owned(),
            ]);
        }
        words.push(format!("--wd={}", place.folder.display()));
        words
    }

    fn files(&self) -> PathBuf {
        self.folder.path().join("log/journal")
    }

    /// The lines that match, oldest first.
    pub fn lines(&self, matches: &[&str]) -> Vec<Value> {
        let output = Command::new("journalctl")
            .args(["--output=json", "--all", "--quiet", "--directory"])
            .arg(self.files())
            .args(matches)
            .output()
            .unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        text.lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What a line says, one that stands inside several spans more than once.
pub fn all<'a>(line: &'a Value, field: &str) -> Vec<&'a str> {
    match &line[field] {
        Value::Array(values) => values.iter().filter_map(Value::as_str).collect(),
        value => value.as_str().into_iter().collect(),
    }
}

pub fn messages(lines: &[Value]) -> Vec<&str> {
    lines.iter().flat_map(|line| all(line, "MESSAGE")).collect()
}
