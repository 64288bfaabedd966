//! What posted events say, by the settings of the phone systems alone: events to facts, facts to a call or text, and what
//! each integration's rules say of it. Needs no store: the daemon's `judge` asks it, and `filter test` for settings that
//! aren't in force.

use super::assemble;
use super::decode::{self, PhoneEvent, RawEvent, Site};
use super::filter::{self, Decision};
use super::journal::Posted;
use super::known::Facts;
use crate::settings::types::{Dialect, KustomerSettings, PbxSettings};
use crate::terms::call::Call;
use crate::terms::ids::CallKey;
use crate::terms::text::Text;
use jiff::Timestamp;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

/// What the events of one record make.
pub enum Subject {
    Call(Box<Call>),
    Text(Box<Text>),
}

/// The phone systems by their names. Cheap to clone.
#[derive(Clone)]
pub struct Reader(Arc<HashMap<String, System>>);

struct System {
    dialect: Dialect,
    settle: Duration,
    site: Site,
}

impl Reader {
    pub fn new(pbxs: &[PbxSettings]) -> Self {
        let system = |pbx: &PbxSettings| System {
            dialect: pbx.dialect,
            settle: pbx.settle,
            site: site(pbx),
        };
        let systems = pbxs.iter().map(|pbx| (pbx.name.clone(), system(pbx)));
        Self(Arc::new(systems.collect()))
    }

    /// What an event states.
    ///
    /// # Errors
    /// Why it can't be read.
    pub fn decode(&self, posted: &Posted) -> Result<Vec<PhoneEvent>, String> {
        let Some(system) = self.0.get(&posted.pbx) else {
            return Err(format!(
                "phone system \"{}\" is no longer configured: add it again and replay",
                posted.pbx
            ));
        };
        let raw = RawEvent {
            content_type: posted.content_type.as_deref(),
            query: posted.query.as_deref(),
            body: &posted.body,
            received: posted.received,
        };
        decode::decode(system.dialect, &raw, &system.site).map_err(|fault| fault.to_string())
    }

    /// How long records of a phone system may be late; not at all if nobody knows it.
    pub fn settle(&self, pbx: &str) -> Duration {
        self.0
            .get(pbx)
            .map_or(Duration::ZERO, |system| system.settle)
    }
}

/// What decoding has to know of a phone system.
pub fn site(pbx: &PbxSettings) -> Site {
    Site {
        pbx: pbx.name.clone(),
        plan: pbx.plan.clone(),
        extensions: pbx.extensions.clone(),
        time_zone: pbx.time_zone.clone(),
    }
}

/// The call or text as its facts make it now, complete or not.
pub fn subject(record: &str, facts: &Facts, now: Timestamp) -> Option<Subject> {
    if let Some(text) = facts.text() {
        return Some(Subject::Text(Box::new(text)));
    }
    let key = CallKey::parse(record)?;
    let assembly = assemble::assemble(&key, &facts.legs, now);
    let call = assembly
        .call
        .or_else(|| assemble::close(&key, &facts.legs, now));
    call.map(|call| Subject::Call(Box::new(call)))
}

/// Every integration's rules for it, in the order of their names.
pub fn decisions(kustomers: &[KustomerSettings], subject: &Subject) -> Vec<(String, Decision)> {
    let decide = |integration: &KustomerSettings| match subject {
        Subject::Call(call) => filter::filter_call(call, integration),
        Subject::Text(text) => filter::filter_text(text, integration),
    };
    let decided = kustomers.iter().map(|one| (one.name.clone(), decide(one)));
    decided.collect()
}
