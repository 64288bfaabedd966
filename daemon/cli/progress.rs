//! How far long work is: a bar on a terminal, a line now and then otherwise (into a log, a pipe). On standard error, so that
//! the result alone is on standard output.

use crate::clock;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::Value;
use std::fmt::{self, Display};
use std::io::{self, Write as _};
use std::time::Duration;
use tokio::time::Instant;

/// Between two lines where there is no terminal.
const LINE_EVERY: Duration = Duration::from_secs(10);

/// What a contact sync is at, as `status` has it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Work {
    importing: bool,
    pub done: u64,
    pub total: Option<u64>,
    per_second: f64,
    seconds_left: Option<f64>,
}

impl Work {
    /// Of one sync in `status`.
    pub fn of(sync: &Value) -> Self {
        let work = &sync["work"];
        Self {
            importing: work["task"] == "import",
            done: work["done"].as_u64().unwrap_or_default(),
            total: work["total"].as_u64(),
            per_second: work["per_second"].as_f64().unwrap_or_default(),
            seconds_left: work["seconds_left"].as_f64(),
        }
    }

    const fn what(self) -> &'static str {
        if self.importing {
            "customers are imported"
        } else {
            "writes are done"
        }
    }
}

impl Display for Work {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.done)?;
        if let Some(total) = self.total {
            write!(f, " of {total}")?;
        }
        write!(f, " {}, {:.0} a second", self.what(), self.per_second)?;
        match self.seconds_left {
            Some(left) if left >= 90.0 => write!(f, ", {:.0} min left", left / 60.0),
            Some(left) => write!(f, ", {left:.0} s left"),
            None => Ok(()),
        }
    }
}

/// Shows it.
pub struct Progress {
    bar: ProgressBar,
    last_line: Instant,
}

impl Progress {
    pub fn new() -> Self {
        let bar = ProgressBar::new(0);
        // The template is ours: it can't be wrong.
        if let Ok(style) = ProgressStyle::with_template("{wide_bar} {percent:>3} %  {msg}") {
            bar.set_style(style);
        }
        Self {
            bar,
            last_line: clock::monotonic(),
        }
    }

    /// So far; `told` says it in words.
    pub fn show(&mut self, done: u64, total: Option<u64>, told: &dyn Display) {
        if self.bar.is_hidden() {
            let now = clock::monotonic();
            if now.duration_since(self.last_line) >= LINE_EVERY {
                self.last_line = now;
                // Whoever doesn't want to be told goes on without.
                let _ = writeln!(io::stderr(), "{told}");
            }
            return;
        }
        self.bar.set_length(total.unwrap_or(done).max(1));
        self.bar.set_position(done);
        self.bar.set_message(told.to_string());
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn work_is_told_in_words() {
        let told = |work: Value| Work::of(&json!({"work": work})).to_string();
        let import = json!({"task": "import", "done": 500, "total": 20_000, "per_second": 41.7, "seconds_left": 467.0});
        assert_eq!(
            told(import),
            "500 of 20000 customers are imported, 42 a second, 8 min left"
        );
        let write =
            json!({"task": "write", "done": 3, "total": 7, "per_second": 1.5, "seconds_left": 2.7});
        assert_eq!(told(write), "3 of 7 writes are done, 2 a second, 3 s left");
        let unknown = json!({"task": "import", "done": 3, "total": null, "per_second": 0.0});
        assert_eq!(told(unknown), "3 customers are imported, 0 a second");
    }
}
