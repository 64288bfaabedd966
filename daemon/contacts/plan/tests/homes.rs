//! Which link everybody belongs to.

use super::*;

#[test]
fn a_customer_that_carries_the_contacts_id_is_the_one_that_was_created_whatever_became_of_its_number()
 {
    for elsewhere in [false, true] {
        let mut case = Case::new();
        case.contact("p1", fields("Ada Example", &[1], &[]));
        case.link("p1", &[], LinkState::CustomerDue);
        case.customer("c1", fields("Ada Example", &[], &[]))
            .external_id = Some("p1".to_owned());
        if elsewhere {
            case.linked(
                "p2",
                &fields("Ada Example", &[2], &[]),
                fields("Ada Example", &[2], &[]),
                &[("c1", fields("Ada Example", &[2], &[]))],
            );
        }
        let plan = case.plan();
        let made = told(&plan).contains(&"create customer of p1".to_owned());
        assert_eq!(made, elsewhere, "{:?}", told(&plan));
        if !elsewhere {
            assert_eq!(customers_after(&plan, "p1"), ["c1"]);
            assert_eq!(link_after(&plan, "p1").unwrap().state, LinkState::Linked);
        }
    }
}

#[test]
fn a_number_that_only_the_contact_has_leads_there_too() {
    let mut case = Case::new();
    case.rules.export = false;
    let agreed = fields("Ada Example", &[1], &[]);
    case.linked(
        "p1",
        &agreed,
        fields("Ada Example", &[1, 2], &[]),
        &[("c1", agreed.clone())],
    );
    case.customer("c2", fields("Somebody Else", &[2], &[]));
    let plan = case.plan();
    assert_eq!(customers_after(&plan, "p1"), ["c1", "c2"]);
}

#[test]
fn nobody_comes_to_a_contact_that_was_removed_or_that_they_were_parted_from() {
    let at = s(900);
    let removed = LinkState::Removed {
        by: Side::Kustomer,
        at,
    };
    for (state, apart, comes) in [
        (LinkState::Linked, false, true),
        (LinkState::Linked, true, false),
        (removed, false, false),
    ] {
        let mut case = Case::new();
        let agreed = fields("Ada Example", &[1], &[]);
        case.linked("p1", &agreed, agreed.clone(), &[("c1", agreed.clone())]);
        let link = case.world.links.get_mut(&contact_id("p1")).unwrap();
        link.state = state;
        if apart {
            link.apart.insert(id("c2"));
        }
        case.customer("c2", fields("Somebody Else", &[1], &[]));
        let plan = case.plan();
        let came = customers_after(&plan, "p1").contains(&"c2".to_owned());
        assert_eq!(came, comes, "{state:?} {apart} {:?}", told(&plan));
    }
}

#[test]
fn a_contact_made_for_a_customer_has_an_id_that_neither_a_link_nor_a_contact_has() {
    let made = |set: &dyn Fn(&mut Case)| {
        let mut case = Case::new();
        case.rules.export = false;
        case.customer("c1", fields("Ada Example", &[1], &[]));
        set(&mut case);
        let plan = case.plan();
        let created = plan
            .steps
            .iter()
            .filter(|step| matches!(step.action, Action::CreateContact(_)));
        created.map(|step| step.link.0.clone()).collect::<Vec<_>>()
    };
    assert_eq!(made(&|_| {}), ["kustomer-c1"]);
    let at = s(900);
    let link = |case: &mut Case| {
        case.link(
            "kustomer-c1",
            &[],
            LinkState::Removed {
                by: Side::Phone,
                at,
            },
        );
    };
    let contact = |case: &mut Case| {
        case.contact("kustomer-c1", fields("Ben Beispiel", &[2], &[]));
    };
    assert_eq!(made(&link), ["kustomer-c1+"]);
    assert_eq!(made(&contact), ["kustomer-c1+"]);
    let both = |case: &mut Case| {
        link(case);
        case.contact("kustomer-c1+", fields("Ben Beispiel", &[2], &[]));
    };
    assert_eq!(made(&both), ["kustomer-c1++"]);
}
