//! Answers in the form of other servers (sabre/dav as Nextcloud and Baïkal have it, iCloud's home on another host, an old
//! one without sync-collection), and answers that nobody should believe.

use super::radicale::plan;
use super::wire::{Request, answer, server};
use super::{draft, id, ids, refused};
use std::fs;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tempfile::TempDir;
use tieline::phonebook::carddav::CardDav;
use tieline::phonebook::{Etag, PhonebookFault, Token};
use tieline::settings::types::CardDavSettings;

const NS: &str = r#"xmlns:d="DAV:" xmlns:card="urn:ietf:params:xml:ns:carddav" xmlns:s="http://sabredav.org/ns""#;

fn engine(address: SocketAddr, path: &str) -> (CardDav, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let password_file = folder.path().join("password");
    fs::write(&password_file, "geheim").unwrap();
    let settings = CardDavSettings {
        name: "office".to_owned(),
        url: format!("http://{address}{path}"),
        user: "alice".to_owned(),
        password_file,
        ca_file: None,
        timeout: Duration::from_secs(20),
    };
    (CardDav::new(&settings, plan()).unwrap(), folder)
}

fn multistatus(inside: &str) -> String {
    let body = format!("<?xml version=\"1.0\"?>\n<d:multistatus {NS}>{inside}</d:multistatus>");
    answer(
        "207 Multi-Status",
        "content-type: application/xml\r\n",
        &body,
    )
}

fn response(href: &str, prop: &str) -> String {
    format!(
        "<d:response><d:href>{href}</d:href><d:propstat><d:prop>{prop}</d:prop><d:status>HTTP/1.1 200 OK</d:status></d:propstat></d:response>"
    )
}

/// The address book's own description.
fn book(syncs: bool) -> String {
    let reports = if syncs {
        "<d:supported-report-set><d:supported-report><d:report><d:sync-collection/></d:report></d:supported-report></d:supported-report-set>"
    } else {
        ""
    };
    multistatus(&response(
        "/b/",
        &format!("<d:resourcetype><d:collection/><card:addressbook/></d:resourcetype>{reports}"),
    ))
}

fn card(uid: &str) -> String {
    format!(
        "BEGIN:VCARD\nVERSION:4.0\nUID:{uid}\nFN:Name {uid}\nTEL;VALUE=uri;TYPE=\"cell\":tel:+491711234567\nEND:VCARD\n"
    )
}

/// The cards that a multiget asks for, their version as given.
fn cards(request: &Request, version: &str) -> String {
    let hrefs = request.body.split("<d:href>").skip(1);
    let hrefs = hrefs.filter_map(|rest| rest.split("</d:href>").next());
    let found = hrefs.map(|href| {
        let uid = href.trim_start_matches("/b/").trim_end_matches(".vcf");
        let etag = format!("<d:getetag>\"{uid}{version}\"</d:getetag>");
        response(
            href,
            &format!("{etag}<card:address-data>{}</card:address-data>", card(uid)),
        )
    });
    multistatus(&found.collect::<String>())
}

#[tokio::test]
async fn without_sync_collection_etags_are_compared() {
    let entries: Arc<Mutex<Vec<(&str, &str)>>> = Arc::new(Mutex::new(vec![("a", "1"), ("b", "1")]));
    let shared = Arc::clone(&entries);
    let (address, seen) = server(move |request| {
        let entries = shared.lock().unwrap().clone();
        match request.line.as_str() {
            "PROPFIND /b/" if request.head.contains("depth: 0") => book(false),
            "PROPFIND /b/" => {
                let all = entries.iter().map(|(name, version)| {
                    response(
                        &format!("/b/{name}.vcf"),
                        &format!("<d:resourcetype/><d:getetag>\"{name}{version}\"</d:getetag>"),
                    )
                });
                multistatus(&format!(
                    "{}{}",
                    response("/b/", "<d:resourcetype><d:collection/></d:resourcetype>"),
                    all.collect::<String>()
                ))
            }
            "REPORT /b/" => {
                // Each card has the version that is listed.
                let version = entries
                    .iter()
                    .find(|(name, _)| request.body.contains(&format!("/{name}.vcf")));
                cards(request, version.map_or("1", |(_, version)| version))
            }
            other => panic!("{other}"),
        }
    })
    .await;
    let (engine, _folder) = engine(address, "/b/");
    let all = engine.changes(None).await.unwrap();
    assert_eq!((ids(&all.changed), all.complete), (vec!["a", "b"], true));
    let same = engine.changes(Some(&all.token)).await.unwrap();
    assert_eq!(
        (same.changed.len(), same.removed.len(), same.complete),
        (0, 0, false)
    );
    assert_eq!(same.token, all.token);
    *entries.lock().unwrap() = vec![("b", "2"), ("c", "2")];
    let before = seen.lock().unwrap().len();
    let some = engine.changes(Some(&same.token)).await.unwrap();
    assert_eq!(
        (ids(&some.changed), some.removed, some.complete),
        (vec!["b", "c"], vec![id("a")], false)
    );
    assert_eq!(
        seen.lock().unwrap().len() - before,
        2,
        "a list and one batch"
    );
    let unknown = engine
        .changes(Some(&Token("listed:0".to_owned())))
        .await
        .unwrap();
    assert!(unknown.complete);
}

#[tokio::test]
async fn a_cut_sync_goes_on_and_a_write_without_an_etag_is_read_back() {
    let stored = Arc::new(Mutex::new(card("1")));
    let shared = Arc::clone(&stored);
    let (address, seen) = server(move |request| match request.line.as_str() {
        "PROPFIND /b/" => book(true),
        "REPORT /b/" if request.body.contains("sync-collection") => {
            let part = |name: &str, token: &str, rest: &str| {
                let entry = response(&format!("/b/{name}.vcf"), &format!("<d:getetag>\"{name}1\"</d:getetag>"));
                multistatus(&format!("{entry}{rest}<d:sync-token>{token}</d:sync-token>"))
            };
            let more = "<d:response><d:href>/b/</d:href><d:status>HTTP/1.1 507 Insufficient Storage</d:status><d:error><d:number-of-matches-within-limits/></d:error></d:response>";
            if request.body.contains("<d:sync-token></d:sync-token>") {
                part("1", "http://sabre.io/ns/sync/1", more)
            } else if request.body.contains("sync/1<") {
                part("2", "http://sabre.io/ns/sync/2", "")
            } else {
                let body = format!("<d:error {NS}><s:exception>Sabre\\DAV\\Exception\\InvalidSyncToken</s:exception><d:valid-sync-token/></d:error>");
                answer("403 Forbidden", "", &body)
            }
        }
        "REPORT /b/" => cards(request, "1"),
        "GET /b/1.vcf" => answer("200 OK", "etag: \"11\"\r\n", &shared.lock().unwrap()),
        "PUT /b/1.vcf" => {
            *shared.lock().unwrap() = request.body.clone();
            answer("204 No Content", "", "")
        }
        other => panic!("{other}"),
    })
    .await;
    let (engine, _folder) = engine(address, "/b/");
    let all = engine.changes(None).await.unwrap();
    assert_eq!((ids(&all.changed), all.complete), (vec!["1", "2"], true));
    // The server lost the token: all of it once more.
    let lost = engine.changes(Some(&all.token)).await.unwrap();
    assert_eq!((ids(&lost.changed), lost.complete), (vec!["1", "2"], true));
    let etag = engine
        .update(
            &id("1"),
            &Etag("W/\"11\"".to_owned()),
            &draft("Neu", &["+491711234567"]),
        )
        .await
        .unwrap();
    assert_eq!(etag, Etag("\"11\"".to_owned()));
    let put = seen
        .lock()
        .unwrap()
        .iter()
        .find(|one| one.line.starts_with("PUT"))
        .unwrap()
        .clone();
    assert!(put.head.contains("if-match: \"11\""), "{}", put.head);
    assert!(
        put.body.contains("FN:Neu\n")
            && put
                .body
                .contains("TEL;VALUE=uri;TYPE=\"cell\":tel:+491711234567\n"),
        "{}",
        put.body
    );
}

#[tokio::test]
async fn answers_that_are_not_whole_count_for_nothing() {
    let tables: [(&str, String); 7] = [
        ("html", answer("200 OK", "", "<html>Log in</html>")),
        ("no token", multistatus("")),
        (
            "no etag",
            multistatus(&format!(
                "{}<d:sync-token>1</d:sync-token>",
                response("/b/1.vcf", "")
            )),
        ),
        (
            "a fault inside",
            multistatus(
                "<d:response><d:href>/b/1.vcf</d:href><d:status>HTTP/1.1 500 Oops</d:status></d:response><d:sync-token>1</d:sync-token>",
            ),
        ),
        (
            "stuck",
            multistatus(
                "<d:response><d:href>/b/</d:href><d:status>HTTP/1.1 507 More</d:status></d:response><d:sync-token></d:sync-token>",
            ),
        ),
        (
            "a bomb",
            answer(
                "207 Multi-Status",
                "",
                "<!DOCTYPE a [<!ENTITY b \"bbbb\"><!ENTITY c \"&b;&b;\">]><a>&c;</a>",
            ),
        ),
        ("busy", answer("503 Service Unavailable", "", "")),
    ];
    for (what, text) in tables {
        let (address, _) = server(move |request| match request.line.as_str() {
            "PROPFIND /b/" => book(true),
            _ => text.clone(),
        })
        .await;
        let (engine, _folder) = engine(address, "/b/");
        match engine.changes(None).await {
            Err(
                PhonebookFault::Unreachable { unclear: false, .. } | PhonebookFault::Refused(_),
            ) => {}
            other => panic!("{what}: {other:?}"),
        }
    }
    // A batch that lacks a card would make its contact look gone.
    let (address, _) = server(|request| match request.line.as_str() {
        "PROPFIND /b/" => book(true),
        _ if request.body.contains("sync-collection") => {
            let entry = |n: u8| response(&format!("/b/{n}.vcf"), "<d:getetag>\"1\"</d:getetag>");
            multistatus(&format!(
                "{}{}<d:sync-token>1</d:sync-token>",
                entry(1),
                entry(2)
            ))
        }
        _ => cards(&Request::clone(request), "").replacen("/b/2.vcf", "/b/3.vcf", 1),
    })
    .await;
    let (engine, _folder) = engine(address, "/b/");
    let result = engine.changes(None).await;
    assert!(
        matches!(result, Err(PhonebookFault::Unreachable { .. })),
        "{result:?}"
    );
}

#[tokio::test]
async fn the_password_stays_with_its_server() {
    let (other, seen) = server(|_| answer("207 Multi-Status", "", "")).await;
    let (address, _) = server(move |request| {
        let well_known = request.line.ends_with("/.well-known/carddav");
        let target = if well_known {
            format!("http://{other}/b/")
        } else {
            "/.well-known/carddav".to_owned()
        };
        answer(
            "301 Moved Permanently",
            &format!("location: {target}\r\n"),
            "",
        )
    })
    .await;
    let (engine, _folder) = engine(address, "/");
    let why = refused(engine.changes(None).await);
    assert!(why.contains(&other.to_string()), "{why}");
    assert!(seen.lock().unwrap().is_empty());
}

#[tokio::test]
async fn refusals_are_told_in_the_servers_words() {
    let error = |name: &str| {
        format!("<d:error {NS}><s:message>Jane Roe +491711234567</s:message><{name}/></d:error>")
    };
    let table = [
        (
            "415 Unsupported Media Type",
            error("card:supported-address-data"),
            "rejected",
            "415, supported-address-data",
        ),
        (
            "403 Forbidden",
            error("card:max-resource-size"),
            "rejected",
            "403, max-resource-size",
        ),
        ("413 Too Large", String::new(), "rejected", "413"),
        ("422 Unprocessable", String::new(), "rejected", "422"),
        ("400 Bad Request", "no XML".to_owned(), "rejected", "400"),
        (
            "403 Forbidden",
            error("d:need-privileges"),
            "refused",
            "403, need-privileges",
        ),
        (
            "507 Insufficient Storage",
            error("d:quota-not-exceeded"),
            "refused",
            "507, quota-not-exceeded",
        ),
        ("500 Oops", String::new(), "unclear", "500"),
        ("503 Busy", String::new(), "away", "503"),
    ];
    for (status, body, kind, words) in table {
        let refusal = answer(status, "", &body);
        let (address, _) = server(move |request| match request.line.as_str() {
            "PROPFIND /b/" => book(true),
            "REPORT /b/" => multistatus(""),
            "PUT /b/new.vcf" => refusal.clone(),
            other => panic!("{other}"),
        })
        .await;
        let (engine, _folder) = engine(address, "/b/");
        let fault = engine
            .create(&id("new"), &draft("Neu", &["+491711234567"]))
            .await
            .unwrap_err();
        let told = match &fault {
            PhonebookFault::Rejected(_) => "rejected",
            PhonebookFault::Refused(_) => "refused",
            PhonebookFault::Unreachable { unclear: true, .. } => "unclear",
            PhonebookFault::Unreachable { .. } => "away",
            other => panic!("{other:?}"),
        };
        let text = fault.to_string();
        assert_eq!(told, kind, "{status}: {text}");
        assert!(
            text.contains(words) && !text.contains("Jane") && !text.contains("+49"),
            "{text}"
        );
    }
}
