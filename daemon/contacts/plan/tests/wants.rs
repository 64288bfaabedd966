//! What each side should have, and may.

use super::*;

fn ada(numbers: &[u32], emails: &[&str]) -> Fields {
    fields("Ada Example", numbers, emails)
}

fn ben(numbers: &[u32], emails: &[&str]) -> Fields {
    fields("Ben Beispiel", numbers, emails)
}

#[test]
fn a_link_whose_side_that_is_there_went_is_forgotten_only_when_that_was_said() {
    // Its customer was to be made, and the contact isn't there.
    let mut case = Case::new();
    case.link("p1", &[], LinkState::CustomerDue);
    assert_eq!(told(&case.plan()), [""; 0]);
    case.gone("p1");
    assert_eq!(told(&case.plan()), ["forget p1"]);
    // Its contact was to be made, and the customer isn't there.
    for state in [LinkState::ContactDue, LinkState::Withdrawn] {
        let mut case = Case::new();
        case.link("p1", &["c1"], state);
        assert_eq!(told(&case.plan()), [""; 0]);
        let gone = CustomerState::Gone { into: None };
        case.world.customers.insert(id("c1"), gone);
        assert_eq!(told(&case.plan()), ["forget p1"], "{state:?}");
    }
}

#[test]
fn a_contact_that_is_due_is_made_only_where_customers_are_imported() {
    for (import, steps) in [(true, &["create p1"][..]), (false, &[])] {
        let mut case = Case::new();
        case.rules.import = import;
        case.customer("c1", ada(&[1], &[]));
        case.link("p1", &["c1"], LinkState::ContactDue);
        assert_eq!(told(&case.plan()), steps);
    }
}

#[test]
fn a_removal_is_remembered_so_long_and_longer_while_the_customer_is_there() {
    // Longer than a yearly backup lives.
    assert!(REMOVAL_KEEP > SignedDuration::from_hours(366 * 24));
    let removed = s(1000);
    let keep = removed + REMOVAL_KEEP;
    let second = SignedDuration::from_secs(1);
    for (by, parts, now, forgotten) in [
        (Side::Phone, &[][..], keep - second, false),
        (Side::Phone, &[], keep, false),
        (Side::Phone, &[], keep + second, true),
        (Side::Phone, &["c1"], keep + second, false),
        (Side::Kustomer, &[], keep, false),
        (Side::Kustomer, &[], keep + second, true),
    ] {
        let mut case = Case::new();
        case.now = now;
        case.link("p1", parts, LinkState::Removed { by, at: removed });
        let steps = told(&case.plan());
        assert_eq!(
            steps == ["forget p1"],
            forgotten,
            "{by:?} {parts:?} {now}: {steps:?}"
        );
    }
    let mut case = Case::new();
    case.contact("p1", ada(&[1], &[]));
    let by = Side::Kustomer;
    case.link("p1", &[], LinkState::Removed { by, at: removed });
    assert_eq!(told(&case.plan()), ["remove p1"], "it came back");
}

#[test]
fn of_two_changes_the_later_counts_and_of_two_at_once_kustomers() {
    for (phone_at, name) in [(9, "In Kustomer"), (10, "In Kustomer"), (11, "On Phone")] {
        let mut case = Case::new();
        let on_phone = fields("On Phone", &[1], &[]);
        let in_kustomer = fields("In Kustomer", &[1], &[]);
        case.linked("p1", &ada(&[1], &[]), on_phone, &[("c1", in_kustomer)]);
        let Some(ContactState::Here(contact)) = case.world.contacts.get_mut(&contact_id("p1"))
        else {
            panic!("no contact")
        };
        contact.updated_at = s(phone_at);
        let plan = case.plan();
        assert_eq!(
            link_after(&plan, "p1").unwrap().agreed.name,
            name,
            "{phone_at}"
        );
    }
}

#[test]
fn a_contact_is_withdrawn_once_neither_side_has_a_number() {
    for (phone, kustomer, export, withdrawn) in [
        (ada(&[], &[]), ada(&[1], &[]), false, false),
        (ada(&[1], &[]), ada(&[], &[]), true, true),
        (ada(&[], &[]), ada(&[], &[]), true, true),
        (ada(&[1], &[]), ada(&[1], &[]), true, false),
    ] {
        let mut case = Case::new();
        case.rules.export = export;
        case.linked(
            "p1",
            &ada(&[1], &[]),
            phone.clone(),
            &[("c1", kustomer.clone())],
        );
        let steps = told(&case.plan());
        assert_eq!(
            steps == ["remove p1"],
            withdrawn,
            "{phone:?} {kustomer:?}: {steps:?}"
        );
    }
}

#[test]
fn what_a_withdrawn_contact_had_is_free_for_others_in_the_same_plan() {
    let mut case = Case::new();
    let lost = ben(&[], &[]);
    case.linked("p1", &ben(&[1], &[]), ben(&[1], &["ada"]), &[("c1", lost)]);
    case.customer("c2", ada(&[2], &["ada"]));
    let plan = case.plan();
    assert_eq!(told(&plan), ["remove p1", "create kustomer-c2"]);
    let emails = &wishes(&plan, "kustomer-c2")[0].fields.emails;
    assert_eq!(emails.len(), 1, "{:?}", plan.left_out);
}

#[test]
fn a_number_that_moved_on_the_phone_side_moves_in_kustomer_in_the_same_plan() {
    let mut case = Case::new();
    case.linked(
        "p1",
        &ada(&[1], &["ada"]),
        ada(&[3], &["a"]),
        &[("c1", ada(&[1], &["ada"]))],
    );
    case.linked(
        "p2",
        &ben(&[2], &[]),
        ben(&[2, 1], &["ada"]),
        &[("c2", ben(&[2], &[]))],
    );
    let plan = case.plan();
    assert_eq!(told(&plan), ["update c1", "update c1", "update c2"]);
    let edit = edits(&plan, "c2")[0];
    assert_eq!(edit.add_phones[0].number, number(1));
    assert_eq!(edit.add_emails[0].email, email("ada"));
    assert_eq!(plan.left_out, []);
}

#[test]
fn what_of_a_customer_is_nobodys_stays_its_own_and_is_taken_for_others() {
    let mut case = Case::new();
    let customer = ada(&[1, 5], &[]);
    case.linked(
        "p1",
        &ada(&[1], &[]),
        ada(&[1, 3], &[]),
        &[("c1", customer)],
    );
    case.customer("c9", ben(&[], &[]))
        .whatsapps
        .insert(number(5));
    case.linked(
        "p2",
        &ben(&[2], &[]),
        ben(&[2, 5], &[]),
        &[("c2", ben(&[2], &[]))],
    );
    let plan = case.plan();
    assert_eq!(edits(&plan, "c2"), [] as [&Edit; 0]);
    let whose = Whose::Contact(contact_id("p2"));
    assert_eq!(why(&plan, &whose, number(5).as_str()), Some(Why::Whatsapp));
}

#[test]
fn what_two_contacts_have_comes_to_neither_of_their_customers() {
    let mut case = Case::new();
    case.contact("p1", ada(&[1], &["both"]));
    case.contact("p2", ben(&[2], &["both"]));
    case.linked(
        "p3",
        &ben(&[3], &[]),
        ben(&[3], &["both"]),
        &[("c3", ben(&[3], &[]))],
    );
    let plan = case.plan();
    assert_eq!(
        told(&plan),
        ["create customer of p1", "create customer of p2"]
    );
    for contact in ["p1", "p2", "p3"] {
        let whose = Whose::Contact(contact_id(contact));
        assert_eq!(
            why(&plan, &whose, email("both").as_str()),
            Some(Why::NotUnique),
            "{contact}"
        );
    }
    for step in &plan.steps {
        if let Action::CreateCustomer(new) = &step.action {
            assert_eq!(new.fields.emails, [], "{}", step.link);
        }
    }
}

#[test]
fn what_another_contact_has_does_not_come_to_the_phone_side_again() {
    // Made for a customer: its number and e-mail are at somebody else's contact, which awaits nobody.
    let mut case = Case::new();
    case.rules.merge_by_phone = false;
    let agreed = ben(&[2], &[]);
    let on_phone = ben(&[2, 9], &["ada"]);
    case.rules.export = false;
    case.linked("p2", &agreed, on_phone, &[("c2", agreed.clone())]);
    case.customer("c1", ada(&[1, 9], &["ada"]));
    let plan = case.plan();
    let wish = wishes(&plan, "kustomer-c1")[0];
    assert_eq!(wish.fields.numbers(), BTreeSet::from([&number(1)]));
    assert_eq!(wish.fields.emails, []);
    let whose = Whose::Customer(id("c1"));
    for value in [number(9).to_string(), email("ada").to_string()] {
        assert_eq!(why(&plan, &whose, &value), Some(Why::Taken), "{value}");
    }
}

#[test]
fn a_customer_takes_ten_numbers_and_ten_emails_and_what_it_has_already() {
    let numbers: Vec<u32> = (1..=12).collect();
    let names: Vec<String> = (1..=12).map(|one| format!("ada{one:02}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut case = Case::new();
    case.contact("p1", ada(&numbers, &names));
    let plan = case.plan();
    let Action::CreateCustomer(new) = &plan.steps[0].action else {
        panic!("{plan:?}")
    };
    assert_eq!((new.fields.phones.len(), new.fields.emails.len()), (10, 10));
    let whose = Whose::Contact(contact_id("p1"));
    for (value, full) in [
        (number(10).to_string(), None),
        (number(11).to_string(), Some(Why::Full)),
        (email("ada10").to_string(), None),
        (email("ada12").to_string(), Some(Why::Full)),
    ] {
        assert_eq!(why(&plan, &whose, &value), full, "{value}");
    }
    // A customer that has eight gets two more.
    let mut case = Case::new();
    let has = ada(&numbers[..8], &names[..8]);
    case.linked("p1", &has, ada(&numbers, &names), &[("c1", has.clone())]);
    let plan = case.plan();
    let edit = edits(&plan, "c1")[0];
    assert_eq!((edit.add_phones.len(), edit.add_emails.len()), (2, 2));
}

#[test]
fn a_conflict_shows_both_values_and_an_address_without_its_empty_parts() {
    let at = |street: &str, city: &str| {
        let mut fields = ada(&[1], &[]);
        fields.address.street = street.to_owned();
        fields.address.city = city.to_owned();
        fields
    };
    let mut case = Case::new();
    case.rules.policies.address = Policy::Ask;
    let (agreed, phone) = (at("1 Main St", ""), at("2 Main St", "Anytown"));
    case.linked("p1", &agreed, phone, &[("c1", at("", "Anytown"))]);
    let plan = case.plan();
    assert_eq!(plan.conflicts.len(), 1);
    assert_eq!(plan.conflicts[0].kustomer, "Anytown");
    assert_eq!(plan.conflicts[0].phone, "2 Main St, Anytown");
}
