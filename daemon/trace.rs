//! Where logs go: to the journal with searchable fields under systemd, else to stderr. Logs at info and above carry no
//! full phone number, name or text (invariant 9); `TIELINE_LOG=debug` may.

use std::io::IsTerminal as _;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, fmt};

/// Starts logging. `filter` is what `TIELINE_LOG` holds, `info` when it holds nothing readable.
pub fn start(filter: Option<&str>, under_systemd: bool) {
    let filter =
        EnvFilter::try_new(filter.unwrap_or("info")).unwrap_or_else(|_| EnvFilter::new("info"));
    let journal = under_systemd
        .then(|| tracing_journald::layer().ok())
        .flatten();
    let stderr = journal.is_none().then(|| {
        fmt::layer()
            .with_writer(std::io::stderr)
            .with_ansi(std::io::stderr().is_terminal())
            .with_target(false)
    });
    // A second start (tests in one process) keeps the first one's.
    let _ = tracing_subscriber::registry()
        .with(filter)
        .with(journal)
        .with(stderr)
        .try_init();
}
