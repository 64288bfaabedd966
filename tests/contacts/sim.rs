//! Both sides in memory, with their own rules: Kustomer refuses a value that another customer has, people edit, and a plan's
//! steps are carried out one by one. Shares nothing with the plan but its types.

use jiff::{SignedDuration, Timestamp};
use std::collections::{BTreeMap, BTreeSet};
use tieline::contacts::agree::{Policies, Policy};
use tieline::contacts::link::{Link, Part, Single};
use tieline::contacts::plan::{Action, After, Edit, Plan, Rules, Step, Wish, plan};
use tieline::contacts::world::{ContactState, Customer, CustomerState, World};
use tieline::terms::contact::{Contact, ContactId, Email, EmailAddress, Fields, Phone, PhoneKind};
use tieline::terms::ids::CustomerId;
use tieline::terms::number::E164;

/// Everything imported and exported, merged by both.
pub fn rules() -> Rules {
    Rules {
        kustomer: "support".to_owned(),
        import: true,
        export: true,
        extra_fields: false,
        merge_by_phone: true,
        merge_by_name: true,
        skip_shared_customers: false,
        policies: Policies {
            name: Policy::Newest,
            website: Policy::Newest,
            address: Policy::Newest,
        },
        tag: Some("phone".to_owned()),
        web_url: Some("https://acme.kustomerapp.com".to_owned()),
    }
}

pub fn number(last: u32) -> E164 {
    format!("+4917112345{last:02}").parse().unwrap()
}

pub fn email(name: &str) -> EmailAddress {
    EmailAddress::parse(&format!("{name}@example.org")).unwrap()
}

pub fn id(number: u32) -> CustomerId {
    CustomerId(format!("c{number:02}"))
}

pub fn fields(name: &str, numbers: &[u32]) -> Fields {
    Fields {
        name: name.to_owned(),
        phones: numbers
            .iter()
            .map(|last| Phone {
                number: number(*last),
                kind: PhoneKind::Mobile,
            })
            .collect(),
        ..Fields::default()
    }
}

/// Writes of a run, for counting.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Writes {
    pub phone: usize,
    pub kustomer: usize,
}

#[derive(Clone, Debug)]
pub struct Sim {
    pub world: World,
    pub rules: Rules,
    pub now: Timestamp,
    made: u32,
}

impl Sim {
    pub fn new() -> Self {
        Self {
            world: World::default(),
            rules: rules(),
            now: "2026-11-20T12:00:00Z".parse().unwrap(),
            made: 0,
        }
    }

    pub fn tick(&mut self) -> Timestamp {
        self.now += SignedDuration::from_secs(1);
        self.now
    }

    pub fn plan(&self) -> Plan {
        plan(&self.world, &self.rules, self.now)
    }

    /// Plans and carries out, until there is nothing left to do; answers the writes. Panics if that takes more than two runs
    /// or if the second writes anything.
    pub fn settle(&mut self) -> Writes {
        let writes = self.run(usize::MAX);
        let again = self.plan();
        assert!(
            again.steps.is_empty(),
            "a second run plans {:#?}\nof {:#?}",
            again.steps,
            self.world
        );
        writes
    }

    /// Carries out the first `steps` of a plan; the link isn't told of the last one if that is fewer than there are: the
    /// process was killed after the write.
    pub fn run(&mut self, steps: usize) -> Writes {
        let plan = self.plan();
        let mut writes = Writes::default();
        for (index, step) in plan.steps.iter().enumerate().take(steps) {
            self.carry_out(step, index + 1 < steps, &mut writes);
        }
        writes
    }

    fn carry_out(&mut self, step: &Step, noted: bool, writes: &mut Writes) {
        let mut created = None;
        match &step.action {
            Action::Agree => {}
            Action::CreateContact(wish) | Action::UpdateContact(wish) => {
                self.write_contact(&step.link, wish);
                writes.phone += 1;
            }
            Action::RemoveContact => {
                self.world
                    .contacts
                    .insert(step.link.clone(), ContactState::Gone);
                writes.phone += 1;
            }
            Action::CreateCustomer(new) => {
                created = Some(self.create(new.fields.clone(), Some(new.external_id.0.clone())));
                writes.kustomer += 1;
            }
            Action::UpdateCustomer(customer, edit) => {
                self.edit(customer, edit);
                writes.kustomer += 1;
            }
        }
        if !noted {
            return;
        }
        match &step.after {
            After::Keep => {}
            After::Forget => {
                self.world.links.remove(&step.link);
            }
            After::Become(link) => {
                let mut link: Link = (**link).clone();
                if let Some(created) = created {
                    let seen = self
                        .world
                        .customer(&created)
                        .map(|one| Single::of(&one.fields));
                    link.parts.push(Part {
                        seen,
                        ..Part::of(created)
                    });
                    let fields = self.world.contact(&step.link).unwrap().fields.clone();
                    let wish = tieline::contacts::plan::wish(&self.rules, &link, fields);
                    self.write_contact(&step.link, &wish);
                    writes.phone += 1;
                }
                self.world.links.insert(step.link.clone(), link);
            }
        }
    }

    fn write_contact(&mut self, contact: &ContactId, wish: &Wish) {
        let nobodys = self.nobodys();
        let before = self
            .world
            .contact(contact)
            .map(|one| one.fields.clone())
            .unwrap_or_default();
        for added in wish.fields.numbers() {
            if before.numbers().contains(added) {
                continue;
            }
            assert!(
                !nobodys.contains(added),
                "{added} is nobody's and comes to the phone side"
            );
            for other in self.world.live_contacts() {
                let there = &other.id != contact && other.fields.numbers().contains(added);
                assert!(!there, "{added} comes to {contact} and is at {}", other.id);
            }
        }
        let now = self.tick();
        let tags = self
            .world
            .contact(contact)
            .map(|one| one.tags.clone())
            .unwrap_or_default();
        let tags = tags.into_iter().chain(wish.tag.clone()).collect();
        let written = Contact {
            id: contact.clone(),
            fields: wish.fields.clone(),
            unread: Vec::new(),
            link: wish.link.clone(),
            tags,
            sources: wish.sources.clone(),
            updated_at: now,
        };
        self.world
            .contacts
            .insert(contact.clone(), ContactState::Here(Box::new(written)));
    }

    fn nobodys(&self) -> BTreeSet<E164> {
        let customers = self.world.live_customers();
        customers
            .flat_map(|one| one.shared_numbers.iter().chain(&one.whatsapps))
            .cloned()
            .collect()
    }

    /// A new customer, as the export or a person makes it. Panics where Kustomer would refuse.
    pub fn create(&mut self, fields: Fields, external_id: Option<String>) -> CustomerId {
        self.made += 1;
        let customer = id(self.made);
        self.unique(&customer, &fields);
        let made = Customer {
            id: customer.clone(),
            external_id,
            fields,
            invalid: Vec::new(),
            shared_numbers: BTreeSet::new(),
            shared_emails: BTreeSet::new(),
            whatsapps: BTreeSet::new(),
            modified_at: self.tick(),
        };
        self.world
            .customers
            .insert(customer.clone(), CustomerState::Here(Box::new(made)));
        customer
    }

    fn unique(&self, own: &CustomerId, fields: &Fields) {
        for other in self.world.live_customers().filter(|other| other.id != *own) {
            let all = other
                .fields
                .numbers()
                .into_iter()
                .chain(&other.shared_numbers)
                .chain(&other.whatsapps);
            let all: BTreeSet<&E164> = all.collect();
            for number in fields.numbers() {
                assert!(
                    !all.contains(number),
                    "{number} comes to {own:?} and is at {:?}",
                    other.id
                );
            }
            for email in fields.addresses() {
                assert!(
                    !other.fields.addresses().contains(email),
                    "{email} is at {:?} too",
                    other.id
                );
            }
        }
    }

    fn edit(&mut self, customer: &CustomerId, edit: &Edit) {
        let now = self.tick();
        let mut fields = self.world.customer(customer).unwrap().fields.clone();
        fields.name = edit.name.clone().unwrap_or(fields.name);
        fields.website = edit.website.clone().unwrap_or(fields.website);
        fields.address = edit.address.clone().unwrap_or(fields.address);
        fields
            .phones
            .retain(|one| !edit.remove_phones.contains(&one.number));
        fields.phones.extend(edit.add_phones.iter().cloned());
        fields
            .emails
            .retain(|one| !edit.remove_emails.contains(&one.email));
        fields.emails.extend(edit.add_emails.iter().cloned());
        self.unique(customer, &fields);
        let state = self.customer_mut(customer);
        state.fields = fields;
        state.modified_at = now;
    }

    pub fn customer_mut(&mut self, customer: &CustomerId) -> &mut Customer {
        match self.world.customers.get_mut(customer) {
            Some(CustomerState::Here(customer)) => customer,
            other => panic!("{customer:?} is {other:?}"),
        }
    }

    pub fn contact_mut(&mut self, contact: &ContactId) -> &mut Contact {
        match self.world.contacts.get_mut(contact) {
            Some(ContactState::Here(contact)) => contact,
            other => panic!("{contact} is {other:?}"),
        }
    }

    /// A person puts a contact into the phone book.
    pub fn person_adds(&mut self, contact: &str, fields: Fields) -> ContactId {
        let id = ContactId(contact.to_owned());
        let made = Contact {
            id: id.clone(),
            fields,
            unread: Vec::new(),
            link: None,
            tags: Vec::new(),
            sources: Vec::new(),
            updated_at: self.tick(),
        };
        self.world
            .contacts
            .insert(id.clone(), ContactState::Here(Box::new(made)));
        id
    }

    /// The contact that a customer is linked with.
    pub fn contact_of(&self, customer: &CustomerId) -> Option<&Contact> {
        let link = self
            .world
            .links
            .values()
            .find(|link| link.has(customer) && !link.is_removed())?;
        self.world.contact(&link.contact)
    }

    /// Numbers of the phone side, and whose contact has them.
    pub fn numbers_on_phones(&self) -> BTreeMap<E164, Vec<ContactId>> {
        let mut all: BTreeMap<E164, Vec<ContactId>> = BTreeMap::new();
        for contact in self.world.live_contacts() {
            for number in contact.fields.numbers() {
                all.entry(number.clone())
                    .or_default()
                    .push(contact.id.clone());
            }
        }
        all
    }
}

pub fn with_emails(mut fields: Fields, names: &[&str]) -> Fields {
    fields.emails = names
        .iter()
        .map(|name| Email {
            email: email(name),
            kind: Default::default(),
        })
        .collect();
    fields
}
