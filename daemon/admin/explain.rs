//! Why a call or text was or wasn't logged: its legs, every integration's rules in order, the ends of its events.
//!
//! Asks the same functions as the pipeline (`judge`), so that what is explained is what would be done now; what was
//! done stands beside it as the ends.

use super::Admin;
use crate::calls::filter::Decision;
use crate::calls::judge::Subject;
use crate::calls::ledger::{CallRecord, End, Stage};
use crate::calls::outbox::Delivery;
use crate::calls::picture;
use crate::calls::suppose::Supposed;
use crate::clock;
use crate::store::StoreFault;
use crate::terms::call::CallType;
use crate::terms::ids::EventId;
use crate::terms::number::E164;
use crate::terms::party::{Contact, Party};
use crate::trace;
use jiff::SignedDuration;
use serde_json::{Value, json};

/// Explains an event id, a call key or a number; none if nothing of that name is known.
pub fn explain(admin: &Admin, what: &str) -> Result<Option<Value>, StoreFault> {
    if let Some(id) = EventId::parse(what)
        && let Some(event) = admin.journal.find(id)?
    {
        let mark = admin.ledger.mark(event.seq)?.unwrap_or_default();
        return match mark
            .key
            .map(|key| admin.ledger.record(&key))
            .transpose()?
            .flatten()
        {
            Some(record) => explain_record(admin, &record).map(Some),
            None => Ok(Some(
                json!({"event": what, "ends": [end_json(what, &event.posted.pbx, mark.end.as_ref())]}),
            )),
        };
    }
    if let Some(record) = admin.find_record(what)? {
        return explain_record(admin, &record).map(Some);
    }
    Ok(admin
        .settings
        .daemon
        .plan
        .parse(what)
        .ok()
        .map(|number| explain_number(admin, number)))
}

fn explain_record(admin: &Admin, record: &CallRecord) -> Result<Value, StoreFault> {
    let subject = admin.judge.subject(record, &admin.journal, clock::now())?;
    let mut ends = Vec::new();
    for (index, seq) in record.events.iter().enumerate() {
        let id = admin
            .journal
            .get(*seq)?
            .map(|event| event.id.to_string())
            .unwrap_or_default();
        ends.push(end_json(&id, &record.pbx, record.end_of(index).as_ref()));
    }
    let mut integrations = Vec::new();
    let decisions = subject
        .as_ref()
        .map(|subject| admin.judge.decisions(subject))
        .unwrap_or_default();
    for (integration, decision) in decisions {
        let end = record
            .takers
            .iter()
            .find(|taker| taker.integration == integration)
            .and_then(|t| t.end.clone());
        let delivery = admin.outbox.get(&integration, &record.key)?;
        integrations.push(integration_json(
            &integration,
            &decision,
            end.as_ref(),
            delivery.as_ref(),
        ));
    }
    let (call, text) = match &subject {
        Some(Subject::Call(call)) => (picture::call_json(call), Value::Null),
        Some(Subject::Text(text)) => (Value::Null, picture::text_json(text)),
        None => (Value::Null, Value::Null),
    };
    let legs = match &subject {
        Some(Subject::Call(call)) => picture::legs_json(call),
        Some(Subject::Text(_)) | None => Value::Null,
    };
    Ok(json!({
        "key": record.key,
        "trace": trace::trace_of(&record.key),
        "stage": match record.stage {
            Stage::Gathering => "waiting for more events",
            Stage::Owed => "being logged",
            Stage::Ended => "ended",
        },
        "call": call,
        "text": text,
        "legs": legs,
        "integrations": integrations,
        "ends": ends,
    }))
}

fn integration_json(
    name: &str,
    decision: &Decision,
    end: Option<&End>,
    delivery: Option<&Delivery>,
) -> Value {
    let end = end.map(|end| json!({"end": end.word(), "why": end.why()}));
    let mut shown = decision.to_json(name);
    shown.insert("end".to_owned(), json!(end));
    shown.insert("delivery".to_owned(), json!(delivery.map(delivery_json)));
    shown.into()
}

fn delivery_json(delivery: &Delivery) -> Value {
    json!({
        "customer": delivery.customer,
        "conversation": delivery.conversation,
        "note": delivery.note,
        "message": delivery.message,
        "external_id": delivery.entry.external_id,
        "joins": delivery.joins.as_ref().map(|joins| &joins.first),
        "assigned": {
            "users": delivery.extras.users,
            "teams": delivery.extras.teams,
            "chain": delivery.extras.asked.iter().map(|asked| json!({"link": asked.link.word(), "outcome": asked.outcome})).collect::<Vec<_>>(),
        },
        "custom": delivery.extras.custom,
        "left_out": delivery.extras.left_out,
        "attempts": delivery.attempts,
        "next_try": delivery.end.is_none().then(|| delivery.next_try.to_string()),
        "fault": delivery.fault,
    })
}

fn end_json(event: &str, pbx: &str, end: Option<&End>) -> Value {
    json!({
        "event": event,
        "phone_system": pbx,
        "end": end.map_or("in flight", End::word),
        "why": end.and_then(End::why),
    })
}

/// What would become of an incoming, answered call of a minute from that number, to a number of ours that isn't known.
fn explain_number(admin: &Admin, number: E164) -> Value {
    let raw = number.to_string();
    let supposed = Supposed {
        pbx: first_pbx(admin),
        call_type: CallType::IncomingAnswered,
        other: Contact::new(Party::Number(number), &raw, None),
        ours: None,
        agent: None,
        talk: SignedDuration::from_secs(60),
        at: clock::now(),
    };
    let call = supposed.call();
    let decisions = admin.judge.decisions(&Subject::Call(Box::new(call)));
    let integrations: Vec<Value> = decisions
        .iter()
        .map(|(name, decision)| integration_json(name, decision, None, None))
        .collect();
    json!({
        "number": raw,
        "supposed": "an incoming, answered call of one minute from this number, to a number of ours that isn't known",
        "integrations": integrations,
    })
}

fn first_pbx(admin: &Admin) -> String {
    admin
        .settings
        .pbxs
        .first()
        .map(|pbx| pbx.name.clone())
        .unwrap_or_default()
}
