//! Whom a new conversation is assigned to and which custom attributes it gets: asked just before it is created. Part of the
//! courier of `log`.
//!
//! None of it may cost the conversation: who isn't known gives way to the next of the chain, an attribute that Kustomer
//! wouldn't take is left out, and a conversation that is refused with them is created without.

use super::agents::Assignee;
use super::assign::{Candidate, Who};
use super::entry::LogEntry;
use super::log::{Courier, Halt};
use super::outbox::Delivery;
use crate::kustomer::fault::KustomerFault;
use crate::settings::types::AssignTo;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// What the conversation gets beside its entry, and how that was found out.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Extras {
    /// Ids of Kustomer's.
    pub users: Vec<String>,
    pub teams: Vec<String>,
    pub custom: Map<String, Value>,
    /// The chain as far as it was asked.
    pub asked: Vec<Asked>,
    /// Custom attributes that the conversation doesn't get, and why.
    pub left_out: Vec<String>,
    /// What Kustomer refused the conversation with, and why.
    pub without: Vec<(Extra, String)>,
}

/// One link of the chain, and what it came to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asked {
    pub link: AssignTo,
    pub outcome: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Extra {
    Custom,
    Assignment,
}

impl Extras {
    /// After a refusal: what to do without at the next try; none if nothing of it can be the reason.
    pub fn give_up(&mut self, fault: &KustomerFault) -> Option<&'static str> {
        let (extra, words) = if !self.custom.is_empty() {
            (Extra::Custom, "custom attributes")
        } else if !(self.users.is_empty() && self.teams.is_empty()) {
            (Extra::Assignment, "being assigned")
        } else {
            // It wasn't them: whoever takes it up again tries with all.
            self.without.clear();
            return None;
        };
        self.without.push((extra, fault.to_string()));
        Some(words)
    }

    fn refused(&self, extra: Extra) -> Option<&str> {
        let mut refused = self.without.iter().filter(|(one, _)| *one == extra);
        refused.next().map(|(_, why)| why.as_str())
    }
}

impl Courier {
    /// Fills in the extras of a delivery whose conversation is to be created.
    pub async fn find_extras(&self, delivery: &mut Delivery) -> Result<(), Halt> {
        let name = &self.settings.name;
        if let (Some(agent), Some(number)) = (&delivery.entry.talked_with, &delivery.number) {
            let at = delivery.entry.created_at;
            self.lately.remember(name, number, agent, at).await?;
        }
        let mut extras = Extras {
            without: std::mem::take(&mut delivery.extras.without),
            ..Extras::default()
        };
        self.assign(delivery, &mut extras).await?;
        self.set_custom(&delivery.entry, &mut extras).await;
        delivery.extras = extras;
        Ok(())
    }

    async fn assign(&self, delivery: &Delivery, extras: &mut Extras) -> Result<(), Halt> {
        for candidate in candidates(&delivery.entry) {
            let (found, outcome) = self.ask(&candidate.who, delivery).await?;
            let link = candidate.link;
            let refused = extras
                .refused(Extra::Assignment)
                .filter(|_| found.is_some());
            if let Some(why) = refused {
                let outcome = format!("{outcome}, which Kustomer refused: {why}");
                extras.asked.push(Asked { link, outcome });
                return Ok(());
            }
            extras.asked.push(Asked { link, outcome });
            match found {
                None => {}
                Some(Assignee::User(id)) => {
                    extras.users.push(id.0);
                    return Ok(());
                }
                Some(Assignee::Team(id)) => {
                    extras.teams.push(id.0);
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    async fn ask(
        &self,
        who: &Who,
        delivery: &Delivery,
    ) -> Result<(Option<Assignee>, String), Halt> {
        let name = match (who, &delivery.number) {
            (Who::Nobody(why), _) => return Ok((None, why.clone())),
            (Who::Named(name), _) => Some(name.clone()),
            (Who::Remembered, Some(number)) => self.lately.find(&self.settings.name, number)?,
            (Who::Remembered, None) => None,
        };
        let Some(name) = name else {
            let why = "nobody is known to have talked with this number";
            return Ok((None, why.to_owned()));
        };
        let found = self.agents.find(&self.client, &name).await?;
        let outcome = match &found {
            Some(Assignee::User(_)) => format!("assigned to {name}"),
            Some(Assignee::Team(_)) => format!("assigned to the team {name}"),
            None if name.contains('@') => format!("{name} is no Kustomer user"),
            None => format!("{name} is no team in Kustomer"),
        };
        Ok((found, outcome))
    }

    async fn set_custom(&self, entry: &LogEntry, extras: &mut Extras) {
        extras.left_out.clone_from(&entry.custom_faults);
        if let Some(why) = extras.refused(Extra::Custom) {
            let words = format!("all custom attributes, which Kustomer refused: {why}");
            extras.left_out.push(words);
            return;
        }
        let (fitting, left_out) = self.attributes.fit(&self.client, &entry.custom).await;
        extras.custom = fitting;
        extras.left_out.extend(left_out);
    }
}

/// The chain of an entry; without one, whoever talked.
fn candidates(entry: &LogEntry) -> Vec<Candidate> {
    if let Some(chain) = &entry.assign {
        return chain.clone();
    }
    let who = match &entry.agent {
        None => Who::Nobody("nobody of ours talked".to_owned()),
        Some(agent) => match &agent.email {
            Some(email) => Who::Named(email.clone()),
            None => Who::Nobody(format!("{} isn't in [agents]", agent.login)),
        },
    };
    vec![Candidate {
        link: AssignTo::Agent,
        who,
    }]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_be_the_reason_of_a_refusal_goes_step_by_step() {
        let fault = KustomerFault::Rejected {
            status: 400,
            code: "badparam".to_owned(),
            detail: String::new(),
        };
        let custom = Map::from_iter([("aStr".to_owned(), Value::from("x"))]);
        let mut extras = Extras {
            users: vec!["u".to_owned()],
            custom,
            ..Extras::default()
        };
        assert_eq!(extras.give_up(&fault), Some("custom attributes"));
        extras.custom.clear();
        assert_eq!(extras.give_up(&fault), Some("being assigned"));
        extras.users.clear();
        assert!(extras.refused(Extra::Custom).is_some());
        assert_eq!(extras.give_up(&fault), None);
        assert!(
            extras.without.is_empty(),
            "the next try has all of it again"
        );
    }
}
