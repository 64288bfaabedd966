//! Who has a value: the index of the sync's memory. Read by `memory.rs`, written by `batch.rs`.
//!
//! Numbers, e-mails and names come in no order, and the store keeps some 300 bytes in memory for each ten records, however
//! small. So those that a hash puts together share a record, a shelf: with a million customers there are some ten on each,
//! with few customers each has its own. A value that many have goes on a shelf a few times only; whoever has it beyond that
//! gets a record of their own, and the shelf says that there are more. So no shelf grows with the customers that share a
//! number. Ids come in the order in which customers were created: they lie side by side as they are. And that a customer is in
//! the link which has its own name isn't written down at all.
//!
//! ```text
//! integration 0 s shelf           Shelf   the holdings of some values
//! integration 0 i value 0 role id Mark    one holding
//! ```

use super::records::{Holding, Mark, Node, Role, Value};
use super::{Memory, Trees, page};
use crate::store::{Record, StoreFault, Writes};
use crate::terms::contact::ContactId;
use crate::terms::ids::CustomerId;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;

/// Part of the format on disk.
const SHELVES: u32 = 1 << 19;

/// Who has one value, on a shelf: a person's number is theirs on both sides, a name that of a few.
const TOGETHER_MAX: usize = 8;

/// Stands for a role where there are more holdings of a value than a shelf takes.
const MORE: u8 = b'+';

/// Keys of holdings, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Shelf(Vec<String>);

impl Record for Shelf {
    const VERSION: u16 = 1;
}

impl Shelf {
    /// What follows a value in the keys of its holdings.
    fn of<'a>(&'a self, value: &'a str) -> impl Iterator<Item = &'a str> {
        let first = self.0.partition_point(|key| key.as_str() < value);
        let behind = self.0.get(first..).unwrap_or_default().iter();
        behind.map_while(move |key| key.strip_prefix(value))
    }

    /// Whether some holdings of a value have records of their own, or had.
    fn has_more(&self, value: &str) -> bool {
        self.of(value).any(|rest| rest.as_bytes() == [MORE])
    }

    fn put(&mut self, key: String) {
        if let Err(at) = self.0.binary_search(&key) {
            self.0.insert(at, key);
        }
    }

    /// False: it isn't here.
    fn take(&mut self, key: &str) -> bool {
        let found = self.0.binary_search_by(|one| one.as_str().cmp(key));
        found.map(|at| self.0.remove(at)).is_ok()
    }
}

/// Where the holdings of a value are; none: side by side, each a record.
fn shelf_of(value: &Value) -> Option<[u8; 4]> {
    match value {
        Value::Number(_) | Value::Email(_) | Value::Name(_) => {
            let digest = Sha256::digest(value.key());
            let first = digest.first_chunk::<4>().copied().unwrap_or_default();
            Some((u32::from_be_bytes(first) % SHELVES).to_be_bytes())
        }
        Value::LinkOf(_) | Value::MergedInto(_) | Value::External(_) => None,
    }
}

/// Whether a link's name says it: see `link_of_its_name`.
fn is_said_by_its_link(holding: &Holding) -> bool {
    let Value::LinkOf(customer) = &holding.value else {
        return false;
    };
    holding.node == Node::Contact(ContactId::made_for(customer))
}

impl Memory {
    /// Who has a value, up to `limit`.
    ///
    /// # Errors
    /// A fault of the store.
    pub fn holders(&self, value: &Value, limit: usize) -> Result<Vec<Holding>, StoreFault> {
        let (mut found, more) = self.on_shelf(value)?;
        if more && found.len() < limit {
            let prefix = self.trees.key(b'i', value.key().as_bytes());
            let left = limit.saturating_sub(found.len());
            let rows = page(&self.trees.marks, &prefix, &[], left)?;
            let rows = rows.iter();
            found.extend(rows.filter_map(|(rest, _)| Holding::parse(value, rest)));
        }
        found.extend(self.link_of_its_name(value)?);
        found.truncate(limit);
        Ok(found)
    }

    fn link_of_its_name(&self, value: &Value) -> Result<Option<Holding>, StoreFault> {
        let Value::LinkOf(customer) = value else {
            return Ok(None);
        };
        let contact = ContactId::made_for(customer);
        let link = self.link(&contact)?;
        let found = link.is_some_and(|link| link.has(customer));
        Ok(found.then(|| Holding {
            value: value.clone(),
            role: Role::Contact,
            node: Node::Contact(contact),
        }))
    }

    /// One that says in this role that the value is nobody's own, not counting `but`.
    ///
    /// # Errors
    /// A fault of the store.
    pub fn declares(
        &self,
        value: &Value,
        role: Role,
        but: impl Fn(&Node) -> bool,
    ) -> Result<bool, StoreFault> {
        let says = |one: &Holding| one.role == role && !but(&one.node);
        let (found, more) = self.on_shelf(value)?;
        let said = found.iter().any(says);
        if said || !more {
            return Ok(said);
        }
        let any = Holding {
            value: value.clone(),
            role,
            node: Node::Customer(CustomerId(String::new())),
        };
        let prefix = self.trees.key(b'i', any.key().as_bytes());
        let start = self.trees.key(b'i', value.key().as_bytes()).len();
        for row in self.trees.marks.prefix(&prefix) {
            let (key, _) = row?;
            let rest = key.get(start..).unwrap_or_default();
            if Holding::parse(value, rest).as_ref().is_some_and(says) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The holdings of a value that lie on its shelf, and whether there may be more in records of their own.
    fn on_shelf(&self, value: &Value) -> Result<(Vec<Holding>, bool), StoreFault> {
        let Some(shelf) = shelf_of(value) else {
            return Ok((Vec::new(), true));
        };
        let shelf = self.trees.shelves.get(&self.trees.key(b's', &shelf))?;
        let (shelf, key) = (shelf.unwrap_or_default(), value.key());
        let found = shelf.of(&key);
        let found = found.filter_map(|rest| Holding::parse(value, rest.as_bytes()));
        Ok((found.collect(), shelf.has_more(&key)))
    }
}

impl Trees {
    /// Takes holdings out of the index and puts others in.
    pub(super) fn index(
        &self,
        writes: &mut Writes<'_>,
        gone: &[Holding],
        come: &[Holding],
    ) -> Result<(), StoreFault> {
        let mut shelves: BTreeMap<[u8; 4], (Vec<&Holding>, Vec<&Holding>)> = BTreeMap::new();
        for holding in gone.iter().filter(|one| !is_said_by_its_link(one)) {
            match shelf_of(&holding.value) {
                Some(shelf) => shelves.entry(shelf).or_default().0.push(holding),
                None => writes.remove(&self.marks, &self.own_key(holding))?,
            }
        }
        for holding in come.iter().filter(|one| !is_said_by_its_link(one)) {
            match shelf_of(&holding.value) {
                Some(shelf) => shelves.entry(shelf).or_default().1.push(holding),
                None => writes.put(&self.marks, &self.own_key(holding), &Mark::default())?,
            }
        }
        for (shelf, (gone, come)) in shelves {
            self.tidy(writes, shelf, &gone, &come)?;
        }
        Ok(())
    }

    fn own_key(&self, holding: &Holding) -> Vec<u8> {
        self.key(b'i', holding.key().as_bytes())
    }

    fn tidy(
        &self,
        writes: &mut Writes<'_>,
        at: [u8; 4],
        gone: &[&Holding],
        come: &[&Holding],
    ) -> Result<(), StoreFault> {
        let at = self.key(b's', &at);
        let before = writes.get(&self.shelves, &at)?.unwrap_or_default();
        let mut shelf = before.clone();
        for holding in gone {
            if !shelf.take(&holding.key()) {
                writes.remove(&self.marks, &self.own_key(holding))?;
            }
        }
        for holding in come {
            let value = holding.value.key();
            if shelf.of(&value).count() < TOGETHER_MAX {
                shelf.put(holding.key());
            } else {
                shelf.put(format!("{value}{}", char::from(MORE)));
                writes.put(&self.marks, &self.own_key(holding), &Mark::default())?;
            }
        }
        if shelf.0.is_empty() {
            writes.remove(&self.shelves, &at)
        } else if shelf != before {
            writes.put(&self.shelves, &at, &shelf)
        } else {
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{Store, StoreOptions};
    use proptest::prelude::*;
    use std::collections::{BTreeSet, HashMap};
    use tokio::runtime::Runtime;

    /// A value, a role and somebody: who has it gives it up, who hasn't gets it.
    type Turn = (usize, usize, u8);

    fn turn() -> impl Strategy<Value = Turn> {
        (0_usize..4, 0_usize..4, 0_u8..20)
    }

    fn number(last: u32) -> Value {
        Value::Number(format!("+49151{last:08}").parse().unwrap())
    }

    /// Two that share a shelf, one that has another, and one that has none.
    fn values() -> [Value; 4] {
        let mut seen: HashMap<[u8; 4], u32> = HashMap::new();
        let met = (0..).find_map(|last| {
            let other = seen.insert(shelf_of(&number(last)).unwrap(), last);
            other.map(|other| [number(other), number(last)])
        });
        let [first, second] = met.unwrap();
        let link = Value::LinkOf(CustomerId("c1".to_owned()));
        [first, second, Value::Name("ada example".to_owned()), link]
    }

    fn holding(values: &[Value], (value, role, who): Turn) -> Holding {
        let roles = [Role::Customer, Role::Shared, Role::Whatsapp, Role::Contact];
        let node = match roles[role] {
            Role::Contact => Node::Contact(ContactId(format!("p{who}"))),
            Role::Customer | Role::Shared | Role::Whatsapp => {
                Node::Customer(CustomerId(format!("c{who}")))
            }
        };
        Holding {
            value: values[value].clone(),
            role: roles[role],
            node,
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 32, ..ProptestConfig::default() })]

        #[test]
        fn who_has_a_value_is_found_however_many_have_it(
            turns in proptest::collection::vec(proptest::collection::vec(turn(), 1..20), 1..20),
        ) {
            let runtime = Runtime::new().unwrap();
            let _in = runtime.enter();
            let folder = tempfile::tempdir().unwrap();
            let store = Store::open(folder.path(), StoreOptions::default()).unwrap();
            let memory = Memory::open(&store, "support");
            let (values, mut all) = (values(), BTreeSet::new());
            for turns in turns {
                let turns: BTreeSet<Turn> = turns.into_iter().collect();
                let turns = turns.into_iter().map(|turn| holding(&values, turn));
                let (gone, come): (Vec<_>, Vec<_>) = turns.partition(|one| all.contains(one));
                gone.iter().for_each(|one| { all.remove(one); });
                all.extend(come.iter().cloned());
                let trees = memory.trees.clone();
                let done = store.commit(move |writes| trees.index(writes, &gone, &come));
                runtime.block_on(done).unwrap();
                for value in &values {
                    let theirs: BTreeSet<_> = all.iter().filter(|one| one.value == *value).cloned().collect();
                    let found = memory.holders(value, 100).unwrap();
                    prop_assert_eq!(found.len(), theirs.len(), "nobody twice");
                    prop_assert_eq!(&found.into_iter().collect::<BTreeSet<_>>(), &theirs);
                    prop_assert_eq!(memory.holders(value, 3).unwrap().len(), theirs.len().min(3));
                    for role in [Role::Shared, Role::Whatsapp] {
                        let but = |node: &Node| *node == Node::Customer(CustomerId("c0".to_owned()));
                        let says = theirs.iter().any(|one| one.role == role && !but(&one.node));
                        prop_assert_eq!(memory.declares(value, role, but).unwrap(), says);
                    }
                }
            }
        }
    }
}
