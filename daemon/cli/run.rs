//! `tieline run`: the daemon.

use super::ConfigArgs;
use crate::settings::types::Settings;
use crate::{app, heaps, systemd, trace};
use clap::Args;
use std::process::ExitCode;

#[derive(Debug, Args)]
pub struct RunArgs {
    #[command(flatten)]
    config: ConfigArgs,
}

/// Settings, then the life of the daemon until a signal ends it.
pub fn run(args: &RunArgs) -> anyhow::Result<ExitCode> {
    let under_systemd = std::env::var_os("JOURNAL_STREAM").is_some();
    trace::start(std::env::var("TIELINE_LOG").ok().as_deref(), under_systemd);
    heaps::few();
    let settings = remarked(args.config.load()?);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    let config = args.config.clone();
    let outcome = runtime.block_on(app::run(settings, move || {
        config.load().map(remarked).map_err(|exit| exit.text)
    }));
    systemd::stopping();
    // Blocking work left over (none is expected) must not hold up the exit.
    runtime.shutdown_timeout(std::time::Duration::from_secs(1));
    outcome?;
    Ok(ExitCode::SUCCESS)
}

/// What `check` would remark, for who only looks at the log.
fn remarked(settings: Settings) -> Settings {
    for note in &settings.notes {
        tracing::warn!(note, "the settings");
    }
    settings
}
