//! Single cases of docs/contacts.md, each from an empty start: what both sides are afterwards.

use super::sim::{Sim, email, fields, id, number, with_emails};
use tieline::contacts::agree::Policy;
use tieline::contacts::guard::{Changes, MaxChanges, Sizes, Stop, guard};
use tieline::contacts::import::Why;
use tieline::contacts::link::{LinkState, Side};
use tieline::contacts::plan::{Action, Whose};
use tieline::contacts::unmerge::unmerge;
use tieline::contacts::world::{ContactState, CustomerState};
use tieline::terms::contact::{ContactId, PhoneKind};

fn names(sim: &Sim) -> Vec<String> {
    let contacts = sim.world.live_contacts();
    contacts
        .map(|contact| contact.fields.name.clone())
        .collect()
}

#[test]
fn a_customer_becomes_a_contact_and_stays_the_same() {
    let mut sim = Sim::new();
    let customer = sim.create(with_emails(fields("Ada Example", &[1, 2]), &["ada"]), None);
    assert_eq!(sim.settle().phone, 1);
    let contact = sim.contact_of(&customer).unwrap();
    assert_eq!(
        contact.fields,
        sim.world.customer(&customer).unwrap().fields
    );
    assert_eq!(contact.tags, ["phone"]);
    assert_eq!(
        contact.link.as_deref(),
        Some("https://acme.kustomerapp.com/app/customers/c01")
    );
    assert_eq!(contact.sources.len(), 1);
}

#[test]
fn shared_and_whatsapp_values_are_left_out_and_a_customer_without_a_number_too() {
    let mut sim = Sim::new();
    let customer = sim.create(
        with_emails(fields("Ada Example", &[1, 2, 3]), &["ada", "info"]),
        None,
    );
    let other = sim.create(fields("Ben Beispiel", &[]), None);
    sim.customer_mut(&other).shared_numbers.insert(number(2));
    sim.customer_mut(&other).shared_emails.insert(email("info"));
    sim.customer_mut(&customer).whatsapps.insert(number(3));
    let plan = sim.plan();
    let why = |value: &str| {
        let found = plan
            .left_out
            .iter()
            .find(|one| one.of == Whose::Customer(customer.clone()) && one.value == value);
        found.map(|one| one.why)
    };
    assert_eq!(why(number(2).as_str()), Some(Why::Shared));
    assert_eq!(why(number(3).as_str()), Some(Why::Whatsapp));
    assert_eq!(why(email("info").as_str()), Some(Why::Shared));
    assert!(
        plan.left_out
            .iter()
            .any(|one| one.of == Whose::Customer(other.clone()) && one.why == Why::NoNumber)
    );
    sim.settle();
    let contact = sim.contact_of(&customer).unwrap();
    assert_eq!(
        contact.fields.numbers().into_iter().collect::<Vec<_>>(),
        [&number(1)]
    );
    assert_eq!(
        contact.fields.addresses().into_iter().collect::<Vec<_>>(),
        [&email("ada")]
    );
    assert_eq!(names(&sim).len(), 1);

    let mut sim = Sim::new();
    sim.rules.skip_shared_customers = true;
    let customer = sim.create(fields("Ada Example", &[1, 3]), None);
    sim.customer_mut(&customer).whatsapps.insert(number(3));
    sim.settle();
    assert_eq!(names(&sim), [""; 0], "left out whole");
}

#[test]
fn a_contact_becomes_a_customer_with_work_numbers_unless_somebody_has_them() {
    let mut sim = Sim::new();
    let taken = sim.create(fields("Ada Example", &[]), None);
    sim.customer_mut(&taken).whatsapps.insert(number(9));
    let new = sim.person_adds("p1", fields("Carl Caller", &[1]));
    sim.person_adds("p2", fields("Dora Double", &[9]));
    sim.person_adds("p3", fields("Emil One", &[5]));
    sim.person_adds("p4", fields("Emil Two", &[5]));
    sim.person_adds("p5", fields("Nobody", &[]));
    let plan = sim.plan();
    let why = |contact: &str| {
        let whose = Whose::Contact(ContactId(contact.to_owned()));
        plan.left_out
            .iter()
            .find(|one| one.of == whose)
            .map(|one| one.why)
    };
    assert_eq!(
        ["p1", "p2", "p3", "p4", "p5"].map(why),
        [
            None,
            Some(Why::Taken),
            Some(Why::NotUnique),
            Some(Why::NotUnique),
            Some(Why::NoNumber)
        ]
    );
    assert_eq!(sim.settle().kustomer, 1);
    let made = sim
        .world
        .live_customers()
        .find(|one| one.external_id.as_deref() == Some("p1"))
        .unwrap();
    assert_eq!(made.fields.phones[0].kind, PhoneKind::Work);
    assert_eq!(made.fields.name, "Carl Caller");
    assert_eq!(sim.contact_of(&made.id).unwrap().id, new);
}

#[test]
fn a_create_whose_reply_was_lost_is_found_again() {
    let mut sim = Sim::new();
    let contact = sim.person_adds("p1", fields("Carl Caller", &[1]));
    // The intent is on disk, then the write, then nothing.
    let intent = sim.plan();
    let Action::CreateCustomer(new) = &intent.steps[0].action else {
        panic!("{intent:?}")
    };
    sim.create(new.fields.clone(), Some(new.external_id.0.clone()));
    assert_eq!(sim.settle().kustomer, 0);
    assert_eq!(sim.contact_of(&id(1)).unwrap().id, contact);
}

#[test]
fn edits_go_both_ways_field_by_field() {
    let mut sim = Sim::new();
    let customer = sim.create(with_emails(fields("Ada Example", &[1, 2]), &["ada"]), None);
    sim.settle();
    let contact = sim.contact_of(&customer).unwrap().id.clone();
    // Kustomer: a number goes, the company comes. Phone side: another name, another number.
    let now = sim.tick();
    let edited = sim.customer_mut(&customer);
    edited.fields.phones.retain(|one| one.number != number(1));
    edited.fields.company = "Example Ltd".to_owned();
    edited.modified_at = now;
    let on_phone = sim.contact_mut(&contact);
    on_phone.fields.name = "Ada E. Example".to_owned();
    on_phone.fields.phones.extend(fields("", &[3]).phones);
    let writes = sim.settle();
    assert_eq!((writes.phone, writes.kustomer), (1, 1));
    let (customer, contact) = (
        sim.world.customer(&customer).unwrap(),
        sim.world.contact(&contact).unwrap(),
    );
    for side in [&customer.fields, &contact.fields] {
        assert_eq!(side.name, "Ada E. Example");
        assert_eq!(
            side.numbers().into_iter().collect::<Vec<_>>(),
            [&number(2), &number(3)]
        );
        assert_eq!(side.company, "Example Ltd");
    }
    assert_eq!(
        customer.fields.phones[1].kind,
        PhoneKind::Work,
        "new in Kustomer"
    );
    assert_eq!(
        customer.fields.phones[0].kind,
        PhoneKind::Mobile,
        "as it was"
    );
}

#[test]
fn both_changed_a_name_and_the_policy_says_whose_counts() {
    for (policy, phone_later, expected, conflict) in [
        (Policy::Newest, true, "Phone Name", false),
        (Policy::Newest, false, "Kustomer Name", false),
        (Policy::Kustomer, true, "Kustomer Name", false),
        (Policy::Phone, false, "Phone Name", false),
        (Policy::Ask, true, "", true),
    ] {
        let mut sim = Sim::new();
        sim.rules.policies.name = policy;
        let customer = sim.create(fields("Ada Example", &[1]), None);
        sim.settle();
        let contact = sim.contact_of(&customer).unwrap().id.clone();
        let (first, second) = (sim.tick(), sim.tick());
        let (kustomer_at, phone_at) = if phone_later {
            (first, second)
        } else {
            (second, first)
        };
        let edited = sim.customer_mut(&customer);
        (edited.fields.name, edited.modified_at) = ("Kustomer Name".to_owned(), kustomer_at);
        let edited = sim.contact_mut(&contact);
        (edited.fields.name, edited.updated_at) = ("Phone Name".to_owned(), phone_at);
        let conflicts = sim.plan().conflicts;
        assert_eq!(!conflicts.is_empty(), conflict, "{policy:?}");
        sim.settle();
        let both = [
            &sim.world.customer(&customer).unwrap().fields.name,
            &sim.world.contact(&contact).unwrap().fields.name,
        ];
        if conflict {
            assert_eq!(both, ["Kustomer Name", "Phone Name"], "both keep theirs");
        } else {
            assert_eq!(both, [expected, expected], "{policy:?}");
        }
    }
}

#[test]
fn a_customer_without_a_name_is_shown_by_a_stand_in_that_never_becomes_its_name() {
    let mut sim = Sim::new();
    let customer = sim.create(with_emails(fields("", &[1]), &["ada"]), None);
    sim.settle();
    let contact = sim.contact_of(&customer).unwrap().clone();
    assert_eq!(contact.fields.name, "ada@example.org");
    let now = sim.tick();
    let edited = sim.customer_mut(&customer);
    edited.fields.emails.clear();
    edited.modified_at = now;
    assert_eq!(sim.settle().kustomer, 0);
    assert_eq!(
        sim.world.contact(&contact.id).unwrap().fields.name,
        number(1).as_str()
    );
    assert_eq!(sim.world.customer(&customer).unwrap().fields.name, "");
    sim.contact_mut(&contact.id).fields.name = "Ada Example".to_owned();
    assert_eq!(sim.settle().kustomer, 1);
    assert_eq!(
        sim.world.customer(&customer).unwrap().fields.name,
        "Ada Example"
    );
}

#[test]
fn customers_of_one_name_become_one_contact_unless_something_speaks_against_it() {
    for (name, emails, external_ids, merged) in [
        ("ADA  Müller", [vec![], vec![]], [None, None], true),
        (
            "ADA  Müller",
            [vec!["ada"], vec![]],
            [Some("x"), None],
            true,
        ),
        (
            "ADA  Müller",
            [vec!["ada"], vec!["mueller"]],
            [None, None],
            false,
        ),
        (
            "ADA  Müller",
            [vec![], vec![]],
            [Some("x"), Some("y")],
            false,
        ),
        ("Ada", [vec![], vec![]], [None, None], false),
    ] {
        let mut sim = Sim::new();
        let known = if name == "Ada" { "Ada" } else { "Ada Muller" };
        let one = sim.create(
            with_emails(fields(known, &[1]), &emails[0]),
            external_ids[0].map(str::to_owned),
        );
        let two = sim.create(
            with_emails(fields(name, &[2]), &emails[1]),
            external_ids[1].map(str::to_owned),
        );
        sim.settle();
        let same = sim.contact_of(&one).unwrap().id == sim.contact_of(&two).unwrap().id;
        assert_eq!(same, merged, "{name} {emails:?} {external_ids:?}");
        if merged {
            let contact = sim.contact_of(&one).unwrap();
            assert_eq!(contact.fields.numbers().len(), 2);
            assert_eq!(contact.fields.name, name, "of the one that changed last");
            assert_eq!(contact.sources.len(), 2);
        }
    }
}

#[test]
fn a_merged_contact_is_parted_and_not_put_together_again() {
    let mut sim = Sim::new();
    let one = sim.create(fields("Ada Muller", &[1]), None);
    let two = sim.create(fields("Ada Muller", &[2, 3]), None);
    sim.settle();
    let contact = sim.contact_of(&one).unwrap().id.clone();
    sim.contact_mut(&contact)
        .fields
        .phones
        .extend(fields("", &[4]).phones);
    sim.settle();
    let link = sim.world.links[&contact].clone();
    for part in unmerge(&link, |id| sim.world.contacts.contains_key(id)) {
        sim.world.links.insert(part.contact.clone(), part);
    }
    let writes = sim.settle();
    assert_eq!((writes.phone, writes.kustomer), (2, 0));
    for (customer, numbers) in [(&one, vec![1]), (&two, vec![2, 3, 4])] {
        let contact = sim.contact_of(customer).unwrap();
        let expected: Vec<_> = numbers.into_iter().map(number).collect();
        assert_eq!(
            contact
                .fields
                .numbers()
                .into_iter()
                .cloned()
                .collect::<Vec<_>>(),
            expected
        );
        assert_eq!(contact.fields.name, "Ada Muller");
    }
}

#[test]
fn what_one_side_removes_goes_and_does_not_come_back() {
    let mut sim = Sim::new();
    let (kept, gone) = (
        sim.create(fields("Ada Example", &[1]), None),
        sim.create(fields("Ben Beispiel", &[2]), None),
    );
    sim.settle();
    let contact = sim.contact_of(&kept).unwrap().id.clone();
    sim.world
        .contacts
        .insert(contact.clone(), ContactState::Gone);
    sim.world
        .customers
        .insert(gone.clone(), CustomerState::Gone { into: None });
    let writes = sim.settle();
    assert_eq!((writes.phone, writes.kustomer), (1, 0));
    assert_eq!(names(&sim), [""; 0]);
    assert!(matches!(
        sim.world.links[&contact].state,
        LinkState::Removed {
            by: Side::Phone,
            ..
        }
    ));
    // An edit, a look at everything, and a contact server put back from a backup: nothing comes back.
    let now = sim.tick();
    let edited = sim.customer_mut(&kept);
    (edited.fields.name, edited.modified_at) = ("Ada B. Example".to_owned(), now);
    sim.settle();
    sim.person_adds("kustomer-c02", fields("Ben Beispiel", &[2]));
    sim.settle();
    assert_eq!(names(&sim), [""; 0]);
    assert_eq!(sim.world.live_customers().count(), 1);
}

#[test]
fn the_last_number_takes_the_contact_with_it_and_the_next_brings_it_back() {
    let mut sim = Sim::new();
    let customer = sim.create(fields("Ada Example", &[1]), None);
    sim.settle();
    sim.customer_mut(&customer).fields.phones.clear();
    sim.settle();
    assert_eq!(names(&sim), [""; 0]);
    sim.customer_mut(&customer).fields.phones = fields("", &[2]).phones;
    sim.settle();
    assert_eq!(sim.contact_of(&customer).unwrap().fields.numbers().len(), 1);
}

#[test]
fn a_merge_in_kustomer_makes_the_loser_an_alias() {
    let mut sim = Sim::new();
    let (loser, winner) = (
        sim.create(fields("Ada Example", &[1]), None),
        sim.create(fields("A. Example", &[2]), None),
    );
    sim.settle();
    sim.world.customers.insert(
        loser.clone(),
        CustomerState::Gone {
            into: Some(winner.clone()),
        },
    );
    let now = sim.tick();
    let edited = sim.customer_mut(&winner);
    edited.fields.phones.extend(fields("", &[1]).phones);
    edited.modified_at = now;
    sim.settle();
    assert_eq!(names(&sim), ["A. Example"]);
    let contact = sim.contact_of(&winner).unwrap();
    assert_eq!(contact.fields.numbers().len(), 2);
    assert!(
        sim.world.links[&contact.id].has(&loser),
        "found under its old name too"
    );
}

#[test]
fn numbers_that_move_and_that_are_swapped_are_never_in_two_places() {
    let mut sim = Sim::new();
    let (one, two) = (
        sim.create(fields("Ada Example", &[1, 3]), None),
        sim.create(fields("Ben Beispiel", &[2]), None),
    );
    sim.settle();
    for numbers in [([3], [1, 2]), ([2], [1, 3])] {
        let (now, (first, second)) = (sim.tick(), numbers);
        sim.customer_mut(&one).fields.phones = fields("", &first).phones;
        sim.customer_mut(&two).fields.phones = fields("", &second).phones;
        (
            sim.customer_mut(&one).modified_at,
            sim.customer_mut(&two).modified_at,
        ) = (now, now);
        sim.settle();
        assert_eq!(
            sim.contact_of(&one).unwrap().fields.numbers(),
            fields("", &first).numbers()
        );
        assert_eq!(
            sim.contact_of(&two).unwrap().fields.numbers(),
            fields("", &second).numbers()
        );
    }
    // The same on the phone side, towards Kustomer, whose numbers are unique.
    let (a, b) = (
        sim.contact_of(&one).unwrap().id.clone(),
        sim.contact_of(&two).unwrap().id.clone(),
    );
    sim.contact_mut(&a).fields.phones = fields("", &[3]).phones;
    sim.contact_mut(&b).fields.phones = fields("", &[1, 2]).phones;
    sim.settle();
    assert_eq!(
        sim.world.customer(&one).unwrap().fields.numbers(),
        fields("", &[3]).numbers()
    );
    assert_eq!(
        sim.world.customer(&two).unwrap().fields.numbers(),
        fields("", &[1, 2]).numbers()
    );
}

#[test]
fn people_who_were_in_the_phone_book_before_are_met_not_doubled() {
    let mut sim = Sim::new();
    let contact = sim.person_adds(
        "p1",
        with_emails(fields("Ada (Reception)", &[1, 2]), &["ada"]),
    );
    let customer = sim.create(with_emails(fields("Ada Example", &[1]), &["example"]), None);
    sim.settle();
    assert_eq!(sim.contact_of(&customer).unwrap().id, contact);
    for side in [
        &sim.world.customer(&customer).unwrap().fields,
        &sim.world.contact(&contact).unwrap().fields,
    ] {
        assert_eq!(side.name, "Ada Example");
        assert_eq!((side.numbers().len(), side.addresses().len()), (2, 2));
    }
}

#[test]
fn one_direction_alone() {
    let mut sim = Sim::new();
    (sim.rules.import, sim.rules.export) = (true, false);
    let customer = sim.create(fields("Ada Example", &[1]), None);
    sim.person_adds("p1", fields("Carl Caller", &[2]));
    sim.settle();
    let contact = sim.contact_of(&customer).unwrap().id.clone();
    sim.contact_mut(&contact).fields.name = "Somebody Else".to_owned();
    assert_eq!(sim.settle().kustomer, 0);
    assert_eq!(sim.world.live_customers().count(), 1);

    let mut sim = Sim::new();
    (sim.rules.import, sim.rules.export) = (false, true);
    sim.create(fields("Ada Example", &[1]), None);
    sim.person_adds("p1", fields("Carl Caller", &[2]));
    let writes = sim.settle();
    assert_eq!(
        (writes.phone, writes.kustomer),
        (1, 1),
        "the contact is marked with its customer"
    );
}

#[test]
fn a_side_of_which_nothing_is_known_loses_nothing() {
    let mut sim = Sim::new();
    let customer = sim.create(fields("Ada Example", &[1]), None);
    sim.settle();
    let mut half = sim.clone();
    half.world.contacts.clear();
    assert_eq!(half.plan().steps, []);
    let mut half = sim.clone();
    half.world.customers.remove(&customer);
    assert_eq!(half.plan().steps, []);
}

#[test]
fn the_guard_stops_what_is_too_much() {
    let max = MaxChanges {
        count: 5,
        percent: 10,
    };
    let sizes = |customers, contacts, linked| Sizes {
        customers,
        contacts,
        linked,
        exported_before: false,
    };
    let mut sim = Sim::new();
    let customers: Vec<_> = (1..=20)
        .map(|last| sim.create(fields(&format!("Person No{last}"), &[last]), None))
        .collect();
    assert_eq!(
        guard(Changes::of(&sim.plan()), sizes(20, 0, 0), max),
        Ok(()),
        "a first import is no change"
    );
    sim.settle();
    for customer in &customers {
        sim.customer_mut(customer).fields.name.push('x');
    }
    let plan = sim.plan();
    assert!(matches!(
        guard(Changes::of(&plan), sizes(20, 20, 20), max),
        Err(Stop::TooMany { changes: 20, .. })
    ));
    assert_eq!(
        guard(
            Changes::of(&plan),
            sizes(20, 20, 20),
            MaxChanges {
                count: 20,
                percent: 10
            }
        ),
        Ok(())
    );
    assert_eq!(
        guard(
            Changes::of(&plan),
            sizes(20, 20, 20),
            MaxChanges {
                count: 5,
                percent: 100
            }
        ),
        Ok(())
    );
    assert_eq!(
        guard(Changes::of(&plan), sizes(0, 20, 20), max),
        Err(Stop::NoCustomers(20))
    );
    assert_eq!(
        guard(Changes::of(&plan), sizes(20, 0, 20), max),
        Err(Stop::NoContacts(20))
    );
    let mut sim = Sim::new();
    sim.create(fields("Ada Example", &[1]), None);
    sim.person_adds("p1", fields("Carl Caller", &[2]));
    assert_eq!(
        guard(Changes::of(&sim.plan()), sizes(1, 1, 0), max),
        Err(Stop::FirstExport(1, 1))
    );
    let approved = Sizes {
        exported_before: true,
        ..sizes(1, 1, 0)
    };
    assert_eq!(guard(Changes::of(&sim.plan()), approved, max), Ok(()));
    let mut sim = Sim::new();
    sim.person_adds("p1", fields("Carl Caller", &[2]));
    assert_eq!(
        guard(Changes::of(&sim.plan()), sizes(0, 1, 0), max),
        Ok(()),
        "an empty Kustomer is there to be filled"
    );
}
