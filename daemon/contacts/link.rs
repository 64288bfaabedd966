//! What joins a contact with its customers, and what both sides last agreed on. A stored value; `plan` decides how it
//! changes.

use crate::terms::contact::{Address, ContactId, Fields};
use crate::terms::ids::CustomerId;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// A contact and the customers it stands for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Link {
    /// Names the link too: the contact's id is known before the contact is there.
    pub contact: ContactId,
    /// Several where customers were merged into one contact. Empty while the customer is to be created, and once all of
    /// them are gone.
    pub parts: Vec<Part>,
    /// What both sides had, per field, when they were last the same.
    pub agreed: Fields,
    pub state: LinkState,
    /// Customers that were parted from it by hand and never come to it again.
    #[serde(default)]
    pub apart: BTreeSet<CustomerId>,
}

/// One customer of a contact.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    pub customer: CustomerId,
    /// Customers that were merged into this one in Kustomer.
    #[serde(default)]
    pub aliases: BTreeSet<CustomerId>,
    /// Its single values when both sides last agreed: of several customers the one that a person changed since counts, and
    /// not the one that we wrote to. None: it is new to the link.
    #[serde(default)]
    pub seen: Option<Single>,
}

/// The fields of which there is one value.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Single {
    pub name: String,
    pub company: String,
    pub website: String,
    pub address: Address,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LinkState {
    /// The contact is to be created, or was and nobody lived to note it.
    ContactDue,
    /// The customer is to be created, or was and nobody lived to note it.
    CustomerDue,
    /// Both sides are there.
    Linked,
    /// The customers have no number any more: the contact was removed, and comes back with the next number.
    Withdrawn,
    /// One side removed it. Kept, so that it doesn't come back.
    Removed { by: Side, at: Timestamp },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Side {
    Kustomer,
    Phone,
}

impl Part {
    pub fn of(customer: CustomerId) -> Self {
        Self {
            customer,
            aliases: BTreeSet::new(),
            seen: None,
        }
    }
}

impl Single {
    pub fn of(fields: &Fields) -> Self {
        Self {
            name: fields.name.clone(),
            company: fields.company.clone(),
            website: fields.website.clone(),
            address: fields.address.clone(),
        }
    }
}

impl Link {
    /// A link to a contact that is to be created for a customer.
    pub fn to_new_contact(contact: ContactId, customer: CustomerId) -> Self {
        Self {
            contact,
            parts: vec![Part::of(customer)],
            agreed: Fields::default(),
            state: LinkState::ContactDue,
            apart: BTreeSet::new(),
        }
    }

    /// Whether the customer is one of its parts, under any name it had.
    pub fn has(&self, customer: &CustomerId) -> bool {
        let is = |part: &Part| &part.customer == customer || part.aliases.contains(customer);
        self.parts.iter().any(is)
    }

    /// Whether a removal is remembered by it.
    pub const fn is_removed(&self) -> bool {
        matches!(self.state, LinkState::Removed { .. })
    }
}
