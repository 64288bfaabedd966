//! Figures for Prometheus, in OpenMetrics text, read from the parts at each scrape. Labels are names from the
//! configuration and fixed words, never anything a phone system sent.

use super::{Accounting, Admin, WRITE_TIME_MAX, accounts, hooks, sync};
use crate::calls::dispatch::Hold;
use crate::calls::links::LinkState;
use crate::store::StoreFault;
use crate::trace::SPANS;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, NoLabelSet, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;
use std::fmt;
use std::sync::PoisonError;
use std::sync::atomic::Ordering::Relaxed;

pub(super) type Labels = Vec<(&'static str, String)>;

/// One family's rows.
#[derive(Debug)]
pub(super) struct Family {
    name: &'static str,
    help: &'static str,
    kind: MetricType,
    rows: Vec<(Labels, u64)>,
}

#[derive(Debug)]
struct Scrape(Vec<Family>);

impl Collector for Scrape {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        for family in &self.0 {
            let mut rows =
                encoder.encode_descriptor(family.name, family.help, None, family.kind)?;
            for (labels, value) in &family.rows {
                let mut row = rows.encode_family(labels)?;
                match family.kind {
                    MetricType::Counter => row.encode_counter::<NoLabelSet, _, u64>(value, None)?,
                    _ => row.encode_gauge(value)?,
                }
            }
        }
        Ok(())
    }
}

/// Every figure as text.
///
/// # Errors
/// A fault of the store.
pub fn text(admin: &Admin) -> Result<String, StoreFault> {
    let sums = admin.accounting()?;
    let mut families = daemon(admin);
    families.extend(events(admin, &sums));
    families.extend(accounts::families(admin, &sums));
    families.extend(store(admin)?);
    families.extend(integrations(admin));
    families.extend(hooks::families(admin));
    families.extend(sync::families(admin));
    families.extend(links(admin));
    families.extend(contacts(admin)?);
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Scrape(families)));
    let mut text = String::new();
    text::encode(&mut text, &registry).map_err(|_| StoreFault::Export {
        why: "metrics".to_owned(),
    })?;
    Ok(text)
}

fn daemon(admin: &Admin) -> Vec<Family> {
    let one = |value| vec![(Vec::new(), value)];
    let outcome = |word: &str| vec![("outcome", word.to_owned())];
    let certificate = admin.certificate.as_ref();
    let expires = certificate.and_then(|shown| shown.expires);
    let expires = expires.map(|at| u64::try_from(at.as_second()).unwrap_or_default());
    vec![
        gauge(
            "tieline_healthy",
            "1: the store writes and the loops move",
            one(u64::from(admin.healthy(WRITE_TIME_MAX).is_ok())),
        ),
        gauge(
            "tieline_settings_refused",
            "1: the last reload was refused, the old settings are in force",
            one(u64::from(matches!(admin.reloaded, Some(Err(_))))),
        ),
        gauge(
            "tieline_certificate_expires_seconds",
            "When the listener's certificate expires, in seconds since 1970",
            expires.map(one).unwrap_or_default(),
        ),
        counter(
            "tieline_spans",
            "Spans for a collector of traces, since the start",
            vec![
                (outcome("sent"), SPANS.sent.load(Relaxed)),
                (outcome("dropped"), SPANS.dropped.load(Relaxed)),
            ],
        ),
    ]
}

fn events(admin: &Admin, sums: &Accounting) -> Vec<Family> {
    let end = |word: &str, rule: &str| vec![("end", word.to_owned()), ("rule", rule.to_owned())];
    let counts = &sums.counts;
    let mut ends = vec![
        (end("logged", ""), counts.logged),
        (end("joined", ""), counts.joined),
        (end("dead", ""), counts.dead),
        (end("erased", ""), counts.erased),
    ];
    ends.extend(
        counts
            .filtered
            .iter()
            .map(|(rule, count)| (end("filtered", rule), *count)),
    );
    let one = |value| vec![(Vec::new(), value)];
    vec![
        counter(
            "tieline_events_accepted",
            "Events taken and on disk",
            one(sums.accepted),
        ),
        gauge(
            "tieline_events_ended",
            "Events by their end; replayed ones move",
            ends,
        ),
        gauge(
            "tieline_events_in_flight",
            "Accepted events without an end",
            one(sums.in_flight),
        ),
        gauge(
            "tieline_events_unread",
            "Accepted events not decoded yet",
            one(sums.unread),
        ),
        gauge(
            "tieline_calls_open",
            "Calls and texts without an end",
            one(admin.line.open_calls.load(Relaxed)),
        ),
        counter(
            "tieline_posts",
            "Posts of phone systems by answer, since the start",
            posts(admin),
        ),
    ]
}

fn posts(admin: &Admin) -> Vec<(Labels, u64)> {
    let mut rows = Vec::new();
    for (pbx, counts) in &admin.intake.pbxs {
        let outcomes = [
            ("accepted", &counts.accepted),
            ("repeated", &counts.repeated),
            ("malformed", &counts.malformed),
            ("unproven", &counts.unproven),
            ("foreign", &counts.foreign),
            ("oversized", &counts.oversized),
            ("slow", &counts.slow),
            ("unavailable", &counts.unavailable),
        ];
        let row = |(word, count): (&str, &std::sync::atomic::AtomicU64)| {
            (
                vec![("pbx", pbx.clone()), ("outcome", word.to_owned())],
                count.load(Relaxed),
            )
        };
        rows.extend(outcomes.into_iter().map(row));
    }
    rows
}

fn store(admin: &Admin) -> Result<Vec<Family>, StoreFault> {
    let stats = admin.store.stats();
    let one = |value| vec![(Vec::new(), value)];
    // A disk that doesn't say is missing, not full.
    let free = admin.store.disk_free().ok();
    Ok(vec![
        gauge(
            "tieline_store_disk_free_bytes",
            "What the store's disk has left",
            free.map(one).unwrap_or_default(),
        ),
        gauge(
            "tieline_store_disk_reserve_bytes",
            "Below it events are answered 503",
            one(admin.settings.daemon.disk_reserve),
        ),
        gauge(
            "tieline_store_bytes",
            "Size of the store's files",
            one(admin.store.size_on_disk()?),
        ),
        gauge(
            "tieline_store_disk_full",
            "1: events are answered 503",
            one(u64::from(admin.store.health().disk_full)),
        ),
        counter(
            "tieline_store_jobs",
            "Writes asked for",
            one(stats.jobs.load(Relaxed)),
        ),
        counter(
            "tieline_store_syncs",
            "Group commits synced to disk",
            one(stats.syncs.load(Relaxed)),
        ),
        gauge(
            "tieline_store_last_sync_microseconds",
            "The last sync",
            one(stats.last_sync_micros.load(Relaxed)),
        ),
    ])
}

fn integrations(admin: &Admin) -> Vec<Family> {
    let (mut owed, mut held, mut used, mut requests) =
        (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let (mut left_out, mut limits) = (Vec::new(), Vec::new());
    for part in &admin.integrations {
        let name = || vec![("integration", part.settings.name.clone())];
        let status = part
            .status
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        owed.push((name(), status.owed as u64));
        let hold = status.held.as_ref();
        for (why, is_so) in [
            ("key", matches!(hold, Some(Hold::Paused(_)))),
            ("outage", matches!(hold, Some(Hold::Outage(_)))),
        ] {
            let labels = [name(), vec![("why", why.to_owned())]].concat();
            held.push((labels, u64::from(is_so)));
        }
        limits.push((name(), u64::from(part.settings.requests_per_minute)));
        used.push((name(), part.client.requests().used as u64));
        left_out.push((name(), part.attributes.status().left_out.len() as u64));
        for ((route, outcome), count) in part.client.stats().requests {
            let mut labels = name();
            labels.extend([
                ("route", route.to_owned()),
                ("outcome", outcome.word().to_owned()),
            ]);
            requests.push((labels, count));
        }
    }
    vec![
        gauge(
            "tieline_deliveries_owed",
            "Calls and texts still to be logged",
            owed,
        ),
        gauge(
            "tieline_integration_held",
            "1: the key is refused, or Kustomer can't be reached",
            held,
        ),
        gauge(
            "tieline_budget_used",
            "Requests in the current window",
            used,
        ),
        gauge(
            "tieline_budget_limit",
            "Requests that a window may have",
            limits,
        ),
        gauge(
            "tieline_attributes_left_out",
            "Custom attributes that Kustomer wouldn't take",
            left_out,
        ),
        counter(
            "tieline_kustomer_requests",
            "Requests to Kustomer, since the start",
            requests,
        ),
    ]
}

fn links(admin: &Admin) -> Vec<Family> {
    let (mut up, mut gaps, mut seconds, mut events, mut lacking) =
        (Vec::new(), Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for link in admin.links.all() {
        let name = || vec![("pbx", link.pbx.clone())];
        let is_up = matches!(link.state, LinkState::Connected(_));
        up.push((name(), u64::from(is_up)));
        gaps.push((name(), link.gap_count));
        seconds.push((name(), link.gap_seconds));
        lacking.push((name(), link.lacking.len() as u64));
        for (outcome, count) in [
            ("journaled", link.events),
            ("left_out", link.left_out),
            ("malformed", link.malformed),
            ("row", link.rows),
            ("missed_end", link.missed_ends),
        ] {
            events.push((
                [name(), vec![("outcome", outcome.to_owned())]].concat(),
                count,
            ));
        }
    }
    let mut files = Vec::new();
    for (pbx, stats) in admin.links.pickups() {
        for (outcome, count) in [
            ("taken", &stats.taken),
            ("repeated", &stats.repeated),
            ("refused", &stats.refused),
            ("stuck", &stats.stuck),
        ] {
            let labels = vec![("pbx", pbx.clone()), ("outcome", outcome.to_owned())];
            files.push((labels, count.load(Relaxed)));
        }
    }
    vec![
        gauge("tieline_link_up", "1: connected to the phone system", up),
        counter(
            "tieline_link_gaps",
            "Times without a connection, ever",
            gaps,
        ),
        counter(
            "tieline_link_gap_seconds",
            "Their length together, ever",
            seconds,
        ),
        counter(
            "tieline_link_events",
            "What came over connections, since the start",
            events,
        ),
        gauge(
            "tieline_link_lacking",
            "Rights that the user lacks",
            lacking,
        ),
        counter(
            "tieline_pickup_files",
            "Files of pickup_dir, since the start",
            files,
        ),
    ]
}

fn contacts(admin: &Admin) -> Result<Vec<Family>, StoreFault> {
    let row = |outcome: &str, count: u64| (vec![("outcome", outcome.to_owned())], count);
    let lookups = &admin.lookups;
    Ok(vec![
        gauge(
            "tieline_contacts",
            "Contacts of the built-in phone book",
            vec![(Vec::new(), admin.book.size()?.contacts)],
        ),
        counter(
            "tieline_lookups",
            "Caller-name lookups by answer, since the start",
            vec![
                row("found", lookups.found.load(Relaxed)),
                row("unknown", lookups.unknown.load(Relaxed)),
                row("refused", lookups.refused.load(Relaxed)),
            ],
        ),
    ])
}

pub(super) const fn counter(
    name: &'static str,
    help: &'static str,
    rows: Vec<(Labels, u64)>,
) -> Family {
    Family {
        name,
        help,
        kind: MetricType::Counter,
        rows,
    }
}

pub(super) const fn gauge(
    name: &'static str,
    help: &'static str,
    rows: Vec<(Labels, u64)>,
) -> Family {
    Family {
        name,
        help,
        kind: MetricType::Gauge,
        rows,
    }
}
