//! Posts webhooks: signed, tried again by the documented schedule, and given up (Kustomer: Delivery and retries). Started by
//! mod.rs; ends with the sandbox.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hmac::{Hmac, KeyInit, Mac};
use http_body_util::{BodyExt, Full};
use hyper::{Method, Request, Uri};
use hyper_util::rt::TokioIo;
use sha2::Sha256;
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::lock::Shared;
use super::webhooks::{Delivery, Hook, Posted};

/// Minutes before each further try.
const SCHEDULE: [u32; 7] = [1, 1, 2, 5, 10, 15, 30];
/// How long an answer may take; Kustomer only says "a few seconds".
const ANSWER_TIME_MAX: Duration = Duration::from_secs(10);
/// How long an event waits for another one to pass it.
const PASS_TIME: Duration = Duration::from_millis(50);
/// Posts kept for tests to look at; later ones are only made.
const POSTED_MAX: usize = 10_000;

/// Opens a connection within this process to whoever takes webhooks.
pub type Connect = dyn Fn() -> io::Result<DuplexStream> + Send + Sync;

/// How posts get to whoever takes them.
#[derive(Clone)]
pub enum Way {
    Network,
    Within(Arc<Connect>),
}

/// Posts until dropped.
pub async fn run(shared: Arc<Shared>, way: Way, mut inbox: mpsc::Receiver<Delivery>) {
    let mut under_way = JoinSet::new();
    while let Some(delivery) = inbox.recv().await {
        while under_way.try_join_next().is_some() {}
        let options = shared.lock().options.webhooks;
        let mut together = vec![delivery];
        if options.reorder
            && let Ok(Some(next)) = tokio::time::timeout(PASS_TIME, inbox.recv()).await
        {
            together.insert(0, next);
        }
        if options.duplicate {
            together.extend(together.clone());
        }
        let (shared, way) = (Arc::clone(&shared), way.clone());
        under_way.spawn(async move {
            for delivery in together {
                deliver(&shared, &way, &delivery).await;
            }
        });
    }
}

/// Tries until it is taken, the schedule is over, or the webhook is off.
async fn deliver(shared: &Shared, way: &Way, delivery: &Delivery) {
    let options = shared.lock().options.webhooks;
    for minutes in std::iter::once(0).chain(SCHEDULE) {
        tokio::time::sleep(options.minute.saturating_mul(minutes)).await;
        let Some(hook) = shared.lock().hooks.enabled(&delivery.hook).cloned() else {
            return;
        };
        let answer = tokio::time::timeout(ANSWER_TIME_MAX, post(&hook, way, delivery)).await;
        let status = answer.ok().and_then(Result::ok);
        let good = status.is_some_and(|status| (200..300).contains(&status));
        let mut state = shared.lock();
        let failures_max = options.failures_max;
        state.hooks.tried(&delivery.hook, good, failures_max);
        if state.hooks.posted.len() < POSTED_MAX {
            state.hooks.posted.push(Posted {
                event: delivery.event.clone(),
                body: delivery.body.clone(),
                status,
            });
        }
        state.changed.send_replace(());
        if good {
            return;
        }
    }
}

/// One post over a connection of its own; the status. https is not spoken here.
async fn post(hook: &Hook, way: &Way, delivery: &Delivery) -> io::Result<u16> {
    let uri: Uri = hook.text("url").parse().map_err(io::Error::other)?;
    if uri.scheme_str() != Some("http") {
        return Err(io::ErrorKind::Unsupported.into());
    }
    let (host, port) = (uri.host().unwrap_or_default(), uri.port_u16().unwrap_or(80));
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let mut request = Request::builder()
        .method(Method::POST)
        .uri(path)
        .header("host", format!("{host}:{port}"))
        .header("content-type", "application/json")
        .header("x-kustomer-webhook-event", &delivery.event)
        .header(
            "x-kustomer-webhook-signature",
            signature(&hook.token, &delivery.body),
        );
    for (name, value) in hook.headers() {
        request = request.header(name, value);
    }
    let request = request
        .body(Full::new(delivery.body.clone()))
        .map_err(io::Error::other)?;
    match way {
        Way::Network => exchange(TcpStream::connect((host, port)).await?, request).await,
        Way::Within(connect) => exchange(connect()?, request).await,
    }
}

async fn exchange(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    request: Request<Full<Bytes>>,
) -> io::Result<u16> {
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .map_err(io::Error::other)?;
    let exchange = async {
        let answer = sender.send_request(request).await?;
        let status = answer.status().as_u16();
        answer.into_body().collect().await?;
        drop(sender);
        Ok::<u16, hyper::Error>(status)
    };
    let (status, _) = tokio::join!(exchange, connection);
    status.map_err(io::Error::other)
}

/// Lower-case hex of the HMAC-SHA256 of the body.
fn signature(token: &str, body: &Bytes) -> String {
    let Ok(mut mac) = <Hmac<Sha256> as KeyInit>::new_from_slice(token.as_bytes()) else {
        return String::new();
    };
    mac.update(body);
    let digits = mac.finalize().into_bytes();
    digits.iter().map(|byte| format!("{byte:02x}")).collect()
}
