//! What has to be done so that both sides are the same (docs/contacts.md). Pure: a world in, a plan out.
//!
//! `homes` finds the link of every customer and contact, `wants` what each side of a link should have, `steps` turns that
//! into writes in an order in which no number is ever in two places. The plan of the world that a plan leaves is empty.

mod held;
mod homes;
mod steps;
#[cfg(test)]
mod tests;
mod wants;

use super::agree::{Field, Policies};
use super::import::{Nobodys, Offer, Why, offer};
use super::link::Link;
use super::world::World;
use crate::terms::contact::{Address, ContactId, Email, EmailAddress, Fields, Phone, Source};
use crate::terms::ids::CustomerId;
use crate::terms::number::E164;
pub use steps::wish;

use held::Held;
use jiff::{SignedDuration, Timestamp};
use std::collections::BTreeMap;

/// A removal is remembered at least so long after both sides lost the record: a contact server that is put back from a
/// backup brings back what is older than any backup one would put back.
pub const REMOVAL_KEEP: SignedDuration = SignedDuration::from_hours(400 * 24);

/// Numbers, and e-mails, that a customer holds (Kustomer: Customers).
pub const CUSTOMER_VALUES_MAX: usize = 10;

/// The settings that decide.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rules {
    /// Name of the `[[kustomer]]`.
    pub kustomer: String,
    pub import: bool,
    pub export: bool,
    /// Website and address are exported too.
    pub extra_fields: bool,
    pub merge_by_phone: bool,
    pub merge_by_name: bool,
    /// A customer with any shared or WhatsApp value is left out whole.
    pub skip_shared_customers: bool,
    pub policies: Policies,
    /// Put on contacts that are made for customers; people may take it off.
    pub tag: Option<String>,
    /// Where customers' pages are: `https://acme.kustomerapp.com`.
    pub web_url: Option<String>,
}

/// What would be done, and what was left out and why.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// In the order in which they have to be done.
    pub steps: Vec<Step>,
    pub left_out: Vec<LeftOut>,
    pub conflicts: Vec<Conflict>,
}

/// One write, or none, and what the link is afterwards.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    pub link: ContactId,
    pub action: Action,
    pub after: After,
}

/// What becomes of the link once the step is done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum After {
    /// Another step of the same link follows.
    Keep,
    Become(Box<Link>),
    Forget,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// Both sides are the same already; only the link learns of it.
    Agree,
    CreateContact(Box<Wish>),
    UpdateContact(Box<Wish>),
    RemoveContact,
    CreateCustomer(Box<NewCustomer>),
    UpdateCustomer(CustomerId, Box<Edit>),
}

/// What the phone side should have of a contact.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Wish {
    pub fields: Fields,
    pub link: Option<String>,
    pub tag: Option<String>,
    pub sources: Vec<Source>,
}

/// A customer to create. Once it is, its contact is marked with it ([`wish`]).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct NewCustomer {
    /// The contact's id: the create is found again by it.
    pub external_id: ContactId,
    pub fields: Fields,
}

/// What changes of a customer: put on what Kustomer has by then, so that nobody's edit is lost.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Edit {
    pub name: Option<String>,
    pub website: Option<String>,
    pub address: Option<Address>,
    pub add_phones: Vec<Phone>,
    pub remove_phones: Vec<E164>,
    pub add_emails: Vec<Email>,
    pub remove_emails: Vec<EmailAddress>,
}

/// Something that isn't copied.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct LeftOut {
    pub of: Whose,
    /// A number, an e-mail; empty: all of it.
    pub value: String,
    pub why: Why,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Whose {
    Customer(CustomerId),
    Contact(ContactId),
}

/// A field that both sides changed and that waits for a person (`ask`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conflict {
    pub link: ContactId,
    pub field: Field,
    pub kustomer: String,
    pub phone: String,
}

impl Edit {
    /// Its single values, put on a customer's.
    pub fn put_single(&self, fields: &mut Fields) {
        if let Some(name) = &self.name {
            name.clone_into(&mut fields.name);
        }
        if let Some(website) = &self.website {
            website.clone_into(&mut fields.website);
        }
        if let Some(address) = &self.address {
            fields.address = address.clone();
        }
    }

    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl Plan {
    fn leave_out(&mut self, of: Whose, value: &str, why: Why) {
        let value = value.to_owned();
        self.left_out.push(LeftOut { of, value, why });
    }
}

/// What the stages of a plan share.
struct Scene<'a> {
    world: &'a World,
    rules: &'a Rules,
    nobodys: Nobodys,
    held: Held,
    offers: BTreeMap<CustomerId, Offer>,
    now: Timestamp,
}

/// The plan for a world.
pub fn plan(world: &World, rules: &Rules, now: Timestamp) -> Plan {
    let nobodys = Nobodys::of(world);
    let offers = world.live_customers().map(|customer| {
        let offer = offer(customer, &nobodys, rules.skip_shared_customers);
        (customer.id.clone(), offer)
    });
    let offers = offers.collect();
    let scene = Scene {
        world,
        rules,
        nobodys,
        held: Held::of(world),
        offers,
        now,
    };
    let mut plan = Plan::default();
    for (id, offer) in &scene.offers {
        for (value, why) in &offer.left_out {
            plan.leave_out(Whose::Customer(id.clone()), value, *why);
        }
    }
    let links = homes::settle(&scene, &mut plan);
    let wants = wants::of(&scene, &links, &mut plan);
    plan.steps = steps::order(&scene, &links, wants);
    plan.left_out.sort();
    plan.left_out.dedup();
    plan
}
