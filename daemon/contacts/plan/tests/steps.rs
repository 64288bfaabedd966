//! The writes and their order: nothing is ever in two places.

use super::*;

/// Two linked pairs, p1 with c1 and p2 with c2, that agreed on these; each is then changed.
fn two(agreed: &[Fields; 2], phone: &[Fields; 2], kustomer: &[Fields; 2]) -> Case {
    let mut case = Case::new();
    let [phone1, phone2] = phone.clone();
    let [kustomer1, kustomer2] = kustomer.clone();
    case.linked("p1", &agreed[0], phone1, &[("c1", kustomer1)]);
    case.linked("p2", &agreed[1], phone2, &[("c2", kustomer2)]);
    case
}

fn ada(numbers: &[u32], emails: &[&str]) -> Fields {
    fields("Ada Example", numbers, emails)
}

fn ben(numbers: &[u32], emails: &[&str]) -> Fields {
    fields("Ben Beispiel", numbers, emails)
}

#[test]
fn what_takes_away_is_written_before_what_adds_be_it_a_number_or_an_email() {
    let was = [ada(&[1], &["ada"]), ben(&[2, 3], &["ben", "b"])];
    let fewer_numbers = || ben(&[2], &["ben", "b"]);
    for now in [
        [ada(&[1, 4], &["ada"]), fewer_numbers()],
        [ada(&[1], &["ada", "a"]), fewer_numbers()],
        [ada(&[1, 4], &["ada"]), ben(&[2, 3], &["ben"])],
        [ada(&[1], &["ada", "a"]), ben(&[2, 3], &["ben"])],
        // A name alone stands between the two.
        [fields("Ada Other", &[1], &["ada"]), fewer_numbers()],
    ] {
        let phone = two(&was, &now, &was).plan();
        assert_eq!(told(&phone), ["update c2", "update c1"], "{now:?}");
        let kustomer = two(&was, &was, &now).plan();
        assert_eq!(told(&kustomer), ["update p2", "update p1"], "{now:?}");
    }
}

#[test]
fn who_gives_something_to_another_and_gets_something_new_gives_first() {
    // On the phone side ada's number 2 and e-mail went to ben, and ada got another number.
    let was = [ada(&[1, 2], &["ada", "a"]), ben(&[3], &[])];
    let now = [ada(&[1, 4], &["ada"]), ben(&[3, 2], &["a"])];
    let plan = two(&was, &now, &was).plan();
    assert_eq!(told(&plan), ["update c1", "update c1", "update c2"]);
    let [first, second] = edits(&plan, "c1")[..] else {
        panic!("{plan:?}")
    };
    assert_eq!(first.remove_phones, [number(2)]);
    assert_eq!(first.remove_emails, [email("a")]);
    assert!(first.add_phones.is_empty());
    assert_eq!(second.add_phones.len(), 1);
    assert!(second.remove_phones.is_empty() && second.remove_emails.is_empty());
    // In Kustomer: the same with the contacts.
    let plan = two(&was, &was, &now).plan();
    assert_eq!(told(&plan), ["update p1", "update p1", "update p2"]);
    let [first, second] = wishes(&plan, "p1")[..] else {
        panic!("{plan:?}")
    };
    assert_eq!(first.fields.numbers(), BTreeSet::from([&number(1)]));
    assert_eq!(first.fields.addresses(), BTreeSet::from([&email("ada")]));
    assert_eq!(
        second.fields.numbers(),
        BTreeSet::from([&number(1), &number(4)])
    );
    assert!(matches!(plan.steps[0].after, After::Keep));
}

#[test]
fn who_gives_something_that_nobody_gets_or_gets_nothing_is_written_once() {
    let was = [ada(&[1, 2], &[]), ben(&[3], &[])];
    for now in [
        [ada(&[1, 4], &[]), ben(&[3], &[])],
        [ada(&[1], &[]), ben(&[3, 2], &[])],
    ] {
        let phone = two(&was, &now, &was).plan();
        assert_eq!(edits(&phone, "c1").len(), 1, "{now:?}");
        let kustomer = two(&was, &was, &now).plan();
        assert_eq!(wishes(&kustomer, "p1").len(), 1, "{now:?}");
    }
}

#[test]
fn where_both_sides_are_the_same_the_link_alone_learns_what_it_does_not_know() {
    let now = || ada(&[1, 2], &["ada"]);
    let case = |set: &dyn Fn(&mut Link)| {
        let mut case = Case::new();
        case.linked("p1", &now(), now(), &[("c1", now())]);
        set(case.world.links.get_mut(&contact_id("p1")).unwrap());
        told(&case.plan())
    };
    assert_eq!(case(&|_| {}), [""; 0]);
    let learns: [&dyn Fn(&mut Link); 3] = [
        &|link| link.agreed = ada(&[1], &["ada"]),
        &|link| link.state = LinkState::ContactDue,
        &|link| link.parts[0].seen = None,
    ];
    for (number, link) in learns.into_iter().enumerate() {
        assert_eq!(case(link), ["agree p1"], "case {number}");
    }
}

#[test]
fn a_contact_that_names_other_customers_than_its_own_is_marked_anew() {
    let now = || ada(&[1], &[]);
    let mut case = Case::new();
    case.linked("p1", &now(), now(), &[("c1", now())]);
    assert_eq!(told(&case.plan()), [""; 0]);
    case.contact("p1", now()).sources = vec![Source {
        kustomer: "support".to_owned(),
        customer: "c9".to_owned(),
    }];
    let plan = case.plan();
    assert_eq!(told(&plan), ["update p1"]);
    assert_eq!(wishes(&plan, "p1")[0].sources[0].customer, "c1");
}

fn at_home(website: &str, street: &str) -> Fields {
    let mut fields = ada(&[1], &[]);
    fields.website = website.to_owned();
    fields.address.street = street.to_owned();
    fields
}

/// A contact of two customers that had a website and an address, each side with what it has now.
fn extras(now: Fields, customers: [Fields; 2]) -> Plan {
    let mut case = Case::new();
    let [mut one, other] = customers;
    one.phones = ada(&[1], &[]).phones;
    let other = Fields {
        phones: ada(&[2], &[]).phones,
        ..other
    };
    let mut agreed = at_home("w.example", "1 Main St");
    agreed.phones = ada(&[1, 2], &[]).phones;
    let mut now = now;
    now.phones.clone_from(&agreed.phones);
    case.linked("p1", &agreed, now, &[("c1", one), ("c2", other)]);
    case.plan()
}

#[test]
fn a_value_that_was_emptied_goes_from_each_customer_that_has_it_and_from_no_other() {
    let had = || at_home("w.example", "1 Main St");
    let plan = extras(at_home("", ""), [had(), had()]);
    for customer in ["c1", "c2"] {
        let [edit] = edits(&plan, customer)[..] else {
            panic!("{customer}: {plan:?}")
        };
        assert_eq!(edit.website.as_deref(), Some(""), "{customer}");
        assert_eq!(edit.address, Some(Address::default()), "{customer}");
    }
    let plan = extras(at_home("", ""), [had(), at_home("", "")]);
    assert_eq!(edits(&plan, "c1").len(), 1);
    assert_eq!(edits(&plan, "c2").len(), 0, "{plan:?}");
    // What neither side has is nothing to empty, though a customer of the link says otherwise for itself.
    let plan = extras(at_home("w.example", "1 Main St"), [had(), had()]);
    assert_eq!(told(&plan), [""; 0]);
    // Another value is no empty one: it goes to the one that changed last.
    let plan = extras(at_home("new.example", "2 Main St"), [had(), had()]);
    assert_eq!(edits(&plan, "c1").len(), 0);
    assert_eq!(
        edits(&plan, "c2")[0].website.as_deref(),
        Some("new.example")
    );
}
