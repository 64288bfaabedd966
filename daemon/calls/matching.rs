//! Chooses the one customer that a call or text is logged to, among those that Kustomer or the directory names for
//! the number. Pure; `line` asks it with what it looked up, and stores the answer before anything is created: a
//! customer's `updated_at` moves with every log entry, so that a second choice may be another one.

use std::cmp::Reverse;

use jiff::Timestamp;

use crate::settings::types::SeveralPolicy;
use crate::terms::number::E164;

/// A customer that may have the number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Kustomer's id.
    pub id: String,
    pub name: Option<String>,
    pub created_at: Option<Timestamp>,
    pub updated_at: Option<Timestamp>,
    /// `phones` and `sharedPhones` as Kustomer has them.
    pub phones: Vec<String>,
}

impl Candidate {
    /// For people: name and id, as several customers of one number often have one name as well.
    fn label(&self) -> String {
        match self.name.as_deref().map(str::trim) {
            None | Some("") => format!("customer {}", self.id),
            Some(name) => format!("{name} (customer {})", self.id),
        }
    }

    /// Whether the customer really has the number. Phones that can't be read as digits are masked ones (a key without
    /// the right to sensitive fields): those are taken at Kustomer's word, or the customer would be created again.
    fn carries(&self, number: &E164) -> bool {
        let digits = |text: &str| -> String { text.chars().filter(char::is_ascii_digit).collect() };
        let masked = |text: &str| {
            text.chars()
                .any(|c| !c.is_ascii_digit() && !"+ -./()".contains(c))
        };
        let wanted = digits(number.as_str());
        self.phones
            .iter()
            .any(|phone| masked(phone) || digits(phone) == wanted)
    }
}

/// Who has the number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Match {
    One {
        id: String,
        name: Option<String>,
        /// The others that have the number too, for the note.
        others: Vec<String>,
        /// For `explain`: `newest of 3: updated 2026-11-20T12:00:00Z`.
        why: String,
    },
    None,
    /// Several, and the policy is to skip: all of them, for people.
    Ambiguous {
        customers: Vec<String>,
    },
}

/// The customer of `number` among `candidates`, in any order and with repeats.
///
/// Newest is the one updated last: somebody works with that record, and it stays the same from call to call. Oldest is
/// the one created first. Equal times are settled by id, so that the answer never depends on the order of a reply.
pub fn choose(number: &E164, candidates: &[Candidate], policy: SeveralPolicy) -> Match {
    let mut carrying: Vec<&Candidate> = candidates
        .iter()
        .filter(|candidate| candidate.carries(number))
        .collect();
    carrying.sort_by(|a, b| a.id.cmp(&b.id));
    carrying.dedup_by(|a, b| a.id == b.id);
    match policy {
        SeveralPolicy::Newest => carrying.sort_by_key(|candidate| Reverse(last_touched(candidate))),
        // A customer without a date is the last that is called the oldest.
        SeveralPolicy::Oldest => {
            carrying
                .sort_by_key(|candidate| (candidate.created_at.is_none(), candidate.created_at));
        }
        SeveralPolicy::Skip => {}
    }
    let Some((chosen, rest)) = carrying.split_first() else {
        return Match::None;
    };
    if policy == SeveralPolicy::Skip && !rest.is_empty() {
        let customers = carrying.iter().map(|candidate| candidate.label()).collect();
        return Match::Ambiguous { customers };
    }
    Match::One {
        id: chosen.id.clone(),
        name: chosen.name.clone(),
        others: rest.iter().map(|candidate| candidate.label()).collect(),
        why: why(chosen, carrying.len(), policy),
    }
}

fn last_touched(candidate: &Candidate) -> Option<Timestamp> {
    candidate.updated_at.or(candidate.created_at)
}

fn why(chosen: &Candidate, count: usize, policy: SeveralPolicy) -> String {
    let date = |at: Option<Timestamp>| {
        at.map_or_else(|| "at no known time".to_owned(), |at| at.to_string())
    };
    if count == 1 {
        return "the only customer with the number".to_owned();
    }
    match policy {
        SeveralPolicy::Newest => {
            format!("newest of {count}: updated {}", date(last_touched(chosen)))
        }
        SeveralPolicy::Oldest => format!("oldest of {count}: created {}", date(chosen.created_at)),
        SeveralPolicy::Skip => format!("one of {count}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number() -> E164 {
        "+491711234567".parse().unwrap()
    }

    fn customer(id: &str, created: &str, updated: &str, phone: &str) -> Candidate {
        Candidate {
            id: id.to_owned(),
            name: Some(format!("Name {id}")),
            created_at: created.parse().ok(),
            updated_at: updated.parse().ok(),
            phones: vec![phone.to_owned()],
        }
    }

    fn chosen(candidates: &[Candidate], policy: SeveralPolicy) -> String {
        match choose(&number(), candidates, policy) {
            Match::One {
                id, others, why, ..
            } => format!("{id}; {}; {why}", others.join(", ")),
            Match::None => "none".to_owned(),
            Match::Ambiguous { customers } => format!("ambiguous: {}", customers.join(", ")),
        }
    }

    #[test]
    fn the_policy_chooses_whatever_the_order() {
        let a = customer(
            "a",
            "2026-01-01T00:00:00Z",
            "2026-03-01T00:00:00Z",
            "+491711234567",
        );
        let b = customer(
            "b",
            "2026-02-01T00:00:00Z",
            "2026-02-01T00:00:00Z",
            "+491711234567",
        );
        for list in [vec![a.clone(), b.clone(), a.clone()], vec![b, a]] {
            assert_eq!(
                chosen(&list, SeveralPolicy::Newest),
                "a; Name b (customer b); newest of 2: updated 2026-03-01T00:00:00Z"
            );
            assert_eq!(
                chosen(&list, SeveralPolicy::Oldest),
                "a; Name b (customer b); oldest of 2: created 2026-01-01T00:00:00Z"
            );
            assert_eq!(
                chosen(&list, SeveralPolicy::Skip),
                "ambiguous: Name a (customer a), Name b (customer b)"
            );
        }
    }

    #[test]
    fn dates_that_are_missing_or_equal() {
        let dated = customer("x", "2026-01-01T00:00:00Z", "", "+491711234567");
        let mut bare = customer("a", "", "", "+491711234567");
        bare.name = Some(" ".to_owned());
        let list = [bare.clone(), dated];
        assert_eq!(
            chosen(&list, SeveralPolicy::Newest),
            "x; customer a; newest of 2: updated 2026-01-01T00:00:00Z"
        );
        assert_eq!(
            chosen(&list, SeveralPolicy::Oldest),
            "x; customer a; oldest of 2: created 2026-01-01T00:00:00Z"
        );
        let twin = customer("b", "", "", "+491711234567");
        for list in [[bare.clone(), twin.clone()], [twin, bare]] {
            assert!(chosen(&list, SeveralPolicy::Newest).starts_with("a; "));
            assert!(chosen(&list, SeveralPolicy::Oldest).starts_with("a; "));
        }
    }

    #[test]
    fn only_who_has_the_number_counts() {
        let table = [
            ("+491711234567", true),
            ("491711234567", true),
            ("+49 171 123-45.67", true),
            ("+49171***4567", true),
            ("+4917112345678", false),
            ("+49171123456", false),
            ("", false),
        ];
        for (phone, carries) in table {
            let list = [customer("a", "", "", phone)];
            let expected = if carries {
                "a; ; the only customer with the number"
            } else {
                "none"
            };
            assert_eq!(chosen(&list, SeveralPolicy::Skip), expected, "{phone}");
        }
        assert_eq!(chosen(&[], SeveralPolicy::Newest), "none");
    }
}
