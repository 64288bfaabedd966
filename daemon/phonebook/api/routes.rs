//! The routes below `/v1/contacts`. Everything that isn't 2xx or 304 is a problem that says what to do; it goes to whoever
//! sent the request, so it names what is wrong with it. Called by `api/mod.rs`.

use super::Api;
use super::query::{Params, Target, condition, wrong};
use crate::calls::intake::body::{read, refuse};
use crate::calls::intake::problem::{Extra, Problem, unavailable};
use crate::clock;
use crate::phonebook::directory::history::{Change, Cursor, Lost, Part};
use crate::phonebook::directory::{Condition, Content, Outcome, WriteFault, fresh_id};
use crate::phonebook::{Entry, Etag, wire};
use crate::settings::read::duration;
use crate::settings::types::Right;
use crate::terms::contact::ContactId;
use axum::body::Body;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, LOCATION};
use axum::http::{HeaderMap, HeaderValue, Method, Request, StatusCode, request};
use axum::response::{IntoResponse, Response};
use hyper::body::Incoming;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::sleep_until;

/// Longest wait for changes: proxies and phone systems end a request that is silent for longer.
const WAIT_MAX: Duration = Duration::from_secs(60);
/// When to come again if too many wait already.
const RETRY_WAITERS: Duration = Duration::from_secs(5);

type Answered = Result<Response, Problem>;

pub(super) async fn contacts(
    api: &Api,
    stop: &watch::Receiver<bool>,
    target: Target,
    request: Request<Incoming>,
) -> Response {
    let (head, body) = request.into_parts();
    if let Err(problem) = admitted(api, &target, &head) {
        return refuse(problem, &head.headers, body).await;
    }
    let answered = match (&target, &head.method) {
        (Target::Nothing, _) => return refuse(unknown(), &head.headers, body).await,
        (Target::All, &Method::POST) => create(api, &head, body).await,
        (Target::All, _) => list(api, &head),
        (Target::Changes, _) => changes(api, &head, stop.clone()).await,
        (Target::One(id), &Method::PUT) => replace(api, id, &head, body).await,
        (Target::One(id), &Method::PATCH) => patch(api, id, &head, body).await,
        (Target::One(id), &Method::DELETE) => delete(api, id, &head).await,
        (Target::One(id), _) => show(api, id, &head),
    };
    answered.unwrap_or_else(|problem| {
        tracing::debug!(kind = problem.kind, "contacts request refused");
        problem.into_response()
    })
}

/// Method and client, before the body is read.
fn admitted(api: &Api, target: &Target, head: &request::Parts) -> Result<(), Problem> {
    let reads = matches!(head.method, Method::GET | Method::HEAD);
    let (allow, writes): (_, &[Method]) = match target {
        Target::All => ("GET, HEAD, POST", &[Method::POST]),
        Target::Changes => ("GET, HEAD", &[]),
        Target::One(_) | Target::Nothing => (
            "GET, HEAD, PUT, PATCH, DELETE",
            &[Method::PUT, Method::PATCH, Method::DELETE],
        ),
    };
    if !reads && !writes.contains(&head.method) {
        let detail = format!("this path takes {allow}");
        let problem = Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method", detail);
        return Err(problem.with(Extra::Allow(allow)));
    }
    let right = if reads {
        Right::ContactsRead
    } else {
        Right::ContactsWrite
    };
    api.clients.check(&head.headers, head.uri.query(), right)
}

fn list(api: &Api, head: &request::Parts) -> Answered {
    let params = Params::read(head.uri.query(), &["limit", "cursor"])?;
    let limit = params.limit()?;
    let after = params.get("cursor").map(|id| ContactId(id.to_owned()));
    let entries = api.book.list(after.as_ref(), limit.saturating_add(1));
    let entries = entries.map_err(|fault| unavailable(&fault))?;
    Ok(json_answer(StatusCode::OK, &page(&entries, limit)))
}

/// One part of all contacts, of which there may be one more than `limit`.
pub fn page(entries: &[Entry], limit: usize) -> Value {
    let shown = entries.get(..limit).unwrap_or(entries);
    let more = entries.len() > limit;
    let next = shown.last().filter(|_| more);
    json!({
        "contacts": shown.iter().map(wire::to_json).collect::<Vec<_>>(),
        "next": next.map(|entry| &entry.contact.id.0),
    })
}

fn show(api: &Api, id: &ContactId, head: &request::Parts) -> Answered {
    Params::read(head.uri.query(), &[])?;
    let entry = api.book.find(id).map_err(|fault| unavailable(&fault))?;
    let entry = entry.ok_or_else(unknown)?;
    let condition = condition(&head.headers);
    let revision = entry.etag.0.parse().ok();
    let only_is = Condition {
        is: condition.is.clone(),
        is_not: None,
    };
    if !only_is.holds(revision) {
        return Err(other_version(Some(&entry)));
    }
    if !condition.holds(revision) {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        tag(&mut response, &entry.etag);
        return Ok(response);
    }
    Ok(contact_answer(StatusCode::OK, &entry))
}

async fn create(api: &Api, head: &request::Parts, body: Incoming) -> Answered {
    Params::read(head.uri.query(), &[])?;
    let body = json_body(api, &head.headers, body).await?;
    let content = wire::from_json(body, None, &api.plan).map_err(invalid)?;
    let id = fresh_id();
    let written = api.book.edit(&id, Condition::absent(), |_| Ok(content));
    answer_write(written.await)
}

async fn replace(api: &Api, id: &ContactId, head: &request::Parts, body: Incoming) -> Answered {
    Params::read(head.uri.query(), &[])?;
    let body = json_body(api, &head.headers, body).await?;
    let content = wire::from_json(body, Some(id), &api.plan).map_err(invalid)?;
    let written = api
        .book
        .edit(id, condition(&head.headers), |_| Ok(content))
        .await;
    answer_write(written)
}

async fn patch(api: &Api, id: &ContactId, head: &request::Parts, body: Incoming) -> Answered {
    Params::read(head.uri.query(), &[])?;
    let patch = json_body(api, &head.headers, body).await?;
    let (plan, of) = (api.plan.clone(), id.clone());
    let edit = move |old: Option<Content>| {
        let old = old.ok_or(WriteFault::Missing)?;
        let patched = wire::patched(&old, &patch, &of, &plan);
        patched.map_err(|fault| WriteFault::Invalid(fault.0))
    };
    let written = api.book.edit(id, condition(&head.headers), edit).await;
    answer_write(written)
}

async fn delete(api: &Api, id: &ContactId, head: &request::Parts) -> Answered {
    Params::read(head.uri.query(), &[])?;
    let written = api.book.delete(id, condition(&head.headers)).await;
    answer_write(written)
}

/// Reads what changed; waits for it if asked to, until somebody writes, the time is over or the daemon stops.
async fn changes(api: &Api, head: &request::Parts, mut stop: watch::Receiver<bool>) -> Answered {
    let params = Params::read(head.uri.query(), &["since", "wait", "limit"])?;
    let limit = params.limit()?;
    let cursor = match params.get("since").filter(|since| !since.is_empty()) {
        None => None,
        Some(since) => Some(Cursor::parse(since).ok_or_else(|| {
            wrong(
                "since is no cursor of ours; send back what was in next, or leave it out"
                    .to_owned(),
            )
        })?),
    };
    let wait = wait(&params)?;
    let deadline = clock::monotonic() + wait;
    let mut place = None;
    let mut heard = api.book.revisions();
    loop {
        heard.borrow_and_update();
        let part = api.book.history(cursor, limit);
        let part = part.map_err(|fault| unavailable(&fault))?;
        let part = part.map_err(|Lost| lost())?;
        if !part.changes.is_empty() || part.more || wait.is_zero() {
            return Ok(json_answer(StatusCode::OK, &part_json(&part)));
        }
        if place.is_none() {
            let free = api.waiters.try_acquire().map_err(|_| crowded())?;
            place = Some(free);
        }
        let ended = tokio::select! {
            changed = heard.changed() => changed.is_err(),
            () = sleep_until(deadline) => true,
            _ = stop.wait_for(|stop| *stop) => true,
        };
        if ended {
            return Ok(json_answer(StatusCode::OK, &part_json(&part)));
        }
    }
}

fn wait(params: &Params) -> Result<Duration, Problem> {
    let Some(text) = params.get("wait") else {
        return Ok(Duration::ZERO);
    };
    let wait = duration(text).filter(|wait| *wait <= WAIT_MAX);
    wait.ok_or_else(|| {
        wrong(format!(
            "wait is {text:?}; allowed: 0s to {}s",
            WAIT_MAX.as_secs()
        ))
    })
}

fn part_json(part: &Part) -> Value {
    let changes = part.changes.iter().map(|change| match change {
        Change::Contact(entry) => {
            let id = &entry.contact.id.0;
            json!({"id": id, "deleted": false, "contact": wire::to_json(entry)})
        }
        Change::Removed(ContactId(id)) => json!({"id": id, "deleted": true}),
    });
    json!({"changes": changes.collect::<Vec<_>>(), "next": part.next.to_string()})
}

async fn json_body(api: &Api, headers: &HeaderMap, body: Incoming) -> Result<Value, Problem> {
    let kind = headers
        .get(CONTENT_TYPE)
        .map(|kind| kind.to_str().unwrap_or("?"));
    let essence = kind.map(|kind| kind.split(';').next().unwrap_or_default().trim());
    let json = essence.is_none_or(|kind| {
        ["application/json", "application/merge-patch+json"]
            .iter()
            .any(|known| kind.eq_ignore_ascii_case(known))
    });
    if !json {
        let detail =
            "send the contact as application/json, a patch as application/merge-patch+json";
        let problem = Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "content-type", detail);
        return Err(problem.with(Extra::Close));
    }
    let bytes = read(body, &api.limits).await?;
    serde_json::from_slice(&bytes).map_err(|error| {
        let detail = format!("the body is no JSON: {error}");
        Problem::new(StatusCode::BAD_REQUEST, "not-json", detail)
    })
}

fn answer_write(written: Result<Outcome, WriteFault>) -> Answered {
    match written {
        Ok(Outcome::Created(entry)) => {
            let mut response = contact_answer(StatusCode::CREATED, &entry);
            let id = utf8_percent_encode(&entry.contact.id.0, NON_ALPHANUMERIC);
            if let Ok(place) = HeaderValue::try_from(format!("/v1/contacts/{id}")) {
                response.headers_mut().insert(LOCATION, place);
            }
            Ok(response)
        }
        Ok(Outcome::Updated(entry) | Outcome::Same(entry)) => {
            Ok(contact_answer(StatusCode::OK, &entry))
        }
        Ok(Outcome::Removed(_)) => {
            let mut response = Response::new(Body::empty());
            *response.status_mut() = StatusCode::NO_CONTENT;
            Ok(response)
        }
        Err(WriteFault::Condition(there)) => Err(other_version(there.as_deref())),
        Err(WriteFault::Missing) => Err(unknown()),
        Err(WriteFault::Invalid(why)) => Err(invalid(wire::WireFault(why))),
        Err(taken @ WriteFault::Taken { .. }) => {
            let detail = format!("{taken}; change that one, or leave it out here");
            Err(Problem::new(StatusCode::CONFLICT, "in-use", detail))
        }
        Err(WriteFault::Store(fault)) => Err(unavailable(&fault)),
    }
}

fn contact_answer(status: StatusCode, entry: &Entry) -> Response {
    let mut response = json_answer(status, &wire::to_json(entry));
    tag(&mut response, &entry.etag);
    response
}

fn tag(response: &mut Response, Etag(etag): &Etag) {
    if let Ok(etag) = HeaderValue::try_from(format!("\"{etag}\"")) {
        response.headers_mut().insert(ETAG, etag);
    }
}

fn json_answer(status: StatusCode, json: &Value) -> Response {
    let mut response = Response::new(Body::from(json.to_string()));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    // Names and numbers of people: no proxy keeps them.
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
    response
}

fn invalid(fault: wire::WireFault) -> Problem {
    Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "contact", fault.0)
}

fn unknown() -> Problem {
    let detail = "there is no contact with this id; GET /v1/contacts lists all";
    Problem::new(StatusCode::NOT_FOUND, "unknown-contact", detail)
}

fn other_version(there: Option<&Entry>) -> Problem {
    let detail = match there {
        Some(Entry {
            etag: Etag(etag), ..
        }) => {
            format!("the contact is there, as version \"{etag}\"; read it again and change that")
        }
        None => "there is no contact with this id (any more)".to_owned(),
    };
    Problem::new(StatusCode::PRECONDITION_FAILED, "other-version", detail)
}

fn lost() -> Problem {
    let detail = "start over: what was removed since this cursor is no longer known; forget what you hold and ask without since";
    Problem::new(StatusCode::GONE, "start-over", detail)
}

fn crowded() -> Problem {
    let detail = "too many requests wait for changes; ask again, or without wait";
    let problem = Problem::new(StatusCode::SERVICE_UNAVAILABLE, "busy", detail);
    problem.with(Extra::RetryAfter(RETRY_WAITERS))
}
