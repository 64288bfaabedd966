//! The accounts of each phone system and each integration, as JSON and as figures: those of the configuration, and of others
//! that the counts know of (at most `NAMES_MAX` of `daemon/calls/ledger/counts.rs`).

use super::metrics::{Family, Labels, counter, gauge};
use super::{Accounting, Admin};
use crate::calls::book::Whose;
use crate::calls::ledger::Account;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// All accounts by name: phone systems, integrations.
fn all<'a>(admin: &'a Admin, sums: &'a Accounting) -> [BTreeMap<&'a str, Account>; 2] {
    let pbxs = admin.settings.pbxs.iter().map(|pbx| &pbx.name);
    let integrations = admin.settings.kustomers.iter().map(|part| &part.name);
    let accounts = &sums.counts.accounts;
    [
        named(pbxs, &accounts.pbxs),
        named(integrations, &accounts.integrations),
    ]
}

fn named<'a>(
    configured: impl Iterator<Item = &'a String>,
    known: &'a BTreeMap<String, Account>,
) -> BTreeMap<&'a str, Account> {
    let configured = configured.map(|name| (name.as_str(), Account::default()));
    let known = known
        .iter()
        .map(|(name, account)| (name.as_str(), *account));
    configured.chain(known).collect()
}

pub(super) fn shown(admin: &Admin, sums: &Accounting) -> Value {
    let [pbxs, integrations] = all(admin, sums);
    let pbxs = pbxs.into_iter().map(|(name, one)| {
        let adds_up = !sums.differs.contains(&Whose::Pbx(name.to_owned()));
        let shown = json!({"accepted": one.all, "logged": one.logged, "joined": one.joined,
            "filtered": one.filtered, "dead": one.dead, "erased": one.erased,
            "in_flight": one.in_flight(), "adds_up": adds_up});
        (name.to_owned(), shown)
    });
    let integrations = integrations.into_iter().map(|(name, one)| {
        let adds_up = !sums.differs.contains(&Whose::Integration(name.to_owned()));
        let shown = json!({"asked": one.all, "logged": one.logged, "filtered": one.filtered,
            "dead": one.dead, "erased": one.erased, "in_flight": one.in_flight(), "adds_up": adds_up});
        (name.to_owned(), shown)
    });
    json!({
        "before": sums.counts.accounts.since.unwrap_or(sums.counts.cursor),
        "phone_systems": pbxs.collect::<Map<_, _>>(),
        "integrations": integrations.collect::<Map<_, _>>(),
    })
}

pub(super) fn families(admin: &Admin, sums: &Accounting) -> Vec<Family> {
    let [pbxs, integrations] = all(admin, sums);
    let adds_up = |whose: &Whose| u64::from(!sums.differs.contains(whose));
    let mut ok: Vec<(Labels, u64)> = vec![(Vec::new(), u64::from(sums.differs.is_empty()))];
    let (mut accepted, mut ended, mut in_flight) = (Vec::new(), Vec::new(), Vec::new());
    for (name, account) in pbxs {
        let labels: Labels = vec![("pbx", name.to_owned())];
        ok.push((labels.clone(), adds_up(&Whose::Pbx(name.to_owned()))));
        accepted.push((labels.clone(), account.all));
        ended.extend(ends(&labels, &account));
        ended.push((with_end(&labels, "joined"), account.joined));
        in_flight.push((labels, account.in_flight()));
    }
    let (mut asked, mut settled, mut unsettled) = (Vec::new(), Vec::new(), Vec::new());
    for (name, account) in integrations {
        let labels: Labels = vec![("integration", name.to_owned())];
        let whose = Whose::Integration(name.to_owned());
        ok.push((labels.clone(), adds_up(&whose)));
        asked.push((labels.clone(), account.all));
        settled.extend(ends(&labels, &account));
        unsettled.push((labels, account.in_flight()));
    }
    vec![
        gauge(
            "tieline_accounting_ok",
            "1: accepted = ends + in flight",
            ok,
        ),
        counter(
            "tieline_pbx_events_accepted",
            "Events read, by phone system",
            accepted,
        ),
        gauge(
            "tieline_pbx_events_ended",
            "Events by phone system and end",
            ended,
        ),
        gauge(
            "tieline_pbx_events_in_flight",
            "Events in open calls, by phone system",
            in_flight,
        ),
        gauge(
            "tieline_deliveries_asked",
            "Calls and texts an integration was asked about",
            asked,
        ),
        gauge("tieline_deliveries_ended", "Those by their end", settled),
        gauge(
            "tieline_deliveries_in_flight",
            "Those without an end",
            unsettled,
        ),
    ]
}

fn ends(labels: &Labels, account: &Account) -> [(Labels, u64); 4] {
    [
        (with_end(labels, "logged"), account.logged),
        (with_end(labels, "filtered"), account.filtered),
        (with_end(labels, "dead"), account.dead),
        (with_end(labels, "erased"), account.erased),
    ]
}

fn with_end(labels: &Labels, end: &str) -> Labels {
    let mut labels = labels.clone();
    labels.push(("end", end.to_owned()));
    labels
}
