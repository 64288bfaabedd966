//! The real program as a child process: started and awaited, asked, signalled, killed.

use super::{LOOK_EVERY, PATIENCE, within};
use base64::Engine as _;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1;
use hyper::{Method, Request};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use tieline::cli::ask;
use tieline::settings::types::AdminAddress;
use tokio::net::{TcpStream, UnixStream};

/// Where a daemon lives: the same over all its starts. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Place {
    pub folder: PathBuf,
    pub listen: SocketAddr,
}

/// A finished command.
#[derive(Debug)]
pub struct Finished {
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

/// A running daemon; dropping it kills it.
pub struct Daemon {
    pub place: Place,
    child: Child,
}

impl Place {
    fn command(&self) -> Command {
        self.command_in(&[])
    }

    /// The program, started by another one that is given with its arguments and becomes it; or alone.
    fn command_in(&self, starter: &[String]) -> Command {
        let program = [env!("CARGO_BIN_EXE_tieline").to_owned()];
        let mut words = starter.iter().chain(&program);
        let mut command = Command::new(words.next().unwrap());
        command.args(words);
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("TIELINE_") {
                command.env_remove(name);
            }
        }
        command
            .env_remove("JOURNAL_STREAM")
            .env_remove("NOTIFY_SOCKET")
            .env_remove("MALLOC_ARENA_MAX")
            .current_dir(&self.folder);
        command
    }

    /// `run` without waiting for anything; its log goes to a file of the folder.
    pub fn spawn(&self) -> Daemon {
        self.spawn_with(&[])
    }

    /// The same with these in its environment.
    pub fn spawn_with(&self, environment: &[(&str, &Path)]) -> Daemon {
        self.spawn_in(&[], environment)
    }

    /// The same, started by another program that becomes it, such as nsenter with its arguments.
    pub fn spawn_in(&self, starter: &[String], environment: &[(&str, &Path)]) -> Daemon {
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.folder.join("log"))
            .unwrap();
        let mut command = self.command_in(starter);
        command
            .env("TIELINE_LOG", "info,tieline=debug")
            .envs(environment.iter().copied())
            .args(["run", "--config", "tieline.toml"]);
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log);
        Daemon {
            place: self.clone(),
            child: command.spawn().unwrap(),
        }
    }

    pub async fn start(&self) -> Daemon {
        let started = self.spawn().ready().await;
        started.unwrap_or_else(|status| panic!("the daemon ended: {status}\n{}", self.log()))
    }

    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.join("log")).unwrap_or_default()
    }

    /// One of the program's commands with this installation's settings, not started.
    pub fn command_of(&self, args: &[&str]) -> Command {
        let mut command = self.command();
        command
            .args(args)
            .args(["--config", "tieline.toml"])
            .stdin(Stdio::null());
        command
    }

    /// One of the program's commands with this installation's settings.
    pub async fn cli(&self, args: &[&str]) -> Finished {
        let mut command = self.command_of(args);
        let output = tokio::task::spawn_blocking(move || command.output())
            .await
            .unwrap()
            .unwrap();
        Finished {
            code: output.status.code(),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// The same with `--json`, its output read.
    pub async fn json(&self, args: &[&str]) -> Value {
        self.json_of(args, 0).await
    }

    /// The same of a command that ends with that code.
    pub async fn json_of(&self, args: &[&str], code: i32) -> Value {
        let finished = self.cli(&[args, &["--json"]].concat()).await;
        assert_eq!(finished.code, Some(code), "{args:?}: {finished:?}");
        serde_json::from_str(&finished.out).unwrap()
    }

    /// The admin interface's answer; none if the daemon isn't there or refuses.
    pub async fn ask(&self, method: Method, path: &str, body: Option<&Value>) -> Option<Value> {
        let admin = AdminAddress::Unix(self.folder.join("admin.sock"));
        ask::ask(&admin, method, path, body).await.ok()?.ok().ok()
    }

    pub async fn status(&self) -> Value {
        self.ask(Method::GET, "/status", None)
            .await
            .expect("the daemon's status")
    }

    /// What Prometheus would read.
    pub async fn metrics(&self) -> String {
        let admin = UnixStream::connect(self.folder.join("admin.sock")).await;
        let (mut sender, connection) = http1::handshake(TokioIo::new(admin.unwrap()))
            .await
            .unwrap();
        tokio::spawn(connection);
        let request = Request::builder().uri("/metrics").header("host", "t");
        let request = request.body(Full::<Bytes>::default()).unwrap();
        let body = sender.send_request(request).await.unwrap().into_body();
        String::from_utf8(body.collect().await.unwrap().to_bytes().to_vec()).unwrap()
    }

    pub async fn explain(&self, of: &str) -> Value {
        let path = format!("/explain?of={}", ask::segment(of));
        self.ask(Method::GET, &path, None)
            .await
            .unwrap_or_else(|| panic!("nothing explains {of}"))
    }

    /// Posts once; status and body, or why there was no answer.
    pub async fn try_post(
        &self,
        pbx: &str,
        query: Option<&str>,
        content_type: Option<&str>,
        body: &[u8],
    ) -> anyhow::Result<(u16, Value)> {
        let query = query.map(|query| format!("?{query}")).unwrap_or_default();
        let proof = match pbx {
            "hq" => format!(
                "Basic {}",
                base64::engine::general_purpose::STANDARD.encode("fs:secret")
            ),
            _ => "Bearer token".to_owned(),
        };
        let mut request = Request::builder()
            .method(Method::POST)
            .uri(format!("/v1/pbx/{pbx}/events{query}"))
            .header("host", "tieline")
            .header("authorization", proof);
        if let Some(kind) = content_type {
            request = request.header("content-type", kind);
        }
        let request = request.body(Full::new(Bytes::copy_from_slice(body)))?;
        let stream = TcpStream::connect(self.listen).await?;
        let answer = tokio::time::timeout(PATIENCE, ask::send(stream, request)).await??;
        Ok((answer.status.as_u16(), answer.body))
    }
}

impl Daemon {
    /// Waits until it is ready; how it ended, if it does that.
    pub async fn ready(mut self) -> Result<Self, ExitStatus> {
        within("the daemon is ready", async {
            while self.place.ask(Method::GET, "/ready", None).await.is_none() {
                if let Some(status) = self.child.try_wait().unwrap() {
                    return Err(status);
                }
                tokio::time::sleep(LOOK_EVERY).await;
            }
            Ok(self)
        })
        .await
    }

    /// Posts an event of our own dialect, which must be accepted; its id.
    pub async fn post(&self, event: &Value) -> String {
        let body = event.to_string();
        self.post_raw("script", None, Some("application/json"), body.as_bytes())
            .await
    }

    /// The same as a future of its own, for many at once.
    pub fn post_owned(&self, event: Value) -> impl Future<Output = ()> + Send + 'static {
        let place = self.place.clone();
        async move {
            let body = event.to_string();
            let answer = place
                .try_post("script", None, Some("application/json"), body.as_bytes())
                .await
                .unwrap();
            assert_eq!(answer.0, 202, "{}", answer.1);
        }
    }

    pub async fn post_raw(
        &self,
        pbx: &str,
        query: Option<&str>,
        content_type: Option<&str>,
        body: &[u8],
    ) -> String {
        let (status, answer) = self
            .place
            .try_post(pbx, query, content_type, body)
            .await
            .unwrap();
        assert_eq!(status, 202, "{answer}");
        answer["id"].as_str().unwrap().to_owned()
    }

    /// Waits until the status is as wanted.
    pub async fn until(&self, what: &str, reached: impl Fn(&Value) -> bool) -> Value {
        let looked = async {
            loop {
                // A reload may close a connection that has asked nothing yet.
                let status = self.place.ask(Method::GET, "/status", None).await;
                if let Some(status) = status.filter(|status| reached(status)) {
                    return status;
                }
                tokio::time::sleep(LOOK_EVERY).await;
            }
        };
        match tokio::time::timeout(PATIENCE, looked).await {
            Ok(status) => status,
            Err(_) => panic!(
                "waited in vain: {what}; now {:#}",
                self.place.status().await
            ),
        }
    }

    /// Waits until every event has its end, the sums add up, and nothing is owed to Kustomer.
    pub async fn at_rest(&self, what: &str) -> Value {
        self.until(what, |status| {
            let events = &status["events"];
            events["in_flight"] == 0
                && events["adds_up"] == true
                && status["integrations"][0]["owed"] == 0
        })
        .await
    }

    /// Waits until every accepted event has its end and the sums add up.
    pub async fn settled(&self, accepted: usize) -> Value {
        let status = self
            .until(&format!("{accepted} events have an end"), |status| {
                let events = &status["events"];
                events["accepted"] == accepted
                    && events["in_flight"] == 0
                    && events["adds_up"] == true
            })
            .await;
        let events = &status["events"];
        let filtered: u64 = events["filtered"]
            .as_object()
            .unwrap()
            .values()
            .filter_map(Value::as_u64)
            .sum();
        let ended = ["logged", "joined", "dead", "erased"]
            .iter()
            .filter_map(|end| events[end].as_u64())
            .sum::<u64>();
        assert_eq!(ended + filtered, accepted as u64, "{events}");
        status
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn signal(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, signal).unwrap();
    }

    /// Stops it where it is, out of the kernel, until it gets `CONT`.
    pub fn halt(&self) {
        self.signal(rustix::process::Signal::STOP);
        let tasks = format!("/proc/{}/task", self.pid());
        let halted = |task: std::io::Result<fs::DirEntry>| {
            let stat = fs::read_to_string(task.unwrap().path().join("stat")).unwrap();
            // The state is behind the name, which is in brackets.
            stat.rsplit(')').next().unwrap().trim().starts_with('T')
        };
        while !fs::read_dir(&tasks).unwrap().all(halted) {
            std::thread::yield_now();
        }
    }

    /// SIGKILL, as a power cut or the kernel's memory killer would.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// SIGTERM, and the exit code.
    pub async fn stop(self) -> ExitStatus {
        self.signal(rustix::process::Signal::TERM);
        self.ended().await
    }

    /// Waits for the process to end by itself.
    pub async fn ended(mut self) -> ExitStatus {
        within("the daemon ends", async {
            loop {
                if let Some(status) = self.child.try_wait().unwrap() {
                    return status;
                }
                tokio::time::sleep(LOOK_EVERY).await;
            }
        })
        .await
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // One that has ended can't be killed again: no fault here.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            let log = self.place.log();
            let tail = log.lines().rev().take(200).collect::<Vec<_>>();
            eprintln!("the daemon's log ends:");
            tail.iter().rev().for_each(|line| eprintln!("{line}"));
        }
    }
}
