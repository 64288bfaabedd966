//! `tieline webhook`: has Kustomer post changed customers to us, shows how that stands, takes it back.

use super::{ConfigArgs, EXIT_CONFIG, EXIT_NOT_FOUND, Exit, small_runtime};
use crate::contacts::webhooks::event::EVENTS;
use crate::contacts::webhooks::watch::{Registered, look, name_of, ours};
use crate::kustomer::client::{Client, Past};
use crate::kustomer::fault::KustomerFault;
use crate::kustomer::webhooks::{
    CREATE_ROLE, DELETE_ROLE, OutboundWebhook, READ_ROLE, WEBHOOKS_MAX,
};
use crate::settings::types::{KustomerSettings, WebhookSettings, webhook_address};
use clap::{Args, Subcommand};
use secrecy::{ExposeSecret, SecretString};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, fchown};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

#[derive(Debug, Args)]
pub struct WebhookArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// Name of the integration; needed if several take webhooks
    #[arg(long, global = true)]
    integration: Option<String>,
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Create it in Kustomer, or turn it on again, and write its token into secret_file
    Install {
        /// Where Kustomer reaches this machine, such as `https://tieline.example.org`
        #[arg(long)]
        url: Option<String>,
    },
    /// Show whether it is there and on
    Show,
    /// Remove it from Kustomer
    Remove,
}

pub fn run(args: &WebhookArgs, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
    // The token's file isn't there before it is installed.
    let settings = args.config.load_to_ask()?;
    let (integration, webhook) = chosen(&settings.kustomers, args.integration.as_deref())?;
    small_runtime()?.block_on(async {
        let client = Client::new(integration, Past::default())?;
        let desk = Desk {
            client: &client,
            name: &integration.name,
            webhook,
        };
        match &args.what {
            What::Install { url } => desk.install(url.as_deref(), out).await,
            What::Show => desk.show(out).await,
            What::Remove => desk.remove(out).await,
        }
    })
}

fn chosen<'a>(
    all: &'a [KustomerSettings],
    name: Option<&str>,
) -> Result<(&'a KustomerSettings, &'a WebhookSettings), Exit> {
    let mut fitting = all
        .iter()
        .filter(|one| name.is_none_or(|name| one.name == name))
        .filter_map(|one| Some((one, one.webhook.as_ref()?)));
    let text = match (fitting.next(), fitting.next()) {
        (Some(found), None) => return Ok(found),
        (Some(_), Some(_)) => "several integrations take webhooks: say which with --integration",
        (None, _) => {
            "no such integration takes webhooks: set secret_file in [kustomer.webhook] of it"
        }
    };
    Err(Exit {
        code: EXIT_CONFIG,
        text: text.to_owned(),
    })
}

struct Desk<'a> {
    client: &'a Client,
    name: &'a str,
    webhook: &'a WebhookSettings,
}

impl Desk<'_> {
    /// Again changes nothing, unless it was turned off, or has another address: then it is made anew, for how to change one
    /// isn't documented.
    async fn install(&self, url: Option<&str>, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
        let url = url.map(|url| webhook_address(url, self.name));
        let Some(url) = url.or_else(|| self.webhook.address(self.name)) else {
            return Err(Exit {
                code: EXIT_CONFIG,
                text: "where does Kustomer reach this machine? --url https://…, or url in [kustomer.webhook]".to_owned(),
            }
            .into());
        };
        let all = self.all().await?;
        let mut kept = None;
        if let Some(own) = ours(&all, self.name, Some(&url)) {
            let whole = EVENTS
                .iter()
                .all(|event| own.events.iter().any(|one| one == event));
            if own.enabled && own.url == url && whole {
                let read = self.client.outbound_webhook(&own.id).await;
                kept = Some(read.map_err(|fault| refused(fault, READ_ROLE))?);
            } else {
                let gone = self.client.delete_outbound_webhook(&own.id).await;
                gone.map_err(|fault| refused(fault, DELETE_ROLE))?;
            }
        }
        let (webhook, how) = match kept {
            Some(webhook) => (webhook, "was there already"),
            None => (self.create(&url, &all).await?, "created"),
        };
        let file = &self.webhook.secret_file;
        let Some(token) = &webhook.token else {
            anyhow::bail!(
                "Kustomer doesn't tell the webhook's token; copy it from Settings, Platform, Outbound webhooks into {}",
                file.display()
            );
        };
        write_secret(file, token)
            .map_err(|fault| anyhow::anyhow!("{} can't be written: {fault}", file.display()))?;
        writeln!(out, "{} {how}; Kustomer posts to {url}", name_of(self.name))?;
        writeln!(
            out,
            "Its token is in {}; start or reload the daemon.",
            file.display()
        )?;
        Ok(ExitCode::SUCCESS)
    }

    async fn create(&self, url: &str, all: &[OutboundWebhook]) -> anyhow::Result<OutboundWebhook> {
        let name = name_of(self.name);
        let created = self.client.create_outbound_webhook(&name, url, &EVENTS);
        created.await.map_err(|fault| match fault {
            KustomerFault::Rejected { .. } if all.len() >= WEBHOOKS_MAX => {
                let names: Vec<&str> = all.iter().map(|one| one.name.as_str()).collect();
                let names = names.join(", ");
                anyhow::anyhow!(
                    "Kustomer takes {WEBHOOKS_MAX} webhooks, and has them: {names}; remove one there first"
                )
            }
            fault => refused(fault, CREATE_ROLE),
        })
    }

    async fn show(&self, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
        let url = self.webhook.address(self.name);
        let seen = look(self.client, self.name, url.as_deref()).await;
        writeln!(out, "{}: {}", name_of(self.name), seen.word())?;
        if let Some(problem) = seen.problem() {
            writeln!(out, "{problem}")?;
        }
        Ok(match seen {
            Registered::Enabled => ExitCode::SUCCESS,
            Registered::Missing => ExitCode::from(EXIT_NOT_FOUND),
            Registered::Unknown | Registered::Disabled | Registered::Unread(_) => ExitCode::FAILURE,
        })
    }

    async fn remove(&self, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
        let (all, url) = (self.all().await?, self.webhook.address(self.name));
        let name = name_of(self.name);
        let Some(own) = ours(&all, self.name, url.as_deref()) else {
            writeln!(out, "{name} isn't in Kustomer; nothing to remove")?;
            return Ok(ExitCode::SUCCESS);
        };
        let gone = self.client.delete_outbound_webhook(&own.id).await;
        gone.map_err(|fault| refused(fault, DELETE_ROLE))?;
        writeln!(
            out,
            "{name} removed from Kustomer; take [kustomer.webhook] out of the settings too"
        )?;
        Ok(ExitCode::SUCCESS)
    }

    async fn all(&self) -> anyhow::Result<Vec<OutboundWebhook>> {
        let all = self.client.outbound_webhooks().await;
        all.map_err(|fault| refused(fault, READ_ROLE))
    }
}

fn refused(fault: KustomerFault, role: &str) -> anyhow::Error {
    if fault.is_forbidden() {
        anyhow::anyhow!("the key lacks the role {role}")
    } else {
        fault.into()
    }
}

/// Whole or not at all, for its owner alone; a file that was there keeps its owner.
fn write_secret(file: &Path, token: &SecretString) -> io::Result<()> {
    let mut name = file.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    let new: PathBuf = file.with_file_name(name);
    // One that was left half-way may have been readable for others.
    match fs::remove_file(&new) {
        Err(fault) if fault.kind() != io::ErrorKind::NotFound => return Err(fault),
        _ => {}
    }
    let mut options = OpenOptions::new();
    let mut open = options
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&new)?;
    if let Ok(old) = fs::metadata(file) {
        fchown(&open, Some(old.uid()), Some(old.gid()))?;
    }
    open.write_all(token.expose_secret().as_bytes())?;
    open.sync_all()?;
    fs::rename(&new, file)?;
    match file.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => File::open(folder)?.sync_all(),
        Some(_) | None => Ok(()),
    }
}
