//! What the admin interface's routes answer, and the problems they share.

use crate::calls::intake::problem::Problem;
use crate::store::StoreFault;
use axum::http::StatusCode;
use axum::response::Response;

/// What every route answers.
pub(super) type Answer = Result<Response, Problem>;

pub(super) fn not_found(what: &str) -> Problem {
    Problem::new(
        StatusCode::NOT_FOUND,
        "not-found",
        format!("no event, call or text is known as \"{what}\""),
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
