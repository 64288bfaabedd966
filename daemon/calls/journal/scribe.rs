//! Writes the journal: takes all posts that wait, gives each its number, puts them on pages, and answers them when the
//! pages are on disk. The one task that gives numbers; started by `journal.rs`, fed by `append`.
//!
//! While one group is on its way to the disk the next one gathers, so that under load one sync serves many posts.

use super::held::Unindexed;
use super::page::{Ids, PAGE_BYTES_MAX, Page};
use super::{Accepted, Shared, TREE, ids_key, page_key};
use crate::shares::Share;
use crate::store::{StoreFault, WeakStore};
use crate::terms::ids::EventId;
use std::sync::Arc;
use std::vec::Drain;
use tokio::sync::{mpsc, oneshot};

/// Posts looked at together: every connection of a busy listener.
const GROUP_POSTS_MAX: usize = 1024;
/// A group is written once it has this many bytes: bounds what one write takes from the disk's reserve.
const GROUP_BYTES_MAX: usize = 1024 * 1024;

/// Posts that are worth a sync on a busy listener, which is one whose last group was larger than the second.
const GROUP_ENOUGH: usize = 80;
const GROUP_BUSY: usize = 32;
/// Turns of the runtime given for that many: those who were answered just now are about to post again.
const TURNS_MAX: usize = 16;

/// A post that waits to be on disk.
pub(super) struct Waiting {
    pub id: EventId,
    /// As `page::event` wrote it.
    pub event: Vec<u8>,
    /// Its place in the queue.
    pub place: Share<String>,
    pub answer: oneshot::Sender<Result<Accepted, StoreFault>>,
}

/// Holds nothing open: the store and its trees are only taken for each write.
pub(super) struct Scribe {
    pub store: WeakStore,
    pub shared: Arc<Shared>,
    /// The last number given.
    pub last: u64,
    pub unindexed: Unindexed,
}

/// Posts decided together and the pages they need.
#[derive(Default)]
struct Group {
    answers: Answers,
    /// By the number of the first event.
    pages: Vec<(u64, Page)>,
    ids: Vec<Ids>,
    /// What is unindexed once the group is written.
    unindexed: Unindexed,
    bytes: usize,
}

type Answers = Vec<(oneshot::Sender<Result<Accepted, StoreFault>>, Accepted)>;

impl Scribe {
    /// Ends when every `Journal` is gone.
    pub(super) async fn run(mut self, mut posts: mpsc::Receiver<Waiting>) {
        let mut waiting = Vec::with_capacity(GROUP_POSTS_MAX);
        let (mut answers, mut verdict) = (Answers::new(), Ok(()));
        loop {
            let enough = worth_a_sync(answers.len());
            if posts.len() < enough {
                answer(std::mem::take(&mut answers), &verdict);
            }
            for _ in 0..TURNS_MAX {
                if posts.len() >= enough {
                    break;
                }
                tokio::task::yield_now().await;
            }
            if posts.recv_many(&mut waiting, GROUP_POSTS_MAX).await == 0 {
                return;
            }
            let mut rest = waiting.drain(..);
            while !rest.as_slice().is_empty() {
                let group = self.gather(&mut rest);
                // The disk has its next work before the group that it has done is answered.
                let done = async { answer(std::mem::take(&mut answers), &verdict) };
                let (next, ()) = tokio::join!(self.commit(group.pages, group.ids), done);
                self.settle(&next, &group.answers, group.unindexed);
                (answers, verdict) = (group.answers, next);
            }
        }
    }

    /// Takes posts until the group is full; a repeat gets the number that the first one has.
    fn gather(&self, posts: &mut Drain<'_, Waiting>) -> Group {
        let mut group = Group {
            unindexed: self.unindexed.clone(),
            ..Group::default()
        };
        let mut held = self.shared.held();
        let mut last = self.last;
        while group.bytes < GROUP_BYTES_MAX {
            let Some(Waiting {
                id,
                event,
                place,
                answer,
            }) = posts.next()
            else {
                break;
            };
            drop(place);
            let known = held.get(&id).copied();
            let seq = known.unwrap_or(last + 1);
            if known.is_none() {
                last = seq;
                held.insert(id, seq);
                group.add(id, seq, &event);
            }
            let repeat = known.is_some();
            group.answers.push((answer, Accepted { id, seq, repeat }));
        }
        group.ids = group.unindexed.take_records(&held);
        group
    }

    /// The numbers of a written group count from now on; a group that could not be written never was.
    fn settle(
        &mut self,
        verdict: &Result<(), StoreFault>,
        answers: &Answers,
        unindexed: Unindexed,
    ) {
        let mut fresh = answers.iter().filter(|(_, accepted)| !accepted.repeat);
        match verdict {
            Ok(()) => {
                let Some((_, newest)) = fresh.next_back() else {
                    return;
                };
                self.last = newest.seq;
                self.unindexed = unindexed;
                self.shared.synced.send_replace(newest.seq);
            }
            Err(_) => {
                let mut held = self.shared.held();
                for (_, accepted) in fresh {
                    held.remove(&accepted.id);
                }
            }
        }
    }

    async fn commit(&self, pages: Vec<(u64, Page)>, ids: Vec<Ids>) -> Result<(), StoreFault> {
        if pages.is_empty() {
            return Ok(());
        }
        let store = self.store.upgrade().ok_or_else(|| StoreFault::Broken {
            why: "the store was closed".to_owned(),
        })?;
        let (page_tree, ids_tree) = (store.tree::<Page>(TREE), store.tree::<Ids>(TREE));
        store
            .commit(move |writes| {
                // Pages first: what names an event must not outlive it in a crash.
                for (first, page) in &pages {
                    writes.append(&page_tree, &page_key(*first), page)?;
                }
                for ids in &ids {
                    let first = ids.0.first().map_or(0, |(seq, _)| *seq);
                    writes.append(&ids_tree, &ids_key(first), ids)?;
                }
                Ok(())
            })
            .await
    }
}

/// How many must wait for the next group to begin at once.
fn worth_a_sync(last: usize) -> usize {
    if last > GROUP_BUSY {
        last.min(GROUP_ENOUGH)
    } else {
        1
    }
}

fn answer(answers: Answers, verdict: &Result<(), StoreFault>) {
    for (answer, accepted) in answers {
        // Nobody waits any more when a phone system hung up; the event stands.
        let _ = answer.send(verdict.clone().map(|()| accepted));
    }
}

impl Group {
    fn add(&mut self, id: EventId, seq: u64, event: &[u8]) {
        self.bytes += event.len();
        self.unindexed.add(seq, id);
        match self.pages.last_mut() {
            Some((_, page)) if page.bytes() + event.len() <= PAGE_BYTES_MAX => page.add(event),
            Some(_) | None => {
                let mut page = Page::empty();
                page.add(event);
                self.pages.push((seq, page));
            }
        }
    }
}
