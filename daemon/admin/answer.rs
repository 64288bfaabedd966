//! What the admin interface's routes answer, and the problems they share.

use crate::calls::intake::problem::Problem;
use crate::store::StoreFault;
use axum::http::StatusCode;
use axum::response::Response;

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
