//! When a call started, was answered and ended, and how long was talked, out of the facts of its legs.

use super::root;
use crate::calls::decode::LegFacts;
use jiff::{SignedDuration, Timestamp};
use std::collections::BTreeMap;

/// When things happened, repaired where they contradict each other.
pub struct Times {
    pub started: Timestamp,
    pub ended: Timestamp,
    /// Stretches during which somebody of ours and the other party were bridged, by leg, in order of their start.
    pub bridges: Vec<(Timestamp, Timestamp, String)>,
}

impl Times {
    /// None while nothing tells when the call started. `until` is the earliest end; what was repaired goes to `doubts`.
    pub fn of(
        legs: &BTreeMap<&str, LegFacts>,
        until: Option<Timestamp>,
        doubts: &mut Vec<String>,
    ) -> Option<Self> {
        let began = |leg: &LegFacts| {
            [
                leg.started,
                leg.answered,
                leg.bridged.keys().next().copied(),
                leg.ended,
            ]
            .into_iter()
            .flatten()
            .min()
        };
        let started = root(legs)
            .and_then(|leg| leg.started)
            .or_else(|| legs.values().filter_map(began).min())?;
        let last = |leg: &LegFacts| {
            leg.bridged
                .iter()
                .flat_map(|(start, end)| [Some(*start), *end])
                .flatten()
                .max()
        };
        let known = legs.values().filter_map(|leg| leg.ended).max();
        let mut ended = known
            .max(until)
            .or_else(|| legs.values().filter_map(last).max())
            .unwrap_or(started);
        if ended < started {
            doubts.push("ended before it started; the end was set to the start".to_owned());
            ended = started;
        }
        let handed_over: Vec<Timestamp> = legs
            .values()
            .flat_map(|leg| &leg.transfers)
            .map(|transfer| transfer.at)
            .collect();
        let mut bridges = Vec::new();
        let mut outside = false;
        for leg in legs.values() {
            for (start, end) in &leg.bridged {
                let transfer = handed_over.iter().filter(|at| *at > start).min().copied();
                let end = end
                    .or(leg.ended.into_iter().chain(transfer).min())
                    .unwrap_or(ended);
                outside |= *start < started || *start > ended || end > ended || end < *start;
                let start = (*start).clamp(started, ended);
                bridges.push((start, end.clamp(start, ended), leg.leg.clone()));
            }
        }
        if outside {
            doubts.push(
                "answered outside the time between start and end; the times were fitted in"
                    .to_owned(),
            );
        }
        bridges.sort();
        Some(Self {
            started,
            ended,
            bridges,
        })
    }

    /// The first bridge.
    pub fn answered(&self) -> Option<Timestamp> {
        self.bridges.first().map(|(start, _, _)| *start)
    }

    /// The stretches' union: each is seen from both of its legs.
    pub fn talk(&self) -> SignedDuration {
        let mut talk = SignedDuration::ZERO;
        let mut counted_to = self.started;
        for (start, end, _) in &self.bridges {
            let from = (*start).max(counted_to);
            if *end > from {
                talk += end.duration_since(from);
                counted_to = *end;
            }
        }
        talk
    }
}
