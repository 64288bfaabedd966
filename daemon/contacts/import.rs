//! What of a customer may come to the phone side, and why the rest may not (docs/contacts.md, "What never is"). Pure.

use super::world::{Customer, World};
use crate::terms::contact::{EmailAddress, Fields};
use crate::terms::number::E164;
use std::collections::BTreeSet;

/// Values that are nobody's own: shared and WhatsApp ones of any customer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Nobodys {
    numbers: BTreeSet<E164>,
    emails: BTreeSet<EmailAddress>,
    whatsapps: BTreeSet<E164>,
}

/// Why something was left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Why {
    Shared,
    Whatsapp,
    Invalid,
    /// Nothing to call is left.
    NoNumber,
    /// A customer, or on the phone side a contact, has the value already.
    Taken,
    /// Another contact has the number too.
    NotUnique,
    /// Kustomer holds no more values of this kind.
    Full,
}

impl Why {
    /// As `tieline plan --json` has it.
    pub const fn key(self) -> &'static str {
        match self {
            Self::Shared => "shared",
            Self::Whatsapp => "whatsapp",
            Self::Invalid => "invalid",
            Self::NoNumber => "no_number",
            Self::Taken => "taken",
            Self::NotUnique => "not_unique",
            Self::Full => "full",
        }
    }
}

/// What a customer brings to a contact.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    pub fields: Fields,
    /// What it doesn't bring: the value, and why.
    pub left_out: Vec<(String, Why)>,
}

impl Offer {
    /// Whether a contact can be made of it: something to call is left.
    pub fn is_importable(&self) -> bool {
        !self.fields.phones.is_empty()
    }
}

impl Nobodys {
    pub fn of(world: &World) -> Self {
        let mut nobodys = Self::default();
        for customer in world.live_customers() {
            nobodys
                .numbers
                .extend(customer.shared_numbers.iter().cloned());
            nobodys
                .emails
                .extend(customer.shared_emails.iter().cloned());
            nobodys.whatsapps.extend(customer.whatsapps.iter().cloned());
        }
        nobodys
    }

    /// Why a number is nobody's, if it is.
    pub fn number(&self, number: &E164) -> Option<Why> {
        if self.numbers.contains(number) {
            Some(Why::Shared)
        } else {
            self.whatsapps.contains(number).then_some(Why::Whatsapp)
        }
    }

    pub fn email(&self, email: &EmailAddress) -> Option<Why> {
        self.emails.contains(email).then_some(Why::Shared)
    }
}

/// What the customer brings. `whole`: a customer with any shared or WhatsApp value brings nothing.
pub fn offer(customer: &Customer, nobodys: &Nobodys, whole: bool) -> Offer {
    let mut left_out: Vec<(String, Why)> = Vec::new();
    let mut fields = customer.fields.clone();
    fields
        .phones
        .retain(|phone| match nobodys.number(&phone.number) {
            Some(why) => {
                left_out.push((phone.number.to_string(), why));
                false
            }
            None => true,
        });
    fields
        .emails
        .retain(|email| match nobodys.email(&email.email) {
            Some(why) => {
                left_out.push((email.email.to_string(), why));
                false
            }
            None => true,
        });
    let own = |values: &BTreeSet<E164>, why| {
        values
            .iter()
            .map(move |one| (one.to_string(), why))
            .collect::<Vec<_>>()
    };
    left_out.extend(own(&customer.shared_numbers, Why::Shared));
    left_out.extend(own(&customer.whatsapps, Why::Whatsapp));
    left_out.extend(
        customer
            .shared_emails
            .iter()
            .map(|one| (one.to_string(), Why::Shared)),
    );
    left_out.sort();
    left_out.dedup_by(|a, b| a.0 == b.0);
    if whole && !left_out.is_empty() {
        fields.phones.clear();
        fields.emails.clear();
    }
    left_out.extend(
        customer
            .invalid
            .iter()
            .map(|one| (one.clone(), Why::Invalid)),
    );
    Offer { fields, left_out }
}
