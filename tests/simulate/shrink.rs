//! Cuts a failing history down to what it takes to fail.

use super::history::History;
use super::play::{Failure, play};

/// Runs spent on it.
const TRIES_MAX: usize = 300;

/// The smallest history found that fails in the same way, with its failure.
pub fn shrink(history: &History, failure: &Failure) -> (History, Failure) {
    let mut best = (history.clone(), failure.clone());
    let mut tries = 0;
    let mut attempt = |candidate: History, best: &mut (History, Failure)| {
        tries += 1;
        if tries > TRIES_MAX {
            return false;
        }
        match play(&candidate) {
            Err(failure) if kind(&failure) == kind(&best.1) => {
                *best = (candidate, failure);
                true
            }
            _ => false,
        }
    };
    let mut piece = best.0.steps.len().div_ceil(2);
    while piece > 0 {
        let mut at = 0;
        while at < best.0.steps.len() {
            let mut candidate = best.0.clone();
            let end = (at + piece).min(candidate.steps.len());
            candidate.steps.drain(at..end);
            if !attempt(candidate, &mut best) {
                at += piece;
            }
        }
        piece /= 2;
    }
    for fault in 0..best.0.odds.faults().len() {
        let mut candidate = best.0.clone();
        let odds = candidate.odds.faults();
        if *odds[fault] > 0 {
            *candidate.odds.faults()[fault] = 0;
            attempt(candidate, &mut best);
        }
    }
    best
}

/// The same fault in other words has the same beginning.
fn kind(failure: &Failure) -> String {
    failure.what.chars().take(12).collect()
}
