//! Who has which number and which e-mail now, on both sides, in any of their lists. Pure.

use super::super::world::World;
use crate::terms::contact::{ContactId, EmailAddress, Fields};
use crate::terms::ids::CustomerId;
use crate::terms::number::E164;
use std::collections::{BTreeMap, BTreeSet};

/// Who has a value, by value.
#[derive(Clone, Debug, Default)]
pub struct Held {
    customer_numbers: BTreeMap<E164, BTreeSet<CustomerId>>,
    customer_emails: BTreeMap<EmailAddress, BTreeSet<CustomerId>>,
    contact_numbers: BTreeMap<E164, BTreeSet<ContactId>>,
    contact_emails: BTreeMap<EmailAddress, BTreeSet<ContactId>>,
}

impl Held {
    pub fn of(world: &World) -> Self {
        let mut held = Self::default();
        for customer in world.live_customers() {
            let own = customer.fields.numbers().into_iter();
            let numbers = own
                .chain(&customer.shared_numbers)
                .chain(&customer.whatsapps);
            put(&mut held.customer_numbers, numbers, &customer.id);
            let own = customer.fields.addresses().into_iter();
            let emails = own.chain(&customer.shared_emails);
            put(&mut held.customer_emails, emails, &customer.id);
        }
        for contact in world.live_contacts() {
            held.note_contact(&contact.id, &contact.fields);
        }
        held
    }

    /// The contact has these too.
    pub fn note_contact(&mut self, contact: &ContactId, fields: &Fields) {
        put(&mut self.contact_numbers, fields.numbers(), contact);
        put(&mut self.contact_emails, fields.addresses(), contact);
    }

    /// What of the first the contact no longer has with the second.
    pub fn leave_contact(&mut self, contact: &ContactId, before: &Fields, after: &Fields) {
        leave(
            &mut self.contact_numbers,
            before.numbers(),
            &after.numbers(),
            contact,
        );
        leave(
            &mut self.contact_emails,
            before.addresses(),
            &after.addresses(),
            contact,
        );
    }

    /// The same for a customer.
    pub fn leave_customer(&mut self, customer: &CustomerId, before: &Fields, after: &Fields) {
        leave(
            &mut self.customer_numbers,
            before.numbers(),
            &after.numbers(),
            customer,
        );
        leave(
            &mut self.customer_emails,
            before.addresses(),
            &after.addresses(),
            customer,
        );
    }

    /// Which of these values some customer has.
    pub fn by_customers(&self, fields: &Fields) -> Vec<String> {
        let numbers = fields.numbers().into_iter();
        let numbers = numbers.filter(|number| self.customer_numbers.contains_key(*number));
        let emails = fields.addresses().into_iter();
        let emails = emails.filter(|email| self.customer_emails.contains_key(*email));
        let numbers = numbers.map(ToString::to_string);
        numbers.chain(emails.map(ToString::to_string)).collect()
    }

    /// Whether another contact has the number.
    pub fn number_elsewhere(&self, number: &E164, contact: &ContactId) -> bool {
        others(self.contact_numbers.get(number), &[contact])
    }

    /// Whether another contact has the e-mail.
    pub fn email_elsewhere(&self, email: &EmailAddress, contact: &ContactId) -> bool {
        others(self.contact_emails.get(email), &[contact])
    }

    /// Whether a customer other than these has the number.
    pub fn number_of_another(&self, number: &E164, customers: &[&CustomerId]) -> bool {
        others(self.customer_numbers.get(number), customers)
    }

    /// Whether a customer other than these has the e-mail.
    pub fn email_of_another(&self, email: &EmailAddress, customers: &[&CustomerId]) -> bool {
        others(self.customer_emails.get(email), customers)
    }
}

fn put<'a, V: Ord + Clone + 'a, W: Ord + Clone>(
    held: &mut BTreeMap<V, BTreeSet<W>>,
    values: impl IntoIterator<Item = &'a V>,
    whose: &W,
) {
    for value in values {
        held.entry(value.clone()).or_default().insert(whose.clone());
    }
}

fn leave<V: Ord, W: Ord>(
    held: &mut BTreeMap<V, BTreeSet<W>>,
    before: BTreeSet<&V>,
    after: &BTreeSet<&V>,
    whose: &W,
) {
    for value in before {
        if after.contains(value) {
            continue;
        }
        if let Some(holders) = held.get_mut(value) {
            holders.remove(whose);
            if holders.is_empty() {
                held.remove(value);
            }
        }
    }
}

fn others<W: Ord>(holders: Option<&BTreeSet<W>>, own: &[&W]) -> bool {
    holders.is_some_and(|holders| holders.iter().any(|holder| !own.contains(&holder)))
}
