//! What the daemon tells systemd, read from a real datagram socket as systemd's own: sd_notify(3).

use crate::support::within;
use std::path::PathBuf;
use tokio::net::UnixDatagram;
use tokio::sync::{Mutex, mpsc};

/// Longest message; the daemon's have some hundred bytes.
const BYTES_MAX: usize = 4096;

/// The receiving end of `NOTIFY_SOCKET`.
pub struct Told {
    messages: Mutex<mpsc::UnboundedReceiver<Vec<String>>>,
    pub path: PathBuf,
}

impl Told {
    pub fn new(path: PathBuf) -> Self {
        let socket = UnixDatagram::bind(&path).unwrap();
        let (heard, messages) = mpsc::unbounded_channel();
        // Read at once, as systemd does: whoever tells it something waits while ten messages are unread (unix(7)).
        tokio::spawn(async move {
            let mut bytes = vec![0; BYTES_MAX];
            while let Ok(length) = socket.recv(&mut bytes).await {
                let text = std::str::from_utf8(&bytes[..length]).unwrap();
                if heard
                    .send(text.lines().map(str::to_owned).collect())
                    .is_err()
                {
                    return;
                }
            }
        });
        let messages = Mutex::new(messages);
        Self { messages, path }
    }

    /// The next message, its lines.
    pub async fn next(&self) -> Vec<String> {
        let mut messages = self.messages.lock().await;
        let next = within("systemd is told something", messages.recv());
        next.await.unwrap()
    }

    /// Waits for a message with that line; answers the message.
    pub async fn until(&self, line: &str) -> Vec<String> {
        loop {
            let message = self.next().await;
            if message.iter().any(|one| one == line) {
                return message;
            }
        }
    }
}

/// The value of a line `NAME=value`.
pub fn value<'a>(message: &'a [String], name: &str) -> Option<&'a str> {
    let mut lines = message.iter().filter_map(|line| line.split_once('='));
    lines.find_map(|(key, value)| (key == name).then_some(value))
}
