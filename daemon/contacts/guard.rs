//! Refuses a plan that would empty a side or change more than the settings allow (docs/contacts.md, "The guard"). Pure.

use super::plan::{Action, Plan};

/// Up to so many links an empty side may be just that: a phone book with two test contacts that were removed.
const LINKS_MIN: usize = 3;

/// What the guard looks at beside the plan: both sides as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sizes {
    pub customers: usize,
    pub contacts: usize,
    /// Links with both sides.
    pub linked: usize,
    /// Whether customers were ever created by the export, or that was approved.
    pub exported_before: bool,
}

/// `max_changes`: both must be exceeded, so that a small phone book isn't stopped by its third change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MaxChanges {
    pub count: usize,
    pub percent: usize,
}

/// Why a plan waits for somebody's word.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Stop {
    #[error(
        "it would make {changes} changes of {linked} linked contacts, more than max_changes allows ({count} and {percent} %)"
    )]
    TooMany {
        changes: usize,
        linked: usize,
        count: usize,
        percent: usize,
    },
    #[error(
        "Kustomer shows no customer at all, though {0} contacts are linked: is the key of the right organisation?"
    )]
    NoCustomers(usize),
    #[error("the phone book is empty, though {0} contacts are linked: was it emptied by mistake?")]
    NoContacts(usize),
    #[error("it would create {0} customers in a Kustomer that has {1} already, for the first time")]
    FirstExport(usize, usize),
}

/// Whether the plan may be carried out without being asked for.
pub fn guard(plan: &Plan, sizes: Sizes, max: MaxChanges) -> Result<(), Stop> {
    if sizes.linked >= LINKS_MIN && sizes.customers == 0 {
        return Err(Stop::NoCustomers(sizes.linked));
    }
    if sizes.linked >= LINKS_MIN && sizes.contacts == 0 {
        return Err(Stop::NoContacts(sizes.linked));
    }
    let count = |wanted: fn(&Action) -> bool| {
        plan.steps
            .iter()
            .filter(|step| wanted(&step.action))
            .count()
    };
    let created = count(|action| matches!(action, Action::CreateCustomer { .. }));
    if created > 0 && sizes.customers > 0 && !sizes.exported_before {
        return Err(Stop::FirstExport(created, sizes.customers));
    }
    let changes = count(|action| match action {
        Action::CreateContact { .. } | Action::Agree => false,
        Action::UpdateContact { .. }
        | Action::RemoveContact { .. }
        | Action::CreateCustomer { .. }
        | Action::UpdateCustomer { .. } => true,
    });
    let share = sizes.linked.saturating_mul(max.percent) / 100;
    if changes > max.count && changes > share {
        return Err(Stop::TooMany {
            changes,
            linked: sizes.linked,
            count: max.count,
            percent: max.percent,
        });
    }
    Ok(())
}
