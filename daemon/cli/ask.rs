//! Asks the running daemon over its admin socket (sled has one owner, so live state is asked for, never opened).

use super::progress::Progress;
use super::{EXIT_UNAVAILABLE, Exit};
use crate::settings::types::AdminAddress;
use anyhow::{Context as _, bail};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::{Body, Frame, Incoming};
use hyper::client::conn::http1;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;
use std::fs::File;
use std::io::{Read as _, Write};
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};

/// Largest answer read from the daemon: a dead list of ten thousand entries fits.
const ANSWER_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Of a file that is sent, at once.
const PIECE_BYTES: usize = 64 * 1024;

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// What the daemon answered.
pub struct Answer {
    pub status: StatusCode,
    pub body: Value,
}

/// `GET`s a path with query of the admin interface.
pub fn get(admin: &AdminAddress, path: &str) -> anyhow::Result<Answer> {
    super::small_runtime()?.block_on(ask(admin, Method::GET, path, None))
}

/// `POST`s a file to the admin interface, a piece at a time, and shows how much of it is sent.
pub fn upload(admin: &AdminAddress, path: &str, file: File) -> anyhow::Result<Answer> {
    let request = Request::builder()
        .method(Method::POST)
        .uri(path)
        .header("host", "tieline")
        .body(Pieces {
            total: file.metadata()?.len(),
            file,
            sent: 0,
            progress: Progress::new(),
        })?;
    super::small_runtime()?.block_on(async {
        let response = exchange(admin, request).await?;
        answer(response).await
    })
}

/// `GET`s a path and writes the answer as it comes.
pub fn download(admin: &AdminAddress, path: &str, out: &mut dyn Write) -> anyhow::Result<()> {
    let request = request(Method::GET, path, None)?;
    super::small_runtime()?.block_on(async {
        let response = exchange(admin, request).await?;
        if !response.status().is_success() {
            return answer(response).await?.ok().map(|_| ());
        }
        let mut body = response.into_body();
        while let Some(frame) = body.frame().await {
            let frame = frame.context("the daemon's answer broke off")?;
            if let Some(bytes) = frame.data_ref() {
                out.write_all(bytes)?;
            }
        }
        Ok(())
    })
}

/// A file as a body. Reading blocks: the commands do nothing else meanwhile.
struct Pieces {
    file: File,
    sent: u64,
    total: u64,
    progress: Progress,
}

impl Body for Pieces {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<std::io::Result<Frame<Bytes>>>> {
        let mut piece = vec![0; PIECE_BYTES];
        Poll::Ready(match self.file.read(&mut piece) {
            Ok(0) => None,
            Ok(read) => {
                let Self {
                    sent,
                    total,
                    progress,
                    ..
                } = &mut *self;
                *sent = sent.saturating_add(read.try_into().unwrap_or(u64::MAX));
                let told = format!("{sent} of {total} bytes are sent");
                progress.show(*sent, Some(*total), &told);
                piece.truncate(read);
                Some(Ok(Frame::data(Bytes::from(piece))))
            }
            Err(error) => Some(Err(error)),
        })
    }
}

/// `POST`s JSON to the admin interface.
pub fn post(admin: &AdminAddress, path: &str, body: &Value) -> anyhow::Result<Answer> {
    super::small_runtime()?.block_on(ask(admin, Method::POST, path, Some(body)))
}

impl Answer {
    /// The body of a success; the daemon's own words otherwise.
    pub fn ok(self) -> anyhow::Result<Value> {
        if self.status.is_success() {
            return Ok(self.body);
        }
        let word = |key: &str| {
            self.body
                .get(key)
                .and_then(Value::as_str)
                .unwrap_or_default()
                .to_owned()
        };
        let code = if self.status == StatusCode::NOT_FOUND {
            super::EXIT_NOT_FOUND
        } else {
            super::EXIT_FAILED
        };
        Err(Exit {
            code,
            text: format!("{}: {}", word("title"), word("detail")),
        }
        .into())
    }
}

/// A value as one segment or query value of a path.
pub fn segment(value: &str) -> String {
    utf8_percent_encode(value, NON_ALPHANUMERIC).to_string()
}

/// Asks from within a runtime.
pub async fn ask(
    admin: &AdminAddress,
    method: Method,
    path: &str,
    body: Option<&Value>,
) -> anyhow::Result<Answer> {
    let response = exchange(admin, request(method, path, body)?).await?;
    answer(response).await
}

fn request(
    method: Method,
    path: &str,
    body: Option<&Value>,
) -> anyhow::Result<Request<Full<Bytes>>> {
    let body = body.map(Value::to_string).unwrap_or_default();
    Ok(Request::builder()
        .method(method)
        .uri(path)
        .header("host", "tieline")
        .header("content-type", "application/json")
        .body(Full::new(Bytes::from(body)))?)
}

/// One request to the admin interface, over a fresh connection.
async fn exchange<B>(
    admin: &AdminAddress,
    request: Request<B>,
) -> anyhow::Result<Response<Incoming>>
where
    B: Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
{
    let unreachable = |place: String, error: std::io::Error| Exit {
        code: EXIT_UNAVAILABLE,
        text: format!(
            "no daemon answers at {place} ({error}); is `tieline run` up, with the same --config?"
        ),
    };
    match admin {
        AdminAddress::Unix(socket) => {
            let place = socket.display().to_string();
            let stream = UnixStream::connect(socket)
                .await
                .map_err(|error| unreachable(place, error))?;
            respond(stream, request).await
        }
        AdminAddress::Tcp(address) => {
            let stream = TcpStream::connect(address)
                .await
                .map_err(|error| unreachable(address.to_string(), error))?;
            respond(stream, request).await
        }
    }
}

/// One request over a fresh connection; an answer without a body is JSON's null.
pub async fn send(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    request: Request<Full<Bytes>>,
) -> anyhow::Result<Answer> {
    answer(respond(stream, request).await?).await
}

async fn respond<B>(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    request: Request<B>,
) -> anyhow::Result<Response<Incoming>>
where
    B: Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
{
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    let response = sender.send_request(request);
    response.await.context("the daemon closed the connection")
}

/// The whole answer, read as JSON.
async fn answer(response: Response<Incoming>) -> anyhow::Result<Answer> {
    let status = response.status();
    let bytes = match Limited::new(response.into_body(), ANSWER_BYTES_MAX)
        .collect()
        .await
    {
        Ok(body) => body.to_bytes(),
        Err(error) => bail!("the daemon's answer broke off: {error}"),
    };
    let body = if bytes.is_empty() {
        Value::Null
    } else {
        serde_json::from_slice(&bytes).context("the daemon answered something that is not JSON")?
    };
    Ok(Answer { status, body })
}
