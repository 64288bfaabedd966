//! The contact syncs as `status` and the metrics show them. A part of `sync`.

use super::super::Admin;
use super::super::metrics::{Family, counter, gauge};
use super::{ROWS_MAX, SyncDesk, desks};
use crate::clock;
use jiff::Timestamp;
use serde_json::{Value, json};

/// For `status` and after a run.
pub fn status_json(desk: &SyncDesk) -> Value {
    let (status, now) = (desk.status(), clock::now());
    let meta = desk.memory.meta().unwrap_or_default();
    let work = status.work.map(|work| {
        json!({"task": work.task.word(), "done": work.done, "total": work.total, "per_second": work.rate(now),
            "seconds_left": work.seconds_left(now)})
    });
    let stopped = status.stopped.as_ref().map(|stopped| {
        json!({"why": stopped.why, "plan": stopped.plan.to_string(), "counts": stopped.counts})
    });
    json!({
        "kustomer": desk.rules.kustomer,
        "customers": meta.customers,
        "contacts": meta.contacts,
        "linked": meta.linked,
        "refused": desk.memory.refusals(ROWS_MAX).map_or(0, |all| all.len()),
        "work": work,
        "last_run": status.last_run.map(|at| format!("{at:.0}")),
        "written": {"phone": status.written.phone, "kustomer": status.written.kustomer, "refused": status.written.refused},
        "stopped": stopped,
        "fault": status.fault.map(|(at, why)| json!({"at": at.to_string(), "why": why})),
        "needs_operator": status.needs_operator,
    })
}

/// The figures of all of them.
pub fn families(admin: &Admin) -> Vec<Family> {
    let (mut records, mut writes, mut waits, mut last_run) =
        (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for desk in desks(admin) {
        let (status, meta) = (desk.status(), desk.memory.meta().unwrap_or_default());
        let labels = |key: &'static str, word: &str| {
            let name = desk.rules.kustomer.clone();
            vec![("integration", name), (key, word.to_owned())]
        };
        for (what, count) in [
            ("customers", meta.customers),
            ("contacts", meta.contacts),
            ("linked", meta.linked),
        ] {
            records.push((labels("of", what), count));
        }
        for (outcome, count) in [
            ("phone", status.written.phone),
            ("kustomer", status.written.kustomer),
            ("refused", status.written.refused),
        ] {
            writes.push((labels("to", outcome), count));
        }
        for (why, is_so) in [
            ("approval", status.stopped.is_some()),
            ("fault", status.fault.is_some()),
        ] {
            waits.push((labels("for", why), u64::from(is_so)));
        }
        let seconds = status.last_run.map_or(0, Timestamp::as_second);
        let name = vec![("integration", desk.rules.kustomer.clone())];
        last_run.push((name, u64::try_from(seconds).unwrap_or_default()));
    }
    vec![
        gauge(
            "tieline_sync_records",
            "What a contact sync knows: customers, contacts, linked ones",
            records,
        ),
        counter(
            "tieline_sync_writes",
            "Writes of a contact sync to either side, and refused ones, since the start",
            writes,
        ),
        gauge(
            "tieline_sync_waits",
            "1: a contact sync waits for an approval, or for a fault to pass",
            waits,
        ),
        gauge(
            "tieline_sync_last_run_seconds",
            "When both sides were last brought together, in seconds since 1970",
            last_run,
        ),
    ]
}
