//! Kustomer's webhooks of the integrations that take them. A part of `app.rs`.

use super::AppFault;
use crate::admin::{Admin, Hook};
use crate::contacts::webhooks::Webhooks;
use crate::contacts::webhooks::door::Door;
use crate::contacts::webhooks::watch::HookWatch;
use crate::settings::types::KustomerSettings;
use crate::store::Store;
use crate::trace;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tracing::Instrument as _;

/// The integration's webhook, if it has one.
///
/// # Errors
/// A secret that can't be used, or a fault of the store.
pub fn build(kustomer: &KustomerSettings, store: &Store) -> Result<Option<(Hook, Door)>, AppFault> {
    let Some(settings) = &kustomer.webhook else {
        return Ok(None);
    };
    let webhooks = Webhooks::open(store, &kustomer.name)?;
    let door = Door::build(settings, webhooks.clone())
        .map_err(|fault| AppFault::Secret(format!("webhook of {}: {fault}", kustomer.name)))?;
    let hook = Hook {
        webhooks,
        stats: door.stats.clone(),
        watch: HookWatch::new(&kustomer.name, settings.address(&kustomer.name)),
    };
    Ok(Some((hook, door)))
}

/// Watches whether Kustomer still posts.
pub fn watch(
    admin: &Admin,
    loops: &mut JoinSet<Result<(), AppFault>>,
    stop: &watch::Receiver<bool>,
) {
    for part in &admin.integrations {
        let Some(hook) = &part.hook else { continue };
        let watch = hook.watch.clone();
        let (client, stop) = (part.client.clone(), stop.clone());
        let span = trace::integration("webhook", &part.settings.name);
        loops.spawn(async move {
            watch.watch(client, stop).instrument(span).await;
            Ok(())
        });
    }
}
