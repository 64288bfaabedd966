//! Who called whom: caller, dialled number, shown number and direction of a call, out of what its legs say.

use super::root;
use super::times::began;
use crate::calls::decode::LegFacts;
use crate::calls::decode::facts::{Glimpse, Line, Role, weight};
use crate::terms::call::Direction;
use crate::terms::party::{Contact, Extension, Party};
use std::collections::BTreeMap;

/// The parties of a call.
pub struct Parties<'a> {
    pub caller: Option<&'a Contact>,
    pub dialled: Option<&'a Contact>,
    pub shown: Option<&'a Contact>,
    pub direction: Direction,
}

impl<'a> Parties<'a> {
    pub fn of(legs: &'a BTreeMap<&str, LegFacts>) -> Self {
        let caller = root_first(legs, |leg| leg.caller.as_ref())
            .or_else(|| glimpsed(legs, |leg| leg.caller_seen.as_ref()))
            .or_else(|| program(legs));
        let dialled = root_first(legs, |leg| leg.dialled.as_ref())
            .or_else(|| glimpsed(legs, |leg| leg.dialled_seen.as_ref()));
        let stated = root(legs)
            .and_then(|leg| leg.direction)
            .or_else(|| legs.values().filter_map(|leg| leg.direction).max());
        let direction = stated.unwrap_or_else(|| direction(caller, dialled, legs));
        let dialled = match direction {
            Direction::Out => reached(dialled, legs),
            Direction::In | Direction::Internal => dialled,
        };
        Self {
            caller,
            dialled,
            shown: root_first(legs, |leg| leg.shown.as_ref()),
            direction,
        }
    }
}

/// Our phone that rang last in an incoming call.
pub fn rang(legs: &BTreeMap<&str, LegFacts>, direction: Direction) -> Option<Extension> {
    let branches = legs.values().filter(|leg| {
        direction == Direction::In
            && leg.role != Some(Role::Root)
            && leg.line != Some(Line::Machine)
    });
    let phones = branches.filter_map(|leg| {
        let phone = leg.party.as_ref().and_then(extension)?;
        Some((began(leg).or(leg.answered)?, phone))
    });
    phones.max().map(|(_, phone)| phone.clone())
}

/// What the root leg says, else the weightiest that any other says.
fn root_first<'a>(
    legs: &'a BTreeMap<&str, LegFacts>,
    of: impl Fn(&'a LegFacts) -> Option<&'a Contact>,
) -> Option<&'a Contact> {
    root(legs).and_then(&of).or_else(|| {
        legs.values()
            .filter_map(of)
            .max_by_key(|contact| weight(contact))
    })
}

/// What was seen in passing of the root leg; other legs' glimpses are of other things.
fn glimpsed<'a>(
    legs: &'a BTreeMap<&str, LegFacts>,
    of: impl Fn(&'a LegFacts) -> Option<&'a Glimpse>,
) -> Option<&'a Contact> {
    root(legs).and_then(of).map(|glimpse| &glimpse.contact)
}

/// Whom an outgoing call reached: what was dialled may have a digit in front that only leads out of the house.
fn reached<'a>(
    dialled: Option<&'a Contact>,
    legs: &'a BTreeMap<&str, LegFacts>,
) -> Option<&'a Contact> {
    let known = |contact: &Contact| match contact.party {
        Party::Number(_) | Party::Short(_) => true,
        Party::Extension(_) | Party::Anonymous | Party::Invalid => false,
    };
    let called = || {
        let trunks = legs.values().filter(|leg| {
            let number = leg.party.as_ref().and_then(Contact::number);
            leg.line == Some(Line::Trunk) && number.is_some()
        });
        trunks
            .min_by_key(|leg| (leg.started.is_none(), leg.started, leg.born, &leg.leg))
            .and_then(|leg| leg.party.as_ref())
    };
    dialled
        .filter(|dialled| known(dialled))
        .or_else(called)
        .or(dialled)
}

/// A program began the call with a link: the first phone that it reached is who calls.
fn program<'a>(legs: &'a BTreeMap<&str, LegFacts>) -> Option<&'a Contact> {
    root(legs).filter(|root| root.line == Some(Line::Machine))?;
    let phones = legs
        .values()
        .filter(|leg| leg.line == Some(Line::Phone) && leg.party.is_some());
    phones
        .min_by_key(|leg| (leg.started.is_none(), leg.started, leg.born, &leg.leg))
        .and_then(|leg| leg.party.as_ref())
}

/// Our own phones see a call between themselves; else the side that is no phone of ours is the outside.
fn direction(
    caller: Option<&Contact>,
    dialled: Option<&Contact>,
    legs: &BTreeMap<&str, LegFacts>,
) -> Direction {
    if caller.and_then(extension).is_none() || from_trunk(legs) {
        return Direction::In;
    }
    let reaches_out = || {
        let number = |leg: &LegFacts| {
            leg.party
                .as_ref()
                .is_some_and(|party| party.number().is_some())
        };
        legs.values()
            .any(|leg| leg.line == Some(Line::Trunk) || number(leg))
    };
    match dialled.map(|dialled| (&dialled.party, dialled.raw.as_str())) {
        Some((Party::Extension(_), _)) => Direction::Internal,
        Some((Party::Number(_), _)) => Direction::Out,
        // Feature codes, and words such as `conference`, stay inside unless a leg leaves the house.
        Some((Party::Short(_), raw)) if !raw.starts_with(['*', '#']) && !joined_inside(legs) => {
            Direction::Out
        }
        Some((Party::Invalid, raw)) if !raw.contains(char::is_alphabetic) => Direction::Out,
        Some((Party::Short(_) | Party::Invalid | Party::Anonymous, _)) | None => {
            if reaches_out() {
                Direction::Out
            } else {
                Direction::Internal
            }
        }
    }
}

/// Whether the call was joined with others and none of its lines leads outside: a conference room, a page.
fn joined_inside(legs: &BTreeMap<&str, LegFacts>) -> bool {
    let joined = |leg: &LegFacts| !(leg.stays.is_empty() && leg.rare.joins.is_empty());
    legs.values().any(joined) && legs.values().all(|leg| leg.line != Some(Line::Trunk))
}

/// Whether the call began with a line to the outside.
fn from_trunk(legs: &BTreeMap<&str, LegFacts>) -> bool {
    root(legs).is_some_and(|root| root.line == Some(Line::Trunk))
}

/// Who is on the other side. What came in by a trunk is no phone of ours, be its digits those of one.
pub fn other(contact: Option<&Contact>, legs: &BTreeMap<&str, LegFacts>) -> Contact {
    let Some(contact) = contact else {
        return Contact::new(Party::Anonymous, "", None);
    };
    match &contact.party {
        Party::Extension(Extension(digits)) if from_trunk(legs) => {
            contact.with(Party::Short(digits.clone()))
        }
        Party::Number(_)
        | Party::Extension(_)
        | Party::Short(_)
        | Party::Anonymous
        | Party::Invalid => contact.clone(),
    }
}

/// The extension, if it is one of our phones.
pub fn extension(contact: &Contact) -> Option<&Extension> {
    match &contact.party {
        Party::Extension(extension) => Some(extension),
        Party::Number(_) | Party::Short(_) | Party::Anonymous | Party::Invalid => None,
    }
}
