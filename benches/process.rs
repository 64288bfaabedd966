//! The daemon as a process of its own, and what it costs. Used by the benches that measure it whole.

use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tieline::cli::ask;
use tieline::sandbox::SANDBOX_KEY;
use tieline::settings::types::AdminAddress;

pub type Fault = Box<dyn std::error::Error + Send + Sync>;

/// How often the daemon is asked whether it is ready, or done.
pub const LOOK_EVERY: Duration = Duration::from_millis(2);

pub struct Daemon {
    #[allow(dead_code, reason = "not every bench posts")]
    pub address: SocketAddr,
    pub ready_after: Duration,
    child: Child,
    admin: AdminAddress,
}

impl Daemon {
    /// With these settings behind a `[daemon]` of its own in `dir`.
    pub async fn start(dir: &Path, settings: &str) -> Result<Self, Fault> {
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let config = dir.join("bench.toml");
        let own = format!(
            "[daemon]\nstate_dir = \"state\"\nlisten = \"{address}\"\nadmin = \"unix:admin.sock\"\ndefault_region = \"DE\"\n"
        );
        std::fs::write(&config, own + settings)?;
        let began = Instant::now();
        let child = Command::new(env!("CARGO_BIN_EXE_tieline"))
            .args([Path::new("run"), Path::new("--config"), &config])
            .env("TIELINE_LOG", "warn")
            .stdin(Stdio::null())
            .spawn()?;
        let mut daemon = Self {
            address,
            ready_after: Duration::ZERO,
            child,
            admin: AdminAddress::Unix(dir.join("admin.sock")),
        };
        while daemon.ask(hyper::Method::GET, "/ready").await.is_err() {
            if let Some(status) = daemon.child.try_wait()? {
                return Err(format!("the daemon ended: {status}").into());
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
        daemon.ready_after = began.elapsed();
        Ok(daemon)
    }

    pub async fn ask(&self, method: hyper::Method, path: &str) -> Result<serde_json::Value, Fault> {
        let body = (method == hyper::Method::POST).then(|| serde_json::json!({}));
        Ok(ask::ask(&self.admin, method, path, body.as_ref())
            .await?
            .ok()?)
    }

    pub async fn status(&self) -> Result<serde_json::Value, Fault> {
        self.ask(hyper::Method::GET, "/status").await
    }

    /// Megabytes of memory the process holds.
    pub fn resident(&self) -> Result<f64, Fault> {
        self.kilobytes("VmRSS:").map(|kilobytes| kilobytes / 1e3)
    }

    /// Megabytes of memory the process ever held.
    #[allow(dead_code, reason = "not every bench asks")]
    pub fn resident_peak(&self) -> Result<f64, Fault> {
        self.kilobytes("VmHWM:").map(|kilobytes| kilobytes / 1e3)
    }

    /// Megabytes of it that are the process's own data, not pages of files.
    #[allow(dead_code, reason = "not every bench asks")]
    pub fn anonymous(&self) -> Result<f64, Fault> {
        self.kilobytes("RssAnon:").map(|kilobytes| kilobytes / 1e3)
    }

    #[allow(dead_code, reason = "not every bench asks")]
    pub fn threads(&self) -> Result<f64, Fault> {
        self.kilobytes("Threads:")
    }

    #[allow(dead_code, reason = "not every bench asks")]
    pub fn descriptors(&self) -> Result<usize, Fault> {
        Ok(std::fs::read_dir(format!("/proc/{}/fd", self.child.id()))?.count())
    }

    #[allow(dead_code, reason = "not every bench signals")]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    #[allow(dead_code, reason = "not every bench asks by itself")]
    pub fn admin(&self) -> &AdminAddress {
        &self.admin
    }

    fn kilobytes(&self, field: &str) -> Result<f64, Fault> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let mut lines = status.lines();
        let line = lines.find_map(|line| line.strip_prefix(field));
        let line = line.ok_or_else(|| format!("no {field}"))?;
        Ok(line.trim().trim_end_matches(" kB").parse()?)
    }

    /// Seconds of processor time, all threads.
    #[allow(dead_code, reason = "not every bench asks")]
    pub fn cpu_seconds(&self) -> Result<f64, Fault> {
        const TICKS_PER_SECOND: f64 = 100.0;
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id()))?;
        let rest = stat.rsplit(')').next().unwrap_or_default();
        let ticks = rest.split_whitespace().skip(11).take(2).map(str::parse);
        let ticks: Vec<f64> = ticks.collect::<Result<_, _>>()?;
        Ok(ticks.iter().sum::<f64>() / TICKS_PER_SECOND)
    }

    pub fn stop(mut self) -> Result<(), Fault> {
        Command::new("kill")
            .arg(self.child.id().to_string())
            .status()?;
        self.child.wait()?;
        Ok(())
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // Ended already, unless the bench failed.
        let _ = self.child.kill();
    }
}

/// A phone system of our own dialect and a Kustomer whose budget is no hindrance, with further lines of it; the secrets
/// are written into `dir`.
pub fn settings(dir: &Path, token: &str, kustomer: &str, lines: &str) -> Result<String, Fault> {
    std::fs::write(dir.join("token"), token)?;
    std::fs::write(dir.join("key"), SANDBOX_KEY)?;
    Ok(format!(
        r#"
[[pbx]]
name = "hq"
dialect = "tieline"
auth = {{ kind = "bearer", token_file = "token" }}

[[kustomer]]
name = "bench"
url = "{kustomer}"
api_key_file = "key"
requests_per_minute = 1000
budget_window = "1s"
{lines}
"#
    ))
}
