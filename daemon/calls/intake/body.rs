//! The body of a request: read whole within its limits, or thrown away. Used by `routes.rs`.

use super::problem::{Extra, Problem};
use crate::settings::types::IntakeLimits;
use axum::http::header::{CONNECTION, EXPECT};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::{Body, Incoming};
use std::error::Error;
use std::time::Duration;
use tokio::time;

/// A refused request's body is read and thrown away up to this size, so that the peer reads our answer (and can go on)
/// instead of a reset; beyond it the connection is closed.
const DRAIN_BYTES_MAX: usize = 256 * 1024;
/// How long that may take.
const DRAIN_TIME_MAX: Duration = Duration::from_secs(2);
/// The whole body.
///
/// # Errors
/// 413 as soon as it is too large, 408 if it takes too long, 400 if it ends early; the connection ends with each.
pub(crate) async fn read(body: Incoming, limits: &IntakeLimits) -> Result<Bytes, Problem> {
    match time::timeout(
        limits.body_timeout,
        Limited::new(body, limits.body_bytes).collect(),
    )
    .await
    {
        Ok(Ok(whole)) => Ok(whole.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => {
            Err(oversized(limits.body_bytes).with(Extra::Close))
        }
        Ok(Err(_)) => {
            let detail =
                "the body ended before its length or is not in valid chunks; send it whole";
            Err(Problem::new(StatusCode::BAD_REQUEST, "body-cut", detail).with(Extra::Close))
        }
        Err(_) => {
            let detail = format!(
                "the body was not there within {:?}; send it again",
                limits.body_timeout
            );
            Err(Problem::new(StatusCode::REQUEST_TIMEOUT, "slow-body", detail).with(Extra::Close))
        }
    }
}

/// Answers a request whose body wasn't read. A peer that waits for `100 Continue` sends none; another's is read and
/// thrown away within limits, because an answer before the end of the request may be lost in a reset.
pub(crate) async fn refuse(
    problem: Problem,
    headers: &HeaderMap,
    body: impl Body<Data = Bytes, Error: Into<Box<dyn Error + Send + Sync>>>,
) -> Response {
    let waits = headers
        .get(EXPECT)
        .is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"100-continue"));
    let drained = !waits && {
        let drain = Limited::new(body, DRAIN_BYTES_MAX).collect();
        time::timeout(DRAIN_TIME_MAX, drain)
            .await
            .is_ok_and(|read| read.is_ok())
    };
    let mut response = problem.into_response();
    if !drained {
        response
            .headers_mut()
            .insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

/// 413.
pub(super) fn oversized(body_max: usize) -> Problem {
    let detail = format!(
        "the body is larger than {body_max} bytes; send one event, or one contact, in each request"
    );
    Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "oversized", detail)
}
