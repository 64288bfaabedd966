//! Whom conversations are assigned to: the chain as a table, and link by link over real sockets.

use crate::samples::{call as sample, integration, special};
use crate::support::{Config, Daemon, World, call, live};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use tieline::calls::assign::{Candidate, Who, chain, talked_with};
use tieline::calls::entry::Names;
use tieline::settings::types::{AssignRules, AssignTo, TypeRules};
use tieline::terms::call::{Call, CallType};
use tieline::terms::party::{Extension, Party};

const MAX: &str = "+491711234567";

fn phone(name: &str) -> Option<Extension> {
    Some(Extension(name.to_owned()))
}

#[test]
fn each_link_says_who_it_leads_to_or_why_to_nobody() {
    use AssignTo::{Agent, Default as Fallback, LastAgent, QueueAgent, VoicemailOwner};
    let agents = BTreeMap::from([("101".to_owned(), "grace@example.org".to_owned())]);
    let names = Names {
        customer: None,
        agents: &agents,
    };
    let missed = Call {
        call_type: CallType::IncomingMissed,
        answered: None,
        agent: None,
        ..sample()
    };
    let queued = |queue: &str, rang: Option<Extension>| Call {
        queue: Some(queue.to_owned()),
        rang,
        ..missed.clone()
    };
    let mailbox = |mailbox: Option<Extension>, rang: Option<Extension>, queue: Option<&str>| Call {
        call_type: CallType::Voicemail,
        voicemail: true,
        mailbox,
        rang,
        queue: queue.map(str::to_owned),
        ..missed.clone()
    };
    let hidden = Call {
        other: special(Party::Anonymous, "anonymous"),
        ..missed.clone()
    };
    let table = [
        (Agent, sample(), Ok("grace@example.org")),
        (Agent, missed.clone(), Err("nobody of ours talked")),
        (
            Agent,
            Call {
                agent: phone("102"),
                ..sample()
            },
            Err("102 isn't in [agents]"),
        ),
        (
            Agent,
            Call {
                agent: phone("ada@example.org"),
                ..sample()
            },
            Ok("ada@example.org"),
        ),
        (QueueAgent, missed.clone(), Err("the call was in no queue")),
        (
            QueueAgent,
            queued("support", phone("102")),
            Ok("Second line"),
        ),
        (
            QueueAgent,
            queued("sales", phone("101")),
            Ok("grace@example.org"),
        ),
        (
            QueueAgent,
            queued("sales", phone("102")),
            Err("102 isn't in [agents]"),
        ),
        (
            QueueAgent,
            queued("sales", None),
            Err("the queue isn't in [kustomer.calls.queues], and no phone is known to have rung"),
        ),
        (
            VoicemailOwner,
            missed.clone(),
            Err("no mailbox took the call"),
        ),
        (
            VoicemailOwner,
            mailbox(phone("101"), phone("102"), None),
            Ok("grace@example.org"),
        ),
        (
            VoicemailOwner,
            mailbox(None, phone("101"), None),
            Ok("grace@example.org"),
        ),
        (
            VoicemailOwner,
            mailbox(None, phone("101"), Some("sales")),
            Err("the phone system doesn't say whose mailbox took the call"),
        ),
        (LastAgent, hidden, Err("the other party has no number")),
        (Fallback, missed.clone(), Ok("team@example.org")),
    ];
    let mut to = integration();
    for (link, call, expected) in table {
        to.calls.assign = AssignRules {
            chain: vec![link, Fallback],
            default: Some("team@example.org".to_owned()),
            queues: BTreeMap::from([("support".to_owned(), "Second line".to_owned())]),
        };
        let who = chain(&call, &to.calls, &names).unwrap().remove(0).who;
        let expected = match expected {
            Ok(name) => Who::Named(name.to_owned()),
            Err(why) => Who::Nobody(why.to_owned()),
        };
        assert_eq!(who, expected, "{link:?}");
    }
    to.calls.assign = AssignRules::default();
    assert_eq!(chain(&missed, &to.calls, &names), None, "as always");
    assert_eq!(
        talked_with(&sample(), &to.calls, &names),
        None,
        "nobody asks"
    );
    to.calls.types.insert(
        CallType::IncomingMissed.into(),
        TypeRules {
            assign: Some(vec![LastAgent]),
            ..TypeRules::default()
        },
    );
    let last = Candidate {
        link: LastAgent,
        who: Who::Remembered,
    };
    assert_eq!(chain(&missed, &to.calls, &names), Some(vec![last]));
    assert_eq!(chain(&sample(), &to.calls, &names), None);
    let grace = Some("grace@example.org".to_owned());
    assert_eq!(talked_with(&sample(), &to.calls, &names), grace);
    assert_eq!(talked_with(&missed, &to.calls, &names), None);
}

fn missed(id: &str) -> Value {
    let mut call = call(id, MAX);
    for field in ["answered", "extension"] {
        call.as_object_mut().unwrap().remove(field);
    }
    call
}

async fn assigned(daemon: &Daemon, id: &str) -> (String, Vec<String>) {
    let explained = daemon.place.explain(&format!("script:{id}")).await;
    let assigned = explained["integrations"][0]["delivery"]["assigned"].clone();
    let ids = [&assigned["users"], &assigned["teams"]];
    let ids: Vec<&str> = ids
        .iter()
        .flat_map(|ids| ids.as_array().unwrap())
        .filter_map(Value::as_str)
        .collect();
    let chain = assigned["chain"].as_array().unwrap().iter();
    let chain = chain.map(|asked| {
        format!(
            "{}: {}",
            asked["link"].as_str().unwrap(),
            asked["outcome"].as_str().unwrap()
        )
    });
    (ids.join(","), chain.collect())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn missed_calls_go_to_who_is_meant_by_the_first_link_that_knows() {
    let lines = r#"
assign_default = "nobody@example.org"
[kustomer.calls.queues]
support = "second line"
sales = "gone@example.org"
[kustomer.calls.types.incoming_missed]
assign = ["agent", "queue_agent", "last_agent", "default"]
[kustomer.calls.types.voicemail]
assign = ["voicemail_owner"]
"#;
    let world = World::start(&Config::calls(lines)).await;
    let team = world
        .sandbox
        .seed_team(json!({"name": "Second Line"}))
        .unwrap();
    let daemon = world.place.start().await;

    // Nobody knows: unassigned, and why.
    daemon.post(&missed("a1")).await;
    daemon.settled(1).await;
    let (who, chain) = assigned(&daemon, "a1").await;
    assert_eq!(who, "");
    assert_eq!(
        chain,
        [
            "agent: nobody of ours talked",
            "queue_agent: the call was in no queue",
            "last_agent: nobody is known to have talked with this number",
            "default: nobody@example.org is no Kustomer user",
        ]
    );
    // A team by its queue.
    let mut queued = missed("a2");
    queued["queue"] = json!("support");
    daemon.post(&queued).await;
    daemon.settled(2).await;
    let (who, chain) = assigned(&daemon, "a2").await;
    assert_eq!((who.as_str(), chain.len()), (team.as_str(), 2), "{chain:?}");
    let conversations = world.sandbox.conversations();
    let of = |id: &str| {
        let external_id = json!(format!("tieline:script:{id}"));
        let found = conversations
            .iter()
            .find(|one| one["attributes"]["externalId"] == external_id);
        found.unwrap()["attributes"].clone()
    };
    assert_eq!(of("a2")["assignedTeams"], json!([team]));
    // Grace talked with Max; a user who is gone gives way to her.
    daemon.post(&call("a3", MAX)).await;
    daemon.settled(3).await;
    let grace = assigned(&daemon, "a3").await.0;
    let mut queued = missed("a4");
    queued["queue"] = json!("sales");
    daemon.post(&queued).await;
    daemon.settled(4).await;
    let (who, chain) = assigned(&daemon, "a4").await;
    assert_eq!(who, grace, "{chain:?}");
    assert_eq!(
        chain[1],
        "queue_agent: gone@example.org is no Kustomer user"
    );
    assert_eq!(chain[2], "last_agent: assigned to grace@example.org");
    // Whose mailbox it was.
    let mut mailbox = missed("a5");
    mailbox["voicemail"] = json!(true);
    mailbox["mailbox"] = json!("101");
    daemon.post(&mailbox).await;
    daemon.settled(5).await;
    assert_eq!(assigned(&daemon, "a5").await.0, grace);
    // Whose phone rang in a queue that nobody is named for.
    let mut rung = live("a6", MAX);
    rung.retain(|event| event["event"] != "call.answered");
    for event in &mut rung {
        event["queue"] = json!("claims");
        daemon.post(event).await;
    }
    daemon.settled(8).await;
    let (who, chain) = assigned(&daemon, "a6").await;
    assert_eq!(who, grace, "{chain:?}");
    assert_eq!(chain[1], "queue_agent: assigned to grace@example.org");
    let shown = daemon.place.cli(&["explain", "script:a4"]).await.out;
    assert!(
        shown.contains("  assign last_agent: assigned to grace@example.org"),
        "{shown}"
    );
    let checked = daemon.place.cli(&["check", "--online"]).await;
    assert!(
        checked.out.contains("gone@example.org") && checked.code == Some(1),
        "{checked:?}"
    );
}
