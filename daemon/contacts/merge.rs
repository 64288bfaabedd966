//! Which customers become one contact, and what that contact has of each (docs/contacts.md, "Two become one"). Pure.

use super::link::Single;
use super::world::Customer;
use crate::terms::contact::Fields;
use std::collections::BTreeSet;

/// A name of fewer words is anybody's.
const NAME_WORDS_MIN: usize = 2;

/// What two spellings of one name have in common: lower case, single spaces, accents off the commonest Latin letters.
/// None for names that are no reason to put two customers together.
pub fn name_key(name: &str) -> Option<String> {
    let words: Vec<String> = name.split_whitespace().map(plain).collect();
    (words.len() >= NAME_WORDS_MIN).then(|| words.join(" "))
}

/// Lower case without accents: `Müller` and `Muller` are one spelling, `Mueller` is another.
fn plain(word: &str) -> String {
    word.to_lowercase().chars().map(unaccented).collect()
}

const fn unaccented(letter: char) -> char {
    match letter {
        'à' | 'á' | 'â' | 'ã' | 'ä' | 'å' => 'a',
        'ç' => 'c',
        'è' | 'é' | 'ê' | 'ë' => 'e',
        'ì' | 'í' | 'î' | 'ï' => 'i',
        'ñ' => 'n',
        'ò' | 'ó' | 'ô' | 'õ' | 'ö' | 'ø' => 'o',
        'ù' | 'ú' | 'û' | 'ü' => 'u',
        'ý' | 'ÿ' => 'y',
        other => other,
    }
}

/// Whether something speaks against two customers of one name being one person.
pub fn conflict(one: &Customer, other: &Customer) -> bool {
    let differ = |a: &str, b: &str| !a.is_empty() && !b.is_empty() && a != b;
    let (a, b) = (one.fields.addresses(), other.fields.addresses());
    let emails = !a.is_empty() && !b.is_empty() && a.is_disjoint(&b);
    let external = |customer: &Customer| customer.external_id.clone().unwrap_or_default();
    emails
        || differ(&external(one), &external(other))
        || differ(&one.fields.company, &other.fields.company)
}

/// What one customer brings to its contact.
#[derive(Clone, Copy, Debug)]
pub struct Brought<'a> {
    pub fields: &'a Fields,
    /// Its single values when both sides last agreed.
    pub seen: Option<&'a Single>,
}

/// One contact's fields of what its customers bring, the one that changed last first: all numbers and e-mails. Of the rest
/// the value that somebody changed since both sides agreed, else the agreed one; where nothing was agreed, or a customer
/// came to the others, the first that isn't empty.
pub fn combine(brought: &[Brought<'_>], agreed: &Fields) -> Fields {
    let mut all = Fields::default();
    let (mut numbers, mut addresses) = (BTreeSet::new(), BTreeSet::new());
    for one in brought {
        let phones = one.fields.phones.iter();
        all.phones.extend(
            phones
                .filter(|phone| numbers.insert(&phone.number))
                .cloned(),
        );
        let emails = one.fields.emails.iter();
        all.emails.extend(
            emails
                .filter(|email| addresses.insert(&email.email))
                .cloned(),
        );
    }
    all.name = single(brought, &agreed.name, |one| &one.name, |seen| &seen.name);
    all.company = single(
        brought,
        &agreed.company,
        |one| &one.company,
        |seen| &seen.company,
    );
    all.website = single(
        brought,
        &agreed.website,
        |one| &one.website,
        |seen| &seen.website,
    );
    all.address = single(
        brought,
        &agreed.address,
        |one| &one.address,
        |seen| &seen.address,
    );
    all
}

fn single<T: Clone + Default + PartialEq>(
    brought: &[Brought<'_>],
    agreed: &T,
    of: impl Fn(&Fields) -> &T,
    of_seen: impl Fn(&Single) -> &T,
) -> T {
    let empty = T::default();
    let is_new = brought.iter().any(|one| one.seen.is_none());
    let changed = brought.iter().find(|one| {
        let value = of(one.fields);
        *value != empty && (is_new || one.seen.is_some_and(|seen| of_seen(seen) != value))
    });
    let held = || brought.iter().find(|one| of(one.fields) == agreed);
    let any = || brought.iter().find(|one| *of(one.fields) != empty);
    let found = changed.or_else(held).or_else(any);
    found.map(|one| of(one.fields).clone()).unwrap_or_default()
}

/// What a phone shows for somebody without a name; it never becomes the customer's name.
pub fn stand_in(fields: &Fields) -> String {
    stand_ins(fields).next().unwrap_or_default()
}

/// Whether a name may be such a stand-in, of these fields or of what they were.
pub fn is_stand_in(name: &str, fields: &Fields) -> bool {
    stand_ins(fields).any(|value| value == name)
}

fn stand_ins(fields: &Fields) -> impl Iterator<Item = String> {
    let company = (!fields.company.is_empty()).then(|| fields.company.clone());
    let emails = fields.emails.iter().map(|email| email.email.to_string());
    let numbers = fields.phones.iter().map(|phone| phone.number.to_string());
    company.into_iter().chain(emails).chain(numbers)
}
