//! Phone systems that post call after call, each post over a connection of its own and never twice: every single one must be
//! accepted at the first try, whatever happens to the daemon meanwhile.

use crate::support::{World, call, within};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use tokio::task::JoinHandle;

/// Who post at once.
const POSTERS: usize = 4;
/// Answers that show that it goes on.
const ANSWERS: usize = 5;

pub struct Load {
    seen: Arc<Seen>,
    posters: Vec<JoinHandle<()>>,
}

#[derive(Default)]
struct Seen {
    enough: AtomicBool,
    answered: AtomicUsize,
}

impl Load {
    pub fn start(world: &Arc<World>) -> Self {
        let seen = Arc::new(Seen::default());
        let posters = (0..POSTERS)
            .map(|poster| tokio::spawn(post(Arc::clone(world), poster, Arc::clone(&seen))))
            .collect();
        Self { seen, posters }
    }

    /// Waits for some more answers.
    pub async fn goes_on(&self) {
        let before = self.seen.answered.load(Relaxed);
        let ended = || self.posters.iter().any(JoinHandle::is_finished);
        within("posts are answered", async {
            while self.seen.answered.load(Relaxed) < before + ANSWERS && !ended() {
                tokio::task::yield_now().await;
            }
        })
        .await;
    }

    /// Ends it; answers how many were posted, each with success.
    pub async fn stop(self) -> usize {
        self.seen.enough.store(true, Relaxed);
        for poster in self.posters {
            poster.await.unwrap();
        }
        self.seen.answered.load(Relaxed)
    }
}

async fn post(world: Arc<World>, poster: usize, seen: Arc<Seen>) {
    let mut number = 0;
    while !seen.enough.load(Relaxed) {
        let from = format!("+491511234{:04}", number % 50);
        let body = call(&format!("p{poster}-{number}"), &from).to_string();
        let json = Some("application/json");
        let answer = world.place.try_post("script", None, json, body.as_bytes());
        match answer.await {
            Ok((202, _)) => seen.answered.fetch_add(1, Relaxed),
            other => panic!("post {number} of poster {poster}: {other:?}"),
        };
        number += 1;
    }
}
