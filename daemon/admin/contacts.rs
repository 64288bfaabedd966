//! The built-in phone book over the admin interface: list, show, import, export. `tieline contacts` asks.

use super::answer::{Answer, Part, Parts, broken, not_found};
use super::{Admin, sync};
use crate::calls::intake::problem::Problem;
use crate::phonebook::Entry;
use crate::phonebook::api::page;
use crate::phonebook::directory::ContactBook;
use crate::phonebook::transfer::{self, Format, Import, ImportFault, Report};
use crate::phonebook::wire;
use crate::terms::contact::ContactId;
use axum::Json;
use axum::body::Body;
use axum::extract::{Path, Query, Request, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http_body_util::BodyExt as _;
use serde::Deserialize;
use serde_json::json;
use std::sync::Arc;
use tokio::sync::mpsc;

/// Contacts read together for a page or a part of an export: some hundred kilobytes.
const PAGE: usize = 500;
/// Parts of an export that wait for a slow reader.
const PARTS_WAITING: usize = 2;

#[derive(Deserialize)]
pub(super) struct Page {
    cursor: Option<String>,
}

pub(super) async fn list(State(admin): State<Arc<Admin>>, Query(asked): Query<Page>) -> Answer {
    let after = asked.cursor.map(ContactId);
    let entries = admin.book.list(after.as_ref(), PAGE + 1).map_err(broken)?;
    Ok(Json(page(&entries, PAGE)).into_response())
}

/// By id, or by number in any writing.
pub(super) async fn show(State(admin): State<Arc<Admin>>, Path(what): Path<String>) -> Answer {
    let by_id = admin.book.find(&ContactId(what.clone())).map_err(broken)?;
    let found = match (by_id, admin.settings.daemon.plan.parse_signalled(&what)) {
        (None, Ok(number)) => admin.book.by_number(&number).map_err(broken)?,
        (by_id, _) => by_id,
    };
    let entry: Entry = found.ok_or_else(|| not_found(&what, "contact"))?;
    let left_out = sync::left_out(&admin, &entry.contact.id).map_err(broken)?;
    let mut shown = wire::to_json(&entry);
    if let Some(members) = shown.as_object_mut()
        && !left_out.is_empty()
    {
        members.insert("left_out".to_owned(), left_out.into());
    }
    Ok(Json(shown).into_response())
}

#[derive(Deserialize)]
pub(super) struct Wanted {
    format: String,
    #[serde(default)]
    dry_run: bool,
}

impl Wanted {
    fn format(&self) -> Result<Format, Problem> {
        Format::parse(&self.format).ok_or_else(|| {
            let detail = "format is \"csv\" or \"vcard\"";
            Problem::new(StatusCode::BAD_REQUEST, "format", detail)
        })
    }
}

/// Takes a file of any size; the report comes when it is through.
pub(super) async fn import(
    State(admin): State<Arc<Admin>>,
    Query(wanted): Query<Wanted>,
    request: Request,
) -> Answer {
    let (format, plan) = (wanted.format()?, admin.settings.daemon.plan.clone());
    let mut import = Import::new(admin.book.clone(), plan, format, wanted.dry_run);
    let mut body = request.into_body();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| {
            let detail = format!("the file broke off: {error}; what came before it was taken");
            Problem::new(StatusCode::BAD_REQUEST, "body-cut", detail)
        })?;
        if let Some(bytes) = frame.data_ref() {
            import.take(bytes).await.map_err(import_fault)?;
        }
    }
    let report = import.finish().await.map_err(import_fault)?;
    Ok(Json(report_json(&report)).into_response())
}

fn import_fault(fault: ImportFault) -> Problem {
    match fault {
        ImportFault::Store(fault) => broken(fault),
        header @ ImportFault::Header { .. } => Problem::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "header",
            header.to_string(),
        ),
    }
}

fn report_json(report: &Report) -> serde_json::Value {
    let refusals = report.refusals.iter();
    let refusals: Vec<_> = refusals
        .map(|one| json!({"line": one.line, "what": one.what, "why": one.why}))
        .collect();
    json!({
        "created": report.created,
        "updated": report.updated,
        "same": report.same,
        "refused": report.refused,
        "refusals": refusals,
    })
}

/// Every contact, by id; what is written meanwhile may be in it or not.
pub(super) async fn export(
    State(admin): State<Arc<Admin>>,
    Query(wanted): Query<Wanted>,
) -> Answer {
    let format = wanted.format()?;
    let (parts, waiting) = mpsc::channel(PARTS_WAITING);
    tokio::spawn(write_parts(admin.book.clone(), format, parts));
    let kind = match format {
        Format::Csv => "text/csv; charset=utf-8",
        Format::Vcard => "text/vcard; charset=utf-8",
    };
    let mut response = Response::new(Body::new(Parts::new(None, waiting)));
    let kind = header::HeaderValue::from_static(kind);
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    Ok(response)
}

async fn write_parts(book: ContactBook, format: Format, parts: mpsc::Sender<Part>) {
    let mut text = transfer::head(format);
    let mut after = None;
    loop {
        let entries = match book.list(after.as_ref(), PAGE) {
            Ok(entries) => entries,
            Err(fault) => {
                // The reader sees that the file is not whole. Nobody reads: nothing to tell.
                let _ = parts.send(Err(fault)).await;
                return;
            }
        };
        text.push_str(&transfer::body(format, &entries));
        let part = Bytes::from(std::mem::take(&mut text));
        if parts.send(Ok(part)).await.is_err() {
            return;
        }
        match entries.last() {
            Some(last) => after = Some(last.contact.id.clone()),
            None => return,
        }
    }
}
