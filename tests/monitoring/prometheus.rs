//! A real Prometheus with our rules, quicker than theirs: it scrapes a running daemon over loopback, an alert fires when its
//! cause is there and ends with it.

use super::{file, queries};
use crate::support::{Config, Daemon, LOOK_EVERY, World, address, call, logs, within};
use hyper::Method;
use serde_json::{Value, json};
use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use tieline::cli::ask;
use tieline::sandbox::SANDBOX_KEY;
use tieline::settings::types::AdminAddress;

const NEW: &str = "+4915199887766";

/// A running Prometheus; dropping it kills it.
struct Prometheus {
    address: SocketAddr,
    child: Child,
}

impl Prometheus {
    /// Scrapes that address and keeps what it has in the folder.
    fn start(folder: &Path, target: SocketAddr) -> Self {
        let config = file("prometheus.yml")
            .replace(
                "scrape_interval: 15s",
                "scrape_interval: 500ms\n  scrape_timeout: 500ms",
            )
            .replace("evaluation_interval: 15s", "evaluation_interval: 500ms")
            .replace("127.0.0.1:8481", &target.to_string());
        let rules = file("tieline.rules.yml");
        let at_once = rules
            .lines()
            .filter(|line| !line.trim().starts_with("for: "));
        let rules = at_once.collect::<Vec<_>>().join("\n");
        fs::write(folder.join("prometheus.yml"), config).unwrap();
        fs::write(folder.join("tieline.rules.yml"), rules).unwrap();
        let address = address();
        let log = File::create(folder.join("prometheus.log")).unwrap();
        let child = Command::new("prometheus")
            .args(["--config.file=prometheus.yml", "--storage.tsdb.path=data"])
            .arg(format!("--web.listen-address={address}"))
            .current_dir(folder)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("prometheus: tests/setup.sh installs it");
        Self { address, child }
    }

    /// The answer's data; none while it isn't ready.
    async fn ask(&self, path: &str) -> Option<Value> {
        let address = AdminAddress::Tcp(self.address);
        let answer = ask::ask(&address, Method::GET, &format!("/api/v1/{path}"), None).await;
        let body = answer.ok()?.ok().ok()?;
        (body["status"] == "success").then(|| body["data"].clone())
    }

    async fn query(&self, query: &str) -> Option<Value> {
        self.ask(&format!("query?query={}", ask::segment(query)))
            .await
            .map(|data| data["result"].clone())
    }

    /// Waits until the query has, or has no longer, a result; that.
    async fn until(&self, query: &str, there: bool) -> Value {
        within(&format!("{query} is there: {there}"), async {
            loop {
                let result = self.query(query).await;
                let result = result.filter(|rows| rows.as_array().unwrap().is_empty() != there);
                match result {
                    Some(rows) => return rows,
                    None => tokio::time::sleep(LOOK_EVERY).await,
                }
            }
        })
        .await
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A daemon whose admin address is that of a loopback port.
async fn scraped(world: &World) -> (SocketAddr, Daemon) {
    let (place, admin) = (&world.place, address());
    let settings = place.folder.join("tieline.toml");
    let text = fs::read_to_string(&settings).unwrap();
    fs::write(
        &settings,
        text.replace("unix:admin.sock", &admin.to_string()),
    )
    .unwrap();
    let daemon = place.spawn();
    within("the daemon is ready", async {
        let admin = AdminAddress::Tcp(admin);
        while ask::ask(&admin, Method::GET, "/ready", None).await.is_err() {
            tokio::time::sleep(LOOK_EVERY).await;
        }
    })
    .await;
    (admin, daemon)
}

fn firing(alert: &str) -> String {
    format!("ALERTS{{alertname=\"{alert}\", alertstate=\"firing\"}}")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn alerts_come_and_go_with_their_causes() {
    let world = World::start(&Config::default()).await;
    let key = world.place.folder.join("kustomer-key");
    fs::write(&key, "another").unwrap();
    let (admin, daemon) = scraped(&world).await;
    let folder = tempfile::tempdir().unwrap();
    let prometheus = Prometheus::start(folder.path(), admin);
    let up = prometheus.until("tieline_healthy == 1", true).await;
    assert_eq!(up[0]["metric"]["instance"], json!(admin.to_string()));

    // The key is another one: a call waits. An event that says nothing to anybody is dead.
    daemon.post(&call("new", NEW)).await;
    let fax = daemon
        .post(&json!({"event": "fax.received", "id": "f1"}))
        .await;
    let fired = prometheus.until(&firing("TielineKeyRefused"), true).await;
    let labels = &fired[0]["metric"];
    assert_eq!(
        (&labels["integration"], &labels["severity"]),
        (&json!("support"), &json!("critical"))
    );
    prometheus.until(&firing("TielineDeadLetters"), true).await;

    // It never answers with an error, and each panel of the dashboard can be drawn.
    let rules = prometheus.ask("rules").await.unwrap();
    let rules = rules["groups"][0]["rules"].as_array().unwrap().clone();
    assert!(rules.len() > 20);
    for rule in &rules {
        assert_eq!(rule["health"], "ok", "{rule:#}");
    }
    for query in queries() {
        let query = query
            .replace("$instance", &admin.to_string())
            .replace("$__rate_interval", "1m");
        assert!(prometheus.query(&query).await.is_some(), "{query}");
    }

    // The right key is found by itself; somebody decides on what is dead.
    fs::write(&key, SANDBOX_KEY).unwrap();
    let dropped = world.place.cli(&["dead", "drop", &fax]).await;
    assert_eq!(dropped.code, Some(0), "{dropped:?}");
    for alert in ["TielineKeyRefused", "TielineDeadLetters"] {
        prometheus.until(&firing(alert), false).await;
    }
    let logged = "tieline_deliveries_ended{end=\"logged\"} == 1";
    prometheus.until(logged, true).await;
    assert_eq!(logs(&world.sandbox).len(), 1);

    // Nobody is there any more.
    assert!(daemon.stop().await.success());
    prometheus.until(&firing("TielineGone"), true).await;
}
