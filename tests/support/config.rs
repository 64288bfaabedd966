//! The settings file of a test: what a test changes is a field, the rest fits the recordings.

use std::fmt::Write as _;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use tieline::sandbox::SANDBOX_KEY;

/// The phone systems are `hq` (FreeSWITCH, basic auth) and `script` (our own dialect, bearer token).
#[derive(Clone, Debug)]
pub struct Config {
    pub settle: String,
    /// Further lines of `[daemon]`.
    pub daemon: String,
    pub integrations: Vec<Integration>,
    /// Lines of `[agents]`.
    pub agents: String,
}

#[derive(Clone, Debug)]
pub struct Integration {
    pub name: String,
    /// None: the world's sandbox.
    pub url: Option<String>,
    /// Further lines of `[[kustomer]]`, of its `calls` and of its `texts`.
    pub lines: String,
    pub calls: String,
    pub texts: String,
}

/// Waits short enough for tests; a test that gives its own replaces all of them.
pub const QUICK: &str = "retry = [\"20ms\", \"50ms\", \"100ms\"]\nland_time = \"50ms\"\nbulk_land_time = \"200ms\"\ntimeout = \"5s\"\nparallel = 8";

impl Default for Config {
    fn default() -> Self {
        Self {
            settle: "150ms".to_owned(),
            daemon: String::new(),
            integrations: vec![Integration::named("support")],
            agents: "\"101\" = \"grace@example.org\"\n\"102\" = \"alan@example.org\"".to_owned(),
        }
    }
}

impl Integration {
    pub fn named(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            url: None,
            lines: QUICK.to_owned(),
            calls: String::new(),
            texts: String::new(),
        }
    }
}

impl Config {
    /// One integration with these lines in its `calls`.
    pub fn calls(lines: &str) -> Self {
        let mut config = Self::default();
        config.integrations[0].calls = lines.to_owned();
        config
    }

    /// One integration with these lines beside or instead of the quick ones.
    pub fn kustomer(lines: &str) -> Self {
        let mut config = Self::default();
        config.integrations[0].lines = lines.to_owned();
        config
    }

    /// Writes settings and secrets; the settings file is `tieline.toml` in that folder.
    pub fn write(&self, folder: &Path, listen: SocketAddr, sandbox: &str) {
        for (name, secret) in [
            ("hq-password", "secret"),
            ("script-token", "token"),
            ("kustomer-key", SANDBOX_KEY),
        ] {
            let file = folder.join(name);
            if !file.exists() {
                fs::write(file, secret).unwrap();
            }
        }
        fs::write(folder.join("tieline.toml"), self.text(listen, sandbox)).unwrap();
    }

    fn text(&self, listen: SocketAddr, sandbox: &str) -> String {
        let Self {
            settle,
            daemon,
            agents,
            ..
        } = self;
        let mut text = format!(
            r#"[daemon]
state_dir = "state"
listen = "{listen}"
admin = "unix:admin.sock"
default_region = "DE"
area_code = "211"
time_zone = "Europe/Berlin"
{daemon}

[[pbx]]
name = "hq"
dialect = "freeswitch"
auth = {{ kind = "basic", user = "fs", password_file = "hq-password" }}
extensions = ["100-199"]
settle = "{settle}"

[[pbx]]
name = "script"
dialect = "tieline"
auth = {{ kind = "bearer", token_file = "script-token" }}
extensions = ["100-199"]
settle = "{settle}"

[agents]
{agents}
"#
        );
        for part in &self.integrations {
            let url = part.url.as_deref().unwrap_or(sandbox);
            write!(
                text,
                "\n[[kustomer]]\nname = \"{}\"\nurl = \"{url}\"\napi_key_file = \"kustomer-key\"\n{}\n[kustomer.calls]\n{}\n[kustomer.texts]\n{}\n",
                part.name, part.lines, part.calls, part.texts
            )
            .unwrap();
        }
        text
    }
}
