//! Many contacts created in one write: the one that can't be created is left as it was, the others come.

use super::fetch::Desk;
use super::sim::{fields, id, rules};
use jiff::Timestamp;
use std::collections::BTreeSet;
use tempfile::TempDir;
use tieline::clock;
use tieline::contacts::apply::{Group, Hands, Written};
use tieline::contacts::closure::Closure;
use tieline::contacts::fetch::{Row, Stamp};
use tieline::contacts::link::LinkState;
use tieline::contacts::memory::{Batch, Memory, Node};
use tieline::contacts::world::Customer;
use tieline::phonebook::Phonebook;
use tieline::phonebook::directory::{self, ContactBook, Content};
use tieline::sandbox::SandboxOptions;
use tieline::store::{Store, StoreOptions};
use tieline::terms::contact::ContactId;
use tokio::sync::watch;

struct Place {
    hands: Hands,
    book: ContactBook,
    _kustomer: Desk,
    _folder: TempDir,
}

impl Place {
    async fn new() -> Self {
        let desk = Desk::open(SandboxOptions::empty()).await;
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&folder.path().join("store"), StoreOptions::default()).unwrap();
        let book = ContactBook::open(&store).unwrap();
        let hands = Hands {
            memory: Memory::open(&store, "support"),
            kustomer: desk.kustomer.clone(),
            phone: Phonebook::Directory(book.clone()),
            rules: rules(),
            stop: watch::channel(false).1,
            written: Written::default(),
            faults_in_a_row: 0,
        };
        Self {
            hands,
            book,
            _kustomer: desk,
            _folder: folder,
        }
    }

    /// Kustomer's page told of this customer.
    async fn told(&self, number: u32, name: &str) {
        let customer = Customer {
            id: id(number),
            external_id: None,
            fields: fields(name, &[number]),
            invalid: Vec::new(),
            shared_numbers: BTreeSet::new(),
            shared_emails: BTreeSet::new(),
            whatsapps: BTreeSet::new(),
            modified_at: Timestamp::UNIX_EPOCH,
        };
        let stamp = Stamp {
            updated_at: Timestamp::UNIX_EPOCH,
            rev: 1,
        };
        let mut batch = Batch::open(&self.hands.memory).unwrap();
        let row = Row::Here {
            customer: Box::new(customer),
            stamp,
        };
        batch.note_row(row).unwrap();
        batch.commit().await.unwrap();
    }

    /// A person wrote a contact, and the sync hasn't read it.
    async fn somebody_puts(&self, contact: &str, name: &str, number: u32) {
        let content = Content {
            fields: fields(name, &[number]),
            ..Content::default()
        };
        let id = ContactId(contact.to_owned());
        let rows = vec![directory::Row { id, content }];
        let done = self.book.put_all(rows, false).await.unwrap();
        done.into_iter().for_each(|done| {
            done.unwrap();
        });
    }

    /// Looks at all who are to be looked at; answers who has to go alone.
    async fn settle(&mut self) -> Vec<Node> {
        let hands = &mut self.hands;
        let group = Group::gather(&hands.memory, &hands.rules, clock::now(), None, true);
        hands.settle(group.unwrap().unwrap()).await.unwrap()
    }

    /// Looks at one of them.
    async fn look_at(&mut self, node: &Node) {
        let hands = &mut self.hands;
        let closure = Closure::around(&hands.memory, node, false).unwrap();
        hands.carry_out(&closure, node).await.unwrap();
    }

    /// The sync reads a contact.
    async fn reads(&self, contact: &str) {
        let id = ContactId(contact.to_owned());
        let entry = self.hands.phone.get(&id).await.unwrap().unwrap();
        let mut batch = Batch::open(&self.hands.memory).unwrap();
        batch.note_entry(entry).unwrap();
        batch.commit().await.unwrap();
    }

    fn names(&self) -> Vec<String> {
        let all = self.book.list(None, 100).unwrap();
        let mut names: Vec<String> = all.into_iter().map(|one| one.contact.fields.name).collect();
        names.sort();
        names
    }

    fn links(&self) -> Vec<String> {
        let links = self.hands.memory.links(None, 100).unwrap();
        let parts = links.into_iter().flat_map(|link| link.parts);
        parts.map(|part| part.customer.0).collect()
    }
}

#[tokio::test]
async fn a_contact_that_cannot_be_created_leaves_its_link_and_the_others_alone() {
    let mut place = Place::new().await;
    for (number, name) in [(1, "Ada Example"), (2, "Ben Example"), (3, "Cem Example")] {
        place.told(number, name).await;
    }
    place.somebody_puts("own", "Benjamin", 2).await;
    let ben = Node::Customer(id(2));
    assert_eq!(place.settle().await, std::slice::from_ref(&ben));
    assert_eq!(place.names(), ["Ada Example", "Benjamin", "Cem Example"]);
    assert_eq!(place.links(), ["c01", "c03"]);
    assert_eq!(place.hands.memory.dirty(None, 10).unwrap(), [ben]);
    assert_eq!(place.hands.written.phone, 2);
}

#[tokio::test]
async fn who_was_refused_for_a_contact_unknown_then_meets_it_once_it_is_known() {
    let mut place = Place::new().await;
    place.told(2, "Ben Example").await;
    place.somebody_puts("own", "Benjamin", 2).await;
    let ben = Node::Customer(id(2));
    place.look_at(&ben).await;
    assert_eq!(place.hands.memory.refusals(10).unwrap().len(), 1);
    place.reads("own").await;
    place.look_at(&ben).await;
    let links = place.hands.memory.links(None, 100).unwrap();
    let met = links
        .iter()
        .map(|link| (link.contact.0.as_str(), link.state));
    assert_eq!(met.collect::<Vec<_>>(), [("own", LinkState::Linked)]);
    assert_eq!(place.names().len(), 1);
    assert_eq!(place.hands.memory.refusals(10).unwrap(), []);
}
