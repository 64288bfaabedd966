//! Answers that aren't 2xx, as problem details (RFC 9457) whose detail says what to do. Used by every route.

use axum::body::Body;
use axum::http::header::{ALLOW, CONNECTION, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use std::borrow::Cow;
use std::time::Duration;

/// One problem on its way out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    pub status: StatusCode,
    /// The last part of the type URI, for programs: `wrong-proof`.
    pub kind: &'static str,
    /// What is wrong and what to do, for people. Holds nothing that was sent.
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
