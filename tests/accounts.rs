//! What there is of each phone system and each integration, and how it ended (invariant 2): in `status`, as metrics, and
//! whatever people do with what has an end.

use crate::support::{Config, Daemon, Integration, Place, World, call, logs, populated, recorded};
use rustix::process::Signal;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use tieline::calls::ledger::{Accounts, Changes, Counts, Ledger};
use tieline::calls::outbox::Outbox;
use tieline::sandbox::{Fault, FaultKind, Sandbox, SandboxOptions};
use tieline::store::{Store, StoreOptions};

const MAX: &str = "+491711234567";
const NEW: &str = "+4915199887766";

/// Two phone systems (`hq` and `script`), and beside `support` an integration that doesn't want Max.
async fn two_and_two() -> (World, Sandbox, Config, Daemon) {
    let other = populated(SandboxOptions::empty()).await;
    let mut config = Config::default();
    let mut sales = Integration::named("sales");
    sales.url = Some(other.url().to_owned());
    sales.calls = "ignore = [\"+49171*\"]".to_owned();
    config.integrations.push(sales);
    let (world, daemon) = World::running(&config).await;
    (world, other, config, daemon)
}

/// An account without what is zero, and whether it adds up: by itself and as the daemon sees it.
fn account(status: &Value, of: &str, name: &str) -> BTreeMap<String, u64> {
    let account = &status["accounts"][of][name];
    assert_eq!(account["adds_up"], json!(true), "{name}: {status:#}");
    let counts = account.as_object().unwrap().iter();
    let counts = counts.filter_map(|(what, count)| Some((what.clone(), count.as_u64()?)));
    let counts: BTreeMap<String, u64> = counts.filter(|(_, count)| *count > 0).collect();
    let all = counts.get("accepted").or(counts.get("asked"));
    let sum: u64 = counts.values().sum();
    assert_eq!(sum, all.unwrap_or(&0) * 2, "{name}: {counts:?}");
    counts
}

fn is<const N: usize>(counts: [(&str, u64); N]) -> BTreeMap<String, u64> {
    counts.map(|(what, count)| (what.to_owned(), count)).into()
}

/// Phone systems and integrations, in that order.
#[track_caller]
fn assert_accounts(status: &Value, expected: &[BTreeMap<String, u64>; 4]) {
    let [hq, script, support, sales] = [
        ("phone_systems", "hq"),
        ("phone_systems", "script"),
        ("integrations", "support"),
        ("integrations", "sales"),
    ]
    .map(|(of, name)| account(status, of, name));
    assert_eq!(&[hq, script, support, sales], expected, "{status:#}");
}

/// Changes the counts of a stopped daemon's store.
async fn recount(place: &Place, change: impl FnOnce(&mut Counts)) {
    let store = Store::open(&place.folder.join("state/store"), StoreOptions::default()).unwrap();
    let ledger = Ledger::open(&store, &Outbox::open(&store));
    let mut counts = ledger.counts().unwrap();
    change(&mut counts);
    let changes = Changes {
        counts,
        ..Changes::default()
    };
    ledger.write(changes).await.unwrap();
}

fn refused() -> Fault {
    let kind = FaultKind::Status {
        status: 422,
        body: None,
        headers: BTreeMap::default(),
    };
    Fault::on("/v1/conversations", kind)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_phone_system_and_each_integration_has_its_account() {
    let (world, other, _config, daemon) = two_and_two().await;
    let (posts, _) = recorded("01-inbound-answered");
    for post in &posts {
        let (query, kind) = (post.query.as_deref(), post.content_type.as_deref());
        daemon.post_raw("hq", query, kind, &post.body).await;
    }
    // One of them is a repeat.
    let status = daemon.at_rest("the recorded call is logged").await;
    let from_hq = status["events"]["accepted"].as_u64().unwrap();
    let all = usize::try_from(from_hq).unwrap() + 3;
    other.add_fault(refused());
    daemon.post(&call("max", MAX)).await;
    daemon.post(&call("new", NEW)).await;
    let fax = daemon
        .post(&json!({"event": "fax.received", "id": "f1"}))
        .await;
    daemon.settled(all).await;
    let status = daemon.place.status().await;
    let hq = is([
        ("accepted", from_hq),
        ("logged", 1),
        ("joined", from_hq - 1),
    ]);
    let script = is([("accepted", 3), ("logged", 2), ("dead", 1)]);
    let support = is([("asked", 3), ("logged", 3)]);
    let sales = [("asked", 3), ("filtered", 2), ("dead", 1)];
    let expected = [hq.clone(), script.clone(), support.clone(), is(sales)];
    assert_accounts(&status, &expected);
    assert_eq!(status["accounts"]["before"], json!(0));

    let shown = daemon.place.cli(&["status"]).await.out;
    for line in [
        "          script: 3 accepted = 2 logged + 1 dead\n",
        "          3 asked = 3 logged\n",
        "          3 asked = 2 filtered + 1 dead\n",
    ] {
        assert!(shown.contains(line), "{shown}");
    }
    let metrics = daemon.place.metrics().await;
    for row in [
        "tieline_accounting_ok{} 1",
        "tieline_accounting_ok{pbx=\"hq\"} 1",
        "tieline_accounting_ok{integration=\"sales\"} 1",
        "tieline_pbx_events_accepted_total{pbx=\"script\"} 3",
        "tieline_pbx_events_ended{pbx=\"script\",end=\"dead\"} 1",
        "tieline_pbx_events_in_flight{pbx=\"hq\"} 0",
        "tieline_deliveries_asked{integration=\"sales\"} 3",
        "tieline_deliveries_ended{integration=\"sales\",end=\"filtered\"} 2",
        "tieline_deliveries_in_flight{integration=\"sales\"} 0",
    ] {
        assert!(metrics.contains(&format!("{row}\n")), "{row}: {metrics}");
    }

    // They are kept over a restart, and what is taken up again or dropped moves.
    assert!(daemon.stop().await.success());
    other.clear_faults();
    let daemon = world.place.start().await;
    assert_accounts(&daemon.settled(all).await, &expected);
    world
        .place
        .cli(&["dead", "retry", "sales/call:script:new"])
        .await;
    world.place.cli(&["dead", "drop", &fax]).await;
    let script = is([("accepted", 3), ("logged", 2), ("erased", 1)]);
    let sales = is([("asked", 3), ("logged", 1), ("filtered", 2)]);
    let moved = |status: &Value| status["accounts"]["integrations"]["sales"]["logged"] == json!(1);
    let status = daemon.until("it is logged", moved).await;
    assert_accounts(&status, &[hq, script, support, sales]);
}

/// What is replayed is asked about again, once; who isn't in the settings any more keeps an account.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn accounts_outlive_replays_and_what_they_are_of() {
    let (world, _other, mut config, daemon) = two_and_two().await;
    config.integrations[0].calls = "ignore = [\"+49171*\"]".to_owned();
    world.configure(&config);
    daemon.signal(Signal::HUP);
    let reloaded = |status: &Value| status["settings"]["in_force"] != "since the start";
    daemon.until("the rules changed", reloaded).await;
    let id = daemon.post(&call("max", MAX)).await;
    let none = BTreeMap::new;
    let script = is([("accepted", 1), ("filtered", 1)]);
    let part = is([("asked", 1), ("filtered", 1)]);
    let expected = [none(), script, part.clone(), part.clone()];
    assert_accounts(&daemon.settled(1).await, &expected);

    assert!(daemon.stop().await.success());
    let gone = Config::default();
    world.configure(&gone);
    let daemon = world.place.start().await;
    assert_eq!(
        account(&daemon.settled(1).await, "integrations", "sales"),
        part
    );
    let shown = daemon.place.cli(&["status"]).await.out;
    let line = "kustomer  sales (no longer configured): 1 asked = 1 filtered\n";
    assert!(shown.contains(line), "{shown}");
    daemon.place.cli(&["replay", &id]).await;
    daemon
        .until("it is logged", |status| status["events"]["logged"] == 1)
        .await;
    let script = is([("accepted", 1), ("logged", 1)]);
    let support = is([("asked", 1), ("logged", 1)]);
    // Taken up again it is no longer of those that sales was asked about.
    assert_accounts(&daemon.settled(1).await, &[none(), script, support, none()]);
    assert_eq!(logs(&world.sandbox).len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_difference_is_told_with_whose_it_is() {
    let (world, _other, _config, daemon) = two_and_two().await;
    daemon.post(&call("new", NEW)).await;
    daemon.settled(1).await;
    assert!(daemon.stop().await.success());
    recount(&world.place, |counts| {
        let account = counts.accounts.pbxs.get_mut("script").unwrap();
        account.logged += 1;
        let account = counts.accounts.integrations.get_mut("sales").unwrap();
        account.all += 1;
    })
    .await;
    let daemon = world.place.start().await;
    let wrong = |status: &Value| status["events"]["adds_up"] == json!(false);
    let status = daemon.until("the difference is seen", wrong).await;
    let accounts = &status["accounts"];
    let adds_up = |of: &str, name: &str| accounts[of][name]["adds_up"].as_bool().unwrap();
    assert!(!adds_up("phone_systems", "script") && adds_up("phone_systems", "hq"));
    assert!(!adds_up("integrations", "sales") && adds_up("integrations", "support"));
    let metrics = daemon.place.metrics().await;
    for row in [
        "tieline_accounting_ok{} 0",
        "tieline_accounting_ok{pbx=\"script\"} 0",
        "tieline_accounting_ok{pbx=\"hq\"} 1",
        "tieline_accounting_ok{integration=\"sales\"} 0",
        "tieline_accounting_ok{integration=\"support\"} 1",
    ] {
        assert!(metrics.contains(&format!("{row}\n")), "{row}: {metrics}");
    }
    let log = world.place.log();
    for whose in ["phone system script", "integration sales"] {
        let told = |line: &&str| line.contains("ERROR") && line.contains(whose);
        assert_eq!(log.lines().filter(told).count(), 1, "{log}");
    }
    let shown = daemon.place.cli(&["status"]).await.out;
    assert_eq!(shown.matches("WRONG").count(), 3, "{shown}");
}

/// What came before there were accounts stays out of them, whatever becomes of it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn accounts_begin_with_a_store_of_before() {
    let (world, other, _config, daemon) = two_and_two().await;
    other.add_fault(refused());
    daemon.post(&call("dead", NEW)).await;
    daemon.post(&call("max", MAX)).await;
    let fax = daemon
        .post(&json!({"event": "fax.received", "id": "f1"}))
        .await;
    daemon.settled(3).await;
    // Beside what has an end, a call that isn't over.
    daemon
        .post(
            &json!({"event": "call.started", "id": "open", "from": NEW, "direction": "in",
            "to": crate::support::OURS, "at": "2026-11-20T12:24:29Z"}),
        )
        .await;
    let open = |status: &Value| status["events"]["in_open_calls"] == json!(1);
    daemon.until("a call is open", open).await;
    assert!(daemon.stop().await.success());
    other.clear_faults();
    recount(&world.place, |counts| counts.accounts = Accounts::default()).await;

    let daemon = world.place.start().await;
    let status = daemon.place.status().await;
    let nothing = || [(); 4].map(|()| BTreeMap::new());
    assert_accounts(&status, &nothing());
    assert_eq!(
        (&status["accounts"]["before"], &status["events"]["adds_up"]),
        (&json!(4), &json!(true))
    );
    world
        .place
        .cli(&["dead", "retry", "sales/call:script:dead", &fax])
        .await;
    world.place.cli(&["dead", "drop", &fax]).await;
    let moved = |status: &Value| status["events"]["erased"] == json!(1);
    let status = daemon.until("what was dead moved", moved).await;
    assert_accounts(&status, &nothing());
    // Its end is an event of now, of a call of before.
    let mut end = call("open", NEW);
    end["started"] = Value::Null;
    daemon.post(&end).await;
    daemon.post(&call("later", NEW)).await;
    let status = daemon.settled(6).await;
    let script = is([("accepted", 2), ("joined", 1), ("logged", 1)]);
    let part = is([("asked", 1), ("logged", 1)]);
    assert_accounts(&status, &[BTreeMap::new(), script, part.clone(), part]);
    assert!(!world.place.log().contains("doesn't add up"));
    let shown = daemon.place.cli(&["status"]).await.out;
    assert!(shown.contains("the first 4 came before"), "{shown}");
}

/// Lines of several calls may be posted together: one event, which ends with the first of them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_of_several_calls_is_counted_once() {
    const ASTERISK: &str = "[[pbx]]\nname = \"desk\"\ndialect = \"asterisk\"\nextensions = [\"100-199\"]\n\
         auth = { kind = \"bearer\", token_file = \"script-token\" }\nsettle = \"300ms\"";
    let row = |id: u64| {
        format!(
            "\"2026-11-20 13:07:23\",\"\"\"New\"\" <{NEW}>\",\"{NEW}\",\"ext101\",\"from-trunk\",\"PJSIP/trunk-{id}\",\
             \"PJSIP/101-{id}\",\"Dial\",\"PJSIP/101\",\"7\",\"5\",\"ANSWERED\",\"DOCUMENTATION\",\"\",\"179517{id}.0\",\"\",\
             \"+4921155500100\",\"\",\"\",\"\",\"179517{id}.0\",\"\",\"0\"\n"
        )
    };
    let config = Config {
        daemon: ASTERISK.to_owned(),
        ..Config::default()
    };
    let (world, daemon) = World::running(&config).await;
    let bodies = [
        row(1001) + &row(1002) + &row(1003),
        row(1002) + &row(1004),
        row(1005) + &row(1001),
    ];
    for body in &bodies {
        daemon.post_raw("desk", None, None, body.as_bytes()).await;
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    }
    let status = daemon.settled(3).await;
    assert_eq!(logs(&world.sandbox).len(), 5);
    let support = is([("asked", 5), ("logged", 5)]);
    assert_eq!(account(&status, "integrations", "support"), support);
    account(&status, "phone_systems", "desk");
    assert!(!world.place.log().contains("doesn't add up"));
}
