//! Closed worlds that need little, many of them in one write: those that nothing is to be done for, and customers that get
//! a contact in the built-in phone book. A first import is made of nothing else. Whatever needs more goes one at a time.
//!
//! ```text
//! gather   plans of many worlds, none of which has to do with another
//! settle   links of what is to be created -> the contacts -> what they are, and that all is looked at
//! ```
//! Nothing in between asks Kustomer, so that what was planned is still so when it is written.

use super::super::closure::{Closure, NODES_MAX};
use super::super::link::Link;
use super::super::memory::{Batch, Memory, Node};
use super::super::plan::{Action, After, Plan, Rules, Step, Wish};
use super::super::rounds::{leave_refused, looked_at};
use super::super::world::ContactState;
use super::phone::{draft, due};
use super::{Halt, Hands, after};
use crate::clock;
use crate::phonebook::directory::ContactBook;
use crate::phonebook::{Entry, Phonebook};
use crate::store::StoreFault;
use crate::terms::contact::ContactId;
use jiff::Timestamp;
use std::collections::BTreeSet;

/// Nodes looked at together: what is written for them is some megabytes.
const TOGETHER: usize = 500;

/// A world and what is to be done in it.
struct Planned {
    start: Node,
    closure: Closure,
    plan: Plan,
    refused: BTreeSet<ContactId>,
}

/// What is looked at together.
pub struct Group {
    /// Nothing is written but what the links learn.
    quiet: Vec<Planned>,
    /// One contact is created.
    creates: Vec<Planned>,
    /// Whoever needs more, one of each world.
    pub others: Vec<Node>,
    /// The last one that was looked at.
    pub last: Node,
}

impl Group {
    /// The worlds of those behind `after` who are to be looked at; none: there is nobody. `at_once`: the phone book can
    /// create many contacts in one write.
    ///
    /// # Errors
    /// A fault of the store.
    pub fn gather(
        memory: &Memory,
        rules: &Rules,
        now: Timestamp,
        after: Option<&Node>,
        at_once: bool,
    ) -> Result<Option<Self>, StoreFault> {
        let nodes = memory.dirty(after, TOGETHER)?;
        let Some(last) = nodes.last() else {
            return Ok(None);
        };
        let mut group = Self {
            quiet: Vec::new(),
            creates: Vec::new(),
            others: Vec::new(),
            last: last.clone(),
        };
        let mut taken: BTreeSet<Node> = BTreeSet::new();
        for start in nodes {
            if taken.contains(&start) {
                continue;
            }
            let closure = Closure::around(memory, &start, rules.merge_by_name)?;
            taken.extend(closure.nodes.iter().cloned());
            group.last = start.clone();
            group.put(memory, rules, now, start, closure, at_once)?;
            if taken.len() > NODES_MAX {
                break;
            }
        }
        Ok(Some(group))
    }

    fn put(
        &mut self,
        memory: &Memory,
        rules: &Rules,
        now: Timestamp,
        start: Node,
        closure: Closure,
        at_once: bool,
    ) -> Result<(), StoreFault> {
        if closure.too_many {
            self.others.push(start);
            return Ok(());
        }
        let mut plan = closure.plan(rules, now);
        let refused = leave_refused(memory, &mut plan)?;
        let planned = Planned {
            start,
            closure,
            plan,
            refused,
        };
        let is_agreed = |step: &Step| matches!(step.action, Action::Agree);
        if planned.plan.steps.iter().all(is_agreed) {
            self.quiet.push(planned);
        } else if at_once && planned.creation().is_some() {
            self.creates.push(planned);
        } else {
            self.others.push(planned.start);
        }
        Ok(())
    }
}

impl Planned {
    /// The contact to create, if that is all there is to do.
    fn creation(&self) -> Option<(&Step, &Wish, &Link)> {
        let [step] = self.plan.steps.as_slice() else {
            return None;
        };
        match (&step.action, &step.after) {
            (Action::CreateContact(wish), After::Become(link)) => Some((step, wish, link)),
            _ => None,
        }
    }

    /// All of it was looked at.
    fn clean(&self, batch: &mut Batch) {
        looked_at(batch, &self.closure.nodes, &self.plan, &self.refused);
    }
}

impl Hands {
    /// Where many contacts are created in one write.
    pub const fn book(&self) -> Option<&ContactBook> {
        match &self.phone {
            Phonebook::Directory(book) => Some(book),
            Phonebook::CardDav(_) => None,
        }
    }

    /// Carries out what can be written together; answers who is left.
    ///
    /// # Errors
    /// What ends the run.
    pub async fn settle(&mut self, group: Group) -> Result<Vec<Node>, Halt> {
        let Group {
            quiet,
            creates,
            mut others,
            ..
        } = group;
        let created = self.create_all(&creates).await?;
        let mut batch = Batch::open(&self.memory)?;
        for planned in &quiet {
            for step in &planned.plan.steps {
                after(&mut batch, step, None);
            }
            planned.clean(&mut batch);
        }
        let mut written: u64 = 0;
        for (planned, (before, entry)) in creates.into_iter().zip(created) {
            let Some((step, _, _)) = planned.creation() else {
                continue;
            };
            match entry {
                Some(entry) => {
                    written = written.saturating_add(1);
                    self.note_contact(&mut batch, planned, entry)?;
                }
                // By itself it finds out why.
                None => {
                    batch.link(&step.link, before);
                    others.push(planned.start);
                }
            }
        }
        batch.commit().await?;
        self.written.phone = self.written.phone.saturating_add(written);
        Ok(others)
    }

    /// Creates one contact for each; answers the link that was there before, and the contact if it was created.
    async fn create_all(
        &self,
        creates: &[Planned],
    ) -> Result<Vec<(Option<Link>, Option<Entry>)>, Halt> {
        let Some(book) = self.book().filter(|_| !creates.is_empty()) else {
            return Ok(Vec::new());
        };
        let mut batch = Batch::open(&self.memory)?;
        let (mut drafts, mut before) = (Vec::new(), Vec::new());
        for (step, wish, link) in creates.iter().filter_map(Planned::creation) {
            let known = self.memory.link(&step.link)?;
            batch.link(&step.link, Some(due(link, known.as_ref())));
            drafts.push((step.link.clone(), draft(wish, wish.tag.clone())));
            before.push(known);
        }
        batch.commit().await?;
        let created = book.create_all(drafts).await?;
        let created = created.into_iter().map(Result::ok);
        Ok(before.into_iter().zip(created).collect())
    }

    /// Notes a contact that was created. The plan for what is there now must be empty; else it is looked at once more.
    fn note_contact(
        &self,
        batch: &mut Batch,
        planned: Planned,
        entry: Entry,
    ) -> Result<(), StoreFault> {
        let Some((step, _, link)) = planned.creation() else {
            return Ok(());
        };
        let (contact, link) = (step.link.clone(), link.clone());
        let state = ContactState::Here(Box::new(entry.contact.clone()));
        batch.note_entry(entry)?;
        batch.link(&contact, Some(link.clone()));
        let mut planned = planned;
        let world = &mut planned.closure.world;
        world.contacts.insert(contact.clone(), state);
        world.links.insert(contact.clone(), link);
        let node = Node::Contact(contact);
        planned.closure.nodes.insert(node.clone());
        planned.plan = planned.closure.plan(&self.rules, clock::now());
        planned.clean(batch);
        if !planned.plan.steps.is_empty() {
            batch.mark(node);
        }
        Ok(())
    }
}
