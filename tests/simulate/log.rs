//! What the daemon logs at info and above, in simulated time, kept to be looked at.

use std::collections::BTreeSet;
use std::io::{self, Write};
use std::sync::{Arc, Mutex};
use tieline::clock;
use tracing::subscriber::DefaultGuard;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::FormatTime;

/// This thread's log, until it is dropped.
pub struct Log {
    lines: Lines,
    _guard: DefaultGuard,
}

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Kept>>);

#[derive(Default)]
struct Kept {
    bytes: Vec<u8>,
    /// So much of it was looked at.
    checked: usize,
}

struct Simulated;

impl Log {
    pub fn start() -> Self {
        let lines = Lines::default();
        let subscriber = tracing_subscriber::fmt()
            .with_writer(lines.clone())
            .with_ansi(false)
            .with_target(false)
            .with_timer(Simulated)
            .with_max_level(tracing::Level::INFO)
            .finish();
        Self {
            lines,
            _guard: tracing::subscriber::set_default(subscriber),
        }
    }

    pub fn text(&self) -> String {
        let kept = self.lines.0.lock().unwrap();
        String::from_utf8_lossy(&kept.bytes).into_owned()
    }

    /// No line holds one of these words (invariant 9), and none is an error about the accounts (invariant 2).
    pub fn check(&self, private: &BTreeSet<String>) -> Result<(), String> {
        let mut kept = self.lines.0.lock().unwrap();
        let new = String::from_utf8_lossy(&kept.bytes[kept.checked..]).into_owned();
        kept.checked = kept.bytes.len();
        for line in new.lines() {
            if let Some(word) = private.iter().find(|word| line.contains(word.as_str())) {
                return Err(format!("invariant 9: the log says {word:?}: {line}"));
            }
            if line.contains("ERROR") && line.contains("account") {
                return Err(format!("invariant 2: {line}"));
            }
        }
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl FormatTime for Simulated {
    fn format_time(&self, out: &mut Writer<'_>) -> std::fmt::Result {
        write!(out, "{:.3}", clock::now())
    }
}
