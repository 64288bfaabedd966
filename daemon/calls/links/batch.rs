//! Puts manager events that came together into one body for each call: a queue that rings twenty phones tells forty things
//! within milliseconds, and each body is an event of its own from the journal on. Pure.

use bytes::{Bytes, BytesMut};

/// Most events of one body: far below what the decoder reads of one, and one broken event makes its body dead.
const BODY_EVENTS_MAX: usize = 100;

/// A body that is larger is closed; the intake's own limit is 1 MiB.
const BODY_BYTES_MAX: usize = 64 * 1024;

/// Bodies in the making, in the order in which their calls came first.
#[derive(Default)]
pub struct Batch {
    open: Vec<Body>,
    done: Vec<Bytes>,
    events: u64,
}

struct Body {
    call: String,
    bytes: BytesMut,
    events: usize,
}

impl Batch {
    /// Adds one event, an empty line at its end, of that call; one that names no call is a body of its own.
    pub fn add(&mut self, call: &str, event: &[u8]) {
        self.events += 1;
        if call.is_empty() {
            self.done.push(Bytes::copy_from_slice(event));
            return;
        }
        let known = self.open.iter().position(|body| body.call == call);
        let body = match known {
            Some(index) => self.open.get_mut(index),
            None => {
                self.open.push(Body {
                    call: call.to_owned(),
                    bytes: BytesMut::new(),
                    events: 0,
                });
                self.open.last_mut()
            }
        };
        if let Some(body) = body {
            body.bytes.extend_from_slice(event);
            body.events += 1;
            if body.events >= BODY_EVENTS_MAX || body.bytes.len() >= BODY_BYTES_MAX {
                body.events = 0;
                self.done.push(body.bytes.split().freeze());
            }
        }
    }

    /// How many events are in it.
    pub const fn events(&self) -> u64 {
        self.events
    }

    /// All bodies.
    pub fn bodies(self) -> Vec<Bytes> {
        let open = self.open.into_iter().map(|body| body.bytes.freeze());
        let mut all = self.done;
        all.extend(open.filter(|bytes| !bytes.is_empty()));
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_of_one_call_share_a_body_and_no_event_is_left_out() {
        let mut batch = Batch::default();
        for number in 0..250 {
            let call = ["a", "b", ""][number % 3];
            batch.add(call, format!("{call}{number};").as_bytes());
        }
        assert_eq!(batch.events(), 250);
        let bodies = batch.bodies();
        let text: Vec<&str> = bodies
            .iter()
            .map(|body| std::str::from_utf8(body).unwrap())
            .collect();
        assert_eq!(
            text.iter()
                .map(|body| body.matches(';').count())
                .sum::<usize>(),
            250
        );
        // 84 of a, 83 of b, 83 without a call.
        assert_eq!(bodies.len(), 85);
        assert!(
            text.iter()
                .all(|body| !(body.contains('a') && body.contains('b')))
        );
    }
}
