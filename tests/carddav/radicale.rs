//! A real contact server for one test: Radicale with a folder, users and rights of its own, on a free port of this
//! machine; and another client that changes things behind the engine's back. Installed by tests/setup.sh.

use crate::support::{LOOK_EVERY, within};
use reqwest::{Client, Method, RequestBuilder};
use std::fs::{self, File};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tempfile::TempDir;
use tieline::phonebook::carddav::CardDav;
use tieline::settings::types::CardDavSettings;
use tieline::terms::number::NumberPlan;
use tokio::net::TcpStream;

/// Ports that somebody else may have taken in between.
const PORTS_TRIED: usize = 5;

/// May read and write what is hers.
pub const USER: &str = "alice";
pub const PASSWORD: &str = "geheim: ä";

/// Radicale's own storage but for what it does over all cards at each write, which takes a second with 20,000 of them: it
/// reads every card for its UID, and looks for files to tidy away. Here files are named for their UID.
const QUICK: &str = r#"
import os
from radicale.storage import multifilesystem

class Collection(multifilesystem.Collection):
    def has_uid(self, uid):
        return os.path.exists(os.path.join(self._filesystem_path, uid + ".vcf"))
    def _clean_item_cache(self):
        pass
    def _clean_history(self):
        pass

class Storage(multifilesystem.Storage):
    _collection_class = Collection
"#;

pub struct Radicale {
    pub address: SocketAddr,
    pub folder: TempDir,
    child: Child,
}

impl Radicale {
    /// With an address book `contacts` that holds `cards`, by file name.
    pub async fn start(cards: &[(String, String)]) -> Self {
        Self::storing(cards, false).await
    }

    /// The same; `quick`: with a storage for books of many thousand cards, see [`QUICK`].
    pub async fn storing(cards: &[(String, String)], quick: bool) -> Self {
        // In memory: Radicale syncs a file for every card that it sees first, which takes a busy disk half a minute.
        let memory = Path::new("/dev/shm");
        let folder = if memory.is_dir() {
            tempfile::tempdir_in(memory).unwrap()
        } else {
            tempfile::tempdir().unwrap()
        };
        let at = |name: &str| folder.path().join(name);
        let users = format!("{USER}:{PASSWORD}\nguest:{PASSWORD}\n");
        fs::write(at("users"), users).unwrap();
        fs::write(at("quick_storage.py"), QUICK).unwrap();
        fs::write(at("password"), format!("{PASSWORD}\n")).unwrap();
        // The guest may look at everything and change nothing.
        let rights = format!(
            "[guest]\nuser: guest\ncollection: .*\npermissions: Rr\n[own]\nuser: {USER}\ncollection: .*\npermissions: RWrw\n"
        );
        fs::write(at("rights"), rights).unwrap();
        let book = at("store/collection-root/alice/contacts");
        fs::create_dir_all(&book).unwrap();
        fs::write(book.join(".Radicale.props"), r#"{"tag": "VADDRESSBOOK"}"#).unwrap();
        for (name, text) in cards {
            fs::write(book.join(name), text).unwrap();
        }
        // The port is free until Radicale takes it: where somebody else was faster, another one is tried.
        for _ in 0..PORTS_TRIED {
            let free = TcpListener::bind("127.0.0.1:0").unwrap();
            let address = free.local_addr().unwrap();
            drop(free);
            let mut child = spawn(&folder, address, quick);
            let up = within("Radicale starts", async {
                while child.try_wait().unwrap().is_none() {
                    if TcpStream::connect(address).await.is_ok() {
                        return true;
                    }
                    tokio::time::sleep(LOOK_EVERY).await;
                }
                false
            })
            .await;
            if up {
                return Self {
                    address,
                    folder,
                    child,
                };
            }
        }
        let log = fs::read_to_string(at("log")).unwrap();
        panic!("Radicale doesn't start:\n{log}");
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// A new engine, as after a restart, for the address book.
    pub fn engine(&self) -> CardDav {
        self.engine_at(&self.url("/alice/contacts/"))
    }

    pub fn engine_at(&self, url: &str) -> CardDav {
        let settings = self.settings(url);
        CardDav::new(&settings, plan()).unwrap()
    }

    pub fn settings(&self, url: &str) -> CardDavSettings {
        CardDavSettings {
            name: "office".to_owned(),
            url: url.to_owned(),
            user: USER.to_owned(),
            password_file: self.folder.path().join("password"),
            ca_file: None,
            // Its first look at a thousand cards takes a while beside other tests.
            timeout: Duration::from_secs(60),
        }
    }

    /// The same for a settings file.
    pub fn lines(&self) -> String {
        let settings = self.settings(&self.url("/alice/contacts/"));
        format!(
            "[[carddav]]\nname = \"{}\"\nurl = \"{}\"\nuser = \"{}\"\npassword_file = \"{}\"\ntimeout = \"5min\"\n",
            settings.name,
            settings.url,
            settings.user,
            settings.password_file.display()
        )
    }

    /// What another client asks about a path of the address book.
    pub fn request(&self, client: &Client, method: Method, name: &str) -> RequestBuilder {
        client
            .request(method, self.url(&format!("/alice/contacts/{name}")))
            .basic_auth(USER, Some(PASSWORD))
            .header("content-type", "text/vcard; charset=utf-8")
    }

    /// What another client does to it: `PUT` of a card, `DELETE`.
    pub async fn other(&self, method: &str, name: &str, body: &str) {
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        let client = Client::builder().no_proxy().build().unwrap();
        let request = self.request(&client, method, name).body(body.to_owned());
        let answer = request.send().await.unwrap();
        assert!(answer.status().is_success(), "{answer:?}");
    }

    /// A card as it lies on the server.
    pub fn card(&self, name: &str) -> String {
        fs::read_to_string(self.book().join(name)).unwrap()
    }

    pub fn book(&self) -> PathBuf {
        self.folder
            .path()
            .join("store/collection-root/alice/contacts")
    }
}

impl Drop for Radicale {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            let log = fs::read_to_string(self.folder.path().join("log"));
            eprintln!("Radicale's log:\n{}", log.unwrap_or_default());
        }
    }
}

fn spawn(folder: &TempDir, address: SocketAddr, quick: bool) -> Child {
    let at = |name: &str| folder.path().join(name);
    let config = format!(
        "[server]\nhosts = {address}\n[auth]\ntype = htpasswd\nhtpasswd_filename = {}\nhtpasswd_encryption = plain\ndelay = 0\n[rights]\ntype = from_file\nfile = {}\n[storage]\nfilesystem_folder = {}\ntype = {}\n[web]\ntype = none\n[logging]\nlevel = warning\n",
        at("users").display(),
        at("rights").display(),
        at("store").display(),
        if quick {
            "quick_storage"
        } else {
            "multifilesystem"
        },
    );
    fs::write(at("config"), config).unwrap();
    Command::new("radicale")
        .arg("--config")
        .arg(at("config"))
        .env("PYTHONPATH", folder.path())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(File::create(at("log")).unwrap())
        .spawn()
        .expect("radicale: tests/setup.sh installs it")
}

pub fn plan() -> NumberPlan {
    NumberPlan::new("DE", Some("211")).unwrap()
}
