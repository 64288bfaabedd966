//! Reading Kustomer's customers: pages that shift, ties, lag, the archive, removals and merges, and faults in the middle.

use crate::kustomer::{settings, status};
use crate::sandbox::Api;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use tieline::clock;
use tieline::contacts::fetch::{Cursor, INDEX_LAG, Kustomer, Page, Paging, Row, Stamp};
use tieline::kustomer::client::{Client, Past};
use tieline::kustomer::fault::KustomerFault;
use tieline::pace::Lane;
use tieline::sandbox::{Fault, FaultKind, LimitOptions, MergedRead, SandboxOptions};
use tieline::terms::ids::CustomerId;
use tieline::terms::number::NumberPlan;

const SEARCH: &str = "POST /v1/customers/search";
const ARCHIVE: &str = "POST /v1/customers/archive/search";

/// A sandbox, somebody who works in it, and the sync's side of it.
pub struct Desk {
    pub api: Api,
    pub kustomer: Kustomer,
    _folder: tempfile::TempDir,
}

pub fn plan() -> NumberPlan {
    NumberPlan::new("DE", None).unwrap()
}

impl Desk {
    pub async fn open(options: SandboxOptions) -> Self {
        let limits = LimitOptions {
            searches: 10_000,
            requests: 10_000,
            ..LimitOptions::default()
        };
        // The tests say what time it is.
        let tells_time = false;
        let api = Api::start(SandboxOptions {
            limits,
            tells_time,
            ..options
        })
        .await;
        let folder = tempfile::tempdir().unwrap();
        let mut settings = settings(api.sandbox.url(), folder.path());
        settings.budget_window = Duration::from_millis(20);
        let client = Client::new(&settings, Past::default())
            .unwrap()
            .lane(Lane::Sync);
        Self {
            api,
            kustomer: Kustomer::new(client, plan()),
            _folder: folder,
        }
    }

    async fn paged(options: SandboxOptions, rows: u32, pages: u32) -> Self {
        let mut desk = Self::open(options).await;
        desk.kustomer = desk.kustomer.paged(Paging { rows, pages });
        desk
    }

    fn seed(&self, name: &str, updated: Timestamp, created: Timestamp) -> String {
        let at = |at: Timestamp| format!("{at:.3}");
        let body = json!({"name": name, "updatedAt": at(updated), "createdAt": at(created)});
        self.api.sandbox.seed_customer(body).unwrap()
    }

    /// So many customers, each changed `apart` after the one before, since a day.
    fn seed_many(&self, count: i64, apart: SignedDuration) -> BTreeSet<String> {
        let start = day_ago();
        let apart = apart.as_millis();
        let at = |number: i64| {
            let span = SignedDuration::from_millis(i64::try_from(apart).unwrap() * number);
            start.checked_add(span).unwrap()
        };
        let seeded = (0..count).map(|number| self.seed(&format!("Nr {number}"), at(number), start));
        seeded.collect()
    }

    async fn touch(&self, id: &str) {
        let body = json!({"name": "Changed"});
        let path = format!("/v1/customers/{id}");
        assert_eq!(self.api.ask("PUT", &path, Some(body)).await.0, 200);
    }

    fn asked(&self, route: &str) -> u64 {
        self.api.sandbox.requests().count(route)
    }
}

fn day_ago() -> Timestamp {
    clock::now()
        .checked_sub(SignedDuration::from_hours(24))
        .unwrap()
}

/// What a caller keeps: the newest of each, and where it is.
#[derive(Default)]
struct Kept {
    cursor: Cursor,
    here: BTreeMap<String, Stamp>,
    gone: BTreeSet<String>,
    faults: u32,
}

impl Kept {
    fn take(&mut self, page: &Page) {
        for row in &page.rows {
            match row {
                Row::Here { customer, stamp } => {
                    let held = self.here.entry(customer.id.0.clone()).or_insert(*stamp);
                    *held = (*held).max(*stamp);
                }
                Row::Gone { id, .. } => {
                    self.gone.insert(id.0.clone());
                }
            }
        }
        // As it is stored.
        let stored = serde_json::to_string(&page.cursor).unwrap();
        self.cursor = serde_json::from_str(&stored).unwrap();
        assert_eq!(self.cursor, page.cursor);
    }

    /// Asks until nothing more is to be had, however often it fails; what the last page said.
    async fn catch_up(&mut self, kustomer: &Kustomer, now: Timestamp) -> Page {
        for _ in 0..1_000 {
            match kustomer.next(&self.cursor, now).await {
                Ok(page) => {
                    self.take(&page);
                    if !page.more {
                        return page;
                    }
                }
                Err(_) => self.faults += 1,
            }
        }
        panic!("no end");
    }

    fn ids(&self) -> BTreeSet<String> {
        self.here.keys().cloned().collect()
    }
}

#[tokio::test]
async fn an_import_asks_for_no_more_pages_than_it_needs() {
    let desk = Desk::open(SandboxOptions::empty()).await;
    let seeded = desk.seed_many(1_300, SignedDuration::from_secs(1));
    let mut kept = Kept::default();
    let first = desk
        .kustomer
        .next(&kept.cursor, clock::now())
        .await
        .unwrap();
    assert_eq!((first.rows.len(), first.progress.total), (500, Some(1_300)));
    assert!(first.more && first.progress.importing);
    let last = kept.catch_up(&desk.kustomer, clock::now()).await;
    assert_eq!(kept.ids(), seeded);
    assert!(!last.progress.importing);
    // One for the first page above.
    assert_eq!((desk.asked(SEARCH), desk.asked(ARCHIVE)), (1 + 3, 1));
    desk.api.sandbox.reset_requests();
    let look = kept.catch_up(&desk.kustomer, clock::now()).await;
    assert!(look.rows.is_empty());
    assert_eq!(
        (desk.asked(SEARCH), desk.api.sandbox.requests().total),
        (1, 1)
    );
}

#[tokio::test]
async fn customers_of_one_time_are_read_once_and_all() {
    for (totals, rows, pages, searches) in [
        // In one page that ends among them, and goes on with the next numbered one.
        (true, 150, 100, 2),
        // Without a total pages aren't numbered: once a page has nothing else, they are read by when they were created,
        // and then what is behind them.
        (false, 150, 100, 2 + 2 + 1),
        // The same for more than all pages of a search have: three pages to the first of them, three of that time.
        (true, 20, 2, 3 + 3 + 11 + 1),
        (false, 20, 2, 3 + 1 + 11 + 1),
    ] {
        let options = SandboxOptions {
            search_totals: totals,
            ..SandboxOptions::empty()
        };
        let desk = Desk::paged(options, rows, pages).await;
        let mut seeded = desk.seed_many(50, SignedDuration::from_secs(1));
        let at = day_ago().checked_add(SignedDuration::from_mins(5)).unwrap();
        for number in 0..200 {
            let created = day_ago().checked_sub(SignedDuration::from_secs(number));
            seeded.insert(desk.seed("Tied", at, created.unwrap()));
        }
        let mut kept = Kept::default();
        kept.catch_up(&desk.kustomer, clock::now()).await;
        assert_eq!(kept.ids(), seeded, "{totals} {rows}");
        assert_eq!(desk.asked(SEARCH), searches, "{totals} {rows}");
    }
}

#[tokio::test]
async fn a_customer_that_changes_while_pages_are_read_hides_no_other() {
    // Of times of their own, and all of one time, where pages are numbered.
    for apart in [SignedDuration::from_secs(1), SignedDuration::ZERO] {
        let desk = Desk::paged(SandboxOptions::empty(), 10, 100).await;
        let seeded = desk.seed_many(60, apart);
        let (mut kept, mut touched) = (Kept::default(), BTreeSet::new());
        loop {
            let page = desk
                .kustomer
                .next(&kept.cursor, clock::now())
                .await
                .unwrap();
            kept.take(&page);
            let read = kept.here.keys().find(|id| !touched.contains(*id)).cloned();
            if let Some(id) = read.filter(|_| touched.len() < 4) {
                desk.touch(&id).await;
                touched.insert(id);
            }
            if !page.more {
                break;
            }
        }
        assert_eq!(kept.ids(), seeded);
        assert!(desk.asked(SEARCH) <= 7 + 4 * 6, "{}", desk.asked(SEARCH));
        // What was changed meanwhile comes with the next look.
        let later = clock::now().checked_add(INDEX_LAG).unwrap();
        let before = kept.here.clone();
        kept.catch_up(
            &desk.kustomer,
            later.checked_add(SignedDuration::from_secs(1)).unwrap(),
        )
        .await;
        for id in touched {
            assert!(kept.here[&id] > before[&id]);
        }
    }
}

#[tokio::test]
async fn what_the_index_shows_late_is_read_all_the_same() {
    let options = SandboxOptions {
        search_lag: Duration::from_secs(1),
        ..SandboxOptions::empty()
    };
    let desk = Desk::open(options).await;
    let late = desk.api.customer("+491711234567").await;
    // As if the index lagged by more than is waited for.
    let soon = clock::now()
        .checked_add(INDEX_LAG + SignedDuration::from_secs(90))
        .unwrap();
    let mut kept = Kept::default();
    kept.catch_up(&desk.kustomer, soon).await;
    assert!(kept.here.is_empty());
    for _ in 0..200 {
        kept.catch_up(&desk.kustomer, soon).await;
        if kept.here.contains_key(&late) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("never seen");
}

#[tokio::test]
async fn what_is_older_than_two_years_comes_from_the_archive_where_there_is_one() {
    for (archive, old_seen) in [(true, 30), (false, 0)] {
        let options = SandboxOptions {
            archive,
            ..SandboxOptions::empty()
        };
        let desk = Desk::paged(options, 20, 100).await;
        let young = desk.seed_many(30, SignedDuration::from_secs(1));
        let start: Timestamp = "2001-01-01T00:00:00Z".parse().unwrap();
        for day in 0..30 {
            let at = start
                .checked_add(SignedDuration::from_hours(24 * day))
                .unwrap();
            desk.seed("Old", at, at);
        }
        let mut kept = Kept::default();
        let last = kept.catch_up(&desk.kustomer, clock::now()).await;
        assert_eq!(kept.here.len(), young.len() + old_seen);
        assert!(!last.progress.importing && kept.faults == 0);
        assert_eq!(desk.asked(ARCHIVE), if archive { 2 } else { 1 });
    }
}

#[tokio::test]
async fn faults_in_the_middle_lose_nothing() {
    let page = |body: Value| status(200, &[], Some(body));
    let unsorted = json!({"data": [
        {"id": "b", "attributes": {"updatedAt": "2026-02-01T00:00:00.000Z"}},
        {"id": "a", "attributes": {"updatedAt": "2026-01-01T00:00:00.000Z"}}], "meta": {"total": 2}});
    let kinds = [
        status(500, &[], None),
        status(429, &[], None),
        status(400, &[], Some(json!({"errors": [{"code": "badparam"}]}))),
        FaultKind::CloseBefore,
        FaultKind::CommitThenClose,
        FaultKind::Cut,
        FaultKind::Garbage {
            status: 200,
            commit: false,
        },
        page(json!({"data": [], "meta": {"total": 99}})),
        page(
            json!({"data": [{"id": "x", "attributes": {"name": "No time"}}], "meta": {"total": 99}}),
        ),
        page(json!({"meta": {"total": 99}})),
        page(unsorted),
    ];
    let desk = Desk::paged(SandboxOptions::empty(), 25, 100).await;
    let seeded = desk.seed_many(70, SignedDuration::from_secs(1));
    for kind in kinds {
        for after in 0..3 {
            desk.api.sandbox.clear_faults();
            desk.api.sandbox.reset_requests();
            let fault = Fault::on("/v1/customers/search", kind.clone());
            desk.api.sandbox.add_fault(fault.after(after).times(1));
            let mut kept = Kept::default();
            kept.catch_up(&desk.kustomer, clock::now()).await;
            assert_eq!((kept.ids(), kept.faults), (seeded.clone(), 1), "{kind:?}");
            assert_eq!(desk.asked(SEARCH), 3 + 1, "{kind:?}");
        }
    }
}

#[tokio::test]
async fn masked_customers_are_left_out_and_counted() {
    let desk = Desk::open(SandboxOptions::empty()).await;
    let attributes = json!({"name": "Max Muster", "rev": 1, "updatedAt": "2026-01-01T00:00:00.000Z",
        "phones": [{"phone": "+49*******67"}]});
    let odd = json!({"updatedAt": "2026-01-02T00:00:00.000Z", "phones": "none"});
    let unset = json!({"updatedAt": "2026-01-03T00:00:00.000Z", "phones": {}, "emails": null});
    let body = json!({"data": [{"id": "a", "attributes": attributes}, {"id": "b", "attributes": odd},
        {"id": "c", "attributes": unset}], "meta": {"total": 3}});
    let once = Fault::on("/v1/customers/search", status(200, &[], Some(body)));
    desk.api.sandbox.add_fault(once.times(1));
    let page = desk.kustomer.next(&Cursor::default(), clock::now()).await;
    let page = page.unwrap();
    let ids: Vec<_> = page.rows.iter().map(id_of).collect();
    assert_eq!((ids, page.unreadable), (vec!["c".to_owned()], 2));
    let one = json!({"data": {"id": "a", "attributes": attributes}});
    desk.api
        .sandbox
        .add_fault(Fault::on("/v1/customers/a", status(200, &[], Some(one))));
    let fault = desk
        .kustomer
        .look(&CustomerId("a".into()))
        .await
        .unwrap_err();
    assert!(matches!(
        fault,
        KustomerFault::Unauthorized { status: 403, .. }
    ));
}

/// What only a reply's loss hides is asked for again; a customer that nobody can read keeps nobody waiting.
#[tokio::test]
async fn garbage_says_nothing_and_an_odd_customer_is_passed_over() {
    let desk = Desk::open(SandboxOptions::empty()).await;
    let id = CustomerId(desk.api.customer("+491711234567").await);
    let path = format!("/v1/customers/{}", id.0);
    let garbage = FaultKind::Garbage {
        status: 200,
        commit: false,
    };
    let odd = json!({"data": {"id": id.0, "attributes": {"updatedAt": "yesterday"}}});
    for reply in [garbage, status(200, &[], Some(odd))] {
        let once = Fault::on(&path, reply).times(1);
        desk.api.sandbox.add_fault(once);
    }
    let garbage = desk.kustomer.look(&id).await;
    assert!(
        matches!(garbage, Err(KustomerFault::Garbled { .. })),
        "{garbage:?}"
    );
    assert_eq!(desk.kustomer.look(&id).await, Ok(None));
    assert!(matches!(
        desk.kustomer.look(&id).await,
        Ok(Some(Row::Here { .. }))
    ));
}

fn id_of(row: &Row) -> String {
    match row {
        Row::Here { customer, .. } => customer.id.0.clone(),
        Row::Gone { id, .. } => id.0.clone(),
    }
}

#[tokio::test]
async fn removals_are_said_and_merges_followed() {
    for merged_read in [
        MergedRead::NotFound,
        MergedRead::Target,
        MergedRead::Deleted,
    ] {
        let options = SandboxOptions {
            merged_read,
            ..SandboxOptions::empty()
        };
        let desk = Desk::open(options).await;
        let mut ids = Vec::new();
        for number in 0..4 {
            ids.push(desk.api.customer(&format!("+49171123456{number}")).await);
        }
        for (source, target) in [(0, 1), (1, 2)] {
            let body = json!({"source": ids[source], "target": ids[target]});
            desk.api.id("/v1/customers/merges", body).await;
        }
        let path = format!("/v1/customers/{}", ids[3]);
        assert_eq!(desk.api.ask("DELETE", &path, None).await.0, 204);
        let look = async |at: usize| {
            desk.kustomer
                .look(&CustomerId(ids[at].clone()))
                .await
                .unwrap()
                .unwrap()
        };
        let gone = |at: usize, into: Option<usize>| Row::Gone {
            id: CustomerId(ids[at].clone()),
            into: into.map(|into| CustomerId(ids[into].clone())),
        };
        assert_eq!(look(0).await, gone(0, Some(2)), "{merged_read:?}");
        assert_eq!(look(1).await, gone(1, Some(2)));
        assert_eq!(look(3).await, gone(3, None));
        let Row::Here { customer, .. } = look(2).await else {
            panic!("the survivor is gone");
        };
        assert_eq!(customer.fields.phones.len(), 3);
        let later = clock::now().checked_add(INDEX_LAG + SignedDuration::from_secs(5));
        let mut kept = Kept::default();
        kept.catch_up(&desk.kustomer, later.unwrap()).await;
        let removed = [0, 1, 3].map(|at: usize| ids[at].clone());
        assert_eq!(kept.gone, BTreeSet::from(removed));
        assert_eq!(kept.ids(), BTreeSet::from([ids[2].clone()]));
    }
}
