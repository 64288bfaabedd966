//! Answers that aren't 2xx, as problem details (RFC 9457) whose detail says what to do. Used by every route.

use crate::calls::decode::Malformed;
use crate::store::StoreFault;
use axum::body::Body;
use axum::http::header::{ALLOW, CONNECTION, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use std::borrow::Cow;
use std::time::Duration;

/// When to come again: a full queue is written within milliseconds, a full disk needs a person.
const RETRY_BUSY: Duration = Duration::from_secs(1);
const RETRY_DISK_FULL: Duration = Duration::from_secs(30);
/// Ends are written in thousands a second.
const RETRY_TOO_MANY: Duration = Duration::from_secs(10);
const RETRY_BROKEN: Duration = Duration::from_secs(5);

/// One problem on its way out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    pub status: StatusCode,
    /// The last part of the type URI, for programs: `wrong-proof`.
    pub kind: &'static str,
    /// What is wrong and what to do, for people. Holds nothing of an event; of a contact, what its sender has to change.
    pub detail: Cow<'static, str>,
    pub extra: Extra,
}

/// The header that some problems come with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extra {
    None,
    /// What the `Allow` header lists.
    Allow(&'static str),
    /// The `WWW-Authenticate` challenge.
    Challenge(&'static str),
    RetryAfter(Duration),
    /// The rest of the request isn't read: the connection ends after the answer.
    Close,
}

impl Problem {
    pub fn new(
        status: StatusCode,
        kind: &'static str,
        detail: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self {
            status,
            kind,
            detail: detail.into(),
            extra: Extra::None,
        }
    }

    #[must_use]
    pub fn with(self, extra: Extra) -> Self {
        Self { extra, ..self }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let json = serde_json::json!({
            "type": format!("urn:tieline:problem:{}", self.kind),
            "title": self.status.canonical_reason().unwrap_or("Problem"),
            "status": self.status.as_u16(),
            "detail": self.detail,
        });
        let mut response = Response::new(Body::from(json.to_string()));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(
            CONTENT_TYPE,
            HeaderValue::from_static("application/problem+json"),
        );
        match self.extra {
            Extra::None => None,
            Extra::Allow(methods) => headers.insert(ALLOW, HeaderValue::from_static(methods)),
            Extra::Challenge(challenge) => {
                headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static(challenge))
            }
            Extra::RetryAfter(wait) => {
                headers.insert(RETRY_AFTER, HeaderValue::from(wait.as_secs().max(1)))
            }
            Extra::Close => headers.insert(CONNECTION, HeaderValue::from_static("close")),
        };
        response
    }
}

/// 400 or 415: the body isn't an event.
pub(super) fn malformed(fault: Malformed) -> Problem {
    let (status, kind) = match fault {
        Malformed::ContentType => (StatusCode::UNSUPPORTED_MEDIA_TYPE, "content-type"),
        Malformed::Empty => (StatusCode::BAD_REQUEST, "empty"),
        Malformed::NotUtf8 { .. } => (StatusCode::BAD_REQUEST, "not-utf-8"),
        Malformed::Json { .. } => (StatusCode::BAD_REQUEST, "not-json"),
        Malformed::Xml { .. } => (StatusCode::BAD_REQUEST, "not-xml"),
        Malformed::Form => (StatusCode::BAD_REQUEST, "not-a-form"),
        Malformed::Csv => (StatusCode::BAD_REQUEST, "not-csv"),
        Malformed::TooDeep => (StatusCode::BAD_REQUEST, "too-deep"),
        Malformed::Unknown => (StatusCode::BAD_REQUEST, "unknown-body"),
    };
    Problem::new(status, kind, fault.to_string())
}

/// 503: it can't be stored, or read, now.
pub(crate) fn unavailable(fault: &StoreFault) -> Problem {
    let (kind, detail, wait) = match fault {
        StoreFault::Busy => (
            "busy",
            "more requests wait than can be held; send it again",
            RETRY_BUSY,
        ),
        StoreFault::DiskFull { .. } => (
            "disk-full",
            "the disk is full; send it again once there is space",
            RETRY_DISK_FULL,
        ),
        StoreFault::TooMany { .. } => (
            "too-many",
            "more events wait, or are kept, than fit into the memory; send it again later",
            RETRY_TOO_MANY,
        ),
        StoreFault::InUse { .. }
        | StoreFault::NotWritable { .. }
        | StoreFault::Damaged { .. }
        | StoreFault::NewerRecord { .. }
        | StoreFault::BadRecord { .. }
        | StoreFault::Broken { .. }
        | StoreFault::Unreadable { .. }
        | StoreFault::Export { .. }
        | StoreFault::BackupRuns
        | StoreFault::NotEmpty => ("store", "the store failed; send it again", RETRY_BROKEN),
    };
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, kind, detail).with(Extra::RetryAfter(wait))
}
