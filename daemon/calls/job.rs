//! What a bulk job says of a group's items, and when it says no more. Part of `bulk`.
//!
//! A job that can be asked is believed: as long as it isn't over, what isn't found may still come, however long it takes.
//! A job that can't be asked is over when `bulk_land_time` is.

use super::bulk::Group;
use super::due::after;
use super::outbox::{Create, Delivery};
use super::work::{self, BulkNews, Way};
use crate::clock;
use crate::kustomer::bulk::{JobState, Told};
use crate::kustomer::fault::{KustomerFault, Next};
use std::collections::HashMap;
use std::time::Duration;

/// From a job's start to the first look at it; each further wait is twice as long.
const ASK_FIRST: Duration = Duration::from_millis(500);
const ASK_EVERY_MAX: Duration = Duration::from_secs(15);
/// After so long the group gives its place to another; the job is asked again by the retry schedule.
const ASK_FOR: Duration = Duration::from_secs(120);

/// A job that isn't there so many times in a row is gone; once may only mean that it isn't everywhere yet.
const ABSENT_MAX: u32 = 3;

/// What a look at a job came to.
enum Answer {
    /// It is over, and said this of its items.
    Over(HashMap<usize, Told>),
    /// It isn't over; this much is known.
    Unfinished(HashMap<usize, Told>),
    /// Nothing is to be learned from it any more; why, and whether the key may not ask at all.
    Silent(String, bool),
    /// It can't be asked now.
    Failed(KustomerFault),
    Stopped,
}

impl Group<'_> {
    /// Asks a job what became of its items.
    pub(super) async fn ask(&mut self, job: &str) {
        let answer = self.answer(job).await;
        let members = self.take(|delivery| delivery.job() == Some(job));
        match answer {
            Answer::Over(told) => self.settle(members, &told, true).await,
            Answer::Unfinished(told) => self.settle(members, &told, false).await,
            Answer::Failed(fault) => self.fail_all(members, &fault),
            Answer::Stopped => {
                for delivery in members {
                    self.leave(delivery, clock::now(), None, Way::Job(job.to_owned()));
                }
            }
            Answer::Silent(why, refused) => {
                for mut delivery in members {
                    let land_at = delivery.bulk.as_ref().and_then(|bulk| bulk.land_at);
                    let latest = after(clock::now(), self.courier.settings.bulk_land_time);
                    delivery.note_bulk(None, land_at.unwrap_or(latest));
                    delivery.note_fault(&why);
                    self.leave_to_look(delivery);
                }
                self.say(if refused {
                    BulkNews::Refused(why)
                } else {
                    BulkNews::Unclear(why)
                });
            }
        }
    }

    async fn answer(&mut self, job: &str) -> Answer {
        let until = after(clock::now(), ASK_FOR);
        let first = std::mem::take(&mut self.begun).then_some(ASK_FIRST);
        let (mut wait, mut absent) = (first.unwrap_or_default(), 0);
        loop {
            tokio::select! {
                biased;
                // Stopped, or whoever could say so is gone.
                _ = self.stop.changed() => return Answer::Stopped,
                () = tokio::time::sleep(wait) => {}
            }
            wait = (wait * 2).clamp(ASK_FIRST, ASK_EVERY_MAX);
            let late = clock::now() >= until;
            match self.look(job, late).await {
                Ok(Some(answer)) => return answer,
                Ok(None) => absent = 0,
                Err(KustomerFault::NotFound) if !late && absent + 1 < ABSENT_MAX => absent += 1,
                Err(fault) => {
                    if let Some(answer) = no_answer(fault, late) {
                        return answer;
                    }
                }
            }
        }
    }

    /// One look at a job; none while it isn't over and there is time.
    async fn look(&self, job: &str, late: bool) -> Result<Option<Answer>, KustomerFault> {
        let client = &self.courier.client;
        match client.bulk_job(job).await? {
            JobState::Complete => {
                let told = match client.bulk_results(job).await {
                    // Results that can't be had, or not be read, are none: each item is looked for.
                    Err(fault) if fault.next() == Next::Never => HashMap::new(),
                    Err(KustomerFault::Garbled { .. }) => HashMap::new(),
                    told => told?,
                };
                Ok(Some(Answer::Over(told)))
            }
            JobState::Running if late => {
                Ok(Some(Answer::Unfinished(client.bulk_results(job).await?)))
            }
            JobState::Running => Ok(None),
            JobState::Odd(state) => {
                let why = format!("Kustomer's bulk job is {state}");
                Ok(Some(Answer::Silent(why, false)))
            }
        }
    }

    /// What a job said of its items: created ones go on, the others leave; `over`: it says no more.
    async fn settle(&mut self, members: Vec<Delivery>, told: &HashMap<usize, Told>, over: bool) {
        let (mut created, mut owners) = (Vec::new(), Vec::new());
        let mut mentioned = false;
        for mut delivery in members {
            let item = delivery.bulk.as_ref().map(|bulk| bulk.item);
            let said = item.and_then(|item| told.get(&item));
            mentioned |= said.is_some();
            match (said, delivery.intent) {
                (Some(Told::Created(id)), Some(create)) => {
                    delivery.note_created(create, id.clone());
                    if let (Create::Customer, Some(number)) = (create, &delivery.number) {
                        owners.push((number.clone(), id.clone()));
                    }
                    created.push(delivery);
                }
                (Some(Told::Failed(why)), _) => {
                    // Looked for all the same: an error may be that of a second try of Kustomer's own.
                    delivery.note_fault(&format!("bulk: {why}"));
                    delivery.note_bulk(None, clock::now());
                    self.leave_to_look(delivery);
                }
                (Some(Told::Created(_)) | None, _) if over => {
                    delivery.note_bulk(None, clock::now());
                    self.leave_to_look(delivery);
                }
                (Some(Told::Created(_)) | None, _) => {
                    let outcome = work::unfinished(self.courier, &mut delivery);
                    self.left.push((delivery, outcome));
                }
            }
        }
        if over {
            self.say(if mentioned {
                BulkNews::Worked
            } else {
                BulkNews::Unclear("Kustomer's bulk job told nothing of its items".to_owned())
            });
        }
        if owners.is_empty() {
            return self.members.extend(created);
        }
        let name = &self.courier.settings.name;
        match self
            .courier
            .directory
            .remember_all(name, owners, clock::now())
            .await
        {
            Ok(()) => self.members.extend(created),
            Err(fault) => self.lose(created, &fault),
        }
    }
}

/// What a failed look means; none: to be tried again.
fn no_answer(fault: KustomerFault, late: bool) -> Option<Answer> {
    if let KustomerFault::Unauthorized { status: 403, .. } = fault {
        let why = "the key may not ask for bulk jobs (org.permission.bulk.read)";
        return Some(Answer::Silent(why.to_owned(), true));
    }
    match fault.next() {
        // Kustomer doesn't know the job, or not this way of asking.
        Next::Never => {
            let why = format!("Kustomer says nothing of its bulk job: {fault}");
            Some(Answer::Silent(why, false))
        }
        Next::Pause | Next::Stop => Some(Answer::Failed(fault)),
        Next::After(_) | Next::Backoff => {
            (late || fault.unreachable()).then_some(Answer::Failed(fault))
        }
    }
}
