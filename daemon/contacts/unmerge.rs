//! Parts a contact that several customers were merged into (docs/contacts.md, "Two become one"). Pure.

use super::link::Link;
use crate::terms::contact::ContactId;
use std::collections::BTreeSet;

/// The links that take a merged one's place: the first customer keeps the contact, each other one is to get its own, and
/// none comes to another's again. `taken` says which contact ids are in use. Empty if it has one customer only.
pub fn unmerge(link: &Link, taken: impl Fn(&ContactId) -> bool) -> Vec<Link> {
    let Some((first, others)) = link
        .parts
        .split_first()
        .filter(|(_, others)| !others.is_empty())
    else {
        return Vec::new();
    };
    let everybody: BTreeSet<_> = link
        .parts
        .iter()
        .map(|part| part.customer.clone())
        .collect();
    let apart = |own: &Link| {
        let mut apart = link.apart.clone();
        let strangers = everybody.iter().filter(|customer| !own.has(customer));
        apart.extend(strangers.cloned());
        apart
    };
    let mut kept = Link {
        parts: vec![first.clone()],
        ..link.clone()
    };
    kept.apart = apart(&kept);
    let mut links = vec![kept];
    for part in others {
        let mut contact = ContactId::made_for(&part.customer);
        while taken(&contact) || links.iter().any(|known| known.contact == contact) {
            contact.0.push('+');
        }
        let mut own = Link::to_new_contact(contact, part.customer.clone());
        own.parts = vec![part.clone()];
        own.apart = apart(&own);
        links.push(own);
    }
    links
}
