//! The contacts API over a real socket, in this process: a store, the phone book, the desk, and a client that shows
//! headers too.

use super::super::support::within;
use serde_json::Value;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;
use tieline::calls::intake::{or_unknown, server};
use tieline::phonebook::api::{Api, Desk};
use tieline::phonebook::directory::{ContactBook, Memory};
use tieline::settings::types::{ClientSettings, IntakeLimits, Right};
use tieline::store::{Store, StoreOptions};
use tieline::terms::number::NumberPlan;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// The token of the client that may do everything.
pub const ALL: &str = "Bearer all-token";

pub struct Served {
    pub address: SocketAddr,
    pub book: ContactBook,
    pub stop: watch::Sender<bool>,
    _dir: tempfile::TempDir,
}

#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    pub headers: BTreeMap<String, String>,
    pub body: String,
}

impl Reply {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }

    /// The kind of a problem, and that it says what to do.
    pub fn kind(&self) -> String {
        assert_eq!(
            self.header("content-type"),
            "application/problem+json",
            "{self:?}"
        );
        let json = self.json();
        assert_eq!(json["status"], self.status);
        assert!(json["detail"].as_str().unwrap().len() > 10, "{self:?}");
        let kind = json["type"].as_str().unwrap();
        kind.strip_prefix("urn:tieline:problem:")
            .unwrap()
            .to_owned()
    }
}

pub fn plan() -> NumberPlan {
    NumberPlan::new("DE", Some("211")).unwrap()
}

pub async fn serve() -> Served {
    serve_with(Memory::default(), true).await
}

pub async fn serve_with(memory: Memory, with_clients: bool) -> Served {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(&dir.path().join("store"), StoreOptions::default()).unwrap();
    let book = ContactBook::remembering(&store, memory).unwrap();
    let mut clients = Vec::new();
    for (name, may) in [
        (
            "all",
            vec![Right::Lookup, Right::ContactsRead, Right::ContactsWrite],
        ),
        ("pbx", vec![Right::Lookup]),
        ("reader", vec![Right::ContactsRead]),
    ] {
        let token_file = dir.path().join(name);
        std::fs::write(&token_file, format!("{name}-token\n")).unwrap();
        if with_clients {
            let name = name.to_owned();
            clients.push(ClientSettings {
                name,
                token_file,
                may,
            });
        }
    }
    let limits = IntakeLimits {
        body_bytes: 1024,
        connections: 200,
        header_timeout: Duration::from_secs(10),
        body_timeout: Duration::from_secs(10),
        idle_timeout: Duration::from_secs(60),
        queue: 100,
    };
    let api = Api::build(&clients, &plan(), limits, book.clone()).unwrap();
    let (stop, stopped) = watch::channel(false);
    let desk = Desk::new(api, stopped.clone(), or_unknown(axum::Router::new()));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let limits = server::ServeLimits {
        connections: limits.connections,
        header_timeout: limits.header_timeout,
        idle_timeout: limits.idle_timeout,
        grace: Duration::from_secs(5),
    };
    tokio::spawn(server::serve(listener, desk, limits, stopped));
    Served {
        address,
        book,
        stop,
        _dir: dir,
    }
}

/// One request over a connection of its own.
pub async fn request(
    address: SocketAddr,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> Reply {
    let mut head = format!("{method} {path} HTTP/1.1\r\nhost: tieline\r\nconnection: close\r\n");
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    if !body.is_empty() {
        head.push_str(&format!("content-length: {}\r\n", body.len()));
    }
    let read = async {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream
            .write_all(format!("{head}\r\n{body}").as_bytes())
            .await
            .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    };
    let answer = within("an answer", read).await;
    let (head, body) = answer
        .split_once("\r\n\r\n")
        .unwrap_or_else(|| panic!("{answer:?}"));
    let mut lines = head.lines();
    let status = lines
        .next()
        .unwrap()
        .split(' ')
        .nth(1)
        .unwrap()
        .parse()
        .unwrap();
    let headers = lines.filter_map(|line| line.split_once(": "));
    Reply {
        status,
        headers: headers
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect(),
        body: body.to_owned(),
    }
}

impl Served {
    /// As the client that may do everything.
    pub async fn ask(&self, method: &str, path: &str, body: &str) -> Reply {
        self.ask_with(method, path, &[], body).await
    }

    pub async fn ask_with(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Reply {
        let headers = [&[("authorization", ALL)], headers].concat();
        request(self.address, method, path, &headers, body).await
    }

    /// Puts a contact with that name and number; its etag.
    pub async fn put(&self, id: &str, name: &str, number: &str) -> String {
        let body = serde_json::json!({"name": name, "phones": [{"number": number}]}).to_string();
        let reply = self.ask("PUT", &format!("/v1/contacts/{id}"), &body).await;
        assert!(matches!(reply.status, 200 | 201), "{reply:?}");
        reply.header("etag").to_owned()
    }
}
