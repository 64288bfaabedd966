//! Who is to be forgotten, and whether something is of them. Pure.

use super::erasures::{Erasures, Identifier};
use crate::contacts::world::Customer;
use crate::terms::contact::{EmailAddress, Fields};
use crate::terms::ids::CustomerId;
use crate::terms::number::{E164, NumberPlan};
use jiff::Timestamp;
use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};

/// Signs that people and phone systems put between the digits of a number.
const BETWEEN: [char; 8] = [' ', '-', '/', '.', '(', ')', '\u{a0}', '\u{2011}'];
/// Most digits of a number as somebody writes it: fifteen, and what is dialled before them.
const DIGITS_MAX: usize = 20;
/// Last digits that are compared before a number is read whole: few others end so.
const LAST_DIGITS: usize = 5;
/// Fewest digits of any number.
const DIGITS_MIN: usize = 3;
/// Digits whose reading is remembered, some 10 MB: events of a call repeat theirs, and reading a number takes long.
const READINGS_MAX: usize = 100_000;
/// Longest part of an e-mail address before its `@`, in characters (RFC 5321).
const LOCAL_CHARS_MAX: usize = 64;
/// Longest part behind it (RFC 5321).
const DOMAIN_CHARS_MAX: usize = 255;

/// One person or several, by what they are found by, and until when: what of them is younger stays.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Person {
    pub numbers: BTreeMap<E164, Timestamp>,
    pub emails: BTreeMap<EmailAddress, Timestamp>,
    pub customers: BTreeMap<CustomerId, Timestamp>,
    /// Those of whom only the pseudonyms are known: recognised where they are met.
    noted: Erasures,
}

impl Person {
    /// Of `customer:ID`, an e-mail address, or a number as people write it: all of them, however young.
    ///
    /// # Errors
    /// What it is not, in words.
    pub fn parse(text: &str, plan: &NumberPlan) -> Result<Self, String> {
        let (mut person, until) = (Self::default(), Timestamp::MAX);
        if let Some(id) = text.strip_prefix("customer:").filter(|id| !id.is_empty()) {
            person.customers.insert(CustomerId(id.to_owned()), until);
        } else if text.contains('@') {
            let email = EmailAddress::try_from(text.to_owned());
            let email = email.map_err(|why| format!("{text:?} is no e-mail address: {why}"))?;
            person.emails.insert(email, until);
        } else {
            let number = plan.parse_signalled(text).map_err(|why| {
                format!("{text:?} is no phone number ({why}), no e-mail address and no customer:ID")
            })?;
            person.numbers.insert(number, until);
        }
        Ok(person)
    }

    /// The same, and everybody whom the ledger knows.
    #[must_use]
    pub fn and_noted(self, noted: Erasures) -> Self {
        Self { noted, ..self }
    }

    /// What they are found by as far as it is known in words, each until its time.
    pub fn identifiers(&self) -> impl Iterator<Item = (Identifier<'_>, Timestamp)> {
        let numbers = self.numbers.iter();
        let numbers = numbers.map(|(number, until)| (Identifier::Number(number.as_str()), *until));
        let emails = self.emails.iter();
        let emails = emails.map(|(email, until)| (Identifier::Email(email.as_str()), *until));
        let customers = self.customers.iter();
        let customers = customers.map(|(id, until)| (Identifier::Customer(&id.0), *until));
        numbers.chain(emails).chain(customers)
    }

    /// Until when what is of a number goes; none: it isn't theirs.
    pub fn until_number(&self, number: &E164) -> Option<Timestamp> {
        let noted = self.noted.until(Identifier::Number(number.as_str()));
        noted.max(self.numbers.get(number).copied())
    }

    fn until_email(&self, email: &EmailAddress) -> Option<Timestamp> {
        let noted = self.noted.until(Identifier::Email(email.as_str()));
        noted.max(self.emails.get(email).copied())
    }

    /// The same for a customer by id.
    pub fn until_customer(&self, id: &CustomerId) -> Option<Timestamp> {
        let noted = self.noted.until(Identifier::Customer(&id.0));
        noted.max(self.customers.get(id).copied())
    }

    /// Whether what was known of somebody `at` that time makes them this person.
    pub fn has_any_of(&self, fields: &Fields, at: Timestamp) -> bool {
        let phones = fields.phones.iter();
        let phones = phones.filter_map(|phone| self.until_number(&phone.number));
        let emails = fields.emails.iter();
        let emails = emails.filter_map(|one| self.until_email(&one.email));
        phones.chain(emails).any(|until| at < until)
    }

    /// The same for a customer, whose shared values and WhatsApp numbers count too.
    pub fn is_customer(&self, customer: &Customer) -> bool {
        let at = customer.modified_at;
        let numbers = customer.shared_numbers.iter().chain(&customer.whatsapps);
        let numbers = numbers.filter_map(|number| self.until_number(number));
        let emails = customer.shared_emails.iter();
        let emails = emails.filter_map(|email| self.until_email(email));
        let by_id = self.until_customer(&customer.id);
        by_id
            .into_iter()
            .chain(numbers)
            .chain(emails)
            .any(|until| at < until)
            || self.has_any_of(&customer.fields, at)
    }

    /// Whether a number or a customer was theirs `at` that time.
    pub fn is_whose(&self, number: Option<&E164>, customer: Option<&str>, at: Timestamp) -> bool {
        let number = number.and_then(|number| self.until_number(number));
        let customer = customer.map(|id| CustomerId(id.to_owned()));
        let customer = customer.and_then(|id| self.until_customer(&id));
        number.max(customer).is_some_and(|until| at < until)
    }

    /// What somebody is found by is theirs.
    pub fn learn(&mut self, fields: &Fields, until: Timestamp) {
        for number in fields.numbers() {
            self.learn_number(number.clone(), until);
        }
        for email in fields.addresses() {
            let known = self.emails.entry(email.clone()).or_insert(until);
            *known = until.max(*known);
        }
    }

    pub fn learn_number(&mut self, number: E164, until: Timestamp) {
        let known = self.numbers.entry(number).or_insert(until);
        *known = until.max(*known);
    }

    /// What else somebody is found by.
    pub fn others_in(&self, fields: &Fields) -> Vec<String> {
        let numbers = fields.numbers().into_iter();
        let numbers = numbers.filter(|number| self.until_number(number).is_none());
        let emails = fields.addresses().into_iter();
        let emails = emails.filter(|email| self.until_email(email).is_none());
        let emails = emails.map(ToString::to_string);
        numbers.map(ToString::to_string).chain(emails).collect()
    }
}

/// Looks for a person in texts.
pub struct Reader<'a> {
    person: &'a Person,
    /// Read numbers as the phone systems mean them.
    plans: &'a [&'a NumberPlan],
    known: RefCell<HashMap<String, Option<Timestamp>>>,
}

impl<'a> Reader<'a> {
    pub fn new(person: &'a Person, plans: &'a [&'a NumberPlan]) -> Self {
        Self {
            person,
            plans,
            known: RefCell::default(),
        }
    }

    /// Whether a text as a phone system posted it (JSON, a form, XML) `at` that time has one of the numbers in any writing,
    /// or one of the e-mail addresses.
    pub fn is_theirs(&self, text: &str, at: Timestamp) -> bool {
        let decoded = percent_encoding::percent_decode_str(text).decode_utf8_lossy();
        // A plus is one, or a space of a form.
        let spaced = decoded.replace('+', " ");
        let goes = |until: Option<Timestamp>| until.is_some_and(|until| at < until);
        goes(self.email_in(&decoded))
            || [text, &decoded, &spaced]
                .iter()
                .any(|text| goes(self.number_in(text)))
    }

    fn email_in(&self, text: &str) -> Option<Timestamp> {
        let text = text.to_lowercase();
        let known = self.person.emails.iter();
        let known = known.filter(|(email, _)| text.contains(email.as_str()));
        let known = known.map(|(_, until)| *until).max();
        if self.person.noted.is_empty() {
            return known;
        }
        let noted = &self.person.noted;
        let candidates = addresses(&text).into_iter();
        let noted = candidates.filter_map(|address| noted.until(Identifier::Email(&address)));
        known.max(noted.max())
    }

    fn number_in(&self, text: &str) -> Option<Timestamp> {
        let person = self.person;
        if person.numbers.is_empty() && person.noted.is_empty() {
            return None;
        }
        let may_be = |run: &String| {
            let mut numbers = person.numbers.keys();
            !person.noted.is_empty() && run.len() >= DIGITS_MIN
                || numbers.any(|number| run.ends_with(last_digits(number)))
        };
        let runs = runs(text).into_iter().filter(may_be);
        runs.filter_map(|run| self.until_run(run)).max()
    }

    fn until_run(&self, run: String) -> Option<Timestamp> {
        if let Some(until) = self.known.borrow().get(&run) {
            return *until;
        }
        let with_plus = format!("+{}", run.trim_start_matches('+'));
        let readings = self.plans.iter().flat_map(|plan| {
            [
                plan.parse(&run),
                plan.parse(&with_plus),
                plan.parse_signalled(&run),
            ]
        });
        let readings = readings.filter_map(|number| self.person.until_number(&number.ok()?));
        let until = readings.max();
        let mut known = self.known.borrow_mut();
        if known.len() >= READINGS_MAX {
            known.clear();
        }
        known.insert(run, until);
        until
    }
}

fn last_digits(number: &E164) -> &str {
    let digits = number.as_str();
    let last = digits.get(digits.len().saturating_sub(LAST_DIGITS)..);
    last.unwrap_or(digits)
}

/// The parts of a text that may be e-mail addresses, in lower case. Where one ends nothing tells: signs that may be in one
/// may as well stand beside it, so there are several around each `@`.
fn addresses(lower_case: &str) -> Vec<String> {
    let in_local = |sign: &char| {
        let outside = matches!(
            sign,
            '"' | '(' | ')' | ',' | ':' | ';' | '<' | '>' | '@' | '[' | ']' | '\\'
        );
        !outside && !sign.is_whitespace() && !sign.is_control()
    };
    let in_domain = |sign: &char| sign.is_alphanumeric() || matches!(sign, '-' | '.' | '_');
    let mut addresses = Vec::new();
    for (at, _) in lower_case.match_indices('@') {
        let (before, behind) = lower_case.split_at(at);
        let behind = behind.trim_start_matches('@');
        let domain: Vec<char> = behind
            .chars()
            .take_while(in_domain)
            .take(DOMAIN_CHARS_MAX)
            .collect();
        let ends = |(place, sign): (usize, &char)| {
            let next = domain.get(place + 1);
            (sign.is_alphanumeric() && next.is_none_or(|next| !next.is_alphanumeric()))
                .then_some(place + 1)
        };
        let ends: Vec<usize> = domain.iter().enumerate().filter_map(ends).collect();
        let mut local = String::new();
        let signs: Vec<char> = before
            .chars()
            .rev()
            .take_while(in_local)
            .take(LOCAL_CHARS_MAX)
            .collect();
        for (place, sign) in signs.iter().enumerate() {
            local.insert(0, *sign);
            let next = signs.get(place + 1);
            if next.is_none_or(|next| !next.is_alphanumeric()) {
                for end in &ends {
                    let domain: String = domain.iter().take(*end).collect();
                    addresses.push(format!("{local}@{domain}"));
                }
            }
        }
    }
    addresses
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

    fn is_in(person: &Person, text: &str, plan: &NumberPlan) -> bool {
        Reader::new(person, &[plan]).is_theirs(text, Timestamp::UNIX_EPOCH)
    }

    /// The same person, of whom only the pseudonyms are known.
    fn noted(person: &Person, until: Timestamp) -> Person {
        let mut noted = Erasures::default();
        for (who, _) in person.identifiers() {
            noted.note(who, until, &[7; 64]).unwrap();
        }
        Person::default().and_noted(noted)
    }

    #[test]
    fn a_number_is_found_in_any_writing_and_others_are_not() {
        let plan = plan();
        let person = Person::parse("0171 1234567", &plan).unwrap();
        let known_by_pseudonym = noted(&person, Timestamp::MAX);
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
            assert!(is_in(&person, text, &plan), "{text}");
            assert!(is_in(&known_by_pseudonym, text, &plan), "{text}");
        }
        for text in [
            r#"{"from":"+491711234568"}"#,
            "1234567",
            "01711234567890",
            "",
            "+4921155500100",
        ] {
            assert!(!is_in(&person, text, &plan), "{text}");
            assert!(!is_in(&known_by_pseudonym, text, &plan), "{text}");
        }
        let local = Person::parse("0211 5550100", &plan).unwrap();
        assert!(is_in(&local, "dialled 5550100", &plan), "without area code");
    }

    #[test]
    fn an_email_is_found_whatever_its_case_and_what_is_nobody_is_refused() {
        let plan = plan();
        let person = Person::parse("Grace@Example.org", &plan).unwrap();
        for person in [noted(&person, Timestamp::MAX), person] {
            for text in [
                "mailto:grace%40example.ORG",
                r#"{"from":"grace@example.org"}"#,
                "mail=fax%2Bgrace@example.org&x=1",
                "Ask <grace@example.org>, or grace@example.com.",
                "Ask grace@example.org.Or don't.",
            ] {
                assert!(is_in(&person, text, &plan), "{text}");
            }
            for text in ["ada@example.org", "grace@example.com", "@", "grace@", ""] {
                assert!(!is_in(&person, text, &plan), "{text}");
            }
        }
        for wrong in ["", "Grace", "customer:", "12", "@"] {
            let told = Person::parse(wrong, &plan).unwrap_err();
            assert!(!told.is_empty());
        }
    }

    #[test]
    fn what_is_younger_than_an_erasure_is_nobodys() {
        let (plan, until) = (plan(), Timestamp::from_second(1_000).unwrap());
        let person = Person::parse("0171 1234567", &plan).unwrap();
        let number = person.numbers.keys().next().unwrap().clone();
        let noted = noted(&person, until);
        let (plans, text) = ([&plan], "from +49 171 1234567");
        let reader = Reader::new(&noted, &plans);
        for (second, theirs) in [(999, true), (1_000, false)] {
            let at = Timestamp::from_second(second).unwrap();
            assert_eq!(reader.is_theirs(text, at), theirs);
            assert_eq!(noted.is_whose(Some(&number), None, at), theirs);
        }
        // Named by the command, they go whatever the ledger says.
        let both = person.and_noted(noted.noted.clone());
        assert_eq!(both.until_number(&number), Some(Timestamp::MAX));
        assert!(Reader::new(&both, &plans).is_theirs(text, until));
    }
}
