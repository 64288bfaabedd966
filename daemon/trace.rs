//! Where logs go: to the journal with searchable fields under systemd, else to stderr. Logs at info and above carry no
//! full phone number, name or text (invariant 9); `TIELINE_LOG=debug` may.
//!
//! Who works on an event, a call or a sync does it inside one of the spans here, so that each line says whose it is. In the
//! journal a field has this prefix and capitals: `pbx` is `TIELINE_PBX` (docs/operating.md, Monitoring).
//!
//! With the feature `otel` these spans, and no others, can go to a collector of traces too (`otel.rs`).

#[cfg(feature = "otel")]
pub mod otel;

#[cfg(feature = "otel")]
pub use otel::trace_of;

use crate::terms::ids::EventId;
use std::io::IsTerminal as _;
use std::sync::atomic::AtomicU64;
use tracing::field::Empty;
use tracing::{Span, error_span};
use tracing_subscriber::Layer as _;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, fmt};

/// Before every field's name in the journal, where others have theirs (systemd.journal-fields(7)).
const FIELD_PREFIX: &str = "TIELINE";

/// Whose spans are these.
#[cfg(feature = "otel")]
const TARGET: &str = module_path!();

/// What became of the spans that should go to a collector, since the start.
#[derive(Debug)]
pub struct SpanStats {
    /// The collector took them.
    pub sent: AtomicU64,
    /// Too many waited, or the collector didn't take them.
    pub dropped: AtomicU64,
}

/// For the whole process, as its logs are; zeros where spans go nowhere.
pub static SPANS: SpanStats = SpanStats {
    sent: AtomicU64::new(0),
    dropped: AtomicU64::new(0),
};

/// One event of a phone system is read. Like all spans here at the highest level, so that it is there whatever `TIELINE_LOG` is.
pub fn event(pbx: &str, event: EventId) -> Span {
    error_span!("event", pbx, %event, trace = Empty)
}

/// The event whose span we are in speaks of that call or text, by its key in the ledger.
pub fn joins(call: &str) {
    put_in_trace(&Span::current(), call);
}

/// A call or text, by its key in the ledger, is decided.
pub fn call(pbx: &str, call: &str) -> Span {
    let span = error_span!("call", pbx, call, trace = Empty);
    put_in_trace(&span, call);
    span
}

/// An integration's courier has a call or text in hand.
pub fn delivery(integration: &str, call: &str) -> Span {
    let span = error_span!("delivery", integration, call, trace = Empty);
    put_in_trace(&span, call);
    span
}

/// Whatever is done for one integration, but for one call: `what` is a sync, a group of a backlog, a look at its attributes or its webhook.
pub fn integration(what: &'static str, integration: &str) -> Span {
    error_span!("integration", what, integration)
}

/// The trace of a call or text, where spans go nowhere: none.
#[cfg(not(feature = "otel"))]
pub const fn trace_of(_call: &str) -> Option<String> {
    None
}

/// Starts logging. `filter` is what `TIELINE_LOG` holds, `info` when it holds nothing readable.
pub fn start(filter: Option<&str>, under_systemd: bool) {
    let filter =
        EnvFilter::try_new(filter.unwrap_or("info")).unwrap_or_else(|_| EnvFilter::new("info"));
    let journal = under_systemd
        .then(|| tracing_journald::layer().ok())
        .flatten();
    let lines = match journal {
        Some(journal) => journal
            .with_field_prefix(Some(FIELD_PREFIX.to_owned()))
            .boxed(),
        None => fmt::layer()
            .with_writer(std::io::stderr)
            .with_ansi(std::io::stderr().is_terminal())
            .with_target(false)
            .boxed(),
    };
    let logs = tracing_subscriber::registry().with(lines.with_filter(filter));
    #[cfg(feature = "otel")]
    let logs = logs.with(otel::layer());
    // A second start (tests in one process) keeps the first one's.
    let _ = logs.try_init();
}

/// All spans of a call or text are in one trace; the journal's field leads from there to its lines.
fn put_in_trace(span: &Span, call: &str) {
    if let Some(trace) = trace_of(call) {
        span.record("trace", trace.as_str());
    }
}
