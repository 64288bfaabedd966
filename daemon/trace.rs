//! Where logs go: to the journal with searchable fields under systemd, else to stderr. Logs at info and above carry no
//! full phone number, name or text (invariant 9); `TIELINE_LOG=debug` may.
//!
//! Who works on an event, a call or a sync does it inside one of the spans here, so that each line says whose it is. In the
//! journal a field has this prefix and capitals: `pbx` is `TIELINE_PBX` (docs/operating.md, Monitoring).

use crate::terms::ids::EventId;
use std::io::IsTerminal as _;
use tracing::{Span, error_span};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, fmt};

/// Before every field's name in the journal, where others have theirs (systemd.journal-fields(7)).
const FIELD_PREFIX: &str = "TIELINE";

/// One event of a phone system is read. Like all spans here at the highest level, so that it is there whatever `TIELINE_LOG` is.
pub fn event(pbx: &str, event: EventId) -> Span {
    error_span!("event", pbx, %event)
}

/// A call or text, by its key in the ledger, is decided.
pub fn call(pbx: &str, call: &str) -> Span {
    error_span!("call", pbx, call)
}

/// An integration's courier has a call or text in hand.
pub fn delivery(integration: &str, call: &str) -> Span {
    error_span!("delivery", integration, call)
}

/// Whatever is done for one integration, but for one call: `what` is a sync, a group of a backlog, a look at its attributes or its webhook.
pub fn integration(what: &'static str, integration: &str) -> Span {
    error_span!("integration", what, integration)
}

/// Starts logging. `filter` is what `TIELINE_LOG` holds, `info` when it holds nothing readable.
pub fn start(filter: Option<&str>, under_systemd: bool) {
    let filter =
        EnvFilter::try_new(filter.unwrap_or("info")).unwrap_or_else(|_| EnvFilter::new("info"));
    let journal = under_systemd
        .then(|| tracing_journald::layer().ok())
        .flatten()
        .map(|journal| journal.with_field_prefix(Some(FIELD_PREFIX.to_owned())));
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
