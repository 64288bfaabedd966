//! Kustomer's webhooks as `status` and the metrics show them.

use super::metrics::{Family, counter, gauge};
use super::{Admin, Hook};
use serde_json::{Map, Value, json};

/// One integration's webhook.
pub fn hook(hook: &Hook) -> Value {
    let seen = hook.watch.seen();
    let outcomes = hook.stats.outcomes().into_iter();
    let counts: Map<String, Value> = outcomes
        .map(|(word, count)| (word.to_owned(), count.into()))
        .collect();
    json!({
        "at_kustomer": seen.word(),
        "problem": seen.problem(),
        "waiting": hook.webhooks.count(),
        "since_start": counts,
    })
}

/// The figures of all of them.
pub fn families(admin: &Admin) -> Vec<Family> {
    let (mut posts, mut waiting, mut disabled) = (Vec::new(), Vec::new(), Vec::new());
    for part in &admin.integrations {
        let Some(hook) = &part.hook else { continue };
        let name = || vec![("integration", part.settings.name.clone())];
        for (outcome, count) in hook.stats.outcomes() {
            let labels = [name(), vec![("outcome", outcome.to_owned())]].concat();
            posts.push((labels, count));
        }
        waiting.push((name(), hook.webhooks.count() as u64));
        let off = matches!(hook.watch.seen().word(), "disabled" | "missing");
        disabled.push((name(), u64::from(off)));
    }
    vec![
        counter(
            "tieline_webhooks",
            "Posts of Kustomer by answer, since the start",
            posts,
        ),
        gauge(
            "tieline_webhook_customers_waiting",
            "Changed customers that the sync has still to look at",
            waiting,
        ),
        gauge(
            "tieline_webhook_off",
            "1: Kustomer has turned our webhook off, or has none",
            disabled,
        ),
    ]
}
