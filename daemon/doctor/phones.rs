//! The phone systems and the people at them: who was silent for too long, which of the listed numbers nobody calls, and
//! which agents Kustomer doesn't know.

use super::Finding;
use crate::settings::types::NumberPattern;
use crate::terms::party::Contact;
use jiff::{SignedDuration, Timestamp};
use std::collections::{BTreeMap, BTreeSet};

/// So many are named; the others are counted.
const NAMED_MAX: usize = 10;

/// When a phone system was last heard, against how long it may be silent.
pub fn silence(
    pbx: &str,
    last: Option<Timestamp>,
    now: Timestamp,
    allowed: SignedDuration,
) -> Finding {
    const CHECK: &str = "silence";
    const REMEDY: &str = "see that it still posts to tieline, or is connected (tieline status, its own log, the firewall); make a call";
    let Some(last) = last else {
        return Finding::warning(
            CHECK,
            pbx,
            "none of the events looked at is of this phone system",
            REMEDY,
        );
    };
    let silent = now.duration_since(last);
    let what = format!("last heard {} h ago, at {last}", silent.as_hours().max(0));
    if silent > allowed {
        Finding::warning(CHECK, pbx, what, REMEDY)
    } else {
        Finding::ok(CHECK, pbx, what)
    }
}

/// Our numbers in the calls, or texts, that were looked at.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// How many were looked at.
    pub count: u64,
    /// Each number once.
    pub ours: Vec<Contact>,
}

/// Lines of a list of our own numbers that none of the calls or texts looked at had. Nothing without a list, or without
/// any of them.
pub fn unseen(
    integration: &str,
    list: &str,
    numbers: &[NumberPattern],
    seen: &Seen,
) -> Option<Finding> {
    const CHECK: &str = "numbers";
    let Seen { count, ours } = seen;
    if numbers.is_empty() || *count == 0 {
        return None;
    }
    let unseen: Vec<String> = numbers
        .iter()
        .filter(|pattern| !ours.iter().any(|ours| pattern.matches(ours)))
        .map(|pattern| format!("{:?}", pattern.written))
        .collect();
    if unseen.is_empty() {
        let what = format!("each line of {list} had one of the last {count}");
        return Some(Finding::ok(CHECK, integration, what));
    }
    let what = format!(
        "in none of the last {count} was a number of these lines of {list}: {}",
        few(&unseen)
    );
    let todo = "see whether they are written as the phone system sends them (tieline explain CALL shows our number), and whether anybody calls them";
    Some(Finding::warning(CHECK, integration, what, todo))
}

/// Agents whose e-mail no user of Kustomer has; compared without case, as Kustomer does.
pub fn strangers(
    integration: &str,
    agents: &BTreeMap<String, String>,
    emails: &BTreeSet<String>,
) -> Option<Finding> {
    const CHECK: &str = "agents";
    if agents.is_empty() {
        return None;
    }
    let strangers: Vec<String> = agents
        .iter()
        .filter(|(_, email)| !emails.contains(&email.to_lowercase()))
        .map(|(extension, email)| format!("{extension} ({email})"))
        .collect();
    if strangers.is_empty() {
        let what = format!(
            "each of the {} in [agents] is a user of Kustomer",
            agents.len()
        );
        return Some(Finding::ok(CHECK, integration, what));
    }
    let what = format!(
        "no user of Kustomer has the e-mail of {}: their conversations stay unassigned",
        few(&strangers)
    );
    let todo = "correct [agents], or invite them in Kustomer";
    Some(Finding::warning(CHECK, integration, what, todo))
}

fn few(all: &[String]) -> String {
    let named = all
        .iter()
        .take(NAMED_MAX)
        .cloned()
        .collect::<Vec<_>>()
        .join(", ");
    match all.len().saturating_sub(NAMED_MAX) {
        0 => named,
        more => format!("{named} and {more} more"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Level;
    use crate::settings::patterns;
    use crate::terms::number::NumberPlan;
    use crate::terms::party::{Extension, Party};

    #[test]
    fn a_silent_phone_system_is_told() {
        let now: Timestamp = "2026-11-28T12:00:00Z".parse().unwrap();
        let table = [
            (Some("2026-11-28T12:00:00Z"), Level::Ok),
            (Some("2026-11-28T13:00:00Z"), Level::Ok),
            (Some("2026-11-27T12:00:00Z"), Level::Ok),
            (Some("2026-11-27T11:59:59Z"), Level::Warning),
            (None, Level::Warning),
        ];
        for (last, level) in table {
            let found = silence(
                "hq",
                last.map(|at| at.parse().unwrap()),
                now,
                SignedDuration::from_hours(24),
            );
            assert_eq!((found.level, found.of.as_str()), (level, "hq"), "{last:?}");
        }
    }

    #[test]
    fn numbers_that_nobody_called_are_told() {
        let plan = NumberPlan::new("DE", None).unwrap();
        let list = ["+49 211 555 00100", "+49211555002*", "300"]
            .map(|line| patterns::parse(line, &plan).unwrap());
        let number =
            |text: &str| Contact::new(Party::Number(plan.parse(text).unwrap()), text, None);
        let phone = Contact::new(Party::Extension(Extension("300".to_owned())), "300", None);
        let seen = |ours: &[Contact]| Seen {
            count: 100,
            ours: ours.to_vec(),
        };
        let some = [number("+4921155500100"), number("+4921155500299")];
        let found = unseen("k", "connected_numbers", &list, &seen(&some)).unwrap();
        assert_eq!(found.level, Level::Warning);
        assert!(
            found.what.ends_with("connected_numbers: \"300\""),
            "{found:?}"
        );
        let all = seen(&[&some[..], &[phone]].concat());
        assert_eq!(
            unseen("k", "connected_numbers", &list, &all).unwrap().level,
            Level::Ok
        );
        assert_eq!(unseen("k", "connected_numbers", &[], &all), None);
        let nothing = Seen::default();
        assert_eq!(
            unseen("k", "connected_numbers", &list, &nothing),
            None,
            "nothing to tell from"
        );
    }

    #[test]
    fn agents_that_kustomer_does_not_know_are_told() {
        let agents = |emails: &[&str]| -> BTreeMap<String, String> {
            (101..)
                .zip(emails)
                .map(|(phone, email)| (phone.to_string(), (*email).to_owned()))
                .collect()
        };
        let known = BTreeSet::from(["grace@example.org".to_owned()]);
        assert_eq!(strangers("k", &agents(&[]), &known), None);
        assert_eq!(
            strangers("k", &agents(&["Grace@Example.org"]), &known)
                .unwrap()
                .level,
            Level::Ok
        );
        let found = strangers(
            "k",
            &agents(&["grace@example.org", "gone@example.org"]),
            &known,
        )
        .unwrap();
        assert_eq!(found.level, Level::Warning);
        assert!(
            found.what.contains("102 (gone@example.org)") && !found.what.contains("101"),
            "{found:?}"
        );
        let many = vec!["gone@example.org"; 12];
        assert!(
            strangers("k", &agents(&many), &known)
                .unwrap()
                .what
                .contains("and 2 more")
        );
    }
}
