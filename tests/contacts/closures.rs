//! Closed worlds out of the store: their plans together are the plan of everything, and what changed is all that has to be
//! looked at.

use super::histories::{Event, event, happen, lived};
use super::sim::{Sim, fields};
use jiff::Timestamp;
use proptest::prelude::*;
use std::collections::BTreeSet;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use tempfile::TempDir;
use tieline::clock;
use tieline::contacts::closure::Closure;
use tieline::contacts::fetch::{Row, Stamp};
use tieline::contacts::memory::{Batch, CustomerRow, Memory, Node};
use tieline::contacts::plan::Plan;
use tieline::contacts::rounds::{Scope, looked_at, survey};
use tieline::contacts::world::{ContactState, CustomerState};
use tieline::phonebook::{Entry, Etag};
use tieline::store::{Store, StoreOptions};
use tieline::terms::contact::Contact;
use tokio::runtime::Runtime;

/// One store for all cases, each with an integration of its own.
pub struct Desk {
    pub runtime: Runtime,
    store: Store,
    _dir: TempDir,
}

pub fn desk() -> &'static Desk {
    static DESK: OnceLock<Desk> = OnceLock::new();
    DESK.get_or_init(|| {
        let (runtime, dir) = (Runtime::new().unwrap(), tempfile::tempdir().unwrap());
        let store = {
            let _in = runtime.enter();
            Store::open(&dir.path().join("store"), StoreOptions::default()).unwrap()
        };
        Desk {
            runtime,
            store,
            _dir: dir,
        }
    })
}

pub fn memory() -> Memory {
    static CASES: AtomicU64 = AtomicU64::new(0);
    let case = CASES.fetch_add(1, Ordering::Relaxed);
    Memory::open(&desk().store, &format!("case{case}"))
}

/// Tells the memory what of a world it doesn't know yet.
fn note(memory: &Memory, sim: &Sim, rev: u64) {
    let mut batch = Batch::open(memory).unwrap();
    for (id, state) in &sim.world.customers {
        let known = memory.customer(id).unwrap();
        if known.clone().map(CustomerRow::state).as_ref() == Some(state) {
            continue;
        }
        let row = match state {
            CustomerState::Here(customer) => Row::Here {
                customer: customer.clone(),
                stamp: Stamp {
                    updated_at: Timestamp::UNIX_EPOCH,
                    rev,
                },
            },
            CustomerState::Gone { into } => Row::Gone {
                id: id.clone(),
                into: into.clone(),
            },
        };
        batch.note_row(row).unwrap();
    }
    for (id, state) in &sim.world.contacts {
        match state {
            ContactState::Here(contact) => batch
                .note_entry(Entry {
                    etag: Etag(rev.to_string()),
                    contact: (**contact).clone(),
                })
                .unwrap(),
            ContactState::Gone => batch.note_gone(id).unwrap(),
        }
    }
    let mut after = None;
    let mut known = BTreeSet::new();
    while let Some(link) = memory.links(after.as_ref(), 1).unwrap().pop() {
        after = Some(link.contact.clone());
        known.insert(link.contact.clone());
    }
    for (id, link) in &sim.world.links {
        known.remove(id);
        if memory.link(id).unwrap().as_ref() != Some(link) {
            batch.link(id, Some(link.clone()));
            batch.mark(Node::Contact(id.clone()));
        }
    }
    for id in known {
        batch.link(&id, None);
    }
    desk().runtime.block_on(batch.commit()).unwrap();
}

fn dirty(memory: &Memory) -> Vec<Node> {
    memory.dirty(None, usize::MAX).unwrap()
}

fn clean(memory: &Memory) {
    let mut batch = Batch::open(memory).unwrap();
    dirty(memory).into_iter().for_each(|node| batch.clean(node));
    desk().runtime.block_on(batch.commit()).unwrap();
}

/// The plans of all closed worlds around those who are to be looked at, each world's once.
fn together(memory: &Memory, sim: &Sim) -> Plan {
    let (mut plan, mut seen) = (Plan::default(), BTreeSet::new());
    for node in dirty(memory) {
        if seen.contains(&node) {
            continue;
        }
        let closure = Closure::around(memory, &node, sim.rules.merge_by_name).unwrap();
        assert!(!closure.too_many);
        let part = closure.plan(&sim.rules, sim.now);
        plan.steps.extend(part.steps);
        plan.left_out.extend(part.left_out);
        plan.conflicts.extend(part.conflicts);
        assert!(seen.is_disjoint(&closure.nodes), "a world isn't closed");
        seen.extend(closure.nodes);
    }
    plan.left_out.sort();
    plan
}

fn steps(plan: &Plan) -> Vec<String> {
    let mut steps: Vec<String> = plan.steps.iter().map(|step| format!("{step:#?}")).collect();
    steps.sort();
    steps
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, ..ProptestConfig::default() })]

    #[test]
    fn the_plans_of_closed_worlds_are_the_plan_of_everything(
        history in proptest::collection::vec(event(), 1..40),
    ) {
        let (sim, _) = lived(&history);
        let memory = memory();
        note(&memory, &sim, 1);
        let (parts, whole) = (together(&memory, &sim), sim.plan());
        prop_assert_eq!(steps(&parts), steps(&whole));
        prop_assert_eq!(parts.left_out, whole.left_out);
        prop_assert_eq!(parts.conflicts.len(), whole.conflicts.len());
    }

    #[test]
    fn what_changed_is_all_that_has_to_be_looked_at(
        history in proptest::collection::vec(event(), 1..40),
        changes in proptest::collection::vec(event(), 1..6),
    ) {
        let (mut sim, mut comers) = lived(&history);
        sim.settle();
        let memory = memory();
        note(&memory, &sim, 1);
        clean(&memory);
        for (rev, change) in (2..).zip(&changes) {
            if !matches!(change, Event::Synced) {
                happen(&mut sim, change, &mut comers);
                note(&memory, &sim, rev);
            }
        }
        let parts = together(&memory, &sim);
        prop_assert_eq!(steps(&parts), steps(&sim.plan()));
    }

    #[test]
    fn what_is_told_of_everybody_is_what_a_look_at_everybody_finds(
        history in proptest::collection::vec(event(), 1..40),
        changes in proptest::collection::vec(event(), 1..6),
    ) {
        let (mut sim, mut comers) = lived(&history);
        sim.settle();
        let memory = memory();
        note(&memory, &sim, 1);
        look_at_who_needs_nothing(&memory, &sim);
        for (rev, change) in (2..).zip(&changes) {
            happen(&mut sim, change, &mut comers);
            note(&memory, &sim, rev);
            if rev % 2 == 0 {
                look_at_who_needs_nothing(&memory, &sim);
            }
        }
        let mut told = Plan::default();
        let see = |plan: &Plan| {
            told.steps.extend(plan.steps.clone());
            told.left_out.extend(plan.left_out.clone());
            told.conflicts.extend(plan.conflicts.clone());
        };
        let counted = survey(&memory, &sim.rules, sim.now, Scope::All, see).unwrap();
        told.left_out.sort();
        let whole = sim.plan();
        prop_assert_eq!(steps(&told), steps(&whole));
        prop_assert_eq!(counted.counts.left_out, u64::try_from(whole.left_out.len()).unwrap());
        prop_assert_eq!(told.left_out, whole.left_out);
        prop_assert_eq!(told.conflicts.len(), whole.conflicts.len());
    }
}

/// What a run does with worlds that nothing is to be written for.
fn look_at_who_needs_nothing(memory: &Memory, sim: &Sim) {
    let mut batch = Batch::open(memory).unwrap();
    for node in dirty(memory) {
        let closure = Closure::around(memory, &node, sim.rules.merge_by_name).unwrap();
        let plan = closure.plan(&sim.rules, sim.now);
        if plan.steps.is_empty() {
            looked_at(&mut batch, &closure.nodes, &plan, &BTreeSet::new());
        }
    }
    desk().runtime.block_on(batch.commit()).unwrap();
}

#[test]
fn a_contact_that_changed_and_says_no_time_changed_just_now() {
    let (memory, mut sim) = (memory(), Sim::new());
    let id = sim.person_adds("p", fields("Ada Example", &[1]));
    let entry = |contact: &Contact| Entry {
        etag: Etag(String::new()),
        contact: contact.clone(),
    };
    let read = |contact: &Contact| {
        let mut batch = Batch::open(&memory).unwrap();
        let undated = batch.is_undated(&entry(contact)).unwrap();
        batch.note_entry(entry(contact)).unwrap();
        desk().runtime.block_on(batch.commit()).unwrap();
        let known = memory.contact(&id).unwrap().unwrap().entry.unwrap();
        (undated, known.contact.updated_at)
    };
    let mut contact = sim.contact_mut(&id).clone();
    let first = contact.updated_at;
    assert_eq!(read(&contact), (false, first));
    assert_eq!(read(&contact), (false, first), "nothing changed");
    contact.fields.name = "Ada B. Example".to_owned();
    let began = clock::now();
    let (undated, at) = read(&contact);
    assert!(undated && at >= began, "{at}");
    assert_eq!(read(&contact), (false, at), "the old time comes again");
    contact.fields.name = "Ada C. Example".to_owned();
    contact.updated_at = at.checked_add(jiff::SignedDuration::from_secs(1)).unwrap();
    assert_eq!(read(&contact), (false, contact.updated_at), "it says when");
}
