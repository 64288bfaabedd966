//! The plan's rules one by one, on worlds made by hand. That two runs agree after any history is tests/contacts's.

use super::super::agree::Policy;
use super::super::link::{Link, LinkState, Part, Side, Single};
use super::super::world::{ContactState, Customer, CustomerState};
use super::*;
use crate::terms::contact::{Contact, Email, EmailKind, Phone, PhoneKind};
use std::collections::BTreeSet;

mod homes;
mod steps;
mod wants;

fn s(seconds: i64) -> Timestamp {
    Timestamp::from_second(seconds).unwrap()
}

fn number(last: u32) -> E164 {
    format!("+4917112345{last:02}").parse().unwrap()
}

fn email(name: &str) -> EmailAddress {
    EmailAddress::parse(&format!("{name}@example.org")).unwrap()
}

fn id(customer: &str) -> CustomerId {
    CustomerId(customer.to_owned())
}

fn contact_id(contact: &str) -> ContactId {
    ContactId(contact.to_owned())
}

/// Somebody of that name with these numbers and e-mails.
fn fields(name: &str, numbers: &[u32], emails: &[&str]) -> Fields {
    let phone = |last: &u32| Phone {
        number: number(*last),
        kind: PhoneKind::Mobile,
    };
    let email = |name: &&str| Email {
        email: email(name),
        kind: EmailKind::Home,
    };
    Fields {
        name: name.to_owned(),
        phones: numbers.iter().map(phone).collect(),
        emails: emails.iter().map(email).collect(),
        ..Fields::default()
    }
}

/// A world and the rules, to which everything is imported and exported.
struct Case {
    world: World,
    rules: Rules,
    now: Timestamp,
}

impl Case {
    fn new() -> Self {
        Self {
            world: World::default(),
            rules: Rules {
                kustomer: "support".to_owned(),
                import: true,
                export: true,
                extra_fields: true,
                merge_by_phone: true,
                merge_by_name: true,
                skip_shared_customers: false,
                policies: Policies::default(),
                tag: None,
                web_url: None,
            },
            now: s(1000),
        }
    }

    fn plan(&self) -> Plan {
        plan(&self.world, &self.rules, self.now)
    }

    fn customer(&mut self, customer: &str, fields: Fields) -> &mut Customer {
        let here = Customer {
            id: id(customer),
            external_id: None,
            fields,
            invalid: Vec::new(),
            shared_numbers: BTreeSet::new(),
            shared_emails: BTreeSet::new(),
            whatsapps: BTreeSet::new(),
            modified_at: s(10),
        };
        let customers = &mut self.world.customers;
        customers.insert(id(customer), CustomerState::Here(Box::new(here)));
        match customers.get_mut(&id(customer)) {
            Some(CustomerState::Here(customer)) => customer,
            gone => panic!("{gone:?}"),
        }
    }

    fn contact(&mut self, contact: &str, fields: Fields) -> &mut Contact {
        let here = Contact {
            id: contact_id(contact),
            fields,
            unread: Vec::new(),
            link: None,
            tags: Vec::new(),
            sources: Vec::new(),
            updated_at: s(10),
        };
        let contacts = &mut self.world.contacts;
        contacts.insert(contact_id(contact), ContactState::Here(Box::new(here)));
        match contacts.get_mut(&contact_id(contact)) {
            Some(ContactState::Here(contact)) => contact,
            gone => panic!("{gone:?}"),
        }
    }

    fn gone(&mut self, contact: &str) {
        let contacts = &mut self.world.contacts;
        contacts.insert(contact_id(contact), ContactState::Gone);
    }

    fn link(&mut self, contact: &str, customers: &[&str], state: LinkState) -> &mut Link {
        let link = Link {
            contact: contact_id(contact),
            parts: customers.iter().map(|one| Part::of(id(one))).collect(),
            agreed: Fields::default(),
            state,
            apart: BTreeSet::new(),
        };
        let links = &mut self.world.links;
        links.insert(contact_id(contact), link);
        links.get_mut(&contact_id(contact)).unwrap()
    }

    /// Customers and their contact, which last agreed on `agreed`; each side has what it has now.
    fn linked(
        &mut self,
        contact: &str,
        agreed: &Fields,
        ours: Fields,
        customers: &[(&str, Fields)],
    ) {
        for (customer, fields) in customers {
            self.customer(customer, fields.clone());
        }
        let sources = customers.iter().map(|(customer, _)| Source {
            kustomer: "support".to_owned(),
            customer: (*customer).to_owned(),
        });
        self.contact(contact, ours).sources = sources.collect();
        let parts: Vec<&str> = customers.iter().map(|(customer, _)| *customer).collect();
        let link = self.link(contact, &parts, LinkState::Linked);
        link.agreed = agreed.clone();
        for part in &mut link.parts {
            part.seen = Some(Single::of(agreed));
        }
    }
}

/// What a plan does, in short: `create c@p` and the like.
fn told(plan: &Plan) -> Vec<String> {
    let told = |step: &Step| match &step.action {
        Action::Agree => match &step.after {
            After::Forget => format!("forget {}", step.link),
            After::Keep | After::Become(_) => format!("agree {}", step.link),
        },
        Action::CreateContact(_) => format!("create {}", step.link),
        Action::UpdateContact(_) => format!("update {}", step.link),
        Action::RemoveContact => format!("remove {}", step.link),
        Action::CreateCustomer(_) => format!("create customer of {}", step.link),
        Action::UpdateCustomer(customer, _) => format!("update {}", customer.0),
    };
    plan.steps.iter().map(told).collect()
}

/// The link as it is once the plan is carried out.
fn link_after<'a>(plan: &'a Plan, contact: &str) -> Option<&'a Link> {
    let mut steps = plan.steps.iter().rev();
    steps.find_map(|step| match &step.after {
        After::Become(link) if step.link.0 == contact => Some(&**link),
        After::Become(_) | After::Keep | After::Forget => None,
    })
}

/// Whose customers these are afterwards.
fn customers_after(plan: &Plan, contact: &str) -> Vec<String> {
    let link = link_after(plan, contact);
    let parts = link.into_iter().flat_map(|link| &link.parts);
    parts.map(|part| part.customer.0.clone()).collect()
}

/// What is written to a customer, in the order of the steps.
fn edits<'a>(plan: &'a Plan, customer: &str) -> Vec<&'a Edit> {
    let steps = plan.steps.iter();
    let edits = steps.filter_map(|step| match &step.action {
        Action::UpdateCustomer(id, edit) if id.0 == customer => Some(&**edit),
        _ => None,
    });
    edits.collect()
}

/// What is written to a contact, in the order of the steps.
fn wishes<'a>(plan: &'a Plan, contact: &str) -> Vec<&'a Wish> {
    let steps = plan.steps.iter().filter(|step| step.link.0 == contact);
    let wishes = steps.filter_map(|step| match &step.action {
        Action::CreateContact(wish) | Action::UpdateContact(wish) => Some(&**wish),
        _ => None,
    });
    wishes.collect()
}

/// Why a value of somebody was left out.
fn why(plan: &Plan, of: &Whose, value: &str) -> Option<Why> {
    let mut left_out = plan.left_out.iter();
    let found = left_out.find(|one| one.of == *of && one.value == value);
    found.map(|one| one.why)
}
