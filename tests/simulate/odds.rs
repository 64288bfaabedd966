//! How likely each thing is. Every seed draws a mix of its own, in which most things don't happen at all: so the rest
//! happens often enough to meet itself.

use fastrand::Rng;

/// Chances in thousandths, unless a name says otherwise.
#[derive(Clone, Debug, Default)]
pub struct Odds {
    // What people and phone systems do: weights against each other.
    pub call: u32,
    pub burst: u32,
    pub text: u32,
    pub junk: u32,
    pub customer: u32,
    pub contact: u32,
    pub pause: u32,
    // What happens to the daemon: weights beside those.
    pub crash: u32,
    pub restart: u32,
    pub reload: u32,
    pub bad_reload: u32,
    pub jump: u32,
    pub disk_full: u32,
    pub outage: u32,
    pub locked_out: u32,
    // What a phone system does with its events.
    pub shuffled: u32,
    pub repeated: u32,
    pub reply_lost: u32,
    /// A recording that is told of after the call.
    pub late_facts: u32,
    // What Kustomer does with a request.
    pub refused_400: u32,
    pub error_500: u32,
    pub busy_429: u32,
    pub closed_before: u32,
    pub closed_after: u32,
    pub failed_after: u32,
    pub late: u32,
    pub answered_late: u32,
    pub garbage: u32,
    pub cut: u32,
    pub bulk_items: u32,
    pub bulk_late: u32,
    pub bulk_silent: u32,
    pub bulk_gone: u32,
    // How this Kustomer is.
    pub unique_external_ids: bool,
    pub tells_time: bool,
    pub search_lag_s: u64,
    pub hooks: bool,
    pub hooks_doubled: bool,
    pub hooks_reordered: bool,
    /// Milliseconds that a step of the disk or the network takes at most.
    pub slowness_ms: u64,
    /// Requests that may be sent in a minute.
    pub budget: u32,
    // How the daemon is set up.
    pub texts_joined: bool,
    pub messages: bool,
    pub kept_for_an_hour: bool,
}

impl Odds {
    pub fn draw(chance: &mut Rng) -> Self {
        let mut odds = Self {
            call: 30,
            burst: draw(chance, 300, 4),
            text: draw(chance, 700, 20),
            junk: draw(chance, 300, 6),
            customer: draw(chance, 500, 12),
            contact: draw(chance, 500, 12),
            pause: draw(chance, 700, 10),
            crash: draw(chance, 600, 20),
            restart: draw(chance, 250, 6),
            reload: draw(chance, 250, 6),
            bad_reload: draw(chance, 150, 4),
            jump: draw(chance, 200, 5),
            disk_full: draw(chance, 200, 5),
            outage: draw(chance, 300, 5),
            locked_out: draw(chance, 150, 4),
            shuffled: draw(chance, 400, 600),
            repeated: draw(chance, 400, 500),
            reply_lost: draw(chance, 400, 400),
            late_facts: draw(chance, 300, 500),
            ..Self::default()
        };
        for fault in odds.faults() {
            *fault = draw(chance, 250, 250);
        }
        odds.unique_external_ids = chance.bool();
        odds.tells_time = chance.u8(0..4) > 0;
        odds.search_lag_s = if chance.bool() { 0 } else { chance.u64(1..60) };
        odds.hooks = chance.bool();
        odds.hooks_doubled = chance.bool();
        odds.hooks_reordered = chance.bool();
        odds.slowness_ms = *chance.choice(&[0, 5, 200, 3000]).unwrap();
        odds.budget = *chance.choice(&[60, 120, 500]).unwrap();
        odds.texts_joined = chance.bool();
        odds.messages = chance.bool();
        // What is dead goes with the rest; then nobody can take it up again.
        odds.kept_for_an_hour = odds.refused_400 == 0 && chance.u8(0..3) == 0;
        odds
    }

    /// Those of Kustomer's faults.
    pub fn faults(&mut self) -> [&mut u32; 14] {
        [
            &mut self.refused_400,
            &mut self.error_500,
            &mut self.busy_429,
            &mut self.closed_before,
            &mut self.closed_after,
            &mut self.failed_after,
            &mut self.late,
            &mut self.answered_late,
            &mut self.garbage,
            &mut self.cut,
            &mut self.bulk_items,
            &mut self.bulk_late,
            &mut self.bulk_silent,
            &mut self.bulk_gone,
        ]
    }
}

/// With a chance of `thousandths` something up to `max`, else nothing.
fn draw(chance: &mut Rng, thousandths: u32, max: u32) -> u32 {
    if chance.u32(0..1000) < thousandths {
        chance.u32(1..=max)
    } else {
        0
    }
}
