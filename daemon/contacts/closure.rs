//! The closed world around one customer or contact: everybody who shares a number, an e-mail, a name or a link with somebody
//! in it (see `world.rs`). Read from what is in the store.
//!
//! A value that is nobody's own joins nobody: a company's number may be a hundred thousand customers' shared one. That it is
//! nobody's is said in such a world by one stand-in, which has all such values and nothing else.

use super::memory::{Memory, Node, Role, Value, of_contact, of_customer};
use super::plan::{Plan, Rules, Whose, plan};
use super::world::{ContactState, Customer, CustomerState, World};
use crate::store::StoreFault;
use crate::terms::contact::{ContactId, Fields};
use crate::terms::ids::CustomerId;
use jiff::Timestamp;
use std::collections::BTreeSet;

/// So many at most are looked at together, some 10 MB: beyond it a name or a number is many people's.
pub const NODES_MAX: usize = 5000;

/// A name of more customers is anybody's, and no reason to put two together: it isn't followed.
pub const NAMESAKES_MAX: usize = 100;

/// The stand-in's id. No customer has it.
const NOBODY: &str = "";

/// Who has to do with each other.
pub struct Closure {
    pub world: World,
    pub nodes: BTreeSet<Node>,
    /// There are more than [`NODES_MAX`]: nothing can be planned for them.
    pub too_many: bool,
}

impl Closure {
    /// Everybody around `start`.
    ///
    /// # Errors
    /// A fault of the store.
    pub fn around(memory: &Memory, start: &Node, by_name: bool) -> Result<Self, StoreFault> {
        Self::limited(memory, start, by_name, NODES_MAX)
    }

    /// The same with another limit.
    ///
    /// # Errors
    /// A fault of the store.
    pub fn limited(
        memory: &Memory,
        start: &Node,
        by_name: bool,
        limit: usize,
    ) -> Result<Self, StoreFault> {
        let mut search = Search {
            memory,
            by_name,
            limit,
            world: World::default(),
            nobody: nobody(),
            nodes: BTreeSet::new(),
            values: BTreeSet::new(),
            next: vec![start.clone()],
        };
        while let Some(node) = search.next.pop() {
            if search.nodes.len() > limit {
                break;
            }
            if !search.nodes.insert(node.clone()) {
                continue;
            }
            match node {
                Node::Customer(id) => search.customer(&id)?,
                Node::Contact(id) => search.contact(&id)?,
            }
        }
        let too_many = search.nodes.len() > limit;
        let Search {
            mut world,
            nobody,
            nodes,
            ..
        } = search;
        if nobody != self::nobody() {
            let nobody = CustomerState::Here(Box::new(nobody));
            world
                .customers
                .insert(CustomerId(NOBODY.to_owned()), nobody);
        }
        Ok(Self {
            world,
            nodes,
            too_many,
        })
    }

    /// Its plan; empty if there are too many.
    pub fn plan(&self, rules: &Rules, now: Timestamp) -> Plan {
        if self.too_many {
            return Plan::default();
        }
        let mut plan = plan(&self.world, rules, now);
        let nobody = Whose::Customer(CustomerId(NOBODY.to_owned()));
        plan.left_out.retain(|one| one.of != nobody);
        plan
    }
}

fn nobody() -> Customer {
    Customer {
        id: CustomerId(NOBODY.to_owned()),
        external_id: None,
        fields: Fields::default(),
        invalid: Vec::new(),
        shared_numbers: BTreeSet::new(),
        shared_emails: BTreeSet::new(),
        whatsapps: BTreeSet::new(),
        modified_at: Timestamp::UNIX_EPOCH,
    }
}

struct Search<'a> {
    memory: &'a Memory,
    by_name: bool,
    limit: usize,
    world: World,
    nobody: Customer,
    nodes: BTreeSet<Node>,
    values: BTreeSet<Value>,
    next: Vec<Node>,
}

impl Search<'_> {
    fn customer(&mut self, id: &CustomerId) -> Result<(), StoreFault> {
        let row = self.memory.customer(id)?;
        for holding in of_customer(id, row.as_ref()) {
            match holding.value {
                Value::MergedInto(target) => self.next.push(Node::Customer(target)),
                Value::External(contact) => self.next.push(Node::Contact(ContactId(contact))),
                value @ (Value::Number(_) | Value::Email(_) | Value::Name(_)) => {
                    self.value(&value)?;
                }
                Value::LinkOf(_) => {}
            }
        }
        self.value(&Value::LinkOf(id.clone()))?;
        self.value(&Value::MergedInto(id.clone()))?;
        self.contacts_named_for(id)?;
        if let Some(row) = row {
            self.world.customers.insert(id.clone(), row.state());
        }
        Ok(())
    }

    /// The contacts that have the id which one for this customer would get.
    fn contacts_named_for(&mut self, id: &CustomerId) -> Result<(), StoreFault> {
        let mut contact = ContactId::made_for(id);
        while self.memory.contact(&contact)?.is_some() || self.memory.link(&contact)?.is_some() {
            self.next.push(Node::Contact(contact.clone()));
            contact.0.push('+');
        }
        Ok(())
    }

    fn contact(&mut self, id: &ContactId) -> Result<(), StoreFault> {
        let (row, link) = (self.memory.contact(id)?, self.memory.link(id)?);
        for holding in of_contact(id, row.as_ref(), link.as_ref()) {
            match holding.value {
                Value::LinkOf(customer) | Value::MergedInto(customer) => {
                    self.next.push(Node::Customer(customer));
                }
                value @ (Value::Number(_)
                | Value::Email(_)
                | Value::Name(_)
                | Value::External(_)) => self.value(&value)?,
            }
        }
        self.value(&Value::External(id.0.clone()))?;
        if let Some(customer) = id.customer()
            && self.memory.customer(&customer)?.is_some()
        {
            self.next.push(Node::Customer(customer));
        }
        if let Some(row) = row {
            let state = match row.entry {
                Some(entry) => ContactState::Here(Box::new(entry.contact)),
                None => ContactState::Gone,
            };
            self.world.contacts.insert(id.clone(), state);
        }
        if let Some(link) = link {
            self.world.links.insert(id.clone(), link);
        }
        Ok(())
    }

    /// Everybody who has the value, or that it is nobody's.
    fn value(&mut self, value: &Value) -> Result<(), StoreFault> {
        if !self.values.insert(value.clone()) {
            return Ok(());
        }
        if matches!(value, Value::Name(_)) && !self.by_name {
            return Ok(());
        }
        let enough = self.limit.saturating_add(1);
        let holders = self.memory.holders(value, enough)?;
        let all = holders.len() < enough;
        // Few have it: then all who do are read already.
        let says = |role| {
            let said = holders.iter().any(|one| one.role == role);
            Ok::<_, StoreFault>(said || (!all && self.memory.declares(value, role, |_| false)?))
        };
        match value {
            Value::Number(number) => {
                let (shared, whatsapp) = (says(Role::Shared)?, says(Role::Whatsapp)?);
                if shared {
                    self.nobody.shared_numbers.insert(number.clone());
                }
                if whatsapp {
                    self.nobody.whatsapps.insert(number.clone());
                }
                if shared || whatsapp {
                    return Ok(());
                }
            }
            Value::Email(email) => {
                if says(Role::Shared)? {
                    self.nobody.shared_emails.insert(email.clone());
                    return Ok(());
                }
            }
            Value::Name(_) | Value::LinkOf(_) | Value::MergedInto(_) | Value::External(_) => {}
        }
        if matches!(value, Value::Name(_)) && holders.len() > NAMESAKES_MAX {
            return Ok(());
        }
        self.next.extend(holders.into_iter().map(|one| one.node));
        Ok(())
    }
}
