//! What the admin interface's routes answer, and the problems they share.

use crate::calls::intake::problem::Problem;
use crate::store::StoreFault;
use axum::http::StatusCode;
use axum::response::Response;
use bytes::Bytes;
use hyper::body::Frame;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::sync::mpsc;

/// What every route answers.
pub(super) type Answer = Result<Response, Problem>;

/// What most routes look for.
pub(super) const EVENT: &str = "event, call or text";

/// `kind` in words: what could have been there.
pub(super) fn not_found(what: &str, kind: &str) -> Problem {
    Problem::new(
        StatusCode::NOT_FOUND,
        "not-found",
        format!("no {kind} is known as \"{what}\""),
    )
}

#[expect(clippy::needless_pass_by_value, reason = "used in map_err")]
pub(super) fn broken(fault: StoreFault) -> Problem {
    Problem::new(
        StatusCode::INTERNAL_SERVER_ERROR,
        "store",
        format!("the store can't be read: {fault}"),
    )
}

/// A part of a long answer.
pub(super) type Part = Result<Bytes, StoreFault>;

/// A body in parts, as they come; the first may be there already.
pub(super) struct Parts {
    first: Option<Bytes>,
    rest: mpsc::Receiver<Part>,
}

impl Parts {
    pub(super) const fn new(first: Option<Bytes>, rest: mpsc::Receiver<Part>) -> Self {
        Self { first, rest }
    }
}

impl hyper::body::Body for Parts {
    type Data = Bytes;
    type Error = StoreFault;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, StoreFault>>> {
        if let Some(first) = self.first.take() {
            return Poll::Ready(Some(Ok(Frame::data(first))));
        }
        let part = self.rest.poll_recv(context);
        part.map(|part| part.map(|part| part.map(Frame::data)))
    }
}
