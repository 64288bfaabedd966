//! Writes out of wants, in an order in which no number and no e-mail is in two places. Pure.

use super::super::link::{Link, LinkState, Part, Single};
use super::super::merge::stand_in;
use super::wants::{Both, Want};
use super::{Action, After, Edit, NewCustomer, Rules, Scene, Step, Wish};
use crate::terms::contact::{Address, ContactId, EmailKind, Fields, PhoneKind, Source};
use crate::terms::ids::CustomerId;
use std::collections::{BTreeMap, BTreeSet};

/// The order: first what takes away, last what adds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    Removes,
    Shrinks,
    Neutral,
    Grows,
}

/// All steps, in order.
pub fn order(
    scene: &Scene<'_>,
    links: &BTreeMap<ContactId, Link>,
    wants: BTreeMap<ContactId, Want>,
) -> Vec<Step> {
    let sought = Sought::of(scene, &wants);
    let mut steps: Vec<(Rank, Step)> = Vec::new();
    for (id, want) in wants {
        if let Some(link) = links.get(&id) {
            steps.extend(of_link(scene, link, want, &sought));
        }
    }
    // Stable: within a rank the steps stay in the order of their links.
    steps.sort_by_key(|(rank, _)| *rank);
    steps.into_iter().map(|(_, step)| step).collect()
}

/// Values that somebody gets in this plan, on each side: who has them now must give them away first.
#[derive(Default)]
struct Sought {
    phone: BTreeSet<String>,
    kustomer: BTreeSet<String>,
}

impl Sought {
    fn of(scene: &Scene<'_>, wants: &BTreeMap<ContactId, Want>) -> Self {
        let (mut sought, none) = (Self::default(), Fields::default());
        for (id, want) in wants {
            match want {
                Want::CreateContact(fields) => sought.phone.extend(lost(fields, &none)),
                Want::CreateCustomer(fields) => sought.kustomer.extend(lost(fields, &none)),
                Want::Both(both) => {
                    let contact = scene
                        .world
                        .contact(id)
                        .map_or(&none, |contact| &contact.fields);
                    sought.phone.extend(lost(&both.wanted.phone, contact));
                    let wanted = &both.wanted.kustomer;
                    sought.kustomer.extend(lost(wanted, &both.kustomer));
                }
                Want::Nothing | Want::Learn(_) | Want::RemoveContact(_) => {}
            }
        }
        sought
    }
}

/// Numbers and e-mails of the first that the second doesn't have.
fn lost(before: &Fields, after: &Fields) -> Vec<String> {
    let (kept, kept_emails) = (after.numbers(), after.addresses());
    let numbers = before
        .numbers()
        .into_iter()
        .filter(|one| !kept.contains(one));
    let emails = before
        .addresses()
        .into_iter()
        .filter(|one| !kept_emails.contains(one));
    let numbers = numbers.map(ToString::to_string);
    numbers.chain(emails.map(ToString::to_string)).collect()
}

fn of_link(scene: &Scene<'_>, link: &Link, want: Want, sought: &Sought) -> Vec<(Rank, Step)> {
    let become_ = |state, agreed| {
        After::Become(Box::new(Link {
            state,
            agreed,
            ..link.clone()
        }))
    };
    let step = |action, after| Step {
        link: link.contact.clone(),
        action,
        after,
    };
    match want {
        Want::Nothing => relearn(scene, link, become_(link.state, link.agreed.clone())),
        Want::Learn(None) => vec![(Rank::Removes, step(Action::Agree, After::Forget))],
        Want::Learn(Some(state)) => {
            let after = become_(state, link.agreed.clone());
            vec![(Rank::Removes, step(Action::Agree, after))]
        }
        Want::RemoveContact(state) => {
            let after = become_(state, Fields::default());
            vec![(Rank::Removes, step(Action::RemoveContact, after))]
        }
        Want::CreateContact(fields) => {
            let mut after = link.clone();
            note_seen(scene, &mut after, &[]);
            (after.state, after.agreed) = (LinkState::Linked, fields.clone());
            let wish = Wish {
                tag: scene.rules.tag.clone(),
                ..wish(scene.rules, link, fields)
            };
            let action = Action::CreateContact(Box::new(wish));
            vec![(Rank::Grows, step(action, After::Become(Box::new(after))))]
        }
        Want::CreateCustomer(fields) => {
            let new = NewCustomer {
                external_id: link.contact.clone(),
                fields: exported(scene, fields),
            };
            let after = become_(LinkState::Linked, new.fields.clone());
            let action = Action::CreateCustomer(Box::new(new));
            vec![(Rank::Grows, step(action, after))]
        }
        Want::Both(both) => of_both(scene, link, *both, sought),
    }
}

/// A link that only changed in what it knows (a merge in Kustomer, a customer that came to it). One that waits for a
/// customer that can't be made isn't worth remembering.
fn relearn(scene: &Scene<'_>, link: &Link, after: After) -> Vec<(Rank, Step)> {
    let waits = link.state == LinkState::CustomerDue;
    if waits || scene.world.links.get(&link.contact) == Some(link) {
        return Vec::new();
    }
    let step = Step {
        link: link.contact.clone(),
        action: Action::Agree,
        after,
    };
    vec![(Rank::Neutral, step)]
}

/// What Kustomer takes of a contact.
fn exported(scene: &Scene<'_>, mut fields: Fields) -> Fields {
    fields.company.clear();
    if !scene.rules.extra_fields {
        fields.website.clear();
        fields.address = Address::default();
    }
    for phone in &mut fields.phones {
        phone.kind = PhoneKind::Work;
    }
    for email in &mut fields.emails {
        email.kind = EmailKind::Work;
    }
    fields
}

/// What the phone side should have of a link's contact, with whom it stands for.
pub fn wish(rules: &Rules, link: &Link, mut fields: Fields) -> Wish {
    if fields.name.is_empty() {
        fields.name = stand_in(&fields);
    }
    let sources = link.parts.iter().map(|part| Source {
        kustomer: rules.kustomer.clone(),
        customer: part.customer.0.clone(),
    });
    let page = |part: &Part| {
        let web = rules.web_url.as_ref()?;
        Some(format!("{web}/app/customers/{}", part.customer.0))
    };
    Wish {
        fields,
        link: link.parts.first().and_then(page),
        tag: None,
        sources: sources.collect(),
    }
}

fn of_both(scene: &Scene<'_>, link: &Link, both: Both, sought: &Sought) -> Vec<(Rank, Step)> {
    let Some(contact) = scene.world.contact(&link.contact) else {
        return Vec::new();
    };
    let mut writes: Vec<(Rank, Action)> = Vec::new();
    let wish = wish(scene.rules, link, both.wanted.phone.clone());
    let marks = contact.link == wish.link && sources_are(&contact.sources, &wish.sources);
    if both.withdraw {
        writes.push((Rank::Neutral, Action::RemoveContact));
    } else if scene.rules.import && !(same(&contact.fields, &wish.fields) && marks) {
        let rank = rank(&contact.fields, &wish.fields);
        let gives = lost(&contact.fields, &wish.fields);
        if rank == Rank::Grows && gives.iter().any(|value| sought.phone.contains(value)) {
            let shrunk = common(&contact.fields, &wish.fields);
            let first = Wish {
                fields: Fields {
                    phones: shrunk.phones,
                    emails: shrunk.emails,
                    ..contact.fields.clone()
                },
                ..wish.clone()
            };
            writes.push((Rank::Shrinks, Action::UpdateContact(Box::new(first))));
        }
        writes.push((rank, Action::UpdateContact(Box::new(wish))));
    }
    let edits = edits(scene, link, &both, sought);
    let mut after = link.clone();
    note_seen(scene, &mut after, &edits);
    (after.agreed, after.state) = if both.withdraw {
        (Fields::default(), LinkState::Withdrawn)
    } else {
        (both.wanted.agreed, LinkState::Linked)
    };
    for (rank, customer, edit) in edits {
        writes.push((rank, Action::UpdateCustomer(customer, Box::new(edit))));
    }
    let unchanged = scene.world.links.get(&link.contact).is_some_and(|known| {
        known.parts == after.parts
            && known.state == after.state
            && same(&known.agreed, &after.agreed)
    });
    if writes.is_empty() && !unchanged {
        writes.push((Rank::Neutral, Action::Agree));
    }
    writes.sort_by_key(|(rank, _)| *rank);
    let last = writes.len().saturating_sub(1);
    let step = |(index, (rank, action))| {
        let after = if index == last {
            After::Become(Box::new(after.clone()))
        } else {
            After::Keep
        };
        let link = link.contact.clone();
        (
            rank,
            Step {
                link,
                action,
                after,
            },
        )
    };
    writes.into_iter().enumerate().map(step).collect()
}

/// Each customer's single values, as they are once the edits are done.
fn note_seen(scene: &Scene<'_>, link: &mut Link, edits: &[(Rank, CustomerId, Edit)]) {
    for part in &mut link.parts {
        let offer = scene.offers.get(&part.customer);
        let Some(mut fields) = offer.map(|offer| offer.fields.clone()) else {
            continue;
        };
        for (_, customer, edit) in edits {
            if *customer == part.customer {
                edit.put_single(&mut fields);
            }
        }
        part.seen = Some(Single::of(&fields));
    }
}

/// What each customer gets: what is new goes to the one that changed last, what is gone goes from whoever has it.
fn edits(
    scene: &Scene<'_>,
    link: &Link,
    both: &Both,
    sought: &Sought,
) -> Vec<(Rank, CustomerId, Edit)> {
    if !scene.rules.export {
        return Vec::new();
    }
    let wanted = &both.wanted.kustomer;
    let mut new = additions(both);
    let mut edits = Vec::new();
    for part in &link.parts {
        let Some(offer) = scene.offers.get(&part.customer) else {
            continue;
        };
        let mut edit = if part.customer == both.newest {
            std::mem::take(&mut new)
        } else {
            Edit::default()
        };
        take_away(&mut edit, &offer.fields, both);
        if edit.is_empty() {
            continue;
        }
        let grows = !edit.add_phones.is_empty() || !edit.add_emails.is_empty();
        let shrinks = !edit.remove_phones.is_empty() || !edit.remove_emails.is_empty();
        let gives = lost(&offer.fields, wanted);
        if grows && gives.iter().any(|value| sought.kustomer.contains(value)) {
            let first = Edit {
                remove_phones: std::mem::take(&mut edit.remove_phones),
                remove_emails: std::mem::take(&mut edit.remove_emails),
                ..Edit::default()
            };
            edits.push((Rank::Shrinks, part.customer.clone(), first));
        }
        let rank = match (grows, shrinks) {
            (true, _) => Rank::Grows,
            (false, true) => Rank::Shrinks,
            (false, false) => Rank::Neutral,
        };
        edits.push((rank, part.customer.clone(), edit));
    }
    edits
}

/// What is new or another value: it goes to the customer that changed last.
fn additions(both: &Both) -> Edit {
    let (now, wanted) = (&both.kustomer, &both.wanted.kustomer);
    let (numbers, emails) = (now.numbers(), now.addresses());
    let changed = |a: &String, b: &String| (a != b).then(|| b.clone());
    let mut new = Edit {
        name: changed(&now.name, &wanted.name),
        website: changed(&now.website, &wanted.website),
        address: (now.address != wanted.address).then(|| wanted.address.clone()),
        ..Edit::default()
    };
    let phones = wanted
        .phones
        .iter()
        .filter(|one| !numbers.contains(&one.number));
    new.add_phones = phones.cloned().collect();
    let added = wanted
        .emails
        .iter()
        .filter(|one| !emails.contains(&one.email));
    new.add_emails = added.cloned().collect();
    new
}

/// What is gone, from whoever has it.
fn take_away(edit: &mut Edit, fields: &Fields, both: &Both) {
    let (now, wanted) = (&both.kustomer, &both.wanted.kustomer);
    // A value that was emptied goes from whoever has it, or the next one's would come in its place.
    if wanted.website.is_empty() && now.website != wanted.website {
        edit.website = (!fields.website.is_empty()).then(String::new);
    }
    if wanted.address.is_empty() && now.address != wanted.address {
        edit.address = (!fields.address.is_empty()).then(Address::default);
    }
    let (kept, kept_emails) = (wanted.numbers(), wanted.addresses());
    let gone = fields
        .phones
        .iter()
        .filter(|one| !kept.contains(&one.number));
    edit.remove_phones = gone.map(|one| one.number.clone()).collect();
    let gone = fields
        .emails
        .iter()
        .filter(|one| !kept_emails.contains(&one.email));
    edit.remove_emails = gone.map(|one| one.email.clone()).collect();
}

/// Whether two are the same to a person: kinds and order are labels.
fn same(a: &Fields, b: &Fields) -> bool {
    a.name == b.name
        && a.company == b.company
        && a.website == b.website
        && a.address == b.address
        && a.numbers() == b.numbers()
        && a.addresses() == b.addresses()
}

fn sources_are(a: &[Source], b: &[Source]) -> bool {
    a.iter().collect::<BTreeSet<_>>() == b.iter().collect::<BTreeSet<_>>()
}

/// What is in both.
fn common(a: &Fields, b: &Fields) -> Fields {
    let (numbers, emails) = (b.numbers(), b.addresses());
    let mut common = a.clone();
    common.phones.retain(|one| numbers.contains(&one.number));
    common.emails.retain(|one| emails.contains(&one.email));
    common
}

fn rank(before: &Fields, after: &Fields) -> Rank {
    if !lost(after, before).is_empty() {
        Rank::Grows
    } else if lost(before, after).is_empty() {
        Rank::Neutral
    } else {
        Rank::Shrinks
    }
}
