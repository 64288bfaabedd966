//! The sandbox and the place of a daemon beside it, and what the sandbox holds, counted.

use super::{Config, Daemon, Place};
use http_body_util::Full;
use hyper::{Method, Request};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU16, Ordering};
use tempfile::TempDir;
use tieline::cli::ask;
use tieline::sandbox::{FaultKind, SANDBOX_KEY, Sandbox, SandboxOptions};
use tokio::net::TcpStream;

/// One test's sandbox, folder and addresses.
pub struct World {
    pub sandbox: Sandbox,
    pub place: Place,
    _folder: TempDir,
}

impl World {
    /// A sandbox with Grace and Alan as users and Max (+491711234567) as customer, and the settings written.
    pub async fn start(config: &Config) -> Self {
        Self::with(config, SandboxOptions::empty()).await
    }

    pub async fn with(config: &Config, options: SandboxOptions) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let place = Place {
            folder: folder.path().to_owned(),
            listen: address(),
        };
        let sandbox = populated(options).await;
        config.write(&place.folder, place.listen, sandbox.url());
        Self {
            sandbox,
            place,
            _folder: folder,
        }
    }

    /// Sandbox and running daemon.
    pub async fn running(config: &Config) -> (Self, Daemon) {
        let world = Self::start(config).await;
        let daemon = world.place.start().await;
        (world, daemon)
    }

    /// Writes the settings anew.
    pub fn configure(&self, config: &Config) {
        config.write(&self.place.folder, self.place.listen, self.sandbox.url());
    }
}

/// A sandbox with everybody in it.
pub async fn populated(options: SandboxOptions) -> Sandbox {
    let sandbox = Sandbox::start(options).await.unwrap();
    for (name, email) in [("Grace", "grace@example.org"), ("Alan", "alan@example.org")] {
        sandbox
            .seed_user(json!({"name": name, "email": email}))
            .unwrap();
    }
    let max =
        json!({"name": "Max Muster", "phones": [{"type": "mobile", "phone": "+491711234567"}]});
    sandbox.seed_customer(max).unwrap();
    sandbox
}

/// Kustomer answers with that status and does nothing.
pub fn answers(status: u16) -> FaultKind {
    FaultKind::Status {
        status,
        body: None,
        headers: BTreeMap::default(),
    }
}

/// A loopback address that no other test of this process has; those of other processes differ by the process id.
pub fn address() -> SocketAddr {
    static NEXT: AtomicU16 = AtomicU16::new(1);
    let [high, low] = NEXT.fetch_add(1, Ordering::Relaxed).to_be_bytes();
    let process = u8::try_from(std::process::id() % 200).unwrap();
    SocketAddr::from((Ipv4Addr::new(127, 20 + process, high, low), 8480))
}

/// One request to the sandbox, as a person or another tool would make it.
pub async fn request(sandbox: &Sandbox, method: Method, path: &str, body: Option<&Value>) {
    let address = sandbox.url().trim_start_matches("http://");
    let stream = TcpStream::connect(address).await.unwrap();
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header("host", "sandbox")
        .header("content-type", "application/json")
        .header("authorization", format!("Bearer {SANDBOX_KEY}"));
    let body = body.map(Value::to_string).unwrap_or_default();
    let answer = ask::send(stream, request.body(Full::new(body.into())).unwrap())
        .await
        .unwrap();
    assert!(answer.status.is_success(), "{path}: {}", answer.status);
}

/// For each externalId in the sandbox: how many conversations have it, and how many notes of them are its note.
pub fn logs(sandbox: &Sandbox) -> BTreeMap<String, (usize, usize)> {
    let mut logs: BTreeMap<String, (usize, usize)> = BTreeMap::new();
    let mut names = BTreeMap::new();
    for conversation in sandbox.conversations() {
        let external_id = attribute(&conversation, "externalId");
        names.insert(
            conversation["id"].as_str().unwrap().to_owned(),
            external_id.clone(),
        );
        logs.entry(external_id).or_default().0 += 1;
    }
    for note in sandbox.notes() {
        let external_id = &names[&related(&note, "conversation")];
        assert_eq!(
            attribute(&note, "externalId"),
            format!("{external_id}:note")
        );
        logs.get_mut(external_id).unwrap().1 += 1;
    }
    logs
}

pub fn attribute(resource: &Value, name: &str) -> String {
    resource["attributes"][name]
        .as_str()
        .unwrap_or_default()
        .to_owned()
}

pub fn related(resource: &Value, name: &str) -> String {
    resource["relationships"][name]["data"]["id"]
        .as_str()
        .unwrap_or_default()
        .to_owned()
}
