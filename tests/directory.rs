//! The built-in phone book over real sockets: every route and fault, versions, waiting for changes, lookups in any
//! writing; as a process: kills, import and export by the command line.

pub mod desk;
mod files;
mod history;
mod program;

use desk::{ALL, request, serve, serve_with};
use serde_json::{Value, json};
use tieline::phonebook::directory::Memory;

#[tokio::test]
async fn a_contact_is_created_read_replaced_patched_and_removed() {
    let served = serve().await;
    let whole = json!({
        "name": "Max Muster",
        "phones": [{"number": "0171 1234567", "type": "mobile"}, {"number": "+49 171 1234567"}, {"number": "555 00100", "type": "work"}],
        "emails": [{"email": "Max@Example.org", "type": "work"}],
        "company": "Muster GmbH", "website": "https://muster.example/",
        "address": {"street": "Weg 1", "city": "Neuss", "zip": "41460", "state": "NRW", "country": "Germany"},
        "link": "https://crm.example/1", "tags": ["vip", "vip", "phone"],
    });
    let created = served.ask("POST", "/v1/contacts", &whole.to_string()).await;
    assert_eq!(created.status, 201, "{created:?}");
    let contact = created.json();
    let id = contact["id"].as_str().unwrap().to_owned();
    assert_eq!(id.len(), 32);
    assert_eq!(created.header("location"), format!("/v1/contacts/{id}"));
    assert_eq!(
        contact["phones"],
        json!([{"number": "+491711234567", "type": "mobile"}, {"number": "+4921155500100", "type": "work"}])
    );
    assert_eq!(
        contact["emails"],
        json!([{"email": "max@example.org", "type": "work"}])
    );
    assert_eq!(contact["tags"], json!(["vip", "phone"]));
    assert_eq!(contact["sources"], json!([]));
    let path = format!("/v1/contacts/{id}");
    let read = served.ask("GET", &path, "").await;
    assert_eq!((read.status, read.json()), (200, contact.clone()));
    assert_eq!(read.header("etag"), created.header("etag"));

    // What was read can be sent back, and is no change.
    let same = served.ask("PUT", &path, &contact.to_string()).await;
    assert_eq!(
        (same.status, same.header("etag")),
        (200, read.header("etag"))
    );

    let patch = r#"{"name":"Max M.","address":{"street":null},"tags":null}"#;
    let patched = served
        .ask_with(
            "PATCH",
            &path,
            &[("content-type", "application/merge-patch+json")],
            patch,
        )
        .await;
    let json = patched.json();
    assert_eq!(patched.status, 200);
    assert_eq!(json["name"], "Max M.");
    assert_eq!(
        (&json["address"]["street"], &json["address"]["city"]),
        (&json!(""), &json!("Neuss"))
    );
    assert_eq!(
        (&json["tags"], &json["phones"]),
        (&json!([]), &contact["phones"])
    );
    assert_ne!(patched.header("etag"), read.header("etag"));

    // A replacement takes away what it doesn't have.
    let replaced = served.ask("PUT", &path, r#"{"name":"Max"}"#).await.json();
    assert_eq!(
        (&replaced["phones"], &replaced["company"]),
        (&json!([]), &json!(""))
    );
    let gone = served.ask("DELETE", &path, "").await;
    assert_eq!((gone.status, gone.body.as_str()), (204, ""));
    assert_eq!(served.ask("GET", &path, "").await.kind(), "unknown-contact");
    assert_eq!(served.ask("DELETE", &path, "").await.status, 404);
    // The number is free again, and an id of one's own can be chosen, with signs in it.
    served.put("pbx:7%401", "Eva", "+491711234567").await;
    let eva = served.ask("GET", "/v1/contacts/pbx%3A7%401", "").await;
    assert_eq!(eva.json()["id"], "pbx:7@1");
}

#[tokio::test]
async fn every_fault_says_what_to_do() {
    let served = serve().await;
    served.put("eva", "Eva", "+491711234567").await;
    let many = |count: usize| {
        let phones: Vec<Value> = (0..count)
            .map(|n| json!({"number": format!("+4921155501{n:03}")}))
            .collect();
        json!({"name": "Many", "phones": phones}).to_string()
    };
    let long = json!({"name": "x".repeat(257)}).to_string();
    let too_many = many(51);
    let huge = format!("{{\"name\":\"{}\"}}", "x".repeat(70_000));
    #[rustfmt::skip]
    let table: Vec<(&str, &str, &str, u16, &str, &str)> = vec![
        ("POST", "/v1/contacts", "", 400, "not-json", "no JSON"),
        ("POST", "/v1/contacts", "{", 400, "not-json", "no JSON"),
        ("POST", "/v1/contacts", "[]", 422, "contact", "no JSON object"),
        ("POST", "/v1/contacts", "{}", 422, "contact", "name: it is missing"),
        ("POST", "/v1/contacts", r#"{"nmae":"A"}"#, 422, "contact", "nmae"),
        ("POST", "/v1/contacts", r#"{"name":7}"#, 422, "contact", "string"),
        ("POST", "/v1/contacts", r#"{"name":"A\nB"}"#, 422, "contact", "name: it has control"),
        ("POST", "/v1/contacts", r#"{"name":"A","id":"x"}"#, 422, "contact", "id: "),
        ("POST", "/v1/contacts", r#"{"name":"A","phones":[{"number":"+49171"}]}"#, 422, "contact", "phones[0].number: \"+49171\""),
        ("POST", "/v1/contacts", r#"{"name":"A","phones":[{"number":"+491711234568","type":"cell"}]}"#, 422, "contact", "cell"),
        ("POST", "/v1/contacts", r#"{"name":"A","phones":[{"number":"+491711234568","typ":"home"}]}"#, 422, "contact", "typ"),
        ("POST", "/v1/contacts", r#"{"name":"A","emails":[{"email":"a"}]}"#, 422, "contact", "emails[0].email: \"a\""),
        ("POST", "/v1/contacts", r#"{"name":"A","address":{"town":"B"}}"#, 422, "contact", "town"),
        ("POST", "/v1/contacts", r#"{"name":"A","tags":[""]}"#, 422, "contact", "tags"),
        ("POST", "/v1/contacts", &long, 422, "contact", "256"),
        ("POST", "/v1/contacts", &too_many, 422, "contact", "50 at most"),
        ("POST", "/v1/contacts", &huge, 413, "oversized", "65536"),
        ("POST", "/v1/contacts", r#"{"name":"A","phones":[{"number":"0171 1234567"}]}"#, 409, "in-use", "+491711234567 is in use by contact eva"),
        ("POST", "/v1/contacts?x=1", r#"{"name":"A"}"#, 400, "query", "\"x\""),
        ("PUT", "/v1/contacts", "{}", 405, "method", "POST"),
        ("POST", "/v1/contacts/eva", "{}", 405, "method", "PATCH"),
        ("PUT", "/v1/contacts/changes", "{}", 405, "method", "GET"),
        ("PUT", "/v1/contacts/a%2Fb", "{}", 404, "unknown-contact", "lists all"),
        ("GET", "/v1/contacts/nobody", "", 404, "unknown-contact", "lists all"),
        ("PATCH", "/v1/contacts/nobody", "{}", 404, "unknown-contact", "lists all"),
        ("PATCH", "/v1/contacts/eva", "[]", 422, "contact", "patch"),
        ("PATCH", "/v1/contacts/eva", r#"{"name":null}"#, 422, "contact", "name"),
        ("PATCH", "/v1/contacts/eva", r#"{"nmae":"x"}"#, 422, "contact", "nmae"),
        ("GET", "/v1/contacts?limit=0", "", 400, "query", "1 to 1000"),
        ("GET", "/v1/contacts?limit=all", "", 400, "query", "1 to 1000"),
        ("GET", "/v1/contacts?page=2", "", 400, "query", "limit, cursor"),
        ("GET", "/v1/contacts/changes?since=yesterday", "", 400, "query", "cursor"),
        ("GET", "/v1/contacts/changes?since=99", "", 410, "start-over", "without since"),
        ("GET", "/v1/contacts/changes?wait=2h", "", 400, "query", "60s"),
        ("GET", "/v1/lookup", "", 400, "query", "number"),
        ("GET", "/v1/lookup?number=112&format=xml", "", 400, "query", "text"),
        ("GET", "/v1/lookup?number=Max", "", 422, "number", "Max"),
        ("POST", "/v1/lookup?number=112", "{}", 405, "method", "GET"),
        ("GET", "/v1/contactsx", "", 404, "unknown-path", "nothing"),
    ];
    for (method, path, body, status, kind, says) in table {
        let reply = served.ask(method, path, body).await;
        assert_eq!(
            (reply.status, reply.kind().as_str()),
            (status, kind),
            "{method} {path} {body}"
        );
        let detail = reply.json()["detail"].as_str().unwrap().to_owned();
        assert!(detail.contains(says), "{method} {path}: {detail}");
        assert_eq!(status == 405, !reply.header("allow").is_empty());
    }
    let kind = [("content-type", "text/csv")];
    let reply = served.ask_with("POST", "/v1/contacts", &kind, "a,b").await;
    assert_eq!((reply.status, reply.kind().as_str()), (415, "content-type"));
    assert_eq!(
        served.book.size().unwrap().contacts,
        1,
        "no fault wrote anything"
    );
    assert_eq!(
        served.ask("POST", "/v1/contacts", &many(50)).await.status,
        201
    );
    // E-mails are one contact's too, in any case of letters.
    let mail = r#"{"name":"A","emails":[{"email":"A@B.example"}]}"#;
    assert_eq!(served.ask("PUT", "/v1/contacts/a", mail).await.status, 201);
    let other = served
        .ask("PUT", "/v1/contacts/b", &mail.replace("A@B", "a@b"))
        .await;
    assert_eq!((other.status, other.kind().as_str()), (409, "in-use"));
}

#[tokio::test]
async fn versions_are_kept_apart() {
    let served = serve().await;
    let first = served.put("eva", "Eva", "+491711234567").await;
    let second = served.put("eva", "Eva Muster", "+491711234567").await;
    assert_ne!(first, second);
    let path = "/v1/contacts/eva";
    let body = r#"{"name":"Eva 3"}"#;
    let weak = format!("W/{second}");
    let both = format!("{first}, {second}");
    #[rustfmt::skip]
    let table = [
        ("GET", "if-none-match", second.as_str(), 304),
        ("GET", "if-none-match", weak.as_str(), 304),
        ("GET", "if-none-match", "*", 304),
        ("GET", "if-none-match", first.as_str(), 200),
        ("GET", "if-match", first.as_str(), 412),
        ("PUT", "if-match", first.as_str(), 412),
        ("PUT", "if-match", weak.as_str(), 412),
        ("PUT", "if-match", "\"abc\"", 412),
        ("PUT", "if-match", "", 412),
        ("PUT", "if-none-match", "*", 412),
        ("PUT", "if-none-match", second.as_str(), 412),
        ("PATCH", "if-match", first.as_str(), 412),
        ("DELETE", "if-match", first.as_str(), 412),
        ("PATCH", "if-match", both.as_str(), 200),
    ];
    for (method, header, value, status) in table {
        let sent = if matches!(method, "GET" | "DELETE") {
            ""
        } else {
            body
        };
        let reply = served
            .ask_with(method, path, &[(header, value)], sent)
            .await;
        assert_eq!(
            reply.status, status,
            "{method} {header}: {value}: {reply:?}"
        );
        if status == 304 {
            assert_eq!(
                (reply.body.as_str(), reply.header("etag")),
                ("", second.as_str())
            );
        }
        if status == 412 {
            assert_eq!(reply.kind(), "other-version");
        }
    }
    let any = [("if-match", "*")];
    assert_eq!(
        served
            .ask_with("PUT", "/v1/contacts/new", &any, body)
            .await
            .status,
        412
    );
    assert_eq!(served.ask_with("DELETE", path, &any, "").await.status, 204);
    let none = [("if-none-match", "*")];
    assert_eq!(served.ask_with("PUT", path, &none, body).await.status, 201);
}

#[tokio::test]
async fn of_many_that_change_one_version_one_wins() {
    let served = serve().await;
    let etag = served.put("eva", "Eva", "+491711234567").await;
    let mut writers = tokio::task::JoinSet::new();
    for number in 0..24 {
        let (address, etag) = (served.address, etag.clone());
        writers.spawn(async move {
            let headers = [("authorization", ALL), ("if-match", etag.as_str())];
            let body = format!("{{\"name\":\"Eva {number}\"}}");
            let reply = request(address, "PATCH", "/v1/contacts/eva", &headers, &body).await;
            (reply.status, number)
        });
    }
    let done = writers.join_all().await;
    let won: Vec<_> = done.iter().filter(|(status, _)| *status == 200).collect();
    assert_eq!(won.len(), 1, "{done:?}");
    assert!(done.iter().all(|(status, _)| matches!(status, 200 | 412)));
    let name = served.ask("GET", "/v1/contacts/eva", "").await.json()["name"].clone();
    assert_eq!(name, format!("Eva {}", won[0].1));

    // And of many that want one number, one has it.
    let mut writers = tokio::task::JoinSet::new();
    for number in 0..24 {
        let address = served.address;
        writers.spawn(async move {
            let path = format!("/v1/contacts/n{number}");
            let body = r#"{"name":"N","phones":[{"number":"+4921155500199"}]}"#;
            request(address, "PUT", &path, &[("authorization", ALL)], body)
                .await
                .status
        });
    }
    let mut done = writers.join_all().await;
    done.sort_unstable();
    assert_eq!(
        (done[0], done[1..].iter().all(|status| *status == 409)),
        (201, true),
        "{done:?}"
    );
}

#[tokio::test]
async fn a_number_is_found_in_any_writing() {
    let served = serve().await;
    served.put("eva", "Eva Müller", "+49 211 555 00100").await;
    for written in [
        "%2B4921155500100",
        "+4921155500100",
        "+49+211+555+00100",
        "004921155500100",
        "4921155500100",
        "021155500100",
        "0211%2F555%2000100",
        "55500100",
        "tel:%2B49-211-55500100",
        "sip:%2B4921155500100%40pbx.example",
        "+49%20(0)211%20555-00100",
    ] {
        let reply = served
            .ask("GET", &format!("/v1/lookup?number={written}"), "")
            .await;
        assert_eq!(reply.status, 200, "{written}: {reply:?}");
        assert_eq!(reply.json()["number"], "+4921155500100", "{written}");
        assert_eq!(reply.json()["contact"]["id"], "eva", "{written}");
        let text = served
            .ask(
                "GET",
                &format!("/v1/lookup?number={written}&format=text"),
                "",
            )
            .await;
        assert_eq!(
            (text.status, text.body.as_str()),
            (200, "Eva Müller"),
            "{written}"
        );
    }
    served.put("eva", "Eva Maier", "+49 211 555 00100").await;
    let renamed = "/v1/lookup?number=%2B4921155500100&format=text";
    assert_eq!(served.ask("GET", renamed, "").await.body, "Eva Maier");
    let unknown = served
        .ask("GET", "/v1/lookup?number=021155500101", "")
        .await;
    assert_eq!(
        unknown.json(),
        json!({"number": "+4921155500101", "contact": null})
    );
    served.put("eva", "Eva Müller", "+49 211 555 00102").await;
    let moved = served
        .ask("GET", "/v1/lookup?number=021155500100", "")
        .await;
    assert_eq!(
        moved.json()["contact"],
        Value::Null,
        "the old number isn't hers any more"
    );
}

#[tokio::test]
async fn as_text_nothing_but_a_name_is_ever_said() {
    let served = serve().await;
    served.put("eva", "Eva", "+4921155500100").await;
    let plain = ("accept", "text/plain");
    let found = "/v1/lookup?number=021155500100";
    #[rustfmt::skip]
    let table = [
        (found, vec![("authorization", ALL), plain], 200, "Eva"),
        (found, vec![("authorization", ALL), ("accept", "*/*")], 200, "{"),
        ("/v1/lookup?number=021155500100&format=text&token=pbx-token", vec![], 200, "Eva"),
        ("/v1/lookup?format=text&number=021155500100&token=pbx-token?x=1", vec![], 200, "Eva"),
        ("/v1/lookup?number=anonymous&format=text&token=pbx-token", vec![], 200, ""),
        ("/v1/lookup?number=101&format=text&token=pbx-token", vec![], 200, ""),
        ("/v1/lookup?number=&format=text&token=pbx-token", vec![], 200, ""),
        ("/v1/lookup?number=021155500101&format=text&token=pbx-token", vec![], 200, ""),
        ("/v1/lookup?format=text&token=pbx-token", vec![], 400, ""),
        ("/v1/lookup?number=021155500100&format=text&token=wrong", vec![], 401, ""),
        (found, vec![plain], 401, ""),
        (found, vec![plain, ("authorization", "Bearer reader-token")], 403, ""),
    ];
    for (path, headers, status, body) in table {
        let reply = request(served.address, "GET", path, &headers, "").await;
        assert_eq!(reply.status, status, "{path}: {reply:?}");
        let right = if body == "{" {
            reply.body.starts_with('{')
        } else {
            reply.body == body
        };
        assert!(right, "{path}: {reply:?}");
        assert_eq!(
            status == 200,
            reply.header("tieline-problem").is_empty(),
            "{path}"
        );
    }
}

#[tokio::test]
async fn each_client_may_what_it_may() {
    let served = serve().await;
    served.put("eva", "Eva", "+4921155500100").await;
    // all:all-token, pbx:pbx-token, pbx:all-token, eve:all-token, :
    let basic = [
        "YWxsOmFsbC10b2tlbg==",
        "cGJ4OnBieC10b2tlbg==",
        "cGJ4OmFsbC10b2tlbg==",
        "ZXZlOmFsbC10b2tlbg==",
        "Og==",
    ];
    let basic = basic.map(|shown| format!("Basic {shown}"));
    #[rustfmt::skip]
    let table: Vec<(&str, &str, &str, u16, &str)> = vec![
        ("GET", "/v1/contacts", "", 401, "wrong-proof"),
        ("GET", "/v1/contacts", "Bearer wrong", 401, "wrong-proof"),
        ("GET", "/v1/contacts", "Bearer ", 401, "wrong-proof"),
        ("GET", "/v1/contacts", "Bearer reader-token", 200, ""),
        ("GET", "/v1/contacts", "bearer reader-token", 200, ""),
        ("GET", "/v1/contacts?token=reader-token", "", 200, ""),
        ("GET", "/v1/contacts/changes?token=reader-token", "", 200, ""),
        ("GET", "/v1/contacts?token=all-token", "Bearer wrong", 401, "wrong-proof"),
        ("GET", "/v1/contacts", "Bearer pbx-token", 403, "no-right"),
        ("GET", "/v1/contacts", &basic[0], 200, ""),
        ("GET", "/v1/contacts", &basic[1], 403, "no-right"),
        ("GET", "/v1/contacts", &basic[2], 401, "wrong-proof"),
        ("GET", "/v1/contacts", &basic[3], 401, "wrong-proof"),
        ("GET", "/v1/contacts", &basic[4], 401, "wrong-proof"),
        ("GET", "/v1/lookup?number=112", &basic[1], 422, "number"),
        ("GET", "/v1/lookup?number=112", "Bearer reader-token", 403, "no-right"),
        ("DELETE", "/v1/contacts/eva", "Bearer reader-token", 403, "no-right"),
        ("PUT", "/v1/contacts/eva", "Bearer pbx-token", 403, "no-right"),
        ("DELETE", "/v1/contacts/eva", ALL, 204, ""),
    ];
    for (method, path, proof, status, kind) in table {
        let headers: &[_] = if proof.is_empty() {
            &[]
        } else {
            &[("authorization", proof)]
        };
        let reply = request(served.address, method, path, headers, "").await;
        assert_eq!(reply.status, status, "{method} {path} {proof}: {reply:?}");
        if !kind.is_empty() {
            assert_eq!(reply.kind(), kind);
        }
        assert_eq!(status == 401, !reply.header("www-authenticate").is_empty());
    }
    let nobody = serve_with(Memory::default(), false).await;
    let reply = nobody.ask("GET", "/v1/contacts", "").await;
    assert_eq!((reply.status, reply.kind().as_str()), (403, "no-client"));
    assert!(
        reply.json()["detail"]
            .as_str()
            .unwrap()
            .contains("[[client]]")
    );
}

#[tokio::test]
async fn a_list_is_read_in_parts() {
    let served = serve().await;
    for number in 0..25 {
        served
            .put(
                &format!("c{number:02}"),
                "C",
                &format!("+49211555001{number:02}"),
            )
            .await;
    }
    served.ask("DELETE", "/v1/contacts/c07", "").await;
    let (mut ids, mut cursor, mut parts) = (Vec::new(), String::new(), 0);
    loop {
        let part = served
            .ask("GET", &format!("/v1/contacts?limit=7{cursor}"), "")
            .await
            .json();
        let contacts = part["contacts"].as_array().unwrap();
        ids.extend(
            contacts
                .iter()
                .map(|one| one["id"].as_str().unwrap().to_owned()),
        );
        parts += 1;
        match part["next"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    let expected: Vec<String> = (0..25)
        .filter(|n| *n != 7)
        .map(|n| format!("c{n:02}"))
        .collect();
    assert_eq!((ids, parts), (expected, 4));
}
