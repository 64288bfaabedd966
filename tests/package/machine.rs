//! A Debian machine for one test: a container with systemd as its first process, without any network but its own loopback, gone
//! with the test. It is made of the archive that tests/setup.sh has put into target/tools.
//!
//! Needs root, or sudo that doesn't ask: containers do.

use crate::support::PATIENCE;
use std::ffi::OsStr;
use std::fs::File;
use std::io::Write as _;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use tempfile::TempDir;

/// Debian 12 as it is installed, with what the documents take for granted: systemd, sudo, curl, man.
const ARCHIVE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/target/tools/bookworm.tar");

/// Unpacks the archive into memory, where no other process sees it and nothing is left of it, and starts the container there.
const START: &str = r#"
    mount -t tmpfs -o mode=755 debian "$2/debian"
    tar -xpf "$1" -C "$2/debian"
    NOTIFY_SOCKET="$2/notify" exec systemd-nspawn --quiet --boot --notify-ready=yes --private-network \
        --register=no --keep-unit --resolv-conf=off --console=pipe --bind="$2/outside:/srv/outside" --directory="$2/debian"
"#;

pub struct Machine {
    folder: TempDir,
    container: Child,
    /// Its first process, as this machine counts.
    first: String,
}

/// What a command left.
#[derive(Debug)]
pub struct Said {
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

impl Machine {
    /// Returns once all its services are up.
    pub fn boot() -> Self {
        assert!(
            Path::new(ARCHIVE).exists(),
            "{ARCHIVE} is missing: tests/setup.sh makes it"
        );
        let folder = tempfile::tempdir().unwrap();
        let inside = |name: &str| folder.path().join(name);
        std::fs::create_dir(inside("outside")).unwrap();
        std::fs::create_dir(inside("debian")).unwrap();
        let news = UnixDatagram::bind(inside("notify")).unwrap();
        news.set_read_timeout(Some(PATIENCE)).unwrap();
        let container = privileged("unshare")
            .args(["--mount", "sh", "-euc", START, "start", ARCHIVE])
            .arg(folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(inside("log")).unwrap())
            .spawn()
            .unwrap();
        let first = first_process(&news).unwrap_or_else(|| {
            panic!(
                "no container: {}",
                std::fs::read_to_string(inside("log")).unwrap()
            )
        });
        Self {
            folder,
            container,
            first,
        }
    }

    /// The folder that the machine and the test both see: `/srv/outside` in the machine.
    pub fn outside(&self) -> PathBuf {
        self.folder.path().join("outside")
    }

    fn inside(&self) -> Command {
        let mut command = privileged("nsenter");
        command.args(["--target", &self.first, "--all", "--"]);
        command.args(["env", "-i", "HOME=/root", "LANG=C.UTF-8", "TERM=dumb"]);
        command.args(["PATH=/usr/sbin:/usr/bin", "DEBIAN_FRONTEND=noninteractive"]);
        command
    }

    /// What root's shell makes of this.
    pub fn shell(&self, script: &str) -> Said {
        let mut command = self.inside();
        command.args(["bash", "-euo", "pipefail", "-c", script]);
        typed(&mut command, "")
    }

    /// What the shell of an ordinary user, who may use sudo, makes of this; `keys` is what is typed meanwhile.
    pub fn shell_of(&self, user: &str, script: &str, keys: &str) -> Said {
        let mut command = self.inside();
        command.args(["runuser", "--login", user, "--command"]);
        command.arg(format!("set -euo pipefail; {script}"));
        typed(&mut command, keys)
    }

    /// The same as [`Self::shell`] of something that must go well; what it printed.
    pub fn run(&self, script: &str) -> String {
        let said = self.shell(script);
        assert_eq!(said.code, Some(0), "{script}: {said:#?}");
        said.out
    }

    /// Puts a file there, with its folder.
    pub fn write(&self, path: &str, mode: &str, text: &str) {
        let mut command = self.inside();
        command.args(["install", "-D", "-m", mode, "/dev/stdin", path]);
        let said = typed(&mut command, text);
        assert_eq!(said.code, Some(0), "{path}: {said:#?}");
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let journal = self.shell("journalctl --boot --lines 60 --no-pager");
            eprintln!("the machine's journal ends:\n{}", journal.out);
        }
        // Off at once (systemd(1), SIGRTMIN+14): nothing in it is needed any more.
        let off = format!("kill -s RTMIN+14 {}", self.first);
        let _ = privileged("bash").args(["-c", &off]).status();
        let _ = self.container.wait();
    }
}

/// A command with root's rights.
fn privileged(program: impl AsRef<OsStr>) -> Command {
    if rustix::process::geteuid().is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("sudo");
    command.arg("--non-interactive").arg(program);
    command
}

/// Waits for the container's word that all is up, and what its first process is; nothing if there is none.
fn first_process(news: &UnixDatagram) -> Option<String> {
    let mut first = None;
    let mut word = [0; 4096];
    loop {
        let length = news.recv(&mut word).ok()?;
        let text = String::from_utf8_lossy(&word[..length]).into_owned();
        for line in text.lines() {
            if let Some(process) = line.strip_prefix("X_NSPAWN_LEADER_PID=") {
                first = Some(process.to_owned());
            }
        }
        if text.lines().any(|line| line == "READY=1") {
            return first;
        }
    }
}

fn typed(command: &mut Command, keys: &str) -> Said {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // Who reads nothing may be gone by now.
    let _ = child.stdin.take().unwrap().write_all(keys.as_bytes());
    let Output {
        status,
        stdout,
        stderr,
    } = child.wait_with_output().unwrap();
    Said {
        code: status.code(),
        out: String::from_utf8(stdout).unwrap(),
        err: String::from_utf8(stderr).unwrap(),
    }
}
