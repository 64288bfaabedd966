//! The settings in force in readable lines: what `check` prints when nothing is wrong.

use super::read::duration_words;
use super::types::{
    AdminAddress, AnonymousPolicy, AssignTo, Auth, CallRules, ClientSettings, ContactRules,
    CustomRules, KustomerSettings, LateFacts, LogAs, NumberPattern, PbxSettings, Protocol,
    Settings, SeveralPolicy, TextRules, UnknownPolicy,
};
use std::time::Duration;

/// Lines for people: the daemon, phone systems, integrations with their filters, then notes.
/// Numbers that are filtered are counted, not listed.
pub fn summary(settings: &Settings) -> Vec<String> {
    let daemon = &settings.daemon;
    let admin = match &daemon.admin {
        AdminAddress::Unix(path) => format!("unix:{}", path.display()),
        AdminAddress::Tcp(address) => address.to_string(),
    };
    let tls = match &daemon.tls {
        Some(_) => " (TLS)",
        None => "",
    };
    let mut lines = vec![
        format!(
            "daemon: listens on {}{tls}, admin on {admin}, keeps its state in {}",
            daemon.listen,
            daemon.state_dir.display()
        ),
        format!(
            "daemon: times in {}, events kept for {}",
            daemon.time_zone_name,
            duration_words(daemon.keep)
        ),
    ];
    if let Some(otel) = &daemon.otel {
        lines.push(format!("daemon: traces go to {}", otel.endpoint));
    }
    lines.extend(settings.pbxs.iter().map(pbx));
    for kustomer in &settings.kustomers {
        lines.extend(integration(kustomer));
    }
    lines.extend(settings.clients.iter().map(client));
    if !settings.agents.is_empty() {
        lines.push(format!(
            "agents: {} mapped to Kustomer users",
            settings.agents.len()
        ));
    }
    lines.extend(settings.notes.iter().map(|note| format!("note: {note}")));
    lines
}

fn pbx(pbx: &PbxSettings) -> String {
    let dialect = pbx.dialect.word();
    let mut ways = Vec::new();
    if let Some(link) = &pbx.link {
        let name = match (link.protocol, link.tls) {
            (Protocol::Ami, false) => "manager interface",
            (Protocol::Ami, true) => "manager interface (TLS)",
            (Protocol::Esl, _) => "event socket",
        };
        ways.push(format!(
            "connects to the {name} at {}:{}",
            link.host, link.port
        ));
    }
    if let Some(folder) = &pbx.pickup_dir {
        ways.push(format!("takes files from {}", folder.display()));
    }
    ways.extend(pbx.auth.as_ref().map(|auth| posts(pbx, auth)));
    format!("pbx {}: {dialect}, {}", pbx.name, ways.join("; "))
}

fn client(client: &ClientSettings) -> String {
    let may: Vec<&str> = client.may.iter().map(|right| right.word()).collect();
    format!("client {}: may {}", client.name, may.join(", "))
}

fn posts(pbx: &PbxSettings, auth: &Auth) -> String {
    let proof = match auth {
        Auth::Basic { .. } => "user and password",
        Auth::Bearer { .. } => "a bearer token",
        Auth::Hmac { .. } => "an HMAC",
        Auth::Query { .. } => "a token in the query",
        Auth::Header { .. } => "a token in a header",
        Auth::Body { .. } => "a token in the body",
        Auth::Jwt { .. } => "a signed body",
        Auth::Twilio { .. } => "Twilio's signature",
        Auth::None => "no proof",
    };
    let from = if pbx.allow_from.is_empty() {
        "anywhere".to_owned()
    } else {
        pbx.allow_from
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
            .join(", ")
    };
    format!(
        "posts to /v1/pbx/{}/events from {from} with {proof}",
        pbx.name
    )
}

fn integration(kustomer: &KustomerSettings) -> Vec<String> {
    let name = &kustomer.name;
    let state = if kustomer.active { "" } else { " (inactive)" };
    let systems = if kustomer.pbx.is_empty() {
        "all phone systems".to_owned()
    } else {
        kustomer.pbx.join(", ")
    };
    let (requests, searches) = (kustomer.requests_per_minute, kustomer.searches_per_minute);
    let mut lines = vec![
        format!(
            "kustomer {name}{state}: {} takes {systems}; {requests} requests and {searches} searches a minute",
            kustomer.url
        ),
        format!("kustomer {name} calls: {}", calls(&kustomer.calls)),
        format!("kustomer {name} texts: {}", texts(&kustomer.texts)),
    ];
    if kustomer.contacts.active {
        let told = kustomer.webhook.is_some();
        let contacts = contacts(&kustomer.contacts, told);
        lines.push(format!("kustomer {name} contacts: {contacts}"));
    }
    lines
}

fn contacts(rules: &ContactRules, told: bool) -> String {
    let way = match (rules.import, rules.export) {
        (true, true) => "both ways with",
        (true, false) => "imported into",
        (false, true) => "exported from",
        (false, false) => "neither imported nor exported:",
    };
    let merged: Vec<&str> = rules.merge_by.iter().map(|by| by.word()).collect();
    let merged = if merged.is_empty() {
        "none merged".to_owned()
    } else {
        format!("merged by {}", merged.join(" and "))
    };
    let (book, poll) = (&rules.phonebook, duration_words(rules.poll));
    let at_once = if told { " and at once by webhook" } else { "" };
    format!("{way} the phone book {book}; {merged}; looked at every {poll}{at_once}")
}

fn calls(rules: &CallRules) -> String {
    let mut parts = vec![numbers(&rules.connected_numbers, &rules.ignore)];
    if rules.min_talk > Duration::ZERO {
        parts.push(format!(
            "talk of {} or more",
            duration_words(rules.min_talk)
        ));
    }
    let off: Vec<&str> = rules
        .log
        .iter()
        .filter(|(_, log)| **log == LogAs::Off)
        .map(|(key, _)| key.0)
        .collect();
    if !off.is_empty() {
        parts.push(format!("not {}", off.join(", ")));
    }
    parts.push(match &rules.anonymous {
        AnonymousPolicy::Skip => "anonymous callers skipped".to_owned(),
        AnonymousPolicy::Customer(id) => format!("anonymous callers go to customer {id}"),
    });
    parts.push(policies(rules.unknown, rules.several));
    if rules.voice_message {
        parts.push("with a voice message".to_owned());
    }
    if rules.late == LateFacts::AllAtOnce {
        parts.push("written when everything announced has come".to_owned());
    }
    if rules.note_template.is_some() {
        parts.push("note from a template of your own".to_owned());
    }
    parts.extend(custom(&rules.custom));
    if rules.assign.chain != [AssignTo::Agent] {
        parts.push(assigned(&rules.assign.chain));
    }
    for (key, own) in &rules.types {
        let mut parts_of = Vec::new();
        parts_of.extend(own.tags.as_ref().map(|_| "tags".to_owned()));
        parts_of.extend(own.note_template.as_ref().map(|_| "note".to_owned()));
        parts_of.extend(own.custom.as_ref().and_then(custom));
        parts_of.extend(own.assign.as_deref().map(assigned));
        parts.push(format!("{} of its own: {}", key.0, parts_of.join(", ")));
    }
    parts.join("; ")
}

fn custom(rules: &CustomRules) -> Option<String> {
    match rules.len() {
        0 => None,
        1 => Some("1 custom attribute".to_owned()),
        count => Some(format!("{count} custom attributes")),
    }
}

fn assigned(chain: &[AssignTo]) -> String {
    let links: Vec<&str> = chain.iter().map(|link| link.word()).collect();
    if links.is_empty() {
        "assigned to nobody".to_owned()
    } else {
        format!("assigned to {}", links.join(", else "))
    }
}

fn texts(rules: &TextRules) -> String {
    let mut parts = vec![numbers(&rules.connected_numbers, &rules.ignore)];
    let logs = [
        ("received", rules.received),
        ("sent", rules.sent),
        ("failed", rules.failed),
    ];
    for (words, log) in logs {
        if log == LogAs::Off {
            parts.push(format!("not {words}"));
        }
    }
    parts.push(policies(rules.unknown, rules.several));
    if rules.window > Duration::ZERO {
        parts.push(format!(
            "texts within {} of each other share a conversation",
            duration_words(rules.window)
        ));
    }
    if rules.text_message {
        parts.push("with an sms message".to_owned());
    }
    parts.extend(custom(&rules.custom));
    parts.join("; ")
}

fn numbers(connected: &[NumberPattern], ignore: &[NumberPattern]) -> String {
    let ours = match connected.len() {
        0 => "all our numbers".to_owned(),
        1 => "1 of our numbers".to_owned(),
        count => format!("{count} of our numbers or patterns"),
    };
    match ignore.len() {
        0 => ours,
        count => format!("{ours}; {count} ignored numbers or patterns"),
    }
}

fn policies(unknown: UnknownPolicy, several: SeveralPolicy) -> String {
    let unknown = match unknown {
        UnknownPolicy::Create => "unknown numbers become customers",
        UnknownPolicy::Skip => "unknown numbers skipped",
    };
    let several = match several {
        SeveralPolicy::Newest => "of several customers the newest",
        SeveralPolicy::Oldest => "of several customers the oldest",
        SeveralPolicy::Skip => "several customers skipped",
    };
    format!("{unknown}; {several}")
}
