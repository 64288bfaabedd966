//! Who called whom.

use super::*;

/// A call of our phone 101 to `dialled`, with these other legs.
fn placed(dialled: Option<Contact>, others: &[LegFacts]) -> Call {
    let mut legs = vec![root(|leg| {
        leg.caller = Some(phone("101"));
        leg.dialled = dialled;
        leg.line = Some(Line::Phone);
        leg.ended = Some(s(9));
    })];
    legs.extend_from_slice(others);
    call(&legs)
}

fn line(id: &str, line: Option<Line>, party: Option<Contact>) -> LegFacts {
    leg(id, |leg| {
        leg.line = line;
        leg.party = party;
        leg.started = Some(s(1));
    })
}

fn invalid(raw: &str) -> Contact {
    Contact::new(Party::Invalid, raw, None)
}

#[test]
fn where_a_call_of_our_own_phone_goes() {
    use Direction::{Internal, Out};
    let trunk = line("t", Some(Line::Trunk), None);
    let inside = line("p", Some(Line::Phone), Some(phone("102")));
    let outside = line("n", None, Some(number("+493012345678")));
    let in_a_room = leg("p", |leg| {
        leg.line = Some(Line::Phone);
        leg.stays.insert(stay(1, "room", true));
    });
    let recorded = leg("p", |leg| leg.rare.joins.insert(joined("c", 1, 2)));
    let trunk_in_a_room = leg("t", |leg| {
        leg.line = Some(Line::Trunk);
        leg.stays.insert(stay(1, "room", true));
    });
    for (dialled, leg, direction) in [
        (Some(phone("102")), &trunk, Internal),
        (Some(number("+493012345678")), &inside, Out),
        (Some(short("112")), &inside, Out),
        (Some(short("112")), &trunk_in_a_room, Out),
        (Some(short("8600")), &in_a_room, Internal),
        (Some(short("8600")), &recorded, Internal),
        (Some(short("*97")), &inside, Internal),
        (Some(short("#31")), &inside, Internal),
        (Some(short("*97")), &trunk, Out),
        (Some(invalid("0012")), &inside, Out),
        (Some(invalid("conference")), &inside, Internal),
        (Some(invalid("conference")), &trunk, Out),
        (None, &inside, Internal),
        (None, &trunk, Out),
        (None, &outside, Out),
    ] {
        let call = placed(dialled.clone(), std::slice::from_ref(leg));
        assert_eq!(call.direction, direction, "{dialled:?} {leg:?}");
    }
}

#[test]
fn an_outgoing_call_reached_who_the_first_trunk_with_a_number_called() {
    let others = [
        line("1", Some(Line::Trunk), None),
        line("2", Some(Line::Phone), Some(number("+493011111111"))),
        line("3", Some(Line::Trunk), Some(number("+493022222222"))),
    ];
    let reached = |dialled| placed(Some(dialled), &others).other;
    assert_eq!(reached(invalid("0030222")), number("+493022222222"));
    assert_eq!(reached(number("+493033333333")), number("+493033333333"));
    let none = placed(Some(invalid("0030222")), &others[..2]).other;
    assert_eq!(none, invalid("0030222"));
}

#[test]
fn digits_of_a_phone_that_come_in_by_a_trunk_are_no_phone_of_ours() {
    let by = |line: Line, direction| {
        let root = root(|leg| {
            leg.caller = Some(phone("104"));
            leg.dialled = Some(phone("102"));
            leg.direction = Some(direction);
            leg.line = Some(line);
            leg.ended = Some(s(9));
        });
        call(&[root]).other.party.clone()
    };
    assert_eq!(
        by(Line::Trunk, Direction::In),
        Party::Short("104".to_owned())
    );
    assert_eq!(by(Line::Phone, Direction::In), phone("104").party);
    assert_eq!(by(Line::Phone, Direction::Internal), phone("102").party);
}

#[test]
fn the_phone_that_rang_last_of_an_incoming_call() {
    let rang = |id: &str, kind: Line, at: i64| {
        leg(id, |leg| {
            leg.party = Some(phone(id));
            leg.line = Some(kind);
            leg.started = Some(s(at));
        })
    };
    let branches = [
        rang("101", Line::Phone, 1),
        rang("102", Line::Phone, 2),
        rang("900", Line::Machine, 3),
    ];
    let of = |direction| {
        let root = root(|leg| {
            leg.direction = Some(direction);
            leg.party = Some(phone("500"));
            leg.started = Some(s(4));
            leg.ended = Some(s(9));
        });
        call(&[&[root][..], &branches].concat()).rang
    };
    assert_eq!(of(Direction::In), Some(Extension("102".to_owned())));
    assert_eq!(of(Direction::Out), None);
    assert_eq!(of(Direction::Internal), None);
}

#[test]
fn our_side_is_what_was_dialled_or_shown_as_sent_if_anything_was() {
    let of = |direction, dialled: Contact, shown: Contact| {
        let root = root(|leg| {
            leg.direction = Some(direction);
            leg.dialled = Some(dialled);
            leg.shown = Some(shown);
            leg.ended = Some(s(9));
        });
        let call = call(&[root]);
        (call.connected, call.connected_raw)
    };
    let (ours, theirs) = (number("+4930111111"), number("+4930222222"));
    let hidden = Contact::new(Party::Anonymous, "", None);
    let word = invalid("sales");
    let known = (ours.number().cloned(), Some("+4930111111".to_owned()));
    for (direction, dialled, shown, connected) in [
        (Direction::In, &ours, &theirs, known.clone()),
        (Direction::Out, &theirs, &ours, known),
        (
            Direction::In,
            &word,
            &theirs,
            (None, Some("sales".to_owned())),
        ),
        (Direction::In, &hidden, &theirs, (None, None)),
        (Direction::Internal, &ours, &theirs, (None, None)),
    ] {
        let got = of(direction, dialled.clone(), shown.clone());
        assert_eq!(got, connected, "{direction:?} {dialled:?} {shown:?}");
    }
}
