//! The Kustomer client against the sandbox over real sockets: `calls` has every call, `faults` every fault with its
//! verdict.

mod calls;
mod faults;

use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;
use tieline::kustomer::client::{Client, Past};
use tieline::kustomer::conversations::{NewConversation, NewNote, Status};
use tieline::kustomer::customers::NewCustomer;
use tieline::kustomer::fault::KustomerFault;
use tieline::sandbox::{Fault, FaultKind, SANDBOX_KEY, Sandbox, SandboxOptions};
use tieline::settings::types::{
    AnonymousPolicy, CallRules, ContactRules, KustomerSettings, LogAs, SeveralPolicy, TextRules,
    UnknownPolicy,
};
use tieline::terms::call::Direction;
use tieline::terms::ids::{ConversationId, CustomerId};
use tieline::terms::number::{E164, NumberPlan};

/// A sandbox and a client of it; the folder holds the key file.
struct World {
    sandbox: Sandbox,
    client: Client,
    folder: tempfile::TempDir,
}

async fn world() -> World {
    world_with(SandboxOptions::empty(), |_| {}).await
}

async fn world_with(options: SandboxOptions, change: impl Fn(&mut KustomerSettings)) -> World {
    let sandbox = Sandbox::start(options).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let mut settings = settings(sandbox.url(), folder.path());
    change(&mut settings);
    let client = Client::new(&settings, Past::default()).unwrap();
    World {
        sandbox,
        client,
        folder,
    }
}

/// Settings for a peer, with the sandbox's key in a file of `folder`.
pub fn settings(url: &str, folder: &Path) -> KustomerSettings {
    let api_key_file = folder.join("key");
    std::fs::write(&api_key_file, format!("{SANDBOX_KEY}\n")).unwrap();
    KustomerSettings {
        name: "support".into(),
        url: url.into(),
        web_url: None,
        api_key_file,
        active: true,
        pbx: Vec::new(),
        contact_tag: "phone".into(),
        requests_per_minute: 500,
        searches_per_minute: 100,
        budget_window: Duration::from_secs(60),
        land_time: Duration::from_secs(2),
        ca_file: None,
        proxy: None,
        bulk_land_time: Duration::from_secs(600),
        timeout: Duration::from_secs(30),
        retry: Vec::new(),
        retry_for: Duration::from_secs(60),
        parallel: 8,
        calls: CallRules {
            connected_numbers: Vec::new(),
            ignore: Vec::new(),
            min_talk: Duration::ZERO,
            anonymous: AnonymousPolicy::Skip,
            unknown: UnknownPolicy::Create,
            several: SeveralPolicy::Newest,
            voice_message: false,
            late: tieline::settings::types::LateFacts::Staged,
            late_wait: Duration::from_secs(600),
            log: BTreeMap::new(),
            tags: Vec::new(),
            note_template: None,
            labels: BTreeMap::new(),
            custom: BTreeMap::new(),
            assign: tieline::settings::types::AssignRules::default(),
            types: BTreeMap::new(),
        },
        texts: TextRules {
            connected_numbers: Vec::new(),
            ignore: Vec::new(),
            received: LogAs::Open,
            sent: LogAs::Done,
            failed: LogAs::Open,
            window: Duration::ZERO,
            text_message: false,
            unknown: UnknownPolicy::Create,
            several: SeveralPolicy::Newest,
            tags: Vec::new(),
            custom: BTreeMap::new(),
        },
        contacts: ContactRules {
            active: false,
            conflicts: tieline::contacts::agree::Policies::default(),
            skip_shared: tieline::settings::types::SkipShared::Value,
            extra_fields: false,
            import: false,
            export: false,
            merge_by: Vec::new(),
            phonebook: "directory".into(),
            poll: Duration::from_secs(60),
            search_lag: Duration::from_secs(60),
            max_changes_count: 1,
            max_changes_percent: 1,
        },
        webhook: None,
    }
}

fn number(text: &str) -> E164 {
    NumberPlan::new("DE", None).unwrap().parse(text).unwrap()
}

fn at(text: &str) -> jiff::Timestamp {
    text.parse().unwrap()
}

fn new_conversation(external_id: &str) -> NewConversation {
    NewConversation {
        external_id: external_id.into(),
        name: "Incoming call".into(),
        direction: Direction::In,
        status: Status::Open,
        created_at: Some(at("2026-10-21T14:02:11.925Z")),
        assigned_users: Vec::new(),
        assigned_teams: Vec::new(),
        tags: Vec::new(),
        custom: Map::new(),
    }
}

fn new_note(external_id: &str, body: &str) -> NewNote {
    NewNote {
        external_id: external_id.into(),
        body: body.into(),
    }
}

impl World {
    async fn customer(&self) -> CustomerId {
        self.client
            .create_customer(&NewCustomer::default())
            .await
            .unwrap()
            .id
    }

    async fn conversation(&self) -> ConversationId {
        let customer = self.customer().await;
        self.client
            .create_conversation(&customer, &new_conversation("tieline:hq:a1"))
            .await
            .unwrap()
            .id
    }

    fn fault(&self, path: &str, kind: FaultKind) {
        assert!(self.sandbox.add_fault(Fault::on(path, kind)));
    }
}

pub fn status(status: u16, headers: &[(&str, &str)], body: Option<Value>) -> FaultKind {
    let headers = headers
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
    FaultKind::Status {
        status,
        body,
        headers,
    }
}

/// Asks for one thing and gives its fault, checking what must hold for each.
async fn fault_of<T: std::fmt::Debug>(
    call: impl Future<Output = Result<T, KustomerFault>>,
) -> KustomerFault {
    let fault = call.await.unwrap_err();
    let text = fault.to_string();
    assert!(
        !text.contains(SANDBOX_KEY) && !text.contains('\n') && !text.contains("/v1/"),
        "{text}"
    );
    fault
}
