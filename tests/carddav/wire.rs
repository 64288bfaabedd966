//! Servers that aren't Radicale: one that answers what a test says, and one in front of Radicale that delays, cuts or
//! repeats. Both over real sockets.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// A request as it came: `PUT /a/1.vcf`, its headers in small letters, its body.
#[derive(Clone, Debug)]
pub struct Request {
    pub line: String,
    pub head: String,
    pub body: String,
    bytes: Vec<u8>,
}

/// What the server in between does to the next requests whose line begins so.
#[derive(Clone, Debug)]
pub enum Mischief {
    /// The server gets the request, and nobody gets its answer.
    Silence,
    /// The answer ends after so many bytes.
    Cut(usize),
    /// The server gets the request twice; the second answer comes back.
    Twice,
}

/// Answers each request with what `answer` makes of it: a whole HTTP answer.
pub async fn server(
    answer: impl Fn(&Request) -> String + Send + Sync + 'static,
) -> (SocketAddr, Arc<Mutex<Vec<Request>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let kept = Arc::clone(&seen);
    let answer = Arc::new(answer);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let (answer, kept) = (Arc::clone(&answer), Arc::clone(&kept));
            tokio::spawn(async move {
                while let Some(request) = read(&mut stream).await {
                    let text = answer(&request);
                    kept.lock().unwrap().push(request);
                    if stream.write_all(text.as_bytes()).await.is_err() {
                        return;
                    }
                }
            });
        }
    });
    (address, seen)
}

/// An answer with a body.
pub fn answer(status: &str, headers: &str, body: &str) -> String {
    format!(
        "HTTP/1.1 {status}\r\n{headers}content-length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// Stands in front of `upstream`; set the second value to what goes wrong, and with which requests.
pub async fn between(upstream: SocketAddr) -> (SocketAddr, Arc<Mutex<Option<(String, Mischief)>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let plan: Arc<Mutex<Option<(String, Mischief)>>> = Arc::default();
    let shared = Arc::clone(&plan);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(pass(stream, upstream, Arc::clone(&shared)));
        }
    });
    (address, plan)
}

async fn pass(
    mut stream: TcpStream,
    upstream: SocketAddr,
    plan: Arc<Mutex<Option<(String, Mischief)>>>,
) {
    let Some(request) = read(&mut stream).await else {
        return;
    };
    let mischief = plan.lock().unwrap().clone();
    let mischief = mischief.filter(|(which, _)| request.line.starts_with(which.as_str()));
    let mut answer = exchange(upstream, &request.bytes).await;
    match mischief.map(|(_, what)| what) {
        None => {}
        Some(Mischief::Silence) => {
            // Until the other side has had enough.
            let _ = stream.read(&mut [0; 1]).await;
            return;
        }
        Some(Mischief::Cut(at)) => answer.truncate(at),
        Some(Mischief::Twice) => answer = exchange(upstream, &request.bytes).await,
    }
    let _ = stream.write_all(&answer).await;
    let _ = stream.shutdown().await;
}

/// One request on a connection of its own; Radicale closes it after its answer.
async fn exchange(upstream: SocketAddr, request: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(upstream).await.unwrap();
    stream.write_all(request).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    answer
}

async fn read(stream: &mut TcpStream) -> Option<Request> {
    let mut bytes = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let head = head.to_lowercase();
            let length = head.split("content-length: ").nth(1);
            let length = length.and_then(|rest| rest.split("\r\n").next()?.parse().ok());
            if body.len() >= length.unwrap_or(0_usize) {
                let words: Vec<&str> = text.split_whitespace().take(2).collect();
                return Some(Request {
                    line: words.join(" "),
                    head,
                    body: body.to_owned(),
                    bytes,
                });
            }
        }
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    }
}
