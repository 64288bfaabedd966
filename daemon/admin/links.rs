//! Connections to phone systems and folders as `status` shows them.

use crate::calls::links::{Gap, LinkState, LinkStatus, Links};
use serde_json::{Value, json};
use std::sync::atomic::Ordering::Relaxed;

/// Every connection.
pub fn connections(links: &Links) -> Vec<Value> {
    links.all().iter().map(connection).collect()
}

fn connection(link: &LinkStatus) -> Value {
    let (state, since, why) = match &link.state {
        LinkState::Connecting => ("connecting", None, None),
        LinkState::Connected(since) => ("connected", Some(since.to_string()), None),
        LinkState::Down(since, why) => ("down", Some(since.to_string()), Some(why)),
    };
    let gap = |gap: &Gap| json!({"from": gap.from.to_string(), "to": gap.to.to_string()});
    json!({
        "pbx": link.pbx,
        "address": link.address,
        "state": state,
        "since": since,
        "why": why,
        "logins": link.logins,
        "events": link.events,
        "left_out": link.left_out,
        "malformed": link.malformed,
        "missed_ends": link.missed_ends,
        "rows_read_back": link.rows,
        "lacking": link.lacking,
        "gaps": link.gaps.iter().map(gap).collect::<Vec<_>>(),
        "gaps_ever": link.gap_count,
        "gap_seconds_ever": link.gap_seconds,
    })
}

/// Every folder.
pub fn folders(links: &Links) -> Vec<Value> {
    let folder = |(pbx, stats): &(String, std::sync::Arc<crate::calls::links::PickupStats>)| {
        json!({
            "pbx": pbx,
            "taken": stats.taken.load(Relaxed),
            "repeated": stats.repeated.load(Relaxed),
            "refused": stats.refused.load(Relaxed),
            "stuck": stats.stuck.load(Relaxed),
        })
    };
    links.pickups().iter().map(folder).collect()
}

/// The connections that are down, for the headline.
pub fn down(links: &Links) -> String {
    let all = links.all();
    let down = all.iter().filter_map(|link| match &link.state {
        LinkState::Down(_, why) => Some(format!("; {}: {why}", link.pbx)),
        LinkState::Connecting | LinkState::Connected(_) => None,
    });
    down.collect()
}
