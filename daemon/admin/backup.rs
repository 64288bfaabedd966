//! The whole store as a download, while the daemon runs. `tieline backup` asks and sees whether it came whole.

use super::Admin;
use super::answer::{Answer, Part, Parts};
use crate::calls::intake::problem::Problem;
use crate::store::StoreFault;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use bytes::Bytes;
use std::io::{self, Write};
use std::sync::Arc;
use tokio::sync::mpsc;

/// One part of the answer.
const PART_BYTES: usize = 64 * 1024;
/// Parts that wait for a slow reader: 1 MiB.
const PARTS_WAITING: usize = 16;

pub(super) async fn backup(State(admin): State<Arc<Admin>>) -> Answer {
    let (parts, mut waiting) = mpsc::channel(PARTS_WAITING);
    let (store, out) = (admin.store.clone(), Pipe(parts.clone()));
    tokio::spawn(async move {
        match store.backup(out).await {
            Ok(taken) => tracing::info!(lines = taken.records, "a backup was taken"),
            Err(fault) => {
                tracing::error!(%fault, "no backup was taken");
                // The reader sees that it isn't whole. Nobody reads: nothing to tell.
                let _ = parts.send(Err(fault)).await;
            }
        }
    });
    // What fails at once is told in words; later the answer has begun.
    match waiting.recv().await {
        Some(Ok(first)) => {
            let mut response = Response::new(Body::new(Parts::new(Some(first), waiting)));
            let kind = HeaderValue::from_static("application/jsonl");
            response.headers_mut().insert(header::CONTENT_TYPE, kind);
            Ok(response)
        }
        Some(Err(fault @ StoreFault::BackupRuns)) => {
            let (kind, detail) = ("backup-runs", fault.to_string());
            Err(Problem::new(StatusCode::CONFLICT, kind, detail))
        }
        Some(Err(fault)) => {
            let (kind, detail) = ("backup", fault.to_string());
            Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, kind, detail))
        }
        None => {
            let (kind, detail) = ("stopping", "the daemon is about to stop");
            Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, kind, detail))
        }
    }
}

/// What is written goes to the reader; writing waits for it.
struct Pipe(mpsc::Sender<Part>);

impl Write for Pipe {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let (part, _) = bytes.split_at(bytes.len().min(PART_BYTES));
        let sent = self.0.blocking_send(Ok(Bytes::copy_from_slice(part)));
        sent.map_err(|_| io::Error::new(io::ErrorKind::BrokenPipe, "the reader went away"))?;
        Ok(part.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
