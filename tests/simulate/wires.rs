//! The network between the daemon and the sandbox Kustomer: real HTTP over pipes within the process.

use super::fate::Fate;
use http_body_util::{BodyExt, Full};
use hyper::{HeaderMap, Request, Uri};
use hyper_util::rt::TokioIo;
use std::fmt::{Debug, Formatter};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tieline::kustomer::fault::KustomerFault;
use tieline::kustomer::http::{Carried, Carrier};
use tieline::sandbox::Sandbox;

pub struct Wires {
    pub sandbox: Arc<Sandbox>,
    pub fate: Arc<Fate>,
    /// Nobody is reached.
    pub cut: AtomicBool,
    /// The key isn't taken.
    pub locked: AtomicBool,
    /// The settings' `timeout`.
    pub timeout: Duration,
}

impl Debug for Wires {
    fn fmt(&self, out: &mut Formatter<'_>) -> std::fmt::Result {
        out.write_str("wires")
    }
}

impl Carrier for Wires {
    fn carry(
        &self,
        request: Request<Vec<u8>>,
    ) -> Pin<Box<dyn Future<Output = Result<Carried, KustomerFault>> + Send + '_>> {
        Box::pin(async move {
            self.fate.moved().await;
            if self.cut.load(Ordering::Relaxed) {
                return Err(KustomerFault::Unreachable("no route".to_owned()));
            }
            if self.locked.load(Ordering::Relaxed) {
                return Ok(Carried {
                    status: 401,
                    headers: HeaderMap::new(),
                    body: Ok(br#"{"errors":[{"status":401,"code":"unauthorized"}]}"#.to_vec()),
                });
            }
            let answer = tokio::time::timeout(self.timeout, self.exchange(request)).await;
            self.fate.moved().await;
            answer.unwrap_or(Err(KustomerFault::Timeout(self.timeout)))
        })
    }
}

impl Wires {
    async fn exchange(&self, request: Request<Vec<u8>>) -> Result<Carried, KustomerFault> {
        let lost = |fault: hyper::Error| KustomerFault::Lost(fault.to_string());
        let stream = TokioIo::new(self.sandbox.connect());
        let (mut sender, connection) = hyper::client::conn::http1::handshake(stream)
            .await
            .map_err(lost)?;
        tokio::spawn(connection);
        let (mut head, body) = request.into_parts();
        head.headers.insert("host", "sandbox".parse().unwrap());
        head.uri = Uri::from(head.uri.path_and_query().unwrap().clone());
        let request = Request::from_parts(head, Full::new(bytes::Bytes::from(body)));
        let reply = sender.send_request(request).await.map_err(lost)?;
        let (head, body) = reply.into_parts();
        let status = head.status.as_u16();
        let body = body.collect().await.map(|body| body.to_bytes().to_vec());
        Ok(Carried {
            status,
            headers: head.headers,
            body: body.map_err(|_| KustomerFault::Garbled {
                status,
                what: "cut short".to_owned(),
            }),
        })
    }
}
