//! Puts what was heard into the journal, and waits as long as that takes: whoever reads a socket reads on when it is on
//! disk, so that a busy or full store holds back the phone system and drops nothing.

use crate::calls::journal::{Accepted, Journal, Posted};
use crate::clock;
use crate::store::StoreFault;
use bytes::Bytes;
use std::time::Duration;
use tokio::task::JoinSet;

/// A store that refuses (busy, disk full) is tried again after this.
const STORE_RETRY: Duration = Duration::from_millis(250);

/// Bodies on their way to the journal at once: they share a sync. A small part of the journal's queue.
const BODIES_AT_ONCE_MAX: usize = 64;

/// Writes events of one phone system.
#[derive(Clone)]
pub struct Pen {
    pub journal: Journal,
    pub pbx: String,
}

impl Pen {
    /// All of them are on disk when it answers.
    pub async fn write_all(&self, bodies: Vec<Bytes>) -> Result<(), StoreFault> {
        let mut bodies = bodies.into_iter();
        let mut writing = JoinSet::new();
        loop {
            while writing.len() < BODIES_AT_ONCE_MAX
                && let Some(body) = bodies.next()
            {
                let pen = self.clone();
                writing.spawn(async move { pen.write(body).await });
            }
            match writing.join_next().await {
                None => return Ok(()),
                Some(Ok(written)) => drop(written?),
                Some(Err(error)) => {
                    let why = format!("a write into the journal ended: {error}");
                    return Err(StoreFault::Broken { why });
                }
            }
        }
    }

    /// One event, on disk when it answers.
    pub async fn write(&self, body: Bytes) -> Result<Accepted, StoreFault> {
        let posted = Posted {
            pbx: self.pbx.clone(),
            received: clock::now(),
            content_type: None,
            query: None,
            body,
        };
        let mut waited = false;
        loop {
            match self.journal.append(posted.clone()).await {
                Err(fault) if fault.passes() => {
                    if !waited {
                        tracing::warn!(pbx = self.pbx, %fault, "the store refuses; the phone system's events wait");
                    }
                    waited = true;
                    tokio::time::sleep(STORE_RETRY).await;
                }
                answer => return answer,
            }
        }
    }
}
