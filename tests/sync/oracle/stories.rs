//! The cases of docs/contacts.md as stories: who was there before, what happens to them in two rounds of edits, and what must
//! be on both sides after the import and after each round. What happens within a round may happen before, during or after
//! any run of the sync: the outcome is the same.

use super::history::{Act, Change, Customer, List, Story, WAVES};
use fastrand::Rng;

type Tell = fn(&mut Story, &mut Rng);

/// Each story with how often it is told among others.
const STORIES: &[(usize, &str, Tell)] = &[
    (40, "edited on both sides", both_sides),
    (5, "nothing to call", never),
    (3, "nameless", nameless),
    (6, "the same phone", same_phone),
    (6, "the same name", same_name),
    (4, "namesakes", namesakes),
    (8, "met", met),
    (8, "a card first", card_first),
    (3, "a card that stays alone", alone),
    (2, "two cards, one number", twins),
    (4, "a customer is deleted", customer_deleted),
    (4, "a card is deleted", card_deleted),
    (4, "merged in Kustomer", merged),
    (4, "a number becomes shared", becomes_shared),
    (4, "the last number goes", withdrawn),
    (4, "both rename", conflict),
    (3, "a number moves", moves),
    (3, "new ones", newcomers),
];

/// Stories of at least so many customers.
pub fn tell(people: usize, chance: &mut Rng) -> Vec<Story> {
    let all: usize = STORIES.iter().map(|one| one.0).sum();
    let (mut stories, mut customers) = (Vec::new(), 0);
    while customers < people {
        let number = stories.len();
        // Each once, then by chance.
        let (title, tell) = STORIES.get(number).map_or_else(
            || {
                let mut at = chance.usize(..all);
                let picked = STORIES.iter().find(|one| {
                    let found = at < one.0;
                    at = at.saturating_sub(one.0);
                    found
                });
                let (_, title, tell) = picked.unwrap();
                (*title, *tell)
            },
            |(_, title, tell)| (*title, *tell),
        );
        let mut story = Story::new(title, number);
        tell(&mut story, chance);
        story.end();
        assert_eq!(story.wants.len(), WAVES + 1, "{title}");
        customers += story.seeds.len();
        stories.push(story);
    }
    stories
}

fn both_sides(story: &mut Story, chance: &mut Rng) {
    let numbers: Vec<String> = (0..chance.usize(1..4)).map(|_| story.fresh()).collect();
    let mut ada = story.person("Ada", &[]);
    for number in &numbers {
        // Another writing of it, which Kustomer takes.
        let raw = if chance.u8(..5) == 0 {
            number.replace("+49", "+490")
        } else {
            number.clone()
        };
        ada.phones.insert(raw, "mobile".to_owned());
    }
    if chance.u8(..4) == 0 {
        ada.phones.insert(story.invalid(), "other".to_owned());
    }
    if chance.u8(..4) == 0 {
        ada.shared.insert(story.company.clone());
    }
    if chance.u8(..6) == 0 {
        ada.whatsapps.insert(story.fresh());
    }
    if chance.bool() {
        ada.emails.insert(story.email());
    }
    let name = ada.name.clone();
    let key = story.seed(ada);
    let card = story.imported(&[&key], &name);
    let mut known = numbers[1..].to_vec();
    for _ in 0..WAVES {
        story.next();
        if chance.u8(..5) < 2 {
            continue;
        }
        let mut come = Vec::new();
        for _ in 0..chance.usize(1..4) {
            match chance.u8(..8) {
                0 => {
                    let number = story.fresh();
                    story.in_kustomer(&key, &Change::Add(List::Phones, number.clone()));
                    come.push(number);
                }
                1 => {
                    let number = story.fresh();
                    story.on_phone(card, Change::Add(List::Phones, number.clone()), &key);
                    come.push(number);
                }
                2 => {
                    if let Some(number) = known.pop() {
                        story.in_kustomer(&key, &Change::Remove(List::Phones, number));
                    }
                }
                3 => {
                    if let Some(number) = known.pop() {
                        story.on_phone(card, Change::Remove(List::Phones, number), &key);
                    }
                }
                4 => {
                    let email = story.email();
                    story.in_kustomer(&key, &Change::Add(List::Emails, email));
                }
                5 => {
                    let email = story.email();
                    story.on_phone(card, Change::Add(List::Emails, email), &key);
                }
                6 => {
                    let email = story.now.cards[&card].emails.first().cloned();
                    let old = story.wants.last().unwrap().cards[&card].emails.clone();
                    if let Some(email) = email.filter(|email| old.contains(email)) {
                        story.on_phone(card, Change::Remove(List::Emails, email), &key);
                    }
                }
                _ => {}
            }
        }
        rename(story, card, &key, chance.bool());
        story.follow(card);
        known.extend(come);
    }
}

/// One of both sides does.
fn rename(story: &mut Story, card: usize, key: &str, in_kustomer: bool) {
    let (name, key) = (story.name("Änne"), key.to_owned());
    if in_kustomer {
        story.in_kustomer(&key, &Change::Name(name.clone()));
        story.rename_card(card, &name);
    } else {
        story.on_phone(card, Change::Name(name), &key);
    }
}

fn never(story: &mut Story, chance: &mut Rng) {
    let mut one = story.person("Nora", &[]);
    match chance.u8(..4) {
        0 => drop(one.shared.insert(story.company.clone())),
        1 => drop(one.whatsapps.insert(story.fresh())),
        2 => drop(one.phones.insert(story.invalid(), "mobile".to_owned())),
        _ => drop(one.emails.insert(story.email())),
    }
    // A WhatsApp number is nobody's own, whoever has it as a phone too.
    let number = story.fresh();
    if chance.bool() {
        one.phones.insert(number.clone(), "mobile".to_owned());
        one.whatsapps.insert(number);
    }
    let name = one.name.clone();
    let key = story.seed(one);
    story.next();
    if chance.bool() {
        let number = story.fresh();
        story.in_kustomer(&key, &Change::Add(List::Phones, number));
        story.imported(&[&key], &name);
    }
}

fn nameless(story: &mut Story, chance: &mut Rng) {
    let number = story.fresh();
    let mut one = story.person("", &[&number]);
    one.name = String::new();
    let mut shown = number;
    if chance.bool() {
        shown = story.email();
        one.emails.insert(shown.clone());
    }
    let key = story.seed(one);
    let card = story.imported(&[&key], &shown);
    story.next();
    story.next();
    rename(story, card, &key, chance.bool());
}

fn same_phone(story: &mut Story, chance: &mut Rng) {
    let (number, own, other) = (story.fresh(), story.fresh(), story.fresh());
    let again = number.replace("+49", "+490");
    let mut one = story.person("Paul", &[&number, &own]);
    one.emails.insert(story.email());
    let mut two = story.person("Paula", &[&again, &other]);
    two.emails.insert(story.email());
    let (name, one, two) = (two.name.clone(), story.seed(one), story.seed(two));
    let card = story.imported(&[&one, &two], &name);
    story.next();
    match chance.u8(..3) {
        // The first one changes, so that it is the one that gets what is new.
        0 => {
            rename(story, card, &one, true);
            story.next();
            let number = story.fresh();
            story.on_phone(card, Change::Add(List::Phones, number), &one);
        }
        1 => story.on_phone(card, Change::Remove(List::Phones, number), &two),
        _ => {
            gone(story, &two, Act::Delete(two.clone()));
            let name = story.now.customers[&one].name.clone();
            story.now.cards.get_mut(&card).unwrap().of.remove(&two);
            story.rename_card(card, &name);
            story.follow(card);
        }
    }
}

/// The customer is no more, by that act.
fn gone(story: &mut Story, key: &str, act: Act) -> Customer {
    story.act(act);
    story.now.customers.remove(key).unwrap()
}

fn same_name(story: &mut Story, chance: &mut Rng) {
    let (a, b) = (story.fresh(), story.fresh());
    let (one, mut two) = (story.person("Jörg", &[&a]), story.person("Jörg", &[&b]));
    two.name = one.name.replace("Jörg ", "JORG  ");
    let mail = story.email();
    two.emails.insert(mail);
    let name = two.name.clone();
    let (one, two) = (story.seed(one), story.seed(two));
    let card = story.imported(&[&one, &two], &name);
    story.next();
    match chance.u8(..3) {
        0 => drop(gone(story, &one, Act::Delete(one.clone()))),
        1 => {
            let (source, target) = (one.clone(), two.clone());
            let old = gone(story, &one, Act::Merge { source, target });
            story
                .now
                .customers
                .get_mut(&two)
                .unwrap()
                .phones
                .extend(old.phones);
        }
        // Who is called otherwise later stays with the others.
        _ => return rename(story, card, &one, true),
    }
    story.now.cards.get_mut(&card).unwrap().of.remove(&one);
    story.follow(card);
}

/// The same name, and something that speaks against it.
fn namesakes(story: &mut Story, chance: &mut Rng) {
    let (a, b) = (story.fresh(), story.fresh());
    let (mut one, mut two) = (story.person("Max", &[&a]), story.person("Max", &[&b]));
    match chance.u8(..3) {
        0 => {
            one.emails.insert(story.email());
            two.emails.insert(story.email());
        }
        1 => (one.company, two.company) = ("Acme".to_owned(), "Umbrella".to_owned()),
        _ => one.name = one.name.replace(' ', ""),
    }
    two.name.clone_from(&one.name);
    let name = one.name.clone();
    let (one, two) = (story.seed(one), story.seed(two));
    story.imported(&[&one], &name);
    let card = story.imported(&[&two], &name);
    story.next();
    let number = story.fresh();
    story.on_phone(card, Change::Add(List::Phones, number), &two);
}

fn met(story: &mut Story, chance: &mut Rng) {
    let (number, own, other) = (story.fresh(), story.fresh(), story.fresh());
    let mut card = story.card("Mia", &[&number, &own]);
    let mut mia = story.person("Mia", &[&number, &other]);
    if chance.bool() {
        // By an e-mail alone.
        let mail = story.email();
        mia.phones.remove(&number);
        mia.emails.insert(mail.clone());
        card.emails.insert(mail);
    }
    if chance.bool() {
        card.emails.insert(story.email());
    }
    let at = story.before(card);
    let key = story.seed(mia);
    story.met(at, &key);
    story.next();
    match chance.u8(..3) {
        0 => rename(story, at, &key, chance.bool()),
        1 => story.on_phone(at, Change::Remove(List::Phones, own), &key),
        _ => story.in_kustomer(&key, &Change::Remove(List::Phones, own)),
    }
    story.follow(at);
}

fn card_first(story: &mut Story, chance: &mut Rng) {
    let (a, b) = (story.fresh(), story.fresh());
    let mut card = story.card("Carl", &[&a, &b]);
    if chance.bool() {
        card.emails.insert(story.email());
    }
    let at = story.before(card);
    let key = story.exported(at, &[&a, &b]);
    story.next();
    match chance.u8(..4) {
        0 => rename(story, at, &key, chance.bool()),
        1 => story.on_phone(at, Change::Remove(List::Phones, b), &key),
        2 => {
            gone(story, &key, Act::Delete(key.clone()));
            story.without_card(at);
        }
        _ => {
            let whose = story.whose(at);
            story.act(Act::CardDelete(whose));
            story.without_card(at);
        }
    }
}

fn alone(story: &mut Story, chance: &mut Rng) {
    if chance.bool() {
        // Nothing to call.
        let mut card = story.card("Otto", &[]);
        card.numbers.insert("*21#".to_owned());
        story.before(card);
    } else {
        // Somebody's, but not his alone.
        let (own, number) = (story.fresh(), story.fresh());
        let mut one = story.person("Olga", &[&own]);
        if chance.bool() {
            one.shared.insert(number.clone());
        } else {
            one.whatsapps.insert(number.clone());
        }
        let card = story.card("Otto", &[&number]);
        story.before(card);
        let name = one.name.clone();
        let key = story.seed(one);
        story.imported(&[&key], &name);
    }
}

fn twins(story: &mut Story, chance: &mut Rng) {
    let (number, own) = (story.fresh(), story.fresh());
    let (one, two) = (
        story.card("Ina", &[&number, &own]),
        story.card("Ina", &[&number]),
    );
    let all = one.numbers.clone();
    let (one, two) = (story.before(one), story.before(two));
    let key = story.exported(one, &[&own]);
    story.next();
    if chance.bool() {
        // Then it is one's own.
        let whose = story.whose(two);
        story.act(Act::CardDelete(whose));
        story.without_card(two);
        let customer = story.now.customers.get_mut(&key).unwrap();
        customer.phones.insert(number, "work".to_owned());
    }
    assert_eq!(story.now.cards[&one].numbers, all);
}

fn customer_deleted(story: &mut Story, chance: &mut Rng) {
    let number = story.fresh();
    let one = story.person("Dora", &[&number]);
    let name = one.name.clone();
    let key = story.seed(one);
    let card = story.imported(&[&key], &name);
    story.next();
    if chance.bool() {
        // A removal goes before an edit.
        rename(story, card, &key, false);
    }
    story.act_late(Act::Delete(key.clone()));
    story.now.customers.remove(&key);
    story.without_card(card);
}

fn card_deleted(story: &mut Story, chance: &mut Rng) {
    let number = story.fresh();
    let one = story.person("Emil", &[&number]);
    let name = one.name.clone();
    let key = story.seed(one);
    let card = story.imported(&[&key], &name);
    story.next();
    let whose = story.whose(card);
    story.act(Act::CardDelete(whose));
    story.without_card(card);
    if chance.bool() {
        story.next();
    }
    // It doesn't come back, whatever happens to the customer.
    let number = story.fresh();
    story.in_kustomer(&key, &Change::Add(List::Phones, number));
}

fn merged(story: &mut Story, chance: &mut Rng) {
    let (a, b) = (story.fresh(), story.fresh());
    let (one, two) = (story.person("Gina", &[&a]), story.person("Gina", &[&b]));
    let (first, second) = (one.name.clone(), two.name.clone());
    let (one, two) = (story.seed(one), story.seed(two));
    let lost = story.imported(&[&one], &first);
    let kept = story.imported(&[&two], &second);
    story.next();
    let (source, target) = (one.clone(), two.clone());
    let old = gone(story, &one, Act::Merge { source, target });
    let target = story.now.customers.get_mut(&two).unwrap();
    target.phones.extend(old.phones);
    story.without_card(lost);
    story.follow(kept);
    story.next();
    rename(story, kept, &two, chance.bool());
}

/// By what another one says of it.
fn becomes_shared(story: &mut Story, chance: &mut Rng) {
    let (number, own, other) = (story.fresh(), story.fresh(), story.fresh());
    let list = [List::Shared, List::Whatsapps][chance.usize(..2)];
    let (one, two) = (
        story.person("Hans", &[&number, &own]),
        story.person("Hans", &[&other]),
    );
    let (first, second) = (one.name.clone(), two.name.clone());
    let (one, two) = (story.seed(one), story.seed(two));
    let card = story.imported(&[&one], &first);
    story.imported(&[&two], &second);
    story.next();
    story.in_kustomer(&two, &Change::Add(list, number.clone()));
    story.follow(card);
    story.next();
    if chance.bool() {
        story.in_kustomer(&two, &Change::Remove(list, number));
        story.follow(card);
    }
}

fn withdrawn(story: &mut Story, chance: &mut Rng) {
    let number = story.fresh();
    let mut one = story.person("Ilse", &[&number]);
    one.emails.insert(story.email());
    let name = one.name.clone();
    let key = story.seed(one);
    let card = story.imported(&[&key], &name);
    story.next();
    match chance.u8(..3) {
        0 => story.in_kustomer(&key, &Change::Remove(List::Phones, number)),
        1 => story.in_kustomer(&key, &Change::Add(List::Whatsapps, number)),
        _ => story.on_phone(card, Change::Remove(List::Phones, number), &key),
    }
    story.without_card(card);
    story.next();
    let number = story.fresh();
    story.in_kustomer(&key, &Change::Add(List::Phones, number));
    story.imported(&[&key], &name);
}

fn conflict(story: &mut Story, chance: &mut Rng) {
    let number = story.fresh();
    let one = story.person("Karl", &[&number]);
    let name = one.name.clone();
    let key = story.seed(one);
    let card = story.imported(&[&key], &name);
    story.next();
    let (first, last) = (story.name("Karl"), story.name("Karla"));
    let whose = story.whose(card);
    let mut acts = [
        Act::Customer(key.clone(), Change::Name(first.clone())),
        Act::Card(whose, Change::Name(last.clone())),
    ];
    let winner = if chance.bool() {
        last
    } else {
        acts.reverse();
        first
    };
    let [act, late] = acts;
    story.act(act);
    story.act_late(late);
    story.rename_card(card, &winner);
    story.now.customers.get_mut(&key).unwrap().name = winner;
}

fn moves(story: &mut Story, _: &mut Rng) {
    let (number, own, other) = (story.fresh(), story.fresh(), story.fresh());
    let (one, two) = (
        story.person("Lena", &[&number, &own]),
        story.person("Lena", &[&other]),
    );
    let (first, second) = (one.name.clone(), two.name.clone());
    let (one, two) = (story.seed(one), story.seed(two));
    let from = story.imported(&[&one], &first);
    let to = story.imported(&[&two], &second);
    story.next();
    story.in_kustomer(&one, &Change::Remove(List::Phones, number.clone()));
    let add = Change::Add(List::Phones, number);
    story.act_late(Act::Customer(two.clone(), add.clone()));
    story
        .now
        .customers
        .get_mut(&two)
        .unwrap()
        .apply(&add, "mobile");
    story.follow(from);
    story.follow(to);
}

fn newcomers(story: &mut Story, _: &mut Rng) {
    story.next();
    let (a, b) = (story.fresh(), story.fresh());
    let one = story.person("Rosa", &[&a]);
    let name = one.name.clone();
    let key = format!("new:{name}");
    story.act(Act::New(key.clone(), one.clone()));
    story.now.customers.insert(key.clone(), one);
    story.imported(&[&key], &name);
    let card = story.card("Theo", &[&b]);
    story.act(Act::CardNew(card.clone()));
    let at = story.before(card);
    story.before.pop();
    story.exported(at, &[&b]);
}
