//! What a plan is made from: customers, contacts and links that have to do with each other.
//!
//! All of both sides, or a part that is closed: whoever shares a number, an e-mail, a name or a link with somebody in it
//! is in it too. What isn't in it isn't known, and nothing follows from that.

use super::link::Link;
use crate::terms::contact::{Contact, ContactId, EmailAddress, Fields};
use crate::terms::ids::CustomerId;
use crate::terms::number::E164;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct World {
    pub customers: BTreeMap<CustomerId, CustomerState>,
    pub contacts: BTreeMap<ContactId, ContactState>,
    pub links: BTreeMap<ContactId, Link>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CustomerState {
    Here(Box<Customer>),
    /// Said to be gone; merged into another one, if that was said too.
    Gone {
        into: Option<CustomerId>,
    },
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ContactState {
    Here(Box<Contact>),
    /// Said to be gone.
    Gone,
}

/// A customer as Kustomer has it, before the import rules.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Customer {
    pub id: CustomerId,
    pub external_id: Option<String>,
    /// The valid numbers and e-mails, and the rest as the contact would have it.
    pub fields: Fields,
    /// Numbers that are none, as written.
    pub invalid: Vec<String>,
    pub shared_numbers: BTreeSet<E164>,
    pub shared_emails: BTreeSet<EmailAddress>,
    pub whatsapps: BTreeSet<E164>,
    /// When a person or we last changed it.
    pub modified_at: Timestamp,
}

impl World {
    pub fn customer(&self, id: &CustomerId) -> Option<&Customer> {
        match self.customers.get(id)? {
            CustomerState::Here(customer) => Some(customer),
            CustomerState::Gone { .. } => None,
        }
    }

    pub fn contact(&self, id: &ContactId) -> Option<&Contact> {
        match self.contacts.get(id)? {
            ContactState::Here(contact) => Some(contact),
            ContactState::Gone => None,
        }
    }

    pub fn is_gone(&self, id: &ContactId) -> bool {
        self.contacts.get(id) == Some(&ContactState::Gone)
    }

    pub fn live_customers(&self) -> impl Iterator<Item = &Customer> {
        self.customers.values().filter_map(|state| match state {
            CustomerState::Here(customer) => Some(customer.as_ref()),
            CustomerState::Gone { .. } => None,
        })
    }

    pub fn live_contacts(&self) -> impl Iterator<Item = &Contact> {
        self.contacts.values().filter_map(|state| match state {
            ContactState::Here(contact) => Some(contact.as_ref()),
            ContactState::Gone => None,
        })
    }
}
