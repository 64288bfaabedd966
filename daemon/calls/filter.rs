//! Decides whether one Kustomer integration logs a call or a text: the rules in order, each with what it looked at.
//!
//! Owns the rules, their order ([`CALL_RULES`], [`TEXT_RULES`]) and the reasons for not logging. Pure: `line` asks it
//! before matching, `explain` prints the same trace. The details hold phone numbers: they are for the administrator
//! who asks, never for a log.

use std::time::Duration;

use jiff::SignedDuration;
use serde_json::{Map, Value, json};

use crate::settings::types::{AnonymousPolicy, KustomerSettings, LogAs, NumberPattern, TextRules};
use crate::terms::call::{Call, CallType, Direction};
use crate::terms::party::{Contact, Extension, Party};
use crate::terms::text::Text;

/// Why a call or text isn't logged in an integration. All but the last two are this file's rules, in order;
/// those come from matching.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum SkipReason {
    IntegrationInactive,
    PhoneSystemNotTaken,
    Internal,
    Anonymous,
    NotListed,
    SwitchedOff,
    TooShort,
    Ignored,
    ShortNumber,
    NumberInvalid,
    /// Nobody has the number, and `unknown = "skip"`.
    UnknownCustomer,
    /// More than one customer has the number, and `several = "skip"`.
    SeveralCustomers,
}

impl SkipReason {
    pub const ALL: [Self; 12] = [
        Self::IntegrationInactive,
        Self::PhoneSystemNotTaken,
        Self::Internal,
        Self::Anonymous,
        Self::NotListed,
        Self::SwitchedOff,
        Self::TooShort,
        Self::Ignored,
        Self::ShortNumber,
        Self::NumberInvalid,
        Self::UnknownCustomer,
        Self::SeveralCustomers,
    ];

    /// For people: `connected number not listed`.
    pub const fn words(self) -> &'static str {
        self.key_and_words().1
    }

    /// For JSON, metrics and stored records: `not_listed`.
    pub const fn key(self) -> &'static str {
        self.key_and_words().0
    }

    const fn key_and_words(self) -> (&'static str, &'static str) {
        match self {
            Self::IntegrationInactive => ("integration_inactive", "integration inactive"),
            Self::PhoneSystemNotTaken => ("phone_system_not_taken", "phone system not taken"),
            Self::Internal => ("internal", "internal"),
            Self::Anonymous => ("anonymous", "anonymous"),
            Self::NotListed => ("not_listed", "connected number not listed"),
            Self::SwitchedOff => ("switched_off", "direction or result switched off"),
            Self::TooShort => ("too_short", "shorter than min_talk"),
            Self::Ignored => ("ignored", "ignored number or extension"),
            Self::ShortNumber => ("short_number", "emergency or short number"),
            Self::NumberInvalid => ("number_invalid", "no valid number"),
            Self::UnknownCustomer => ("unknown_customer", "unknown number"),
            Self::SeveralCustomers => ("several_customers", "several customers have the number"),
        }
    }

    /// Reads what [`SkipReason::key`] writes.
    pub fn from_key(key: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.key() == key)
    }
}

/// What one rule came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The rule doesn't match; the next one is asked.
    Passed,
    /// The rule matches: its reason is the decision.
    Decided,
}

impl Outcome {
    pub const fn word(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Decided => "decided",
        }
    }
}

/// One rule that was asked. A rule has the name of the reason that it gives when it matches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    pub rule: SkipReason,
    pub outcome: Outcome,
    /// What the rule looked at, in words.
    pub detail: String,
}

/// The rules that were asked, in order, the one that decided last; no `skip`: log it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    pub trace: Vec<Step>,
    pub skip: Option<SkipReason>,
}

impl Decision {
    /// `{"integration", "skip": key or null, "decided_by", "rules": [{"rule", "outcome", "detail"}…]}`: what `explain --json` and
    /// `filter test --json` print of one integration.
    pub fn to_json(&self, integration: &str) -> Map<String, Value> {
        let rules: Vec<Value> = self
            .trace
            .iter()
            .map(|step| {
                json!({"rule": step.rule.key(), "outcome": step.outcome.word(), "detail": step.detail})
            })
            .collect();
        let skip = self.skip.map(SkipReason::key);
        let parts = [
            ("integration", json!(integration)),
            ("skip", json!(skip)),
            ("decided_by", json!(skip.unwrap_or("no rule: it is logged"))),
            ("rules", json!(rules)),
        ];
        parts
            .map(|(key, value)| (key.to_owned(), value))
            .into_iter()
            .collect()
    }
}

/// A call's rules in order. The cheapest and widest come first, so that the reason named is the one that an
/// administrator would give; a number is looked at last, because only a call that is wanted needs one.
pub const CALL_RULES: [(SkipReason, Rule<Call>); 10] = [
    (SkipReason::IntegrationInactive, |_, to| active(to)),
    (SkipReason::PhoneSystemNotTaken, |call, to| {
        phone_system(&call.key.pbx, to)
    }),
    (SkipReason::Internal, internal_call),
    (SkipReason::Anonymous, anonymous_call),
    (SkipReason::NotListed, |call, to| {
        listed(&connected(call), &to.calls.connected_numbers)
    }),
    (SkipReason::SwitchedOff, call_switch),
    (SkipReason::TooShort, long_enough),
    (SkipReason::Ignored, ignored_call),
    (SkipReason::ShortNumber, |call, _| short_number(&call.other)),
    (SkipReason::NumberInvalid, callable),
];

/// A text's rules in order: a call's without the talk time.
pub const TEXT_RULES: [(SkipReason, Rule<Text>); 9] = [
    (SkipReason::IntegrationInactive, |_, to| active(to)),
    (SkipReason::PhoneSystemNotTaken, |text, to| {
        phone_system(&text.key.pbx, to)
    }),
    (SkipReason::Internal, internal_text),
    (SkipReason::Anonymous, |text, _| anonymous_text(text)),
    (SkipReason::NotListed, |text, to| {
        listed(text.ours(), &to.texts.connected_numbers)
    }),
    (SkipReason::SwitchedOff, text_switch),
    (SkipReason::Ignored, |text, to| {
        ignored(&[text.other(), text.ours()], &to.texts.ignore)
    }),
    (SkipReason::ShortNumber, |text, _| {
        short_number(text.other())
    }),
    (SkipReason::NumberInvalid, |text, _| {
        valid_number(text.other())
    }),
];

/// One rule: `Ok` with what it saw if it doesn't match, `Err` with why it does.
pub type Rule<T> = fn(&T, &KustomerSettings) -> Result<String, String>;

/// Whether `integration` logs the call.
pub fn filter_call(call: &Call, integration: &KustomerSettings) -> Decision {
    decide(&CALL_RULES, call, integration)
}

/// Whether `integration` logs the text.
pub fn filter_text(text: &Text, integration: &KustomerSettings) -> Decision {
    decide(&TEXT_RULES, text, integration)
}

fn decide<T>(
    rules: &[(SkipReason, Rule<T>)],
    event: &T,
    integration: &KustomerSettings,
) -> Decision {
    let mut trace = Vec::with_capacity(rules.len());
    for &(rule, ask) in rules {
        let (outcome, detail) = match ask(event, integration) {
            Ok(detail) => (Outcome::Passed, detail),
            Err(detail) => (Outcome::Decided, detail),
        };
        trace.push(Step {
            rule,
            outcome,
            detail,
        });
        if outcome == Outcome::Decided {
            let skip = Some(rule);
            return Decision { trace, skip };
        }
    }
    Decision { trace, skip: None }
}

fn active(to: &KustomerSettings) -> Result<String, String> {
    if to.active {
        Ok(format!("{} is active", to.name))
    } else {
        Err(format!("active = false is set for {}", to.name))
    }
}

fn phone_system(pbx: &str, to: &KustomerSettings) -> Result<String, String> {
    let listed = to.pbx.join(", ");
    match (to.pbx.is_empty(), to.takes(pbx)) {
        (true, _) => Ok(format!("{} takes every phone system, {pbx} too", to.name)),
        (false, true) => Ok(format!("{pbx} is one of pbx: {listed}")),
        (false, false) => Err(format!("{pbx} is not one of pbx: {listed}")),
    }
}

fn internal_call(call: &Call, to: &KustomerSettings) -> Result<String, String> {
    if call.direction != Direction::Internal {
        return Ok("the call has an outside party".to_owned());
    }
    let between = |log: String| format!("a call between our own phones, and {log}");
    switch("log.internal", log_as(CallType::Internal, to))
        .map(between)
        .map_err(between)
}

fn internal_text(text: &Text, _to: &KustomerSettings) -> Result<String, String> {
    let inside = matches!(text.other().party, Party::Extension(_));
    if inside || text.direction == Direction::Internal {
        Err("a text between our own phones".to_owned())
    } else {
        Ok("the text has an outside party".to_owned())
    }
}

fn anonymous_call(call: &Call, to: &KustomerSettings) -> Result<String, String> {
    match (&call.other.party, &to.calls.anonymous) {
        (Party::Anonymous, AnonymousPolicy::Skip) => {
            Err("the number is hidden, and anonymous is \"skip\"".to_owned())
        }
        (Party::Anonymous, AnonymousPolicy::Customer(id)) => Ok(format!(
            "the number is hidden, and anonymous names customer {id}"
        )),
        (Party::Number(_) | Party::Extension(_) | Party::Short(_) | Party::Invalid, _) => {
            Ok("the number isn't hidden".to_owned())
        }
    }
}

fn anonymous_text(text: &Text) -> Result<String, String> {
    if text.other().party == Party::Anonymous {
        Err("the number is hidden: nobody to log the text to".to_owned())
    } else {
        Ok("the number isn't hidden".to_owned())
    }
}

/// Our side of a call as a party: what was sent for it may be an extension that a list names.
pub fn connected(call: &Call) -> Contact {
    let raw = call.connected_raw.clone().unwrap_or_default();
    let party = match &call.connected {
        Some(number) => Party::Number(number.clone()),
        None if raw.is_empty() => Party::Anonymous,
        None => Party::Extension(Extension(raw.clone())),
    };
    Contact::new(party, &raw, None)
}

/// `ours` against a list of connected numbers. Unknown isn't listed: a list says what to log, so in doubt nothing is.
fn listed(ours: &Contact, list: &[NumberPattern]) -> Result<String, String> {
    let shown = match &ours.party {
        Party::Number(number) => format!("our number {number}"),
        Party::Extension(_) | Party::Short(_) | Party::Invalid => {
            format!("our number, sent as {:?},", ours.raw)
        }
        Party::Anonymous => "our number, which wasn't sent,".to_owned(),
    };
    if list.is_empty() {
        return Ok(format!(
            "{shown} passes: connected_numbers is empty, which means all"
        ));
    }
    match list.iter().find(|pattern| pattern.matches(ours)) {
        Some(pattern) => Ok(format!(
            "{shown} matches {:?} of connected_numbers",
            pattern.written
        )),
        None => Err(format!("{shown} is not in connected_numbers")),
    }
}

fn call_switch(call: &Call, to: &KustomerSettings) -> Result<String, String> {
    let key = call.call_type.key();
    switch(&format!("log.{key}"), log_as(call.call_type, to))
}

fn text_switch(text: &Text, to: &KustomerSettings) -> Result<String, String> {
    let (key, log) = text_log(text, &to.texts);
    switch(&format!("texts.log.{key}"), log)
}

fn switch(key: &str, log: LogAs) -> Result<String, String> {
    match log {
        LogAs::Open => Ok(format!("{key} is \"open\"")),
        LogAs::Done => Ok(format!("{key} is \"done\"")),
        LogAs::Off => Err(format!("{key} is \"off\"")),
    }
}

/// What `log` says of a call type; a type that isn't there is off.
pub fn log_as(call_type: CallType, to: &KustomerSettings) -> LogAs {
    let log = to.calls.log.get(&call_type.into());
    log.copied().unwrap_or(LogAs::Off)
}

/// Which key of `[kustomer.texts] log` is a text's, and what it says.
pub fn text_log(text: &Text, rules: &TextRules) -> (&'static str, LogAs) {
    match text.direction {
        Direction::Out if text.failed() => ("failed", rules.failed),
        Direction::Out => ("sent", rules.sent),
        Direction::In | Direction::Internal => ("received", rules.received),
    }
}

/// Only answered calls can be too short: the others have no talk time, and are logged because nobody talked.
fn long_enough(call: &Call, to: &KustomerSettings) -> Result<String, String> {
    let min = to.calls.min_talk;
    let answered = match call.call_type {
        CallType::IncomingAnswered | CallType::OutgoingAnswered => true,
        CallType::Internal => call.answered.is_some(),
        CallType::IncomingMissed | CallType::OutgoingUnanswered | CallType::Voicemail => false,
    };
    if min == Duration::ZERO {
        return Ok("min_talk is 0 s".to_owned());
    }
    if !answered {
        return Ok("nobody talked: min_talk is for answered calls".to_owned());
    }
    let talk = call.talk;
    // A setting beyond what the other type holds (292 billion years) is longer than any call.
    if SignedDuration::try_from(min).is_ok_and(|min| talk >= min) {
        Ok(format!("talked {talk:#}, min_talk is {min:?}"))
    } else {
        Err(format!("talked {talk:#}, min_talk is {min:?}"))
    }
}

fn ignored_call(call: &Call, to: &KustomerSettings) -> Result<String, String> {
    let agents = [call.first_agent.as_ref(), call.agent.as_ref()].map(|agent| {
        agent.map(|extension| Contact::new(Party::Extension(extension.clone()), &extension.0, None))
    });
    let parties: Vec<&Contact> = std::iter::once(&call.other)
        .chain(agents.iter().flatten())
        .collect();
    ignored(&parties, &to.calls.ignore)
}

fn ignored(parties: &[&Contact], list: &[NumberPattern]) -> Result<String, String> {
    if list.is_empty() {
        return Ok("ignore is empty".to_owned());
    }
    let hit = list.iter().find_map(|pattern| {
        let party = parties.iter().find(|party| pattern.matches(party))?;
        Some((pattern, party))
    });
    match hit {
        Some((pattern, party)) => Err(format!(
            "{:?} matches {:?} of ignore",
            party.raw, pattern.written
        )),
        None => Ok("nothing in ignore matches".to_owned()),
    }
}

fn short_number(other: &Contact) -> Result<String, String> {
    match &other.party {
        Party::Short(raw) => Err(format!(
            "{raw:?} is an emergency, service or feature number: no customer has it"
        )),
        Party::Number(_) | Party::Extension(_) | Party::Anonymous | Party::Invalid => {
            Ok("not an emergency, service or feature number".to_owned())
        }
    }
}

/// A call needs somebody to log it to: the customer with the number, or the one set for calls without a number.
fn callable(call: &Call, to: &KustomerSettings) -> Result<String, String> {
    if let (Party::Anonymous | Party::Extension(_), AnonymousPolicy::Customer(id)) =
        (&call.other.party, &to.calls.anonymous)
    {
        return Ok(format!("no number needed: it goes to customer {id}"));
    }
    valid_number(&call.other)
}

fn valid_number(other: &Contact) -> Result<String, String> {
    match &other.party {
        Party::Number(number) => Ok(format!("{number} is a valid number")),
        Party::Extension(extension) => Err(format!(
            "the other party is our extension {extension}: to log such calls, set anonymous to the id of a customer"
        )),
        Party::Short(_) | Party::Anonymous | Party::Invalid => Err(format!(
            "{:?} is no valid number: nobody to log it to",
            other.raw
        )),
    }
}
