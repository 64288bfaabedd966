//! Asks the running daemon over its admin socket (sled has one owner, so live state is asked for, never opened).

use super::{EXIT_UNAVAILABLE, Exit};
use crate::settings::types::AdminAddress;
use anyhow::{Context as _, bail};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::client::conn::http1;
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};

/// Largest answer read from the daemon: a dead list of ten thousand entries fits.
const ANSWER_BYTES_MAX: usize = 64 * 1024 * 1024;

/// What the daemon answered.
pub struct Answer {
    pub status: StatusCode,
    pub body: Value,
}

/// `GET`s a path with query of the admin interface.
pub fn get(admin: &AdminAddress, path: &str) -> anyhow::Result<Answer> {
    super::small_runtime()?.block_on(ask(admin, Method::GET, path, None))
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
            exchange(stream, method, path, body).await
        }
        AdminAddress::Tcp(address) => {
            let stream = TcpStream::connect(address)
                .await
                .map_err(|error| unreachable(address.to_string(), error))?;
            exchange(stream, method, path, body).await
        }
    }
}

async fn exchange(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    method: Method,
    path: &str,
    body: Option<&Value>,
) -> anyhow::Result<Answer> {
    let body = body.map(Value::to_string).unwrap_or_default();
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header("host", "tieline")
        .header("content-type", "application/json")
        .body(Full::new(Bytes::from(body)))?;
    send(stream, request).await
}

/// One request over a fresh connection; an answer without a body is JSON's null.
pub async fn send(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    request: Request<Full<Bytes>>,
) -> anyhow::Result<Answer> {
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    let response = sender
        .send_request(request)
        .await
        .context("the daemon closed the connection")?;
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
