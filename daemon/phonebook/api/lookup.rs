//! `GET /v1/lookup?number=…`: whose number is it? Asked by phone systems for every call while it rings, so it is answered
//! before the router, from the store's index alone, and never from Kustomer.
//!
//! As text the answer is the name and nothing else, and empty whenever there is none: FreePBX shows the whole body of
//! whatever it gets as the caller's name, a problem's too.

use super::Api;
use crate::calls::intake::problem::{Extra, Problem, unavailable};
use crate::phonebook::{Entry, wire};
use crate::settings::types::Right;
use crate::terms::number::E164;
use axum::body::Body;
use axum::http::header::{ACCEPT, CONTENT_TYPE, HeaderName};
use axum::http::{HeaderValue, Method, StatusCode, request};
use axum::response::{IntoResponse, Response};
use percent_encoding::percent_decode_str;
use serde_json::json;
use std::sync::atomic::Ordering::Relaxed;

/// What is wrong, where the body must be empty: for whoever tries it with curl.
const PROBLEM: HeaderName = HeaderName::from_static("tieline-problem");

/// What was asked.
#[derive(Default)]
struct Question {
    number: Option<String>,
    text: bool,
    format_fault: bool,
}

/// Answers one lookup.
pub fn lookup(api: &Api, head: &request::Parts) -> Response {
    let question = Question::read(head);
    match found(api, head, &question) {
        Ok(response) => response,
        Err(problem) => {
            api.stats.refused.fetch_add(1, Relaxed);
            if question.text {
                silent(problem)
            } else {
                problem.into_response()
            }
        }
    }
}

fn found(api: &Api, head: &request::Parts, question: &Question) -> Result<Response, Problem> {
    if !matches!(head.method, Method::GET | Method::HEAD) {
        let problem = Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method", "ask with GET");
        return Err(problem.with(Extra::Allow("GET, HEAD")));
    }
    api.clients
        .check(&head.headers, head.uri.query(), Right::Lookup)?;
    if question.format_fault {
        let detail = "format is \"text\" or \"json\"";
        return Err(Problem::new(StatusCode::BAD_REQUEST, "query", detail));
    }
    let Some(written) = &question.number else {
        let detail = "ask with ?number= and the number as anybody would write it";
        return Err(Problem::new(StatusCode::BAD_REQUEST, "query", detail));
    };
    // Most phone systems send a number just as it is stored. That it is somebody's says that it is a number, and takes a
    // fraction of the time of reading it.
    if let Ok(number) = written.parse()
        && let Some(answer) = somebodys(api, &number, question.text)?
    {
        return Ok(answer);
    }
    let number = match api.plan.parse_signalled(written) {
        Ok(number) => number,
        // Hidden callers and extensions are asked for, too: nobody's number, no fault.
        Err(_) if question.text => {
            api.stats.unknown.fetch_add(1, Relaxed);
            return Ok(text(String::new()));
        }
        Err(fault) => {
            let detail = format!("{written:?} is no number: {fault}");
            let status = StatusCode::UNPROCESSABLE_ENTITY;
            return Err(Problem::new(status, "number", detail));
        }
    };
    if let Some(answer) = somebodys(api, &number, question.text)? {
        return Ok(answer);
    }
    api.stats.unknown.fetch_add(1, Relaxed);
    if question.text {
        return Ok(text(String::new()));
    }
    Ok(json_of(&number, None))
}

/// The answer, if a contact has the number.
fn somebodys(api: &Api, number: &E164, as_text: bool) -> Result<Option<Response>, Problem> {
    let answer = if as_text {
        api.book.name_of(number).map(|name| name.map(text))
    } else {
        let entry = api.book.by_number(number);
        entry.map(|entry| entry.map(|entry| json_of(number, Some(&entry))))
    };
    let answer = answer.map_err(|fault| unavailable(&fault))?;
    if answer.is_some() {
        api.stats.found.fetch_add(1, Relaxed);
    }
    Ok(answer)
}

impl Question {
    fn read(head: &request::Parts) -> Self {
        let accept = head
            .headers
            .get(ACCEPT)
            .and_then(|value| value.to_str().ok());
        let accept = accept.unwrap_or_default();
        let mut question = Self {
            text: accept.contains("text/plain") && !accept.contains("json"),
            ..Self::default()
        };
        let query = head.uri.query().unwrap_or_default();
        for part in query.split(['&', '?']) {
            match part.split_once('=') {
                Some(("number", value)) => question.number = Some(number_of(value)),
                Some(("format", "text")) => question.text = true,
                Some(("format", "json")) => question.text = false,
                Some(("format", _)) => question.format_fault = true,
                // Phone systems append what they like.
                Some(_) | None => {}
            }
        }
        question
    }
}

/// A plus in front is one, though a form's would be a space: few phone systems encode it.
fn number_of(value: &str) -> String {
    let (plus, rest) = match value.strip_prefix('+') {
        Some(rest) => ("+", rest),
        None => ("", value),
    };
    let spaced = rest.replace('+', " ");
    let decoded = percent_decode_str(&spaced).decode_utf8_lossy();
    format!("{plus}{decoded}")
}

fn json_of(number: &E164, entry: Option<&Entry>) -> Response {
    let contact = entry.map(wire::to_json);
    let answer = json!({"number": number.as_str(), "contact": contact});
    let json = HeaderValue::from_static("application/json");
    answered(answer.to_string(), json)
}

fn text(name: String) -> Response {
    answered(name, HeaderValue::from_static("text/plain; charset=utf-8"))
}

fn answered(body: String, kind: HeaderValue) -> Response {
    let mut response = Response::new(Body::from(body));
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
}

/// The problem's status and headers without a word in the body.
fn silent(problem: Problem) -> Response {
    let detail = HeaderValue::try_from(problem.detail.as_ref());
    let mut response = problem.into_response();
    *response.body_mut() = Body::empty();
    let headers = response.headers_mut();
    headers.insert(
        CONTENT_TYPE,
        HeaderValue::from_static("text/plain; charset=utf-8"),
    );
    if let Ok(detail) = detail {
        headers.insert(PROBLEM, detail);
    }
    response
}
