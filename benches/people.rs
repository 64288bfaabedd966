//! The people of the contact benches: each made from a number, another number, name and e-mail for each.

/// A valid number of Düsseldorf.
pub fn number(person: u64) -> String {
    format!("+492115{person:06}")
}

pub fn name(person: u64) -> String {
    format!("Person {person} Mustermann")
}

pub fn email(person: u64) -> String {
    format!("person{person}@example.org")
}
