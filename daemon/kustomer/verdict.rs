//! What a reply without success means for an exactly-once procedure. Pure; called by `client`.
//! Source: Kustomer: Errors.

use super::fault::KustomerFault;
use super::wire::{self, Refusal};
use std::time::Duration;

/// What a status without success means; `body` explains it if it could be read.
pub fn refused(
    status: u16,
    body: Result<Vec<u8>, KustomerFault>,
    retry_after: Option<Duration>,
) -> KustomerFault {
    let body = body.unwrap_or_default();
    let Refusal {
        kustomers,
        code,
        detail,
    } = wire::read_refusal(&body);
    match status {
        401 | 403 => KustomerFault::Unauthorized { status, detail },
        // A 404 page of something in between must not pass for "no such conversation": that would log a call twice.
        404 if kustomers => KustomerFault::NotFound,
        404 => KustomerFault::Garbled {
            status,
            what: "404, but not from Kustomer".to_owned(),
        },
        409 => KustomerFault::Conflict { code, detail },
        // 408 and 425 come from servers in between and say nothing about the request.
        408 | 425 => KustomerFault::Server {
            status,
            detail,
            retry_after,
        },
        400..=499 => KustomerFault::Rejected {
            status,
            code,
            detail,
        },
        _ => KustomerFault::Server {
            status,
            detail,
            retry_after,
        },
    }
}
