//! Which link everybody belongs to: customers that are gone leave it, new ones find theirs or get one, contacts without a
//! customer are linked with theirs or get one. Pure.

use super::super::import::Why;
use super::super::link::{Link, LinkState, Part};
use super::super::merge::{conflict, name_key};
use super::super::world::{Customer, CustomerState};
use super::{Plan, Scene, Whose};
use crate::terms::contact::{Contact, ContactId, EmailAddress, Fields};
use crate::terms::ids::CustomerId;
use crate::terms::number::E164;
use std::collections::{BTreeMap, BTreeSet};

/// Longest chain of merges that is followed in Kustomer.
const MERGES_MAX: usize = 10;

type Links = BTreeMap<ContactId, Link>;

/// The links as they should be, in the order of their names.
pub fn settle(scene: &Scene<'_>, plan: &mut Plan) -> Links {
    let mut links = follow_merges(scene);
    adopt_created(scene, &mut links);
    let mut index = Index::of(scene, &links);
    if free_for_strangers(scene, &mut links, &index) {
        index = Index::of(scene, &links);
    }
    for customer in scene.world.live_customers() {
        let offered = scene.offers.get(&customer.id);
        let importable = offered.is_some_and(super::super::import::Offer::is_importable);
        if index.customers.contains_key(&customer.id) {
            continue;
        }
        if !importable {
            plan.leave_out(Whose::Customer(customer.id.clone()), "", Why::NoNumber);
            continue;
        }
        if let Some(link) = home_of(scene, customer, &links, &index) {
            index.note(scene, &link);
            links.insert(link.contact.clone(), link);
        }
    }
    if scene.rules.export {
        for contact in scene.world.live_contacts() {
            if !links.contains_key(&contact.id) && has_number(contact, plan) {
                links.insert(contact.id.clone(), without_customer(contact));
            }
        }
    }
    links
}

/// Customers that are gone leave their links; those that were merged in Kustomer go where the other one is.
fn follow_merges(scene: &Scene<'_>) -> Links {
    let mut links = scene.world.links.clone();
    let mut held: BTreeMap<CustomerId, ContactId> = links
        .values()
        .flat_map(|link| {
            link.parts
                .iter()
                .map(|part| (part.customer.clone(), link.contact.clone()))
        })
        .collect();
    let mut moved: Vec<(ContactId, Part)> = Vec::new();
    for link in links.values_mut() {
        let (mut kept, parts) = (Vec::new(), std::mem::take(&mut link.parts));
        for part in parts {
            match fate(scene, &part.customer) {
                Fate::Stays => kept.push(part),
                Fate::Gone => {}
                Fate::Merged(target) => {
                    let alias = renamed(part, target.clone());
                    match held.get(&target) {
                        Some(home) => moved.push((home.clone(), alias)),
                        // Another link's customer may have been merged into that one too: it comes here.
                        None => {
                            held.insert(target, link.contact.clone());
                            kept.push(alias);
                        }
                    }
                }
            }
        }
        link.parts = kept;
        unite(&mut link.parts);
    }
    for (home, part) in moved {
        if let Some(link) = links.get_mut(&home) {
            link.parts.push(part);
            unite(&mut link.parts);
        }
    }
    links
}

enum Fate {
    /// Here, or nothing was said of it.
    Stays,
    Gone,
    Merged(CustomerId),
}

fn fate(scene: &Scene<'_>, customer: &CustomerId) -> Fate {
    let mut at = customer;
    for _ in 0..MERGES_MAX {
        match scene.world.customers.get(at) {
            Some(CustomerState::Gone { into: Some(target) }) => at = target,
            Some(CustomerState::Gone { into: None }) => return Fate::Gone,
            Some(CustomerState::Here(_)) if at != customer => return Fate::Merged(at.clone()),
            // Merged into one that isn't known yet: its turn comes when it is.
            Some(CustomerState::Here(_)) | None => return Fate::Stays,
        }
    }
    Fate::Stays
}

fn renamed(mut part: Part, target: CustomerId) -> Part {
    part.aliases
        .insert(std::mem::replace(&mut part.customer, target));
    part
}

/// Parts of one customer become one.
fn unite(parts: &mut Vec<Part>) {
    let mut united: Vec<Part> = Vec::new();
    for part in parts.drain(..) {
        match united
            .iter_mut()
            .find(|known| known.customer == part.customer)
        {
            Some(known) => known.aliases.extend(part.aliases),
            None => united.push(part),
        }
    }
    *parts = united;
}

/// A customer that carries the id of a contact whose customer was to be created is that one: the reply was lost.
fn adopt_created(scene: &Scene<'_>, links: &mut Links) {
    let parts = links.values().flat_map(|link| &link.parts);
    let held: BTreeSet<CustomerId> = parts.map(|part| part.customer.clone()).collect();
    for customer in scene.world.live_customers() {
        let Some(external_id) = &customer.external_id else {
            continue;
        };
        if let Some(link) = links.get_mut(&ContactId(external_id.clone()))
            && link.state == LinkState::CustomerDue
            && !held.contains(&customer.id)
        {
            link.parts = vec![Part::of(customer.id.clone())];
            link.state = LinkState::Linked;
        }
    }
}

/// Whose contact is still to be made looks for a link anew if somebody has brought that person meanwhile: the phone side may
/// have refused ours because of theirs. Says whether there was any.
fn free_for_strangers(scene: &Scene<'_>, links: &mut Links, index: &Index) -> bool {
    let met = |link: &&Link| {
        let mut offers = link.parts.iter().filter_map(|part| {
            let offer = scene.offers.get(&part.customer)?;
            Some((&part.customer, &offer.fields))
        });
        link.state == LinkState::ContactDue
            && scene.world.contact(&link.contact).is_none()
            && offers.any(|(customer, fields)| stranger(customer, fields, links, index).is_some())
    };
    let due = links.values().filter(met).map(|link| link.contact.clone());
    let due: Vec<ContactId> = due.collect();
    for contact in &due {
        if let Some(link) = links.get_mut(contact) {
            link.parts.clear();
        }
    }
    !due.is_empty()
}

/// Who is where, by what they have.
#[derive(Default)]
struct Index {
    customers: BTreeMap<CustomerId, ContactId>,
    numbers: BTreeMap<E164, BTreeSet<ContactId>>,
    emails: BTreeMap<EmailAddress, BTreeSet<ContactId>>,
    names: BTreeMap<String, BTreeSet<ContactId>>,
}

impl Index {
    /// All links but removed ones, and the contacts that have none.
    fn of(scene: &Scene<'_>, links: &Links) -> Self {
        let mut index = Self::default();
        for link in links.values() {
            index.note(scene, link);
        }
        for contact in scene.world.live_contacts() {
            if links.get(&contact.id).is_none_or(|link| !link.is_removed()) {
                index.note_values(&contact.id, &contact.fields);
            }
        }
        index
    }

    fn note(&mut self, scene: &Scene<'_>, link: &Link) {
        for part in &link.parts {
            let ids = part.aliases.iter().chain([&part.customer]);
            self.customers
                .extend(ids.map(|id| (id.clone(), link.contact.clone())));
            if link.is_removed() {
                continue;
            }
            if let Some(offer) = scene.offers.get(&part.customer) {
                self.note_values(&link.contact, &offer.fields);
                if let Some(name) = name_key(&offer.fields.name) {
                    self.names
                        .entry(name)
                        .or_default()
                        .insert(link.contact.clone());
                }
            }
        }
    }

    fn note_values(&mut self, contact: &ContactId, fields: &Fields) {
        for phone in &fields.phones {
            let holders = self.numbers.entry(phone.number.clone()).or_default();
            holders.insert(contact.clone());
        }
        for email in &fields.emails {
            let holders = self.emails.entry(email.email.clone()).or_default();
            holders.insert(contact.clone());
        }
    }
}

/// The link that a customer without one comes to; none if it is not to come to the phone side.
fn home_of(scene: &Scene<'_>, customer: &Customer, links: &Links, index: &Index) -> Option<Link> {
    let fields = &scene.offers.get(&customer.id)?.fields;
    // The phone book had this person before, or a create was refused because of it: the two meet.
    if let Some(contact) = stranger(&customer.id, fields, links, index) {
        return Some(Link {
            state: LinkState::Linked,
            ..Link::to_new_contact(contact.clone(), customer.id.clone())
        });
    }
    if !scene.rules.import {
        return None;
    }
    let joined = |contact: &ContactId| {
        let mut link = links.get(contact)?.clone();
        link.parts.push(Part::of(customer.id.clone()));
        Some(link)
    };
    if scene.rules.merge_by_phone
        && let Some(contact) = by_number(&customer.id, fields, links, index).next()
    {
        return joined(contact);
    }
    if scene.rules.merge_by_name
        && let Some(contact) = namesake(scene, customer, links, index)
    {
        return joined(&contact);
    }
    Some(Link::to_new_contact(
        free_id(&customer.id, links, scene),
        customer.id.clone(),
    ))
}

/// A contact with a number or an e-mail of the customer that nobody made for a customer.
fn stranger<'a>(
    customer: &CustomerId,
    fields: &Fields,
    links: &Links,
    index: &'a Index,
) -> Option<&'a ContactId> {
    let emails = fields.emails.iter();
    let by_email = emails.filter_map(|email| index.emails.get(&email.email));
    by_number(customer, fields, links, index)
        .chain(by_email.flatten().filter(open_to(customer, links)))
        .find(|contact| awaits_customer(links, contact))
}

/// The contacts with a number of the customer, which may come to them.
fn by_number<'a>(
    customer: &CustomerId,
    fields: &Fields,
    links: &Links,
    index: &'a Index,
) -> impl Iterator<Item = &'a ContactId> {
    let phones = fields.phones.iter();
    let found = phones.filter_map(|phone| index.numbers.get(&phone.number));
    found.flatten().filter(open_to(customer, links))
}

/// Whether a customer may come to a contact: the two weren't parted. (The index knows no contact that was removed.)
fn open_to(customer: &CustomerId, links: &Links) -> impl Fn(&&ContactId) -> bool {
    |contact| {
        let link = links.get(*contact);
        link.is_none_or(|link| !link.apart.contains(customer))
    }
}

/// Whether the contact has no customer yet.
fn awaits_customer(links: &Links, contact: &ContactId) -> bool {
    links
        .get(contact)
        .is_none_or(|link| link.state == LinkState::CustomerDue)
}

/// A link whose customers have the same name, and nothing speaks against it.
fn namesake(
    scene: &Scene<'_>,
    customer: &Customer,
    links: &Links,
    index: &Index,
) -> Option<ContactId> {
    let name = name_key(&customer.fields.name)?;
    let fits = |contact: &&ContactId| {
        links.get(*contact).is_some_and(|link| {
            let mut parts = link
                .parts
                .iter()
                .map(|part| scene.world.customer(&part.customer));
            !link.apart.contains(&customer.id)
                && !link.parts.is_empty()
                && parts.all(|part| part.is_some_and(|part| !conflict(part, customer)))
        })
    };
    index.names.get(&name)?.iter().find(fits).cloned()
}

/// The id of a contact that is made for a customer: the same at each try, so that it is found again.
fn free_id(customer: &CustomerId, links: &Links, scene: &Scene<'_>) -> ContactId {
    let mut id = ContactId::made_for(customer);
    while links.contains_key(&id) || scene.world.contact(&id).is_some() {
        id.0.push('+');
    }
    id
}

fn without_customer(contact: &Contact) -> Link {
    Link {
        contact: contact.id.clone(),
        parts: Vec::new(),
        agreed: Fields::default(),
        state: LinkState::CustomerDue,
        apart: BTreeSet::new(),
    }
}

/// Whether a customer could be made of a contact; `wants` looks who has what of it.
fn has_number(contact: &Contact, plan: &mut Plan) -> bool {
    let whose = || Whose::Contact(contact.id.clone());
    for raw in &contact.unread {
        plan.leave_out(whose(), raw, Why::Invalid);
    }
    if contact.fields.phones.is_empty() {
        plan.leave_out(whose(), "", Why::NoNumber);
    }
    !contact.fields.phones.is_empty()
}
