//! Who is to be forgotten, and whether a text speaks of them. Pure.

use crate::contacts::world::Customer;
use crate::terms::contact::{EmailAddress, Fields};
use crate::terms::ids::CustomerId;
use crate::terms::number::{E164, NumberPlan};
use std::collections::BTreeSet;

/// Signs that people and phone systems put between the digits of a number.
const BETWEEN: [char; 8] = [' ', '-', '/', '.', '(', ')', '\u{a0}', '\u{2011}'];
/// Most digits of a number as somebody writes it: fifteen, and what is dialled before them.
const DIGITS_MAX: usize = 20;
/// Last digits that are compared before a number is read whole: few others end so.
const LAST_DIGITS: usize = 5;

/// One person, by what they are found by.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Person {
    pub numbers: BTreeSet<E164>,
    pub emails: BTreeSet<EmailAddress>,
    pub customers: BTreeSet<CustomerId>,
}

impl Person {
    /// Of `customer:ID`, an e-mail address, or a number as people write it.
    ///
    /// # Errors
    /// What it is not, in words.
    pub fn parse(text: &str, plan: &NumberPlan) -> Result<Self, String> {
        let mut person = Self::default();
        if let Some(id) = text.strip_prefix("customer:").filter(|id| !id.is_empty()) {
            person.customers.insert(CustomerId(id.to_owned()));
        } else if text.contains('@') {
            let email = EmailAddress::try_from(text.to_owned());
            let email = email.map_err(|why| format!("{text:?} is no e-mail address: {why}"))?;
            person.emails.insert(email);
        } else {
            let number = plan.parse_signalled(text).map_err(|why| {
                format!("{text:?} is no phone number ({why}), no e-mail address and no customer:ID")
            })?;
            person.numbers.insert(number);
        }
        Ok(person)
    }

    /// Whether what is known of somebody makes them this person.
    pub fn has_any_of(&self, fields: &Fields) -> bool {
        let mut phones = fields.phones.iter();
        phones.any(|phone| self.numbers.contains(&phone.number))
            || fields
                .emails
                .iter()
                .any(|one| self.emails.contains(&one.email))
    }

    /// The same for a customer, whose shared values and WhatsApp numbers count too.
    pub fn is_customer(&self, customer: &Customer) -> bool {
        let numbers = customer.shared_numbers.iter().chain(&customer.whatsapps);
        self.customers.contains(&customer.id)
            || self.has_any_of(&customer.fields)
            || numbers
                .into_iter()
                .any(|number| self.numbers.contains(number))
            || customer
                .shared_emails
                .iter()
                .any(|email| self.emails.contains(email))
    }

    /// Whether a number or a customer is theirs.
    pub fn is_whose(&self, number: Option<&E164>, customer: Option<&str>) -> bool {
        number.is_some_and(|number| self.numbers.contains(number))
            || customer.is_some_and(|id| self.customers.iter().any(|one| one.0 == id))
    }

    /// What somebody is found by is theirs.
    pub fn learn(&mut self, fields: &Fields) {
        self.numbers.extend(fields.numbers().into_iter().cloned());
        let emails = fields.emails.iter().map(|one| one.email.clone());
        self.emails.extend(emails);
    }

    /// What else somebody is found by.
    pub fn others_in(&self, fields: &Fields) -> Vec<String> {
        let mut other = Self::default();
        other.learn(fields);
        let numbers = other.numbers.difference(&self.numbers).map(E164::to_string);
        let emails = other
            .emails
            .difference(&self.emails)
            .map(ToString::to_string);
        numbers.chain(emails).collect()
    }

    /// Whether a text as a phone system posts it (JSON, a form, XML) has one of the numbers in any writing, or one of
    /// the e-mail addresses. `plans` read numbers as the phone systems mean them.
    pub fn is_in(&self, text: &str, plans: &[&NumberPlan]) -> bool {
        let decoded = percent_encoding::percent_decode_str(text).decode_utf8_lossy();
        // A plus is one, or a space of a form.
        let spaced = decoded.replace('+', " ");
        self.has_email(&decoded)
            || [text, &decoded, &spaced]
                .iter()
                .any(|text| self.has_number(text, plans))
    }

    fn has_email(&self, text: &str) -> bool {
        let text = text.to_lowercase();
        let written = |email: &EmailAddress| email.as_str().to_lowercase();
        self.emails
            .iter()
            .any(|email| text.contains(&written(email)))
    }

    fn has_number(&self, text: &str, plans: &[&NumberPlan]) -> bool {
        let ends: Vec<&str> = self
            .numbers
            .iter()
            .map(|number| {
                let digits = number.as_str();
                digits
                    .get(digits.len().saturating_sub(LAST_DIGITS)..)
                    .unwrap_or(digits)
            })
            .collect();
        if ends.is_empty() {
            return false;
        }
        runs(text).iter().any(|run| {
            ends.iter().any(|end| run.ends_with(end))
                && plans.iter().any(|plan| self.reads(run, plan))
        })
    }

    fn reads(&self, run: &str, plan: &NumberPlan) -> bool {
        let with_plus = format!("+{}", run.trim_start_matches('+'));
        [run, &with_plus].iter().any(|run| {
            plan.parse(run)
                .is_ok_and(|number| self.numbers.contains(&number))
        }) || plan
            .parse_signalled(run)
            .is_ok_and(|number| self.numbers.contains(&number))
    }
}

/// The digits of a text that may be numbers: each run of digits as far as nothing but the usual signs is in between, and
/// each part of it from a gap on, for two numbers may stand side by side.
fn runs(text: &str) -> Vec<String> {
    let (mut runs, mut parts): (Vec<String>, Vec<String>) = (Vec::new(), Vec::new());
    let mut in_digits = false;
    for sign in text.chars().chain(['\n']) {
        if sign.is_ascii_digit() {
            if !in_digits {
                parts.push(String::new());
            }
            parts.iter_mut().for_each(|part| part.push(sign));
            parts.retain(|part| part.len() <= DIGITS_MAX);
            in_digits = true;
        } else if sign == '+' {
            parts.clear();
            parts.push("+".to_owned());
            in_digits = true;
        } else {
            if in_digits {
                // A number may end here, or go on behind the sign.
                runs.extend(parts.iter().cloned());
            }
            in_digits = false;
            if !BETWEEN.contains(&sign) {
                parts.clear();
            }
        }
    }
    runs
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan() -> NumberPlan {
        NumberPlan::new("DE", Some("211")).unwrap()
    }

    #[test]
    fn a_number_is_found_in_any_writing_and_others_are_not() {
        let plan = plan();
        let person = Person::parse("0171 1234567", &plan).unwrap();
        for text in [
            r#"{"from":"+491711234567"}"#,
            r#"{"from":"00491711234567","to":"+4921155500100"}"#,
            "from=%2B491711234567&to=1",
            "from=%2B49+171+1234567",
            "call me: 0171/123 45-67.",
            "<uri>sip:+49 171 1234567@pbx.example</uri>",
            r#""491711234567""#,
            "2026-11-20 0171 1234567",
        ] {
            assert!(person.is_in(text, &[&plan]), "{text}");
        }
        for text in [
            r#"{"from":"+491711234568"}"#,
            "1234567",
            "01711234567890",
            "",
            "+4921155500100",
        ] {
            assert!(!person.is_in(text, &[&plan]), "{text}");
        }
        let local = Person::parse("0211 5550100", &plan).unwrap();
        assert!(
            local.is_in("dialled 5550100", &[&plan]),
            "without area code"
        );
    }

    #[test]
    fn an_email_is_found_whatever_its_case_and_what_is_nobody_is_refused() {
        let plan = plan();
        let person = Person::parse("Grace@Example.org", &plan).unwrap();
        assert!(person.is_in("mailto:grace%40example.ORG", &[&plan]));
        assert!(!person.is_in("ada@example.org", &[&plan]));
        for wrong in ["", "Grace", "customer:", "12", "@"] {
            let told = Person::parse(wrong, &plan).unwrap_err();
            assert!(!told.is_empty());
        }
    }
}
