//! A collector of traces: takes requests of OTLP over HTTP, keeps every byte, and can be told to hang or to reject.

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTracePartialSuccess, ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use prost::Message as _;
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use tokio::net::TcpListener;
use tokio::sync::watch;

/// A running collector; it ends with the test.
pub struct Collector {
    pub address: SocketAddr,
    heard: Arc<Heard>,
    count: watch::Receiver<usize>,
}

/// One request.
#[derive(Clone, Debug)]
pub struct Taken {
    pub path: String,
    pub authorization: Option<String>,
    pub content_type: Option<String>,
    /// Its head as text, then its body.
    bytes: Vec<u8>,
    body: Bytes,
}

/// One span, with its ids in hex.
#[derive(Clone, Debug)]
pub struct Received {
    pub name: String,
    pub trace: String,
    pub id: String,
    pub parent: Option<String>,
    pub attributes: BTreeMap<String, String>,
    pub started: u64,
    pub ended: u64,
}

struct Heard {
    requests: Mutex<Vec<Taken>>,
    hangs: Mutex<bool>,
    rejects: Mutex<i64>,
    count: watch::Sender<usize>,
}

impl Collector {
    pub async fn start() -> Self {
        Self::at("127.0.0.1:0".parse().unwrap()).await
    }

    pub async fn at(address: SocketAddr) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (sender, count) = watch::channel(0);
        let heard = Arc::new(Heard {
            requests: Mutex::default(),
            hangs: Mutex::default(),
            rejects: Mutex::default(),
            count: sender,
        });
        let hears = Arc::clone(&heard);
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let hears = Arc::clone(&hears);
                let service = service_fn(move |request| take(request, Arc::clone(&hears)));
                tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
            }
        });
        Self {
            address,
            heard,
            count,
        }
    }

    /// From now on requests get no answer.
    pub fn hang(&self) {
        *self.heard.hangs.lock().unwrap() = true;
    }

    /// From now on so many spans of each request are not wanted.
    pub fn reject(&self, spans: i64) {
        *self.heard.rejects.lock().unwrap() = spans;
    }

    /// Waits for the first request.
    pub async fn asked(&self) {
        self.count
            .clone()
            .wait_for(|count| *count > 0)
            .await
            .unwrap();
    }

    pub fn requests(&self) -> Vec<Taken> {
        self.heard.requests.lock().unwrap().clone()
    }

    /// All that came.
    pub fn bytes(&self) -> Vec<u8> {
        let requests = self.requests().into_iter();
        requests.flat_map(|request| request.bytes).collect()
    }

    pub fn spans(&self) -> Vec<Received> {
        let mut spans = Vec::new();
        for taken in self.requests() {
            let request = ExportTraceServiceRequest::decode(taken.body).unwrap();
            for resource in request.resource_spans {
                let scopes = resource.scope_spans.into_iter();
                spans.extend(scopes.flat_map(|scope| scope.spans).map(|span| {
                    assert_eq!((span.trace_id.len(), span.span_id.len()), (16, 8));
                    assert!(span.events.is_empty() && span.links.is_empty());
                    let texts = span.attributes.into_iter().map(|one| {
                        let Some(Value::StringValue(text)) = one.value.unwrap().value else {
                            panic!("{} is no text", one.key);
                        };
                        (one.key, text)
                    });
                    Received {
                        attributes: texts.collect(),
                        name: span.name,
                        trace: hex(&span.trace_id),
                        id: hex(&span.span_id),
                        parent: (!span.parent_span_id.is_empty())
                            .then(|| hex(&span.parent_span_id)),
                        started: span.start_time_unix_nano,
                        ended: span.end_time_unix_nano,
                    }
                }));
            }
        }
        spans
    }
}

async fn take(
    request: Request<Incoming>,
    heard: Arc<Heard>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    let header = |name: &str| Some(head.headers.get(name)?.to_str().unwrap().to_owned());
    let taken = Taken {
        path: head.uri.path().to_owned(),
        authorization: header("authorization"),
        content_type: header("content-type"),
        bytes: [format!("{head:?}").as_bytes(), &body].concat(),
        body,
    };
    heard.requests.lock().unwrap().push(taken);
    heard.count.send_modify(|count| *count += 1);
    if *heard.hangs.lock().unwrap() {
        std::future::pending::<()>().await;
    }
    let rejected_spans = *heard.rejects.lock().unwrap();
    let reply = ExportTraceServiceResponse {
        partial_success: (rejected_spans > 0).then(|| ExportTracePartialSuccess {
            rejected_spans,
            error_message: "too many".to_owned(),
        }),
    };
    Ok(Response::new(Full::new(reply.encode_to_vec().into())))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
