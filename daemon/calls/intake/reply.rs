//! Answers that are 2xx, in the form that each phone system wants. Used by `routes.rs`.

use super::proof::Proof;
use crate::calls::journal::Accepted;
use crate::settings::types::Dialect;
use axum::body::Body;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::Response;

/// RingCentral's question whether somebody is here. Its token is a UUID; what is longer is no question.
const VALIDATION_TOKEN: &str = "validation-token";
const VALIDATION_TOKEN_BYTES_MAX: usize = 128;

/// TwiML that does nothing.
const EMPTY_TWIML: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?><Response/>";

/// The event is on disk.
pub(super) fn accepted(dialect: Dialect, accepted: &Accepted) -> Response {
    let (kind, body) = if dialect == Dialect::Twilio {
        // Twilio carries out the answer to an incoming message, and complains of one that is no TwiML.
        ("text/xml", EMPTY_TWIML.to_owned())
    } else {
        let (id, repeat) = (accepted.id, accepted.repeat);
        let json = format!("{{\"id\":\"{id}\",\"repeat\":{repeat}}}");
        ("application/json", json)
    };
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = StatusCode::ACCEPTED;
    let kind = HeaderValue::from_static(kind);
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
}

/// The same in the words that a gateway understands.
pub(super) fn exact(words: &'static str) -> Response {
    let mut response = Response::new(Body::from(words));
    let plain = HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, plain);
    response
}

/// RingCentral asks before a subscription begins, and again later: the header comes back as it was sent. Nothing is
/// journaled. Whether its own token comes along isn't documented, so that one is only looked at if it does.
pub(super) fn handshake(
    proof: &Proof,
    headers: &HeaderMap,
    query: Option<&str>,
) -> Option<Response> {
    let token = headers.get(VALIDATION_TOKEN)?;
    let asked = !token.is_empty()
        && token.len() <= VALIDATION_TOKEN_BYTES_MAX
        && proof.may_ask(headers, query);
    asked.then(|| {
        let mut response = Response::new(Body::empty());
        let answer = response.headers_mut();
        answer.insert(VALIDATION_TOKEN, token.clone());
        response
    })
}
