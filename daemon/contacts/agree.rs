//! One contact's fields, three ways: what both sides last agreed on, what Kustomer has, what the phone side has
//! (docs/contacts.md, "Who wins"). Pure; `plan` asks it once for each link.

use super::merge::is_stand_in;
use crate::terms::contact::{Address, Email, EmailKind, Fields, Phone, PhoneKind};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// Which side counts where both changed a field, and differently.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Policy {
    #[default]
    Newest,
    Kustomer,
    Phone,
    /// Neither: a person decides.
    Ask,
}

/// The policy of each field that can conflict and is exported.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Policies {
    pub name: Policy,
    pub website: Policy,
    pub address: Policy,
}

/// The three.
#[derive(Clone, Copy, Debug)]
pub struct Sides<'a> {
    pub agreed: &'a Fields,
    pub kustomer: &'a Fields,
    pub phone: &'a Fields,
    /// Nothing was ever agreed: the two meet for the first time.
    pub first: bool,
    /// The phone side's change is the later one.
    pub phone_is_newer: bool,
    /// What customers have comes to the phone side.
    pub imported: bool,
    /// What contacts have goes to Kustomer.
    pub exported: bool,
    /// Website and address are exported too.
    pub extra_fields: bool,
    pub policies: Policies,
}

/// A field that both changed, and that waits for somebody's word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Field {
    Name,
    Website,
    Address,
}

impl Field {
    pub const fn key(self) -> &'static str {
        match self {
            Self::Name => "name",
            Self::Website => "website",
            Self::Address => "address",
        }
    }
}

/// What each side should have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    pub kustomer: Fields,
    pub phone: Fields,
    /// What both agree on once each has what it should: of a field that is in conflict, what was agreed before.
    pub agreed: Fields,
    pub conflicts: Vec<Field>,
}

/// What both sides should have.
pub fn agree(sides: &Sides<'_>) -> Wanted {
    let Sides {
        agreed,
        kustomer,
        phone,
        extra_fields,
        policies,
        ..
    } = *sides;
    let mut wanted = Wanted {
        kustomer: kustomer.clone(),
        phone: phone.clone(),
        agreed: agreed.clone(),
        conflicts: Vec::new(),
    };
    let name = name(sides, policies.name);
    wanted.note(Field::Name, name, |fields| &mut fields.name);
    let company = [&agreed.company, &kustomer.company, &phone.company];
    let company = value(sides, company, false, Policy::Kustomer);
    (wanted.phone.company, wanted.agreed.company) = (company.phone, company.agreed);
    let website = [&agreed.website, &kustomer.website, &phone.website];
    let website = value(sides, website, extra_fields, policies.website);
    wanted.note(Field::Website, website, |fields| &mut fields.website);
    let address = [&agreed.address, &kustomer.address, &phone.address];
    let address = value(sides, address, extra_fields, policies.address);
    wanted.note(Field::Address, address, |fields| &mut fields.address);
    phones(sides, &mut wanted);
    emails(sides, &mut wanted);
    wanted
}

impl Wanted {
    fn note<T: Clone>(
        &mut self,
        field: Field,
        value: Value<T>,
        of: impl Fn(&mut Fields) -> &mut T,
    ) {
        *of(&mut self.kustomer) = value.kustomer;
        *of(&mut self.phone) = value.phone;
        *of(&mut self.agreed) = value.agreed;
        if value.conflict {
            self.conflicts.push(field);
        }
    }
}

/// A single value's outcome.
struct Value<T> {
    kustomer: T,
    phone: T,
    agreed: T,
    conflict: bool,
}

impl<T: Clone> Value<T> {
    fn both(value: T) -> Self {
        Self {
            kustomer: value.clone(),
            phone: value.clone(),
            agreed: value,
            conflict: false,
        }
    }
}

trait Empty {
    fn empty(&self) -> bool;
}

impl Empty for String {
    fn empty(&self) -> bool {
        self.is_empty()
    }
}

impl Empty for Address {
    fn empty(&self) -> bool {
        self.is_empty()
    }
}

/// A phone shows a name: for a customer without one a stand-in, which nobody takes for somebody's edit (here it is empty), and
/// one that was emptied on the phone side is put back.
fn name(sides: &Sides<'_>, policy: Policy) -> Value<String> {
    let Sides {
        agreed,
        kustomer,
        phone,
        ..
    } = *sides;
    let stands_in = |fields| is_stand_in(&phone.name, fields);
    let given = if agreed.name.is_empty() && [agreed, kustomer, phone].into_iter().any(stands_in) {
        &agreed.name
    } else {
        &phone.name
    };
    let name = value(sides, [&agreed.name, &kustomer.name, given], true, policy);
    if name.phone.is_empty() {
        return Value::both(kustomer.name.clone());
    }
    name
}

/// One value: agreed, Kustomer's, the phone side's. One that isn't exported only ever comes from Kustomer, and what
/// people wrote on the phone side stays until Kustomer's changes.
fn value<T: Clone + PartialEq + Empty>(
    sides: &Sides<'_>,
    [agreed, kustomer, phone]: [&T; 3],
    exported: bool,
    policy: Policy,
) -> Value<T> {
    let stay = |conflict| Value {
        kustomer: kustomer.clone(),
        phone: phone.clone(),
        agreed: agreed.clone(),
        conflict,
    };
    if kustomer == phone {
        return Value::both(kustomer.clone());
    }
    let moved = |value: &T| {
        if sides.first {
            !value.empty()
        } else {
            value != agreed
        }
    };
    let exported = exported && sides.exported;
    match (moved(kustomer) && sides.imported, moved(phone) && exported) {
        (true, true) if sides.first => Value::both(kustomer.clone()),
        (true, true) => match policy {
            Policy::Kustomer => Value::both(kustomer.clone()),
            Policy::Phone => Value::both(phone.clone()),
            Policy::Newest if sides.phone_is_newer => Value::both(phone.clone()),
            Policy::Newest => Value::both(kustomer.clone()),
            Policy::Ask => stay(true),
        },
        (true, false) => Value::both(kustomer.clone()),
        (false, true) => Value::both(phone.clone()),
        (false, false) => stay(false),
    }
}

fn phones(sides: &Sides<'_>, wanted: &mut Wanted) {
    let exported = |phone: &Phone| Phone {
        number: phone.number.clone(),
        kind: PhoneKind::Work,
    };
    let [agreed, kustomer, phone] =
        [sides.agreed, sides.kustomer, sides.phone].map(|side| &side.phones);
    let key = |phone: &Phone| phone.number.clone();
    if sides.imported {
        wanted.phone.phones = moved(agreed, kustomer, phone, key, Phone::clone);
    }
    if sides.exported {
        wanted.kustomer.phones = moved(agreed, phone, kustomer, key, exported);
    }
}

fn emails(sides: &Sides<'_>, wanted: &mut Wanted) {
    let exported = |email: &Email| Email {
        email: email.email.clone(),
        kind: EmailKind::Work,
    };
    let [agreed, kustomer, phone] =
        [sides.agreed, sides.kustomer, sides.phone].map(|side| &side.emails);
    let key = |email: &Email| email.email.clone();
    if sides.imported {
        wanted.phone.emails = moved(agreed, kustomer, phone, key, Email::clone);
    }
    if sides.exported {
        wanted.kustomer.emails = moved(agreed, phone, kustomer, key, exported);
    }
}

/// The values of `to` in their order and with their kinds, less what `from` removed since both agreed, then what it added.
fn moved<V, K: Ord>(
    agreed: &[V],
    from: &[V],
    to: &[V],
    key: impl Fn(&V) -> K,
    as_new: impl Fn(&V) -> V,
) -> Vec<V>
where
    V: Clone,
{
    let keys = |values: &[V]| values.iter().map(&key).collect::<BTreeSet<K>>();
    let (known, given, mut there) = (keys(agreed), keys(from), BTreeSet::new());
    let removed = |value: &&V| known.contains(&key(value)) && !given.contains(&key(value));
    let kept = to.iter().filter(|value| !removed(value)).cloned();
    let mut all: Vec<V> = kept.filter(|value| there.insert(key(value))).collect();
    for value in from.iter().filter(|value| !known.contains(&key(value))) {
        if there.insert(key(value)) {
            all.push(as_new(value));
        }
    }
    all
}
