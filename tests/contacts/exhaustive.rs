//! Two customers, two contacts, three numbers: every state of that world, with and without a link, is planned and carried
//! out. Each converges in one run, and a run that dies at any write ends in a state that converges too.

use super::sim::{Sim, fields, number};
use tieline::contacts::link::{Link, LinkState};
use tieline::contacts::world::{ContactState, CustomerState};
use tieline::terms::contact::{ContactId, Fields};
use tieline::terms::ids::CustomerId;

/// What somebody has of the three numbers; none: they aren't there.
const HELD: [Option<&[u32]>; 9] = [
    None,
    Some(&[]),
    Some(&[1]),
    Some(&[2]),
    Some(&[3]),
    Some(&[1, 2]),
    Some(&[1, 3]),
    Some(&[2, 3]),
    Some(&[1, 2, 3]),
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Linked {
    No,
    /// With agreed numbers.
    By(&'static [u32]),
    /// The first customer's contact is to be created; the phone side may have refused it for somebody whom we don't know yet.
    Due,
}

const LINKS: [Linked; 5] = [
    Linked::No,
    Linked::Due,
    Linked::By(&[]),
    Linked::By(&[1]),
    Linked::By(&[1, 2]),
];

fn world(
    customers: [Option<&[u32]>; 2],
    contacts: [Option<&[u32]>; 2],
    linked: Linked,
    same_name: bool,
) -> Option<Sim> {
    let mut sim = Sim::new();
    let names = if same_name {
        ["Ada Example", "Ada Example"]
    } else {
        ["Ada Example", "Ben Beispiel"]
    };
    if let (Some(one), Some(two)) = (customers[0], customers[1])
        && one.iter().any(|last| two.contains(last))
    {
        return None;
    }
    for (held, name) in customers.into_iter().zip(names) {
        let id = sim.create(fields(name, held.unwrap_or_default()), None);
        if held.is_none() {
            sim.world
                .customers
                .insert(id, CustomerState::Gone { into: None });
        }
    }
    for ((held, name), id) in contacts.into_iter().zip(names).zip(["p1", "p2"]) {
        let id = sim.person_adds(id, fields(name, held.unwrap_or_default()));
        if held.is_none() {
            sim.world.contacts.insert(id, ContactState::Gone);
        }
    }
    if let Some(link) = link(linked, names[0]) {
        sim.world.links.insert(link.contact.clone(), link);
    }
    Some(sim)
}

fn link(linked: Linked, name: &str) -> Option<Link> {
    let customer = super::sim::id(1);
    match linked {
        Linked::No => None,
        Linked::Due => Some(Link::to_new_contact(
            ContactId::made_for(&customer),
            customer,
        )),
        Linked::By(agreed) => Some(Link {
            state: LinkState::Linked,
            agreed: Fields {
                name: name.to_owned(),
                ..fields("", agreed)
            },
            ..Link::to_new_contact(ContactId("p1".to_owned()), customer)
        }),
    }
}

#[test]
fn every_state_converges_wherever_a_run_dies() {
    let mut worlds = 0;
    for one in HELD {
        for two in HELD {
            for first in HELD {
                for second in HELD {
                    for linked in LINKS {
                        for same_name in [false, true] {
                            if !is_first_of_its_kind([one, two, first, second], linked) {
                                continue;
                            }
                            let Some(sim) = world([one, two], [first, second], linked, same_name)
                            else {
                                continue;
                            };
                            worlds += 1;
                            check(&sim);
                        }
                    }
                }
            }
        }
    }
    println!("{worlds} worlds");
    assert!(worlds > 5_000);
}

/// Numbers that nothing was agreed on are interchangeable: of worlds that differ in their names alone one is looked at.
fn is_first_of_its_kind(held: [Option<&[u32]>; 4], linked: Linked) -> bool {
    let mut met: Vec<u32> = match linked {
        Linked::No | Linked::Due => Vec::new(),
        Linked::By(agreed) => agreed.to_vec(),
    };
    for last in held.into_iter().flatten().flatten() {
        if !met.contains(last) {
            met.push(*last);
        }
    }
    let unnamed = if let Linked::By(agreed) = linked {
        agreed.len()
    } else {
        0
    };
    met[unnamed..].is_sorted()
}

fn check(sim: &Sim) {
    let steps = sim.plan().steps.len();
    let mut whole = sim.clone();
    whole.settle();
    is_sound(&whole);
    // After so many writes, the last of which the link never learned of.
    for died in 1..=steps {
        let mut killed = sim.clone();
        killed.run(died);
        killed.settle();
        is_sound(&killed);
    }
}

/// No number has two customers, and who has the same number is linked.
fn is_sound(sim: &Sim) {
    met(sim);
    for last in 1..=3 {
        let holders = sim
            .world
            .live_customers()
            .filter(|one| one.fields.numbers().contains(&number(last)));
        assert!(holders.count() <= 1);
    }
}

/// Of a customer and a contact with one number, one at least has its other side, or a removal is remembered of it.
fn met(sim: &Sim) {
    let has_contact = |customer: &CustomerId| {
        let mut links = sim.world.links.values().filter(|link| link.has(customer));
        links.any(|link| link.is_removed() || sim.world.contact(&link.contact).is_some())
    };
    let has_customer = |contact: &ContactId| {
        let link = sim.world.links.get(contact);
        link.is_some_and(|link| link.is_removed() || !link.parts.is_empty())
    };
    for customer in sim.world.live_customers() {
        for contact in sim.world.live_contacts() {
            let mut numbers = customer.fields.numbers().into_iter();
            if numbers.any(|one| contact.fields.numbers().contains(one)) {
                assert!(
                    has_contact(&customer.id) || has_customer(&contact.id),
                    "{:#?}",
                    sim.world
                );
            }
        }
    }
}
