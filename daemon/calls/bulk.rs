//! Moves a group of deliveries on together through Kustomer's bulk requests, each still exactly once (invariant 3).
//!
//! Before a bulk request all its intents are on disk, in one commit; then its job's id is, before the job is asked
//! anything. What the job doesn't call created is looked for, and "not found" counts only once the job is over or
//! `bulk_land_time` is (`job`). `group` says what is next; who has fallen out goes on alone (`work`).

use super::due::after;
use super::group::{self, Turn};
use super::log::{Courier, Halt};
use super::outbox::{Create, Delivery, DeliveryEnd, Step};
use super::whose::{Whose, number_of};
use super::work::{self, BulkNews, News, Outcome, Way};
use crate::clock;
use crate::kustomer::bulk::{BODY_BYTES_MAX, ITEMS_MAX, Item, Kind};
use crate::kustomer::fault::{KustomerFault, Next};
use crate::pace::Lane;
use crate::store::StoreFault;
use crate::terms::number::E164;
use jiff::Timestamp;
use std::collections::HashSet;
use std::time::Duration;
use tokio::sync::{mpsc, watch};

/// Between two looks at a budget that is used up: little beside a window of a minute.
const ROOM_EVERY: Duration = Duration::from_millis(100);

/// Deliveries that move on together.
pub(super) struct Group<'a> {
    pub(super) courier: &'a Courier,
    news: &'a mpsc::UnboundedSender<News>,
    pub(super) stop: watch::Receiver<bool>,
    pub(super) members: Vec<Delivery>,
    /// Who has fallen out, not yet on disk.
    pub(super) left: Vec<(Delivery, Outcome)>,
    /// A job was just started: it is given a moment.
    pub(super) begun: bool,
}

/// Works on these deliveries until each has ended, fallen out, or the daemon stops. Every outcome is on disk before it
/// is told.
pub async fn work(
    courier: &Courier,
    keys: Vec<String>,
    news: &mpsc::UnboundedSender<News>,
    stop: watch::Receiver<bool>,
) {
    let mut group = Group {
        courier,
        news,
        stop,
        members: Vec::new(),
        left: Vec::new(),
        begun: false,
    };
    group.read(keys);
    loop {
        group.tell().await;
        match group::turn(&group.members) {
            None => return,
            Some(_) if *group.stop.borrow() => group.part_all(),
            Some(Turn::Ask(job)) => group.ask(&job).await,
            Some(Turn::PartUnclear) => group.part_unclear(),
            Some(Turn::FindCustomers) => group.find_customers().await,
            Some(Turn::Create(create)) => group.create(create).await,
            Some(Turn::SetStatus) => group.set_status().await,
            Some(Turn::Finish) => group.finish(),
        }
    }
}

impl Group<'_> {
    fn read(&mut self, keys: Vec<String>) {
        let (name, now) = (&self.courier.settings.name, clock::now());
        for key in keys {
            let outcome = match self.courier.outbox.get(name, &key) {
                Ok(Some(Delivery { end: Some(end), .. })) => Outcome::Over(end),
                Ok(Some(mut delivery)) => match self.courier.joins_at_once(&mut delivery) {
                    Ok(None) => {
                        delivery.first_try.get_or_insert(now);
                        self.members.push(delivery);
                        continue;
                    }
                    Ok(Some(before)) => Outcome::Behind(before),
                    Err(fault) => Outcome::Store { fault, land: None },
                },
                Ok(None) => Outcome::Gone,
                Err(fault) => Outcome::Store { fault, land: None },
            };
            self.send(key, outcome);
        }
    }

    /// Puts who has left on disk, then tells of them.
    async fn tell(&mut self) {
        let left = std::mem::take(&mut self.left);
        if left.is_empty() {
            return;
        }
        let mut records = Vec::new();
        for (delivery, outcome) in &left {
            if !matches!(outcome, Outcome::Store { .. }) {
                let mut delivery = delivery.clone();
                work::note_outcome(&mut delivery, outcome);
                records.push(delivery);
            }
        }
        let kept = self.keep(records).await;
        for (delivery, outcome) in left {
            let outcome = match (&kept, outcome) {
                (Err(fault), Outcome::Again { land, .. }) => Outcome::Store {
                    fault: fault.clone(),
                    land,
                },
                (Err(fault), _) => Outcome::Store {
                    fault: fault.clone(),
                    land: None,
                },
                (Ok(()), outcome) => outcome,
            };
            self.send(delivery.key, outcome);
        }
    }

    fn send(&self, key: String, outcome: Outcome) {
        // A dispatch that is gone means that the process stops; all of it is on disk.
        let _ = self.news.send(News::Tried { key, outcome });
    }

    pub(super) fn say(&self, news: BulkNews) {
        let _ = self.news.send(News::Bulk(news));
    }

    pub(super) async fn keep(&self, deliveries: Vec<Delivery>) -> Result<(), StoreFault> {
        self.courier.outbox.keep_all(deliveries).await
    }

    pub(super) fn leave(
        &mut self,
        delivery: Delivery,
        at: Timestamp,
        land: Option<Timestamp>,
        way: Way,
    ) {
        let outcome = Outcome::Again {
            at,
            land,
            hold: None,
            way,
        };
        self.left.push((delivery, outcome));
    }

    /// To be looked for, as soon as what was created can be found.
    pub(super) fn leave_to_look(&mut self, delivery: Delivery) {
        let land = after(clock::now(), self.courier.settings.land_time);
        self.leave(delivery, land, Some(land), Way::Alone);
    }

    fn fail(&mut self, mut delivery: Delivery, halt: Halt) {
        let outcome = work::outcome(self.courier, &mut delivery, Err(halt));
        self.left.push((delivery, outcome));
    }

    pub(super) fn fail_all(&mut self, deliveries: Vec<Delivery>, fault: &KustomerFault) {
        for delivery in deliveries {
            self.fail(delivery, Halt::Kustomer(fault.clone()));
        }
    }

    /// The daemon stops: what is on disk says how to go on.
    fn part_all(&mut self) {
        for delivery in std::mem::take(&mut self.members) {
            let way = work::way_of(&delivery);
            self.leave(delivery, clock::now(), None, way);
        }
    }

    fn part_unclear(&mut self) {
        let unclear = self.take(|delivery| matches!(delivery.next(), Step::Verify(_) | Step::Join));
        unclear.into_iter().for_each(|one| self.leave_to_look(one));
    }

    /// Takes out the members that are so.
    pub(super) fn take(&mut self, are: impl Fn(&Delivery) -> bool) -> Vec<Delivery> {
        let (out, stay) = std::mem::take(&mut self.members).into_iter().partition(are);
        self.members = stay;
        out
    }

    async fn find_customers(&mut self) {
        let mut waiting = self
            .take(|delivery| delivery.next() == Step::FindCustomer)
            .into_iter();
        // Whose calls wait for the customer that this turn creates.
        let (mut asked, mut new) = (HashSet::new(), Vec::new());
        for mut delivery in waiting.by_ref() {
            match self.find_customer(&mut delivery, &asked).await {
                Ok(Whose::Known) => self.members.push(delivery),
                Ok(Whose::Nobody(reason, why)) => {
                    let rule = reason.key().to_owned();
                    let end = Outcome::Ended(DeliveryEnd::Skipped { rule, why });
                    self.left.push((delivery, end));
                }
                Ok(Whose::New)
                    if delivery
                        .number
                        .as_ref()
                        .is_some_and(|it| !asked.insert(it.clone())) =>
                {
                    self.members.push(delivery);
                }
                Ok(Whose::New) => new.push(delivery),
                Err(Halt::Kustomer(fault)) if everybody_s(&fault) => {
                    self.fail(delivery, Halt::Kustomer(fault.clone()));
                    self.fail_all(waiting.collect(), &fault);
                    break;
                }
                Err(halt) => self.fail(delivery, halt),
            }
        }
        if new.len() >= group::ITEMS_MIN {
            return self.start(Create::Customer, new).await;
        }
        for mut delivery in new {
            match self.courier.create(&mut delivery, Create::Customer).await {
                Ok(()) => self.members.push(delivery),
                Err(halt) => self.fail(delivery, halt),
            }
        }
    }

    /// One lookup for each number: whose was asked before is known, or new too.
    async fn find_customer(
        &self,
        delivery: &mut Delivery,
        asked: &HashSet<E164>,
    ) -> Result<Whose, Halt> {
        if self.courier.knows(delivery)? {
            return Ok(Whose::Known);
        }
        if asked.contains(&number_of(delivery)?) {
            return Ok(Whose::New);
        }
        self.courier.whose(delivery).await
    }

    async fn create(&mut self, create: Create) {
        let due = self.take(|delivery| delivery.next() == Step::Create(create));
        self.start(create, due).await;
    }

    /// One bulk request for as many of these as fit it; the others stay for the next.
    async fn start(&mut self, create: Create, due: Vec<Delivery>) {
        let mut items = Vec::new();
        let mut due = due.into_iter();
        for mut delivery in due.by_ref().take(ITEMS_MAX) {
            match self.courier.item(&mut delivery, create, items.len()).await {
                Ok(item) => items.push((delivery, item)),
                Err(Halt::Kustomer(fault)) if everybody_s(&fault) => {
                    self.fail(delivery, Halt::Kustomer(fault.clone()));
                    self.fail_all(items.into_iter().map(|(one, _)| one).collect(), &fault);
                    return self.fail_all(due.collect(), &fault);
                }
                Err(halt) => self.fail(delivery, halt),
            }
        }
        let sizes = items.iter().map(|(_, item)| item.bytes());
        // The first goes in any case, or this wouldn't end; one item is never that large.
        let fit = group::fit(sizes, ITEMS_MAX, BODY_BYTES_MAX).max(1);
        let later = items.split_off(fit.min(items.len()));
        self.members.extend(later.into_iter().map(|(one, _)| one));
        self.members.extend(due);
        let (deliveries, items): (Vec<_>, Vec<_>) = items.into_iter().unzip();
        if deliveries.len() >= group::ITEMS_MIN {
            return self.request(create, deliveries, &items).await;
        }
        for delivery in deliveries {
            self.leave(delivery, clock::now(), None, Way::Alone);
        }
    }

    /// Intents to disk, then the request, then its job's id to disk.
    async fn request(&mut self, create: Create, mut deliveries: Vec<Delivery>, items: &[Item]) {
        if !self.room().await {
            for delivery in deliveries {
                let way = work::way_of(&delivery);
                self.leave(delivery, clock::now(), None, way);
            }
            return;
        }
        for (number, delivery) in deliveries.iter_mut().enumerate() {
            delivery.intend(create, Some(number));
        }
        if let Err(fault) = self.keep(deliveries.clone()).await {
            return self.lose(deliveries, &fault);
        }
        let settings = &self.courier.settings;
        match self.courier.client.start_bulk(kind(create), items).await {
            Ok(job) => {
                let land_at = after(clock::now(), settings.bulk_land_time);
                for delivery in &mut deliveries {
                    delivery.note_bulk(Some(&job), land_at);
                }
                if let Err(fault) = self.keep(deliveries.clone()).await {
                    return self.lose(deliveries, &fault);
                }
                self.begun = true;
                self.members.extend(deliveries);
            }
            Err(fault) if fault.certain_not_done() => {
                deliveries.iter_mut().for_each(Delivery::take_back);
                self.refused(deliveries, &fault);
            }
            Err(fault) => {
                let wait = match fault {
                    KustomerFault::Timeout(_) => settings.timeout.max(settings.bulk_land_time),
                    _ => settings.bulk_land_time,
                };
                let land_at = after(clock::now(), wait);
                for delivery in &mut deliveries {
                    delivery.note_bulk(None, land_at);
                }
                self.say(BulkNews::Unclear(fault.to_string()));
                self.fail_all(deliveries, &fault);
            }
        }
    }

    /// Waits until the budget has room, so that no intent stands on disk for a request that waits itself: a daemon that
    /// stops then would have to look for all of them. False: it stops.
    async fn room(&mut self) -> bool {
        loop {
            let budget = self.courier.client.requests();
            if budget.rest(Lane::Backlog) > 0 && budget.paused_for.is_none() {
                return true;
            }
            tokio::select! {
                biased;
                // Stopped, or whoever could say so is gone.
                _ = self.stop.changed() => return false,
                () = tokio::time::sleep(ROOM_EVERY) => {}
            }
        }
    }

    /// A store that refuses: what is on disk is read again.
    pub(super) fn lose(&mut self, deliveries: Vec<Delivery>, fault: &StoreFault) {
        for delivery in deliveries {
            let fault = fault.clone();
            self.left
                .push((delivery, Outcome::Store { fault, land: None }));
        }
    }

    /// Certainly nothing was done. What only concerns the request is found out by each alone; an item that is wrong
    /// gets the whole request refused.
    fn refused(&mut self, deliveries: Vec<Delivery>, fault: &KustomerFault) {
        let missing_role = matches!(fault, KustomerFault::Unauthorized { status: 403, .. });
        if missing_role {
            self.say(BulkNews::Refused(fault.to_string()));
        }
        if !missing_role && everybody_s(fault) {
            return self.fail_all(deliveries, fault);
        }
        for mut delivery in deliveries {
            delivery.note_fault(&format!("bulk: {fault}"));
            self.leave(delivery, clock::now(), None, Way::Alone);
        }
    }

    async fn set_status(&mut self) {
        let mut due = self
            .take(|delivery| delivery.next() == Step::SetStatus)
            .into_iter();
        for mut delivery in due.by_ref() {
            match self.courier.set_status(&mut delivery).await {
                Ok(()) => self.members.push(delivery),
                Err(Halt::Kustomer(fault)) if everybody_s(&fault) => {
                    self.fail(delivery, Halt::Kustomer(fault.clone()));
                    return self.fail_all(due.collect(), &fault);
                }
                Err(halt) => self.fail(delivery, halt),
            }
        }
    }

    fn finish(&mut self) {
        for delivery in self.take(|delivery| delivery.next() == Step::Finish) {
            self.left
                .push((delivery, Outcome::Ended(DeliveryEnd::Logged)));
        }
    }
}

const fn kind(create: Create) -> Kind {
    match create {
        Create::Customer => Kind::Customers,
        Create::Conversation => Kind::Conversations,
        Create::Note => Kind::Notes,
        Create::Message => Kind::Messages,
    }
}

/// A fault that the others would meet too.
fn everybody_s(fault: &KustomerFault) -> bool {
    fault.unreachable()
        || matches!(fault.next(), Next::Pause | Next::Stop)
        || matches!(fault, KustomerFault::TooMany { .. })
}
