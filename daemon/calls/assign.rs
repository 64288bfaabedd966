//! Whom the conversation of a call is assigned to: the chain of `assign`, each link with who it leads to as far as the call
//! itself tells. Pure; `entry` keeps the chain, `extras` asks Kustomer for it link by link.

use super::entry::Names;
use super::fields::agent_of;
use crate::settings::types::{AssignTo, CallRules};
use crate::terms::call::{Call, CallType};
use crate::terms::party::Extension;
use serde::{Deserialize, Serialize};

/// One link of the chain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Candidate {
    pub link: AssignTo,
    pub who: Who,
}

/// Who a link leads to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Who {
    /// A user's e-mail, or a team's name.
    Named(String),
    /// Whoever is remembered to have talked last with the number.
    Remembered,
    /// Nobody; why.
    Nobody(String),
}

/// The links for this call, in order; none where it is assigned to whoever talked, as calls are unless told otherwise.
pub fn chain(call: &Call, rules: &CallRules, names: &Names<'_>) -> Option<Vec<Candidate>> {
    let links = rules.chain_of(call.call_type);
    if links == [AssignTo::Agent] {
        return None;
    }
    let candidate = |link: &AssignTo| Candidate {
        link: *link,
        who: who(*link, call, rules, names),
    };
    Some(links.iter().map(candidate).collect())
}

/// Whom to remember as having talked with the number, where that is asked later.
pub fn talked_with(call: &Call, rules: &CallRules, names: &Names<'_>) -> Option<String> {
    if !rules.asks_last_agent() || call.answered.is_none() {
        return None;
    }
    call.other.number()?;
    agent_of(call.agent.as_ref()?, names).email
}

fn who(link: AssignTo, call: &Call, rules: &CallRules, names: &Names<'_>) -> Who {
    let phone = |phone: Option<&Extension>, nobody: &str| match phone {
        None => Who::Nobody(nobody.to_owned()),
        Some(phone) => {
            let agent = agent_of(phone, names);
            match agent.email {
                Some(email) => Who::Named(email),
                None => Who::Nobody(format!("{} isn't in [agents]", agent.login)),
            }
        }
    };
    match link {
        AssignTo::Agent => phone(call.agent.as_ref(), "nobody of ours talked"),
        AssignTo::QueueAgent => match &call.queue {
            None => Who::Nobody("the call was in no queue".to_owned()),
            Some(queue) => match rules.assign.queues.get(queue) {
                Some(named) => Who::Named(named.clone()),
                None => phone(
                    call.rang.as_ref(),
                    "the queue isn't in [kustomer.calls.queues], and no phone is known to have rung",
                ),
            },
        },
        AssignTo::VoicemailOwner if call.call_type != CallType::Voicemail => {
            Who::Nobody("no mailbox took the call".to_owned())
        }
        AssignTo::VoicemailOwner => {
            let rang = call.rang.as_ref().filter(|_| call.queue.is_none());
            phone(
                call.mailbox.as_ref().or(rang),
                "the phone system doesn't say whose mailbox took the call",
            )
        }
        AssignTo::LastAgent if call.other.number().is_none() => {
            Who::Nobody("the other party has no number".to_owned())
        }
        AssignTo::LastAgent => Who::Remembered,
        AssignTo::Default => match &rules.assign.default {
            Some(named) => Who::Named(named.clone()),
            None => Who::Nobody("assign_default is not set".to_owned()),
        },
    }
}
