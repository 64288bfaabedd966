//! What systemd is told: READY, STATUS, WATCHDOG, RELOADING, STOPPING (sd_notify(3)); does nothing when not started by it.

use sd_notify::NotifyState;
use std::time::Duration;

/// The service takes events from now on.
pub fn ready(status: &str) {
    send(&[NotifyState::Ready, NotifyState::Status(status)]);
}

/// One line for `systemctl status`.
pub fn status(status: &str) {
    send(&[NotifyState::Status(status)]);
}

/// The settings are being read again; `ready` ends it.
pub fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => send(&[NotifyState::Reloading, now]),
        Err(_) => send(&[NotifyState::Reloading]),
    }
}

/// The drain has begun.
pub fn stopping() {
    send(&[NotifyState::Stopping]);
}

/// Still healthy; only sent while the store writes and the loops move.
pub fn alive() {
    send(&[NotifyState::Watchdog]);
}

/// Half the time after which systemd would restart us without a sign of life; none if it doesn't watch.
pub fn watchdog_interval() -> Option<Duration> {
    sd_notify::watchdog_enabled().map(|limit| limit / 2)
}

fn send(states: &[NotifyState<'_>]) {
    if let Err(fault) = sd_notify::notify(states) {
        tracing::debug!(%fault, "systemd was not told");
    }
}
