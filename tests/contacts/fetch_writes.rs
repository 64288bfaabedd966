//! Writing Kustomer's customers: what isn't ours stays, whoever writes at the same time, and what was refused is found.

use crate::contacts::fetch::{Desk, plan};
use serde_json::{Value, json};
use tieline::contacts::fetch::{Edited, Row};
use tieline::contacts::link::Single;
use tieline::contacts::plan::{Edit, NewCustomer};
use tieline::contacts::world::Customer;
use tieline::kustomer::fault::KustomerFault;
use tieline::sandbox::{Fault, FaultKind, SandboxOptions};
use tieline::terms::contact::{
    Address, ContactId, Email, EmailAddress, EmailKind, Fields, Phone, PhoneKind,
};
use tieline::terms::ids::CustomerId;

fn phone(text: &str) -> Phone {
    Phone {
        number: plan().parse(text).unwrap(),
        kind: PhoneKind::Work,
    }
}

fn email(text: &str) -> Email {
    Email {
        email: EmailAddress::parse(text).unwrap(),
        kind: EmailKind::Work,
    }
}

fn here(row: Row) -> Customer {
    match row {
        Row::Here { customer, .. } => *customer,
        Row::Gone { .. } => panic!("it is gone"),
    }
}

fn full() -> Value {
    json!({
        "name": "Max Muster",
        "company": "507f1f77bcf86cd799439011",
        "externalId": "crm-1",
        "phones": [{"phone": "+491711234567", "type": "mobile", "verified": true}, {"phone": "+493012345678", "type": "fax"}],
        "emails": [{"email": "Max@Example.org", "type": "home"}],
        "sharedPhones": [{"phone": "+493011111111"}],
        "sharedEmails": [{"email": "office@example.org"}],
        "whatsapps": [{"phone": "+491722222222", "type": "mobile"}],
        "urls": [{"url": "https://one.example", "type": "blog"}, {"url": "https://two.example", "type": "other"}],
        "locations": [{"type": "home", "address": "Heimweg 2", "latitude": 1.5},
            {"type": "work", "address": "Weg 1", "address2": "Hinterhaus", "cityName": "Berlin", "name": "Office",
             "countryCode": "DE", "latitude": 52.5, "longitude": 13.4}],
    })
}

impl Desk {
    async fn edited(&self, id: &CustomerId, edit: &Edit) -> Customer {
        match self.kustomer.edit(id, edit, None).await.unwrap() {
            Edited::Done(row) => here(row),
            Edited::Overtaken(row) => panic!("overtaken by {row:?}"),
        }
    }

    async fn full(&self) -> CustomerId {
        CustomerId(self.api.id("/v1/customers", full()).await)
    }

    fn attributes(&self) -> Value {
        self.api.sandbox.customers()[0]["attributes"].clone()
    }

    fn company(&self) -> Value {
        self.api.sandbox.customers()[0]["relationships"]["company"]["data"]["id"].clone()
    }
}

#[tokio::test]
async fn all_of_a_customer_is_read() {
    let desk = Desk::open(SandboxOptions::empty()).await;
    let customer = here(
        desk.kustomer
            .look(&desk.full().await)
            .await
            .unwrap()
            .unwrap(),
    );
    let fields = &customer.fields;
    assert_eq!(
        (fields.name.as_str(), fields.website.as_str()),
        ("Max Muster", "https://one.example")
    );
    let kinds: Vec<_> = fields.phones.iter().map(|phone| phone.kind).collect();
    assert_eq!(kinds, [PhoneKind::Mobile, PhoneKind::Fax]);
    assert_eq!(
        fields.emails,
        [Email {
            email: EmailAddress::parse("max@example.org").unwrap(),
            kind: EmailKind::Home
        }]
    );
    assert_eq!(fields.company, "507f1f77bcf86cd799439011");
    let address = Address {
        street: "Weg 1\nHinterhaus".into(),
        city: "Berlin".into(),
        country: "DE".into(),
        ..Address::default()
    };
    assert_eq!(fields.address, address);
    assert!(
        customer
            .shared_numbers
            .contains(&phone("+493011111111").number)
    );
    assert!(
        customer
            .shared_emails
            .contains(&email("office@example.org").email)
    );
    assert!(customer.whatsapps.contains(&phone("+491722222222").number));
    assert_eq!(customer.external_id.as_deref(), Some("crm-1"));
}

#[tokio::test]
async fn an_edit_changes_what_it_names_and_keeps_the_rest() {
    let desk = Desk::open(SandboxOptions::empty()).await;
    let id = desk.full().await;
    desk.api.sandbox.reset_requests();
    let edit = Edit {
        website: Some("three.example".into()),
        address: Some(Address {
            street: "Allee 3".into(),
            city: "Berlin".into(),
            country: "Österreich".into(),
            ..Address::default()
        }),
        add_phones: vec![phone("+493033333333"), phone("0171 1234567")],
        remove_phones: vec![phone("+493012345678").number],
        add_emails: vec![email("work@example.org")],
        ..Edit::default()
    };
    let customer = desk.edited(&id, &edit).await;
    assert_eq!(customer.fields.address, edit.address.clone().unwrap());
    let held = desk.attributes();
    let strip = |list: &str| {
        let mut items = held[list].clone();
        for item in items.as_array_mut().unwrap() {
            item.as_object_mut().unwrap().remove("id");
        }
        items
    };
    assert_eq!(
        strip("phones"),
        json!([
        {"phone": "+491711234567", "type": "mobile", "verified": true},
        {"phone": "+493033333333", "type": "work", "verified": false}])
    );
    assert_eq!(
        strip("emails"),
        json!([
        {"email": "Max@Example.org", "type": "home", "verified": false},
        {"email": "work@example.org", "type": "work", "verified": false}])
    );
    assert_eq!(
        held["urls"],
        json!([
        {"url": "https://three.example", "type": "blog"}, {"url": "https://two.example", "type": "other"}])
    );
    assert_eq!(
        held["locations"],
        json!([
        {"type": "home", "address": "Heimweg 2", "latitude": 1.5},
        {"type": "work", "address": "Allee 3", "cityName": "Berlin", "name": "Office", "countryName": "Österreich"}])
    );
    assert_eq!(strip("sharedPhones")[0]["phone"], "+493011111111");
    assert_eq!(held["name"], "Max Muster");
    assert_eq!(desk.company(), "507f1f77bcf86cd799439011");
    assert_eq!(desk.api.sandbox.requests().total, 2);
    // It is done: again there is nothing to write.
    desk.api.sandbox.reset_requests();
    desk.edited(&id, &edit).await;
    assert_eq!(desk.api.sandbox.requests().total, 1);
}

#[tokio::test]
async fn a_customer_holds_ten_numbers() {
    let desk = Desk::open(SandboxOptions::empty()).await;
    let id = desk.full().await;
    let edit = Edit {
        add_phones: (10..22)
            .map(|number| phone(&format!("+4930444444{number}")))
            .collect(),
        ..Edit::default()
    };
    let customer = desk.edited(&id, &edit).await;
    assert_eq!(customer.fields.phones.len(), 10);
    assert_eq!(customer.fields.phones[0].kind, PhoneKind::Mobile);
}

#[tokio::test]
async fn what_a_person_changes_at_the_same_time_stays() {
    let desk = Desk::open(SandboxOptions::empty()).await;
    let id = desk.full().await;
    desk.api.sandbox.reset_requests();
    let path = format!("/v1/customers/{}", id.0);
    let slow = Fault::on(path.clone(), FaultKind::Delay { ms: 300 });
    desk.api.sandbox.add_fault(slow.method("PUT").times(1));
    let edit = Edit {
        name: Some("Max Neu".into()),
        add_phones: vec![phone("+493033333333")],
        ..Edit::default()
    };
    let person = async {
        desk.api
            .sandbox
            .wait_until(|counts| counts.requests >= 2)
            .await;
        let body = json!({"company": "507f1f77bcf86cd799439012",
            "phones": [{"phone": "+491711234567"}, {"phone": "+493055555555"}]});
        assert_eq!(desk.api.ask("PATCH", &path, Some(body)).await.0, 200);
    };
    let (customer, ()) = tokio::join!(desk.edited(&id, &edit), person);
    let numbers: Vec<_> = customer
        .fields
        .phones
        .iter()
        .map(|phone| phone.number.to_string())
        .collect();
    assert_eq!(numbers, ["+491711234567", "+493055555555", "+493033333333"]);
    assert_eq!(
        (customer.fields.name.as_str(), desk.company()),
        ("Max Neu", json!("507f1f77bcf86cd799439012"))
    );
    // Twice read, twice written, and the person.
    assert_eq!(desk.api.sandbox.requests().total, 5);
}

#[tokio::test]
async fn what_a_person_changed_first_is_not_written_over() {
    let desk = Desk::open(SandboxOptions::empty()).await;
    let id = desk.full().await;
    let seen = |name: &str| Single {
        name: name.to_owned(),
        ..Single::default()
    };
    let edit = Edit {
        name: Some("Max Neu".into()),
        ..Edit::default()
    };
    let edited = desk.kustomer.edit(&id, &edit, Some(&seen("Max Alt"))).await;
    let Edited::Overtaken(row) = edited.unwrap() else {
        panic!("it was written over");
    };
    assert_eq!(here(row).fields.name, "Max Muster");
    assert_eq!(desk.attributes()["name"], "Max Muster");
    // Other values may be as they like.
    let edited = desk
        .kustomer
        .edit(&id, &edit, Some(&seen("Max Muster")))
        .await;
    assert!(matches!(edited, Ok(Edited::Done(_))));
    assert_eq!(desk.attributes()["name"], "Max Neu");
}

#[tokio::test]
async fn an_edit_that_kustomer_does_not_take_is_told() {
    let desk = Desk::open(SandboxOptions {
        lists_replace: false,
        ..SandboxOptions::empty()
    })
    .await;
    let id = desk.full().await;
    let edit = Edit {
        remove_phones: vec![phone("+493012345678").number],
        ..Edit::default()
    };
    let customer = desk.edited(&id, &edit).await;
    assert_eq!(customer.fields.phones.len(), 2);
    let other = desk.api.customer("+493077777777").await;
    let taken = Edit {
        add_phones: vec![phone("+491711234567")],
        ..Edit::default()
    };
    let fault = desk
        .kustomer
        .edit(&CustomerId(other.clone()), &taken, None)
        .await;
    assert!(matches!(fault, Err(KustomerFault::Conflict { .. })));
    desk.api
        .ask("DELETE", &format!("/v1/customers/{other}"), None)
        .await;
    let fault = desk.kustomer.edit(&CustomerId(other), &taken, None).await;
    assert!(matches!(fault, Err(KustomerFault::NotFound)));
}

fn new(id: &str, phones: &[&str], emails: &[&str]) -> NewCustomer {
    NewCustomer {
        external_id: ContactId(id.into()),
        fields: Fields {
            name: "Erika Beispiel".into(),
            phones: phones.iter().map(|one| phone(one)).collect(),
            emails: emails.iter().map(|one| email(one)).collect(),
            website: "erika.example".into(),
            address: Address {
                street: "Weg 1".into(),
                ..Address::default()
            },
            ..Fields::default()
        },
    }
}

#[tokio::test]
async fn a_create_is_found_by_its_id_and_a_refused_one_by_who_is_in_the_way() {
    for duplicate_status in [400, 409] {
        let desk = Desk::open(SandboxOptions {
            duplicate_status,
            ..SandboxOptions::empty()
        })
        .await;
        let erika = new("contact-1", &["+493033333333"], &["erika@example.org"]);
        let made = here(desk.kustomer.create(&erika).await.unwrap());
        let mut wanted = erika.fields.clone();
        wanted.website = "https://erika.example".into();
        assert_eq!(
            (made.external_id.as_deref(), &made.fields),
            (Some("contact-1"), &wanted)
        );
        desk.full().await;
        let second = new(
            "contact-2",
            &["+493033333333", "+493099999999"],
            &["max@example.org"],
        );
        let refused = desk.kustomer.create(&second).await.unwrap_err();
        assert!(refused.certain_not_done());
        let found = desk
            .kustomer
            .find(&second.fields, "contact-2")
            .await
            .unwrap();
        let names: Vec<_> = found.into_iter().map(|row| here(row).fields.name).collect();
        assert_eq!(names, ["Erika Beispiel", "Max Muster"]);
        // Done, but nobody knows.
        let lost = Fault::on("/v1/customers", FaultKind::CommitThenClose);
        desk.api.sandbox.add_fault(lost.method("POST").times(1));
        let third = new("contact-3", &["+493088888888"], &[]);
        let unclear = desk.kustomer.create(&third).await.unwrap_err();
        assert!(!unclear.certain_not_done());
        desk.api.sandbox.reset_requests();
        let found = desk
            .kustomer
            .find(&third.fields, "contact-3")
            .await
            .unwrap();
        assert_eq!(found.len(), 1);
        assert_eq!(desk.api.sandbox.requests().total, 1);
    }
}
