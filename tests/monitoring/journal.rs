//! A real systemd-journald: what the daemon logs is found there by its fields, as
//! docs/operating.md says, and has nothing of anybody at info and above.

use crate::support::{Config, Journal, LOOK_EVERY, World, all, call, messages, within};
use serde_json::json;
use std::collections::BTreeSet;
use std::path::Path;

const MAX: &str = "+491711234567";
const NEW: &str = "+4915199887766";
/// Debug as tracing-journald has it: what is of less weight than info.
const DEBUG: &str = "6";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_an_event_and_an_integration_are_found_by_their_fields() {
    let config = Config::calls("ignore = [\"+49151*\"]");
    let world = World::start(&config).await;
    let journal = Journal::start().await;
    let place = &world.place;
    let under_systemd = [("JOURNAL_STREAM", Path::new("8:1"))];
    let daemon = place.spawn_in(&journal.starter(place), &under_systemd);
    let daemon = daemon.ready().await.unwrap();
    let event = daemon.post(&call("max", MAX)).await;
    daemon.post(&call("ignored", NEW)).await;
    let fax = daemon
        .post(&json!({"event": "fax.received", "id": "f1"}))
        .await;
    daemon.settled(3).await;
    assert!(daemon.stop().await.success());
    within("the journal has the last line", async {
        while !messages(&journal.lines(&[])).contains(&"stopped") {
            tokio::time::sleep(LOOK_EVERY).await;
        }
    })
    .await;

    // Each line of a call is found by it, and no line of anybody else.
    let of_max = journal.lines(&["TIELINE_CALL=call:script:max"]);
    let said = messages(&of_max);
    let asked = said
        .iter()
        .filter(|said| **said == "asked Kustomer")
        .count();
    assert!(asked >= 3, "{said:?}");
    assert_eq!(
        (said[0], *said.last().unwrap(), said.len()),
        ("decided", "delivered", asked + 2)
    );
    for line in &of_max {
        let calls = all(line, "TIELINE_CALL");
        assert!(
            calls.iter().all(|call| *call == "call:script:max"),
            "{line}"
        );
    }
    let everything = journal.lines(&[]);
    let about_max = everything
        .iter()
        .filter(|line| line.to_string().contains("script:max"));
    assert_eq!(about_max.count(), of_max.len());
    let decided = journal.lines(&["TIELINE_CALL=call:script:ignored"]);
    assert_eq!(messages(&decided), ["decided"]);
    assert_eq!(all(&decided[0], "TIELINE_TAKERS"), ["support: ignored"]);

    // So are those of an event, a phone system and an integration.
    // An event may be decided before the answer to its post is logged.
    let of_event = |id: &str| {
        let lines = journal.lines(&[&format!("TIELINE_EVENT={id}")]);
        let said: BTreeSet<String> = messages(&lines).into_iter().map(str::to_owned).collect();
        assert_eq!(said.len(), lines.len());
        said.into_iter().collect::<Vec<_>>()
    };
    assert_eq!(of_event(&event), ["decided", "event taken"]);
    let of_fax = of_event(&fax);
    assert!(of_fax[0].contains("dead") && of_fax[1] == "event taken" && of_fax.len() == 2);
    assert_eq!(journal.lines(&["TIELINE_PBX=script"]).len(), 6);
    let of_support = journal.lines(&["TIELINE_INTEGRATION=support"]);
    assert!(of_support.len() > asked);
    assert!(journal.lines(&["TIELINE_INTEGRATION=script"]).is_empty());

    // Invariant 9.
    for line in everything
        .iter()
        .filter(|line| line["PRIORITY"].as_str() < Some(DEBUG))
    {
        let line = line.to_string();
        assert!(
            !["1711234567", "15199887766", "Muster"]
                .iter()
                .any(|word| line.contains(word)),
            "{line}"
        );
    }
}
