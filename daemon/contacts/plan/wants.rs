//! What each side of a link should have, less what it may not have. Pure.
//!
//! Removals are decided first and additions in the order of the links, so that a number that moves from one contact to
//! another moves in one plan, and one that two want goes to the first.

use super::super::agree::{Field, Sides, Wanted, agree};
use super::super::import::Why;
use super::super::link::{Link, LinkState, Side};
use super::super::merge::{Brought, combine};
use super::super::world::Customer;
use super::held::Held;
use super::{CUSTOMER_VALUES_MAX, Conflict, Plan, REMOVAL_KEEP, Scene, Whose};
use crate::terms::contact::{Contact, ContactId, Email, EmailAddress, Fields, Phone};
use crate::terms::ids::CustomerId;
use crate::terms::number::E164;
use jiff::Timestamp;
use std::collections::BTreeMap;

/// What is to become of a link.
pub enum Want {
    /// Nothing is known to be different, or not enough is known.
    Nothing,
    /// Only the link changes, or goes.
    Learn(Option<LinkState>),
    /// The contact goes, and the link remembers why.
    RemoveContact(LinkState),
    /// The contact is made of what its customers have.
    CreateContact(Fields),
    /// The customer is made of what the contact has.
    CreateCustomer(Fields),
    /// Both are there.
    Both(Box<Both>),
}

/// A link with both sides, and what each should have.
pub struct Both {
    pub wanted: Wanted,
    /// Nothing to call is left on either side: the contact goes until there is.
    pub withdraw: bool,
    /// What Kustomer has now, all customers together.
    pub kustomer: Fields,
    /// The customer that gets what is new: the one that changed last.
    pub newest: CustomerId,
}

/// What is to become of each link.
pub fn of(
    scene: &Scene<'_>,
    links: &BTreeMap<ContactId, Link>,
    plan: &mut Plan,
) -> BTreeMap<ContactId, Want> {
    let mut wants: BTreeMap<ContactId, Want> = links
        .iter()
        .map(|(id, link)| (id.clone(), want(scene, link)))
        .collect();
    let mut held = scene.held.clone();
    for (id, want) in &wants {
        leave(scene, id, links, want, &mut held);
    }
    for (id, want) in &mut wants {
        if let Some(link) = links.get(id) {
            allow(scene, link, want, &mut held, plan);
        }
    }
    wants
}

fn want(scene: &Scene<'_>, link: &Link) -> Want {
    let contact = scene.world.contact(&link.contact);
    match (link.state, contact) {
        (LinkState::Removed { by, at }, contact) => removed(scene, link, by, at, contact.is_some()),
        (LinkState::CustomerDue, Some(contact)) => Want::CreateCustomer(contact.fields.clone()),
        (LinkState::CustomerDue, None) if scene.world.is_gone(&link.contact) => Want::Learn(None),
        (LinkState::CustomerDue, None) => Want::Nothing,
        (LinkState::ContactDue | LinkState::Withdrawn, None) => match customers(scene, link) {
            Some(customers) if customers.is_empty() => Want::Learn(None),
            Some(customers) => match offered(scene, link, &customers) {
                Some(fields) if scene.rules.import => Want::CreateContact(fields),
                _ => Want::Nothing,
            },
            None => Want::Nothing,
        },
        (LinkState::Linked, None) if scene.world.is_gone(&link.contact) => {
            Want::Learn(Some(LinkState::Removed {
                by: Side::Phone,
                at: scene.now,
            }))
        }
        (LinkState::Linked, None) => Want::Nothing,
        (LinkState::Linked | LinkState::ContactDue | LinkState::Withdrawn, Some(contact)) => {
            both(scene, link, contact)
        }
    }
}

/// A removal is carried out again where the record came back, and forgotten when nothing can bring it back.
fn removed(scene: &Scene<'_>, link: &Link, by: Side, at: Timestamp, here: bool) -> Want {
    match by {
        Side::Kustomer if here => Want::RemoveContact(link.state),
        Side::Phone if !link.parts.is_empty() => Want::Nothing,
        Side::Kustomer | Side::Phone => {
            let until = at.checked_add(REMOVAL_KEEP).unwrap_or(Timestamp::MAX);
            if scene.now > until {
                Want::Learn(None)
            } else {
                Want::Nothing
            }
        }
    }
}

/// The customers of a link, the one that changed last first; none as long as something of one isn't known.
fn customers<'a>(scene: &Scene<'a>, link: &Link) -> Option<Vec<&'a Customer>> {
    let parts = link.parts.iter();
    let mut customers: Vec<&Customer> = parts
        .map(|part| scene.world.customer(&part.customer))
        .collect::<Option<_>>()?;
    customers.sort_by(|a, b| (b.modified_at, &b.id).cmp(&(a.modified_at, &a.id)));
    Some(customers)
}

/// What they bring together; none if that is nothing to call.
fn offered(scene: &Scene<'_>, link: &Link, customers: &[&Customer]) -> Option<Fields> {
    let fields = together(scene, link, customers);
    (!fields.phones.is_empty()).then_some(fields)
}

fn together(scene: &Scene<'_>, link: &Link, customers: &[&Customer]) -> Fields {
    let brought = customers.iter().filter_map(|customer| {
        let part = link.parts.iter().find(|part| part.customer == customer.id);
        Some(Brought {
            fields: &scene.offers.get(&customer.id)?.fields,
            seen: part.and_then(|part| part.seen.as_ref()),
        })
    });
    combine(&brought.collect::<Vec<_>>(), &link.agreed)
}

fn both(scene: &Scene<'_>, link: &Link, contact: &Contact) -> Want {
    let Some(customers) = customers(scene, link) else {
        return Want::Nothing;
    };
    let Some(newest) = customers.first() else {
        return Want::RemoveContact(LinkState::Removed {
            by: Side::Kustomer,
            at: scene.now,
        });
    };
    let kustomer = together(scene, link, &customers);
    let mut wanted = agree(&Sides {
        agreed: &link.agreed,
        kustomer: &kustomer,
        phone: &contact.fields,
        first: link.agreed == Fields::default(),
        phone_is_newer: contact.updated_at > newest.modified_at,
        imported: scene.rules.import,
        exported: scene.rules.export,
        extra_fields: scene.rules.extra_fields,
        policies: scene.rules.policies,
    });
    let nothing_to_call = wanted.phone.phones.is_empty() && wanted.kustomer.phones.is_empty();
    let withdraw = nothing_to_call && scene.rules.import;
    if withdraw {
        // Its e-mails go with it, and are free for others.
        wanted.phone = Fields::default();
    }
    Want::Both(Box::new(Both {
        withdraw,
        wanted,
        kustomer,
        newest: newest.id.clone(),
    }))
}

/// What goes away is free for others.
fn leave(
    scene: &Scene<'_>,
    id: &ContactId,
    links: &BTreeMap<ContactId, Link>,
    want: &Want,
    held: &mut Held,
) {
    let Some(contact) = scene.world.contact(id) else {
        return;
    };
    match want {
        Want::RemoveContact(_) => {
            held.leave_contact(id, &contact.fields, &Fields::default());
        }
        Want::Both(both) => {
            held.leave_contact(id, &contact.fields, &both.wanted.phone);
            let parts = links.get(id).into_iter().flat_map(|link| &link.parts);
            for part in parts {
                if let Some(customer) = scene.world.customer(&part.customer) {
                    // Only what this link's customers bring is ever taken from them.
                    let mut before = customer.fields.clone();
                    before.phones.retain(|one| {
                        both.kustomer
                            .phones
                            .iter()
                            .any(|known| known.number == one.number)
                    });
                    before.emails.retain(|one| {
                        both.kustomer
                            .emails
                            .iter()
                            .any(|known| known.email == one.email)
                    });
                    held.leave_customer(&part.customer, &before, &both.wanted.kustomer);
                }
            }
        }
        Want::Nothing | Want::Learn(_) | Want::CreateContact(_) | Want::CreateCustomer(_) => {}
    }
}

/// Takes out what somebody else has, and notes which contact has the rest from now on. What is new to Kustomer needs no note: it
/// is on the phone side already, where two contacts that both have it are seen (`NotUnique`).
fn allow(scene: &Scene<'_>, link: &Link, want: &mut Want, held: &mut Held, plan: &mut Plan) {
    let id = &link.contact;
    match want {
        Want::CreateContact(fields) => {
            let none = Fields::default();
            let refused = keep_off(fields, &none, |value| value.on_phone(held, id));
            note_refused(plan, link, refused);
            if fields.phones.is_empty() {
                *want = Want::Nothing;
            } else {
                held.note_contact(id, fields);
            }
        }
        Want::CreateCustomer(fields) => {
            if !may_export(link, fields, held, plan) {
                *want = Want::Nothing;
            }
        }
        Want::Both(both) => {
            let Some(contact) = scene.world.contact(id) else {
                return;
            };
            let refused = keep_off(&mut both.wanted.phone, &contact.fields, |value| {
                value.on_phone(held, id)
            });
            note_refused(plan, link, refused);
            let parts: Vec<&CustomerId> = link.parts.iter().map(|part| &part.customer).collect();
            let refused = keep_off(&mut both.wanted.kustomer, &both.kustomer, |value| {
                value.in_kustomer(scene, held, id, &parts)
            });
            plan_refused_export(plan, id, refused);
            held.note_contact(id, &both.wanted.phone);
            agreed_values(scene, link, both);
            conflicts(plan, link, both, contact);
        }
        Want::Nothing | Want::Learn(_) | Want::RemoveContact(_) => {}
    }
}

/// Whether a customer is made of a contact: nobody in Kustomer has anything of it, and a number is its own.
fn may_export(link: &Link, fields: &mut Fields, held: &Held, plan: &mut Plan) -> bool {
    let id = &link.contact;
    let taken = held.by_customers(fields);
    if !taken.is_empty() {
        let taken = taken.into_iter().map(|value| (value, Why::Taken));
        plan_refused_export(plan, id, taken.collect());
        return false;
    }
    let refused = keep_off(fields, &Fields::default(), |value| match value {
        New::Number(number) => held.number_elsewhere(number, id).then_some(Why::NotUnique),
        New::Email(email) => held.email_elsewhere(email, id).then_some(Why::NotUnique),
        New::Count(count) => (count >= CUSTOMER_VALUES_MAX).then_some(Why::Full),
    });
    plan_refused_export(plan, id, refused);
    !fields.phones.is_empty()
}

/// What both agree on once each has what it should: what is on both sides. Where only one direction is copied, what the
/// copied side has and the other one has or had: what was removed there stays away.
fn agreed_values(scene: &Scene<'_>, link: &Link, both: &mut Both) {
    let Wanted {
        kustomer,
        phone,
        agreed,
        ..
    } = &mut both.wanted;
    let (from, to) = if scene.rules.import {
        (kustomer, phone)
    } else {
        (phone, kustomer)
    };
    let two_ways = scene.rules.import && scene.rules.export;
    let before = if two_ways {
        &Fields::default()
    } else {
        &link.agreed
    };
    let (numbers, emails) = (to.numbers(), to.addresses());
    let (known, known_emails) = (before.numbers(), before.addresses());
    agreed.phones.clone_from(&from.phones);
    let phones = |one: &Phone| numbers.contains(&one.number) || known.contains(&one.number);
    agreed.phones.retain(phones);
    agreed.emails.clone_from(&from.emails);
    let there = |one: &Email| emails.contains(&one.email) || known_emails.contains(&one.email);
    agreed.emails.retain(there);
}

/// A value that is new to a side.
enum New<'a> {
    Number(&'a E164),
    Email(&'a EmailAddress),
    /// So many of its kind were there or allowed before it.
    Count(usize),
}

impl New<'_> {
    fn on_phone(&self, held: &Held, contact: &ContactId) -> Option<Why> {
        let taken = match self {
            Self::Number(number) => held.number_elsewhere(number, contact),
            Self::Email(email) => held.email_elsewhere(email, contact),
            Self::Count(_) => false,
        };
        taken.then_some(Why::Taken)
    }

    fn in_kustomer(
        &self,
        scene: &Scene<'_>,
        held: &Held,
        contact: &ContactId,
        customers: &[&CustomerId],
    ) -> Option<Why> {
        match self {
            Self::Number(number) => {
                let nobodys = scene.nobodys.number(number);
                let taken = held
                    .number_of_another(number, customers)
                    .then_some(Why::Taken);
                let shared = held.number_elsewhere(number, contact);
                nobodys.or(taken).or(shared.then_some(Why::NotUnique))
            }
            Self::Email(email) => {
                let nobodys = scene.nobodys.email(email);
                let taken = held
                    .email_of_another(email, customers)
                    .then_some(Why::Taken);
                let shared = held.email_elsewhere(email, contact);
                nobodys.or(taken).or(shared.then_some(Why::NotUnique))
            }
            Self::Count(count) => (*count >= CUSTOMER_VALUES_MAX).then_some(Why::Full),
        }
    }
}

/// Takes the values out that are new (not `before`) and refused; answers them.
fn keep_off(
    fields: &mut Fields,
    before: &Fields,
    refuse: impl Fn(New<'_>) -> Option<Why>,
) -> Vec<(String, Why)> {
    let mut refused = Vec::new();
    let (numbers, emails) = (before.numbers(), before.addresses());
    let mut count = 0;
    fields.phones.retain(|phone| {
        let new = !numbers.contains(&phone.number);
        let why = new
            .then(|| refuse(New::Number(&phone.number)).or_else(|| refuse(New::Count(count))))
            .flatten();
        refused.extend(why.map(|why| (phone.number.to_string(), why)));
        count += usize::from(why.is_none());
        why.is_none()
    });
    count = 0;
    fields.emails.retain(|email| {
        let new = !emails.contains(&email.email);
        let why = new
            .then(|| refuse(New::Email(&email.email)).or_else(|| refuse(New::Count(count))))
            .flatten();
        refused.extend(why.map(|why| (email.email.to_string(), why)));
        count += usize::from(why.is_none());
        why.is_none()
    });
    refused
}

fn note_refused(plan: &mut Plan, link: &Link, refused: Vec<(String, Why)>) {
    for (value, why) in refused {
        match link.parts.first() {
            Some(part) => plan.leave_out(Whose::Customer(part.customer.clone()), &value, why),
            None => plan.leave_out(Whose::Contact(link.contact.clone()), &value, why),
        }
    }
}

fn plan_refused_export(plan: &mut Plan, contact: &ContactId, refused: Vec<(String, Why)>) {
    for (value, why) in refused {
        plan.leave_out(Whose::Contact(contact.clone()), &value, why);
    }
}

fn conflicts(plan: &mut Plan, link: &Link, both: &Both, contact: &Contact) {
    for field in &both.wanted.conflicts {
        let shown = |fields: &Fields| match field {
            Field::Name => fields.name.clone(),
            Field::Website => fields.website.clone(),
            Field::Address => {
                let address = &fields.address;
                let parts = [
                    &address.street,
                    &address.zip,
                    &address.city,
                    &address.state,
                    &address.country,
                ];
                let parts: Vec<&str> = parts
                    .iter()
                    .map(|part| part.as_str())
                    .filter(|part| !part.is_empty())
                    .collect();
                parts.join(", ")
            }
        };
        plan.conflicts.push(Conflict {
            link: link.contact.clone(),
            field: *field,
            kustomer: shown(&both.kustomer),
            phone: shown(&contact.fields),
        });
    }
}
