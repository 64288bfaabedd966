//! Random histories: people edit both sides, customers are merged, values become shared, processes die. After each one the
//! sides converge, a second run plans nothing, and nobody gets what isn't theirs.

use super::sim::{Sim, Writes, email, fields, number, with_emails};
use proptest::prelude::*;
use std::collections::BTreeSet;
use tieline::contacts::link::{LinkState, Side};
use tieline::contacts::unmerge::unmerge;
use tieline::contacts::world::{ContactState, CustomerState};
use tieline::terms::contact::{ContactId, Fields};
use tieline::terms::ids::CustomerId;

/// Something a person does, or that happens. The numbers choose among what is there.
#[derive(Clone, Debug)]
pub enum Event {
    CustomerComes {
        name: usize,
        numbers: Vec<u32>,
        mail: Option<usize>,
    },
    ContactComes {
        name: usize,
        numbers: Vec<u32>,
    },
    CustomerNamed {
        who: usize,
        name: usize,
    },
    ContactNamed {
        who: usize,
        name: usize,
    },
    CustomerGets {
        who: usize,
        number: u32,
    },
    CustomerLoses {
        who: usize,
        which: usize,
    },
    ContactGets {
        who: usize,
        number: u32,
    },
    ContactLoses {
        who: usize,
        which: usize,
    },
    NumberIsShared {
        who: usize,
        which: usize,
    },
    NumberIsWhatsapp {
        who: usize,
        which: usize,
    },
    CustomerGoes {
        who: usize,
    },
    ContactGoes {
        who: usize,
    },
    Merged {
        loser: usize,
        winner: usize,
    },
    Parted {
        which: usize,
    },
    /// A run that dies after so many writes.
    Killed {
        after: usize,
    },
    Synced,
}

const NAMES: [&str; 5] = ["Ada Example", "ada  example", "Ben Beispiel", "Cher", ""];
const MAILS: [&str; 3] = ["ada", "ben", "cher"];

pub fn event() -> impl Strategy<Value = Event> {
    let (who, name) = (0..8_usize, 0..NAMES.len());
    let numbers = proptest::collection::vec(0..9_u32, 0..3);
    prop_oneof![
        3 => (name.clone(), numbers.clone(), proptest::option::of(0..MAILS.len()))
            .prop_map(|(name, numbers, mail)| Event::CustomerComes { name, numbers, mail }),
        2 => (name.clone(), numbers).prop_map(|(name, numbers)| Event::ContactComes { name, numbers }),
        1 => (who.clone(), name.clone()).prop_map(|(who, name)| Event::CustomerNamed { who, name }),
        1 => (who.clone(), name).prop_map(|(who, name)| Event::ContactNamed { who, name }),
        2 => (who.clone(), 0..9_u32).prop_map(|(who, number)| Event::CustomerGets { who, number }),
        2 => (who.clone(), 0..3_usize).prop_map(|(who, which)| Event::CustomerLoses { who, which }),
        2 => (who.clone(), 0..9_u32).prop_map(|(who, number)| Event::ContactGets { who, number }),
        2 => (who.clone(), 0..3_usize).prop_map(|(who, which)| Event::ContactLoses { who, which }),
        1 => (who.clone(), 0..3_usize).prop_map(|(who, which)| Event::NumberIsShared { who, which }),
        1 => (who.clone(), 0..3_usize).prop_map(|(who, which)| Event::NumberIsWhatsapp { who, which }),
        1 => who.clone().prop_map(|who| Event::CustomerGoes { who }),
        1 => who.clone().prop_map(|who| Event::ContactGoes { who }),
        1 => (who.clone(), who.clone()).prop_map(|(loser, winner)| Event::Merged { loser, winner }),
        1 => who.prop_map(|which| Event::Parted { which }),
        2 => (0..4_usize).prop_map(|after| Event::Killed { after }),
        4 => Just(Event::Synced),
    ]
}

/// Something that one person does to one record.
fn edit() -> impl Strategy<Value = Event> {
    event().prop_filter("somebody's edit", |event| {
        !matches!(
            event,
            Event::Killed { .. } | Event::Synced | Event::Parted { .. } | Event::Merged { .. }
        )
    })
}

/// The `which`th, around the end.
fn pick<T: Clone>(of: &[T], which: usize) -> Option<T> {
    of.get(which.checked_rem(of.len())?).cloned()
}

fn customers(sim: &Sim) -> Vec<CustomerId> {
    sim.world
        .live_customers()
        .map(|one| one.id.clone())
        .collect()
}

fn contacts(sim: &Sim) -> Vec<ContactId> {
    sim.world
        .live_contacts()
        .map(|one| one.id.clone())
        .collect()
}

/// Kustomer takes a value once only.
fn is_free(sim: &Sim, last: u32) -> bool {
    sim.world.live_customers().all(|one| {
        let wanted = number(last);
        !one.fields.numbers().contains(&wanted)
            && !one.shared_numbers.contains(&wanted)
            && !one.whatsapps.contains(&wanted)
    })
}

fn free(sim: &Sim, numbers: &[u32]) -> Vec<u32> {
    let numbers: BTreeSet<u32> = numbers
        .iter()
        .copied()
        .filter(|last| is_free(sim, *last))
        .collect();
    numbers.into_iter().collect()
}

/// The world after a history, and how many contacts people have put into it.
pub fn lived(history: &[Event]) -> (Sim, u32) {
    let (mut sim, mut comers) = (Sim::new(), 0);
    for event in history {
        happen(&mut sim, event, &mut comers);
    }
    (sim, comers)
}

pub fn happen(sim: &mut Sim, event: &Event, comers: &mut u32) -> Writes {
    let now = sim.tick();
    match event {
        Event::CustomerComes {
            name,
            numbers,
            mail,
        } => {
            let mails: Vec<&str> = mail.iter().map(|which| MAILS[*which]).collect();
            let held = |name: &&str| {
                sim.world
                    .live_customers()
                    .any(|one| one.fields.addresses().contains(&email(name)))
            };
            let mails: Vec<&str> = mails.into_iter().filter(|name| !held(name)).collect();
            let made = with_emails(fields(NAMES[*name], &free(sim, numbers)), &mails);
            sim.create(made, None);
        }
        Event::ContactComes { name, numbers } => {
            *comers += 1;
            let unique: BTreeSet<u32> = numbers.iter().copied().collect();
            let unique: Vec<u32> = unique.into_iter().collect();
            sim.person_adds(&format!("p{comers}"), fields(NAMES[*name], &unique));
        }
        Event::CustomerNamed { who, name } => edit_customer(sim, *who, |fields| {
            NAMES[*name].clone_into(&mut fields.name);
        }),
        Event::CustomerGets { who, number } => {
            if is_free(sim, *number) {
                edit_customer(sim, *who, |one| {
                    one.phones.extend(fields("", &[*number]).phones);
                });
            }
        }
        Event::CustomerLoses { who, which } => {
            edit_customer(sim, *who, |fields| lose(fields, *which));
        }
        Event::ContactNamed { who, name } => edit_contact(sim, *who, |fields| {
            NAMES[*name].clone_into(&mut fields.name);
        }),
        Event::ContactGets { who, number: last } => edit_contact(sim, *who, |one| {
            if !one.numbers().contains(&number(*last)) {
                one.phones.extend(fields("", &[*last]).phones);
            }
        }),
        Event::ContactLoses { who, which } => {
            edit_contact(sim, *who, |fields| lose(fields, *which));
        }
        Event::NumberIsShared { who, which } | Event::NumberIsWhatsapp { who, which } => {
            let Some(customer) = pick(&customers(sim), *who) else {
                return Writes::default();
            };
            let customer = sim.customer_mut(&customer);
            if let Some(index) = which.checked_rem(customer.fields.phones.len()) {
                let phone = customer.fields.phones.remove(index);
                customer.modified_at = now;
                match event {
                    Event::NumberIsShared { .. } => customer.shared_numbers.insert(phone.number),
                    _ => customer.whatsapps.insert(phone.number),
                };
            }
        }
        Event::CustomerGoes { who } => {
            if let Some(customer) = pick(&customers(sim), *who) {
                sim.world
                    .customers
                    .insert(customer, CustomerState::Gone { into: None });
            }
        }
        Event::ContactGoes { who } => {
            if let Some(contact) = pick(&contacts(sim), *who) {
                sim.world.contacts.insert(contact, ContactState::Gone);
            }
        }
        Event::Merged { loser, winner } => merge(sim, *loser, *winner),
        Event::Parted { which } => part(sim, *which),
        Event::Killed { after } => return sim.run(*after),
        Event::Synced => return sim.settle(),
    }
    Writes::default()
}

fn edit_customer(sim: &mut Sim, who: usize, edit: impl Fn(&mut Fields)) {
    let now = sim.tick();
    if let Some(customer) = pick(&customers(sim), who) {
        let customer = sim.customer_mut(&customer);
        edit(&mut customer.fields);
        customer.modified_at = now;
    }
}

fn edit_contact(sim: &mut Sim, who: usize, edit: impl Fn(&mut Fields)) {
    let now = sim.tick();
    if let Some(contact) = pick(&contacts(sim), who) {
        let contact = sim.contact_mut(&contact);
        edit(&mut contact.fields);
        contact.updated_at = now;
    }
}

fn lose(fields: &mut Fields, which: usize) {
    if let Some(index) = which.checked_rem(fields.phones.len()) {
        fields.phones.remove(index);
    }
}

/// A merge in Kustomer: the winner has both's values.
fn merge(sim: &mut Sim, loser: usize, winner: usize) {
    let all = customers(sim);
    let (Some(loser), Some(winner)) = (pick(&all, loser), pick(&all, winner)) else {
        return;
    };
    if loser == winner {
        return;
    }
    let now = sim.tick();
    let lost = sim.customer_mut(&loser).clone();
    sim.world.customers.insert(
        loser,
        CustomerState::Gone {
            into: Some(winner.clone()),
        },
    );
    let won = sim.customer_mut(&winner);
    won.fields.phones.extend(lost.fields.phones);
    won.fields.emails.extend(lost.fields.emails);
    won.shared_numbers.extend(lost.shared_numbers);
    won.whatsapps.extend(lost.whatsapps);
    won.modified_at = now;
}

fn part(sim: &mut Sim, which: usize) {
    let links: Vec<_> = sim
        .world
        .links
        .values()
        .filter(|link| link.state == LinkState::Linked)
        .cloned()
        .collect();
    if let Some(link) = pick(&links, which) {
        let taken = |id: &ContactId| {
            sim.world.links.contains_key(id) || sim.world.contacts.contains_key(id)
        };
        for own in unmerge(&link, taken) {
            sim.world.links.insert(own.contact.clone(), own);
        }
    }
}

/// What must hold once both sides are settled.
fn hold(sim: &Sim) {
    let nobodys: BTreeSet<_> = sim
        .world
        .live_customers()
        .flat_map(|one| one.shared_numbers.iter().chain(&one.whatsapps))
        .collect();
    let mut seen = BTreeSet::new();
    for link in sim.world.links.values() {
        for part in &link.parts {
            if !link.is_removed() {
                assert!(
                    seen.insert(&part.customer),
                    "{:?} is in two links",
                    part.customer
                );
            }
        }
        match link.state {
            LinkState::Linked => {
                let contact = sim.world.contact(&link.contact).unwrap();
                assert!(!link.parts.is_empty());
                for part in &link.parts {
                    let customer = sim.world.customer(&part.customer).unwrap();
                    for number in customer
                        .fields
                        .numbers()
                        .into_iter()
                        .filter(|one| !nobodys.contains(one))
                    {
                        let elsewhere = sim
                            .numbers_on_phones()
                            .get(number)
                            .is_some_and(|ids| ids.iter().any(|id| *id != contact.id));
                        assert!(
                            contact.fields.numbers().contains(number) || elsewhere,
                            "{number} of {:?} is not at {}",
                            customer.id,
                            contact.id
                        );
                    }
                }
            }
            LinkState::Removed {
                by: Side::Kustomer, ..
            } => {
                assert!(
                    sim.world.contact(&link.contact).is_none(),
                    "{} came back",
                    link.contact
                );
            }
            LinkState::Removed {
                by: Side::Phone, ..
            } => {
                for part in &link.parts {
                    assert!(
                        sim.contact_of(&part.customer).is_none(),
                        "{:?} came back",
                        part.customer
                    );
                }
            }
            LinkState::ContactDue | LinkState::CustomerDue | LinkState::Withdrawn => {}
        }
    }
}

/// What the property found once in many tens of thousands.
#[test]
fn the_sides_converge_where_a_contact_is_withdrawn_whose_email_another_waits_for() {
    let history = [
        Event::ContactComes {
            name: 1,
            numbers: vec![5],
        },
        Event::Synced,
        Event::ContactNamed { who: 0, name: 0 },
        Event::CustomerLoses { who: 0, which: 0 },
        Event::CustomerComes {
            name: 4,
            numbers: vec![5],
            mail: Some(0),
        },
        Event::Killed { after: 2 },
        Event::CustomerLoses { who: 1, which: 0 },
        Event::CustomerNamed { who: 0, name: 2 },
        Event::CustomerGets { who: 1, number: 0 },
        Event::Synced,
    ];
    let (mut sim, _) = lived(&history);
    sim.settle();
    hold(&sim);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_500, max_global_rejects: 20_000, ..ProptestConfig::default() })]

    #[test]
    fn the_sides_converge_after_any_history(history in proptest::collection::vec(event(), 1..40)) {
        let (mut sim, _) = lived(&history);
        sim.settle();
        hold(&sim);
    }

    #[test]
    fn one_edit_is_at_most_one_write_per_side(
        history in proptest::collection::vec(event(), 1..30),
        edit in edit(),
    ) {
        let (mut sim, mut comers) = lived(&history);
        sim.settle();
        // A value that somebody else waits for is two people's edit.
        prop_assume!(sim.plan().left_out.iter().all(|one| one.value.is_empty()));
        happen(&mut sim, &edit, &mut comers);
        let writes = sim.settle();
        prop_assert!(writes.phone <= 1 && writes.kustomer <= 1, "{writes:?} after {edit:?}");
    }

    #[test]
    fn parted_each_customer_has_a_contact_with_what_it_brought(
        numbers in proptest::collection::vec(proptest::collection::btree_set(0..12_u32, 1..4), 2..5),
    ) {
        let mut sim = Sim::new();
        let mut brought = Vec::new();
        for own in &numbers {
            let own = free(&sim, &own.iter().copied().collect::<Vec<_>>());
            if !own.is_empty() {
                brought.push((sim.create(fields("Ada Example", &own), None), own));
            }
        }
        sim.settle();
        let together: BTreeSet<_> = sim.world.live_contacts().map(|one| one.id.clone()).collect();
        prop_assert_eq!(together.len(), 1);
        part(&mut sim, 0);
        sim.settle();
        prop_assert_eq!(sim.world.live_contacts().count(), brought.len());
        for (customer, own) in &brought {
            let contact = sim.contact_of(customer).unwrap();
            let wanted = fields("", own);
            prop_assert_eq!(contact.fields.numbers(), wanted.numbers());
        }
    }
}
