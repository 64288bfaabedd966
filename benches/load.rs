//! What the benches post with: one connection, and events as long as real ones.

use std::net::SocketAddr;
use std::time::Instant;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// The bearer token of phone system `hq`.
pub const TOKEN: &str = "bench-token";

pub type Fault = Box<dyn std::error::Error + Send + Sync>;

/// One kept connection to phone system `hq`, written by hand: the client should cost as little as it can.
pub struct Poster {
    stream: TcpStream,
    address: SocketAddr,
    answer: Vec<u8>,
}

impl Poster {
    pub async fn connect(address: SocketAddr) -> Result<Self, Fault> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self {
            stream,
            address,
            answer: vec![0_u8; 4096],
        })
    }

    /// Posts one body; answers when it was sent whole. Anything but 202 is an error.
    pub async fn post(&mut self, body: &str) -> Result<Instant, Fault> {
        let request = format!(
            "POST /v1/pbx/hq/events HTTP/1.1\r\nhost: {}\r\nauthorization: Bearer {TOKEN}\r\n\
             content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            self.address,
            body.len()
        );
        self.stream.write_all(request.as_bytes()).await?;
        let sent = Instant::now();
        let mut read = 0;
        loop {
            let more = self
                .stream
                .read(self.answer.get_mut(read..).ok_or("long answer")?)
                .await?;
            if more == 0 {
                return Err("closed".into());
            }
            read += more;
            let text = std::str::from_utf8(self.answer.get(..read).ok_or("")?)?;
            if let Some(head) = text.find("\r\n\r\n") {
                let length = text
                    .split("content-length: ")
                    .nth(1)
                    .and_then(|rest| rest.split("\r\n").next());
                if read >= head + 4 + length.map_or(Ok(0), str::parse::<usize>)? {
                    if !text.starts_with("HTTP/1.1 202") {
                        return Err(text.to_owned().into());
                    }
                    return Ok(sent);
                }
            }
        }
    }
}

/// A call of our own dialect, as long as such events are.
pub fn body(run: u64, number: u64) -> String {
    format!(
        "{{\"event\":\"call.ended\",\"id\":\"bench-{run}-{number}\",\"direction\":\"in\",\"from\":\"+49 171 1234567\",\
         \"from_name\":\"Max Mustermann\",\"to\":\"+4921155500100\",\"extension\":\"101\",\
         \"started\":\"2026-11-20T12:24:29.009Z\",\"answered\":\"2026-11-20T12:24:31Z\",\"ended\":\"2026-11-20T12:24:36Z\",\
         \"reason\":null,\"queue\":null,\"recording\":\"https://pbx.example/r/{number}\",\"voicemail\":null,\"tags\":[],\
         \"note\":null}}"
    )
}
