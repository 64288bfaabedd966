//! What stands between a daemon and Kustomer in somebody's network: TLS of a private authority, and a proxy that wants a
//! password.

use base64::Engine as _;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

/// TLS in front of a server that speaks none.
pub struct TlsDoor {
    pub address: SocketAddr,
    /// The certificate, which is its own authority's.
    pem: String,
    task: JoinHandle<()>,
}

/// An HTTP proxy that makes tunnels (CONNECT) for whoever knows the password.
pub struct Proxy {
    pub address: SocketAddr,
    asked: Arc<Mutex<Vec<String>>>,
    task: JoinHandle<()>,
}

impl TlsDoor {
    /// `listen` is an address with a free port; `to` a URL without a path.
    pub async fn open(listen: &str, to: &str) -> Self {
        let names = vec![
            "127.0.0.1".to_owned(),
            "::1".to_owned(),
            "localhost".to_owned(),
        ];
        let signed = rcgen::generate_simple_self_signed(names).unwrap();
        let key = PrivatePkcs8KeyDer::from(signed.signing_key.serialize_der());
        let config = ServerConfig::builder()
            .with_no_client_auth()
            .with_single_cert(vec![signed.cert.der().clone()], PrivateKeyDer::Pkcs8(key))
            .unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind(listen).await.unwrap();
        let address = listener.local_addr().unwrap();
        let to = to.trim_start_matches("http://").to_owned();
        let task = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (acceptor, to) = (acceptor.clone(), to.clone());
                tokio::spawn(async move {
                    // Who doesn't trust the certificate goes away.
                    let Ok(mut inside) = acceptor.accept(stream).await else {
                        return;
                    };
                    let mut outside = TcpStream::connect(to).await.unwrap();
                    let _ = copy_bidirectional(&mut inside, &mut outside).await;
                });
            }
        });
        Self {
            address,
            pem: signed.cert.pem(),
            task,
        }
    }

    pub fn url(&self) -> String {
        format!("https://{}", self.address)
    }

    /// Writes what a client must trust.
    pub fn write_authority(&self, file: &Path) {
        std::fs::write(file, &self.pem).unwrap();
    }
}

impl Proxy {
    /// `login` as `user:password`.
    pub async fn open(login: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let encoded = base64::engine::general_purpose::STANDARD.encode(login);
        let proof = format!(
            "proxy-authorization: basic {}",
            encoded.to_ascii_lowercase()
        );
        let seen = Arc::clone(&asked);
        let task = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                tokio::spawn(tunnel(stream, proof.clone(), Arc::clone(&seen)));
            }
        });
        Self {
            address,
            asked,
            task,
        }
    }

    /// The first line of every request.
    pub fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

async fn tunnel(mut inside: TcpStream, proof: String, seen: Arc<Mutex<Vec<String>>>) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let Ok(byte) = inside.read_u8().await else {
            return;
        };
        head.push(byte);
    }
    let head = String::from_utf8(head).unwrap();
    let line = head.lines().next().unwrap().to_owned();
    let to = line.split(' ').nth(1).unwrap().to_owned();
    seen.lock().unwrap().push(line);
    if !head.to_ascii_lowercase().contains(&proof) {
        let refusal = "HTTP/1.1 407 Proxy Authentication Required\r\nproxy-authenticate: Basic realm=\"x\"\r\ncontent-length: 0\r\n\r\n";
        let _ = inside.write_all(refusal.as_bytes()).await;
        return;
    }
    let Ok(mut outside) = TcpStream::connect(to).await else {
        let refusal = "HTTP/1.1 502 Bad Gateway\r\ncontent-length: 0\r\n\r\n";
        let _ = inside.write_all(refusal.as_bytes()).await;
        return;
    };
    let _ = inside.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await;
    let _ = copy_bidirectional(&mut inside, &mut outside).await;
}

impl Drop for TlsDoor {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}
