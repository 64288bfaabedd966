//! A budget that holds over a restart (invariant 7): requests are noted on disk before they are sent, some at a time, so
//! that a daemon that starts knows what the one before may have sent. `client` takes one for each request.

use crate::clock;
use std::fmt::Debug;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Mutex;
use tokio::time::Instant;

/// Noted at once: one in so many of a window's requests. So many too few may be sent after a restart.
const SHARE_ONE_IN: u32 = 20;
/// A note is for this part of a window; then the next request makes another one.
const VALID_ONE_IN: u32 = 2;

/// Between two tries at a store that refuses.
const AGAIN: Duration = Duration::from_secs(1);

/// Where it is noted how many requests may have been sent.
pub trait Notebook: Debug + Send + Sync {
    /// Replaces the note: within the window before now, and until the next note, no more than `requests`. Returns when that
    /// is on disk; false if it can't be for now.
    fn note(&self, requests: u32) -> Pin<Box<dyn Future<Output = bool> + Send + '_>>;
}

/// How long after a note it counts, with requests of this `window`.
pub fn counts_for(window: Duration) -> Duration {
    window + window / VALID_ONE_IN
}

/// Requests that are noted and not sent yet.
#[derive(Debug)]
pub struct Reserve {
    notebook: Option<Arc<dyn Notebook>>,
    share: u32,
    valid: Duration,
    noted: Mutex<Noted>,
}

#[derive(Debug, Default)]
struct Noted {
    left: u32,
    until: Option<Instant>,
}

impl Reserve {
    /// Without a notebook nothing is noted: commands that send a handful.
    pub fn new(notebook: Option<Arc<dyn Notebook>>, limit: u32, window: Duration) -> Self {
        Self {
            notebook,
            share: limit.div_ceil(SHARE_ONE_IN),
            valid: window / VALID_ONE_IN,
            noted: Mutex::default(),
        }
    }

    /// Returns when one more request is noted; `used` counts those of the last window, this one among them. Where nothing
    /// can be noted (a full disk) it waits: nothing that is asked for could be kept.
    pub async fn take(&self, used: usize) {
        let Some(notebook) = &self.notebook else {
            return;
        };
        let mut noted = self.noted.lock().await;
        let now = clock::monotonic();
        if noted.left == 0 || noted.until.is_none_or(|until| now >= until) {
            let used = u32::try_from(used).unwrap_or(u32::MAX);
            while !notebook.note(used.saturating_add(self.share)).await {
                tokio::time::sleep(AGAIN).await;
            }
            *noted = Noted {
                left: self.share,
                until: Some(clock::monotonic() + self.valid),
            };
        }
        noted.left = noted.left.saturating_sub(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex as Lock;

    #[derive(Debug, Default)]
    struct Page(Lock<Vec<u32>>);

    impl Notebook for Page {
        fn note(&self, requests: u32) -> Pin<Box<dyn Future<Output = bool> + Send + '_>> {
            self.0.lock().unwrap().push(requests);
            Box::pin(std::future::ready(true))
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_share_is_noted_before_it_is_used_and_again_when_the_note_is_old() {
        let (page, window) = (Arc::new(Page::default()), Duration::from_secs(60));
        let notebook: Arc<dyn Notebook> = Arc::<Page>::clone(&page);
        let reserve = Reserve::new(Some(notebook), 60, window);
        for used in 1..=7 {
            reserve.take(used).await;
        }
        assert_eq!(*page.0.lock().unwrap(), [1 + 3, 4 + 3, 7 + 3]);
        tokio::time::advance(window / 2).await;
        reserve.take(8).await;
        assert_eq!(page.0.lock().unwrap().last(), Some(&(8 + 3)));
    }
}
