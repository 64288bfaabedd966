//! What happens to people on both sides, and what must come of it: people as the oracle knows them, and one group's story.
//! Nothing of it is the sync's; the rules are those of docs/contacts.md.

use std::collections::{BTreeMap, BTreeSet};

/// Names a customer for the oracle: its place in its story, or `ext:` and the contact that it was made of.
pub type Key = String;

/// Rounds of edits after the import.
pub const WAVES: usize = 2;

/// Kustomer's side of a person, as it lies there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Customer {
    pub name: String,
    pub company: String,
    /// As written, with their types.
    pub phones: BTreeMap<String, String>,
    pub emails: BTreeSet<String>,
    pub whatsapps: BTreeSet<String>,
    pub shared: BTreeSet<String>,
}

/// A card as a phone shows it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Card {
    /// None: whatever the sync calls it.
    pub uid: Option<String>,
    pub name: String,
    pub company: String,
    pub numbers: BTreeSet<String>,
    pub emails: BTreeSet<String>,
    /// What people wrote on it and the sync doesn't know.
    pub note: String,
    pub tagged: bool,
    /// Its customers.
    pub of: BTreeSet<Key>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum List {
    Phones,
    Emails,
    Whatsapps,
    Shared,
}

#[derive(Clone, Debug)]
pub enum Change {
    Name(String),
    Add(List, String),
    Remove(List, String),
}

/// Whose card.
#[derive(Clone, Debug)]
pub enum Whose {
    Uid(String),
    Of(Key),
}

/// What a person does, in Kustomer or with another client of the contact server.
#[derive(Clone, Debug)]
pub enum Act {
    Customer(Key, Change),
    New(Key, Customer),
    Delete(Key),
    Merge { source: Key, target: Key },
    Card(Whose, Change),
    CardNew(Card),
    CardDelete(Whose),
}

/// One round of edits: what comes in any order, and what comes seconds after that.
#[derive(Clone, Debug, Default)]
pub struct Wave {
    pub first: Vec<Act>,
    pub late: Vec<Act>,
}

/// Both sides as they must be.
#[derive(Clone, Debug, Default)]
pub struct Want {
    pub customers: BTreeMap<Key, Customer>,
    pub cards: BTreeMap<usize, Card>,
}

/// A few people who have to do with each other and with nobody else.
pub struct Story {
    pub title: &'static str,
    number: usize,
    numbers: usize,
    pub seeds: Vec<(Key, Customer)>,
    pub before: Vec<Card>,
    pub waves: Vec<Wave>,
    /// After the import and after each wave.
    pub wants: Vec<Want>,
    pub now: Want,
    /// Numbers that are nobody's though nobody here says so.
    pub company: String,
}

/// A number as everybody writes it, out of the writings that the stories use.
pub fn normal(raw: &str) -> String {
    let digits: String = raw
        .chars()
        .filter(|one| one.is_ascii_digit() || *one == '+')
        .collect();
    if let Some(rest) = digits.strip_prefix("+490") {
        return format!("+49{rest}");
    }
    match digits.strip_prefix('0') {
        Some(rest) => format!("+49{rest}"),
        None => digits,
    }
}

/// Valid for a form, and nobody's country.
pub fn is_none(raw: &str) -> bool {
    raw.starts_with("+999")
}

impl Customer {
    pub fn apply(&mut self, change: &Change, kind: &str) {
        match change {
            Change::Name(name) => self.name.clone_from(name),
            Change::Add(List::Phones, raw) => drop(self.phones.insert(raw.clone(), kind.into())),
            Change::Remove(List::Phones, raw) => {
                self.phones.retain(|one, _| normal(one) != normal(raw));
            }
            Change::Add(list, value) => drop(self.set(*list).insert(value.clone())),
            Change::Remove(list, value) => drop(self.set(*list).remove(value)),
        }
    }

    fn set(&mut self, list: List) -> &mut BTreeSet<String> {
        match list {
            List::Phones => panic!("phones have types"),
            List::Emails => &mut self.emails,
            List::Whatsapps => &mut self.whatsapps,
            List::Shared => &mut self.shared,
        }
    }
}

impl Story {
    pub fn new(title: &'static str, number: usize) -> Self {
        Self {
            title,
            number,
            numbers: 0,
            seeds: Vec::new(),
            before: Vec::new(),
            waves: Vec::new(),
            wants: Vec::new(),
            now: Want::default(),
            company: format!("+492115550{:04}", 300 + number % 20),
        }
    }

    /// A mobile number that nobody has yet.
    pub fn fresh(&mut self) -> String {
        self.numbers += 1;
        format!("+49151{:06}{:02}", self.number, self.numbers)
    }

    pub fn invalid(&mut self) -> String {
        self.numbers += 1;
        format!("+999{:06}{:02}", self.number, self.numbers)
    }

    pub fn email(&mut self) -> String {
        self.numbers += 1;
        format!("p{}.{}@example.org", self.number, self.numbers)
    }

    pub fn name(&mut self, first: &str) -> String {
        self.numbers += 1;
        format!("{first} Muster{}x{}", self.number, self.numbers)
    }

    pub fn uid(&mut self) -> String {
        self.numbers += 1;
        format!("card-{}-{}", self.number, self.numbers)
    }

    /// Somebody with a name and these numbers.
    pub fn person(&mut self, first: &str, numbers: &[&str]) -> Customer {
        let phones = numbers.iter();
        Customer {
            name: self.name(first),
            phones: phones
                .map(|one| ((*one).to_owned(), "mobile".to_owned()))
                .collect(),
            ..Customer::default()
        }
    }

    /// A card that people have.
    pub fn card(&mut self, first: &str, numbers: &[&str]) -> Card {
        let uid = self.uid();
        Card {
            name: self.name(first),
            numbers: numbers.iter().map(|one| normal(one)).collect(),
            note: format!("kept {uid}"),
            uid: Some(uid),
            ..Card::default()
        }
    }

    fn key(&self) -> Key {
        format!("{}.{}", self.number, self.now.customers.len())
    }

    /// A customer of Kustomer before the import; later ones changed later.
    pub fn seed(&mut self, customer: Customer) -> Key {
        let key = self.key();
        self.seeds.push((key.clone(), customer.clone()));
        self.now.customers.insert(key.clone(), customer);
        key
    }

    /// A card in the address book before the import, which is to be nobody's; its place.
    pub fn before(&mut self, card: Card) -> usize {
        self.before.push(card.clone());
        self.expect(card)
    }

    fn expect(&mut self, card: Card) -> usize {
        let at = self.now.cards.keys().last().map_or(0, |last| last + 1);
        self.now.cards.insert(at, card);
        at
    }

    /// A contact must have been made for these customers.
    pub fn imported(&mut self, of: &[&Key], name: &str) -> usize {
        let card = Card {
            name: name.to_owned(),
            company: self.now.customers[of[0]].company.clone(),
            tagged: true,
            of: of.iter().map(|one| (*one).clone()).collect(),
            ..Card::default()
        };
        let at = self.expect(card);
        self.follow(at);
        at
    }

    /// The card has what its customers have that is theirs alone.
    pub fn follow(&mut self, at: usize) {
        let everybody = || self.now.customers.values();
        let nobodys: BTreeSet<String> = everybody()
            .flat_map(|one| one.shared.iter().chain(&one.whatsapps))
            .map(|one| normal(one))
            .collect();
        let card = &self.now.cards[&at];
        let of: Vec<&Customer> = card.of.iter().map(|key| &self.now.customers[key]).collect();
        let numbers = of.iter().flat_map(|one| one.phones.keys());
        let numbers = numbers.filter(|raw| !is_none(raw)).map(|raw| normal(raw));
        let numbers = numbers.filter(|one| !nobodys.contains(one)).collect();
        let emails = of.iter().flat_map(|one| one.emails.clone()).collect();
        let card = self.now.cards.get_mut(&at).unwrap();
        (card.numbers, card.emails) = (numbers, emails);
    }

    /// A customer must have been made of the card, with these of its numbers.
    pub fn exported(&mut self, at: usize, numbers: &[&str]) -> Key {
        let card = self.now.cards.get_mut(&at).unwrap();
        let key = format!("ext:{}", card.uid.as_ref().unwrap());
        card.of = BTreeSet::from([key.clone()]);
        let phones = numbers.iter();
        let customer = Customer {
            name: card.name.clone(),
            phones: phones
                .map(|one| ((*one).to_owned(), "work".to_owned()))
                .collect(),
            emails: card.emails.clone(),
            ..Customer::default()
        };
        self.now.customers.insert(key.clone(), customer);
        key
    }

    /// The card and the customer are one person: sets are put together, the customer's name counts.
    pub fn met(&mut self, at: usize, key: &Key) {
        let card = self.now.cards.get_mut(&at).unwrap();
        let customer = self.now.customers.get_mut(key).unwrap();
        card.of = BTreeSet::from([key.clone()]);
        for number in &card.numbers {
            if customer.phones.keys().all(|raw| normal(raw) != *number) {
                customer.phones.insert(number.clone(), "work".to_owned());
            }
        }
        customer.emails.extend(card.emails.iter().cloned());
        card.name.clone_from(&customer.name);
        card.company.clone_from(&customer.company);
        self.follow(at);
    }

    /// Ends the import, or a wave.
    pub fn next(&mut self) {
        self.wants.push(self.now.clone());
        self.waves.push(Wave::default());
    }

    /// What happens from here on has no part in the rest of the test.
    pub fn end(&mut self) {
        while self.wants.len() <= WAVES {
            self.next();
        }
    }

    pub fn act(&mut self, act: Act) {
        self.waves.last_mut().unwrap().first.push(act);
    }

    pub fn act_late(&mut self, act: Act) {
        self.waves.last_mut().unwrap().late.push(act);
    }

    /// Somebody changes the customer in Kustomer.
    pub fn in_kustomer(&mut self, key: &Key, change: &Change) {
        self.act(Act::Customer(key.clone(), change.clone()));
        self.now
            .customers
            .get_mut(key)
            .unwrap()
            .apply(change, "mobile");
    }

    pub fn whose(&self, at: usize) -> Whose {
        let card = &self.now.cards[&at];
        match &card.uid {
            Some(uid) => Whose::Uid(uid.clone()),
            None => Whose::Of(card.of.first().unwrap().clone()),
        }
    }

    /// Somebody changes the card; what is new goes to that customer, what is gone goes from all.
    pub fn on_phone(&mut self, at: usize, change: Change, to: &Key) {
        self.act(Act::Card(self.whose(at), change.clone()));
        let of = self.now.cards[&at].of.clone();
        for key in of {
            let customer = self.now.customers.get_mut(&key).unwrap();
            if key == *to || matches!(change, Change::Remove(..)) {
                customer.apply(&change, "work");
            }
        }
        if let Change::Name(name) = change {
            self.now.cards.get_mut(&at).unwrap().name = name;
        }
        self.follow(at);
    }

    pub fn rename_card(&mut self, at: usize, name: &str) {
        name.clone_into(&mut self.now.cards.get_mut(&at).unwrap().name);
    }

    pub fn without_card(&mut self, at: usize) {
        self.now.cards.remove(&at);
    }
}
