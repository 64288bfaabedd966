//! Finds out what a manager's user isn't allowed to see. Asterisk doesn't say: it just leaves those events out. But its list
//! of channels shows channels, and callers in queues, that no event told of. Pure.

use std::collections::BTreeSet;

/// One channel of a list.
#[derive(Clone, Debug)]
pub struct Listed {
    pub channel: String,
    pub in_queue: bool,
}

/// What this connection has told of, and what two lists in turn showed.
#[derive(Default)]
pub struct Privileges {
    /// Channels that an event told of; those of the first list are known by it.
    known: BTreeSet<String>,
    queued: BTreeSet<String>,
    /// Of the list before: listed, and not told of.
    suspects: BTreeSet<String>,
    waiting: BTreeSet<String>,
    /// Told of, and not in the list before.
    absent: BTreeSet<String>,
    lists: u32,
}

impl Privileges {
    /// An event of that name told of a channel.
    pub fn told(&mut self, event: &str, channel: &str) {
        match event {
            "Newchannel" => drop(self.known.insert(channel.to_owned())),
            "QueueCallerJoin" => drop(self.queued.insert(channel.to_owned())),
            "Hangup" => {
                self.known.remove(channel);
                self.queued.remove(channel);
            }
            _ => {}
        }
    }

    /// A whole list. A channel that is in two of them, and that no event told of by then, shows that a class is missing: once
    /// alone it may be newer than the events that are on their way.
    pub fn listed(&mut self, list: &[Listed]) -> Vec<&'static str> {
        self.lists += 1;
        let all: BTreeSet<String> = list.iter().map(|one| one.channel.clone()).collect();
        let in_queue = list.iter().filter(|one| one.in_queue);
        let in_queue: BTreeSet<String> = in_queue.map(|one| one.channel.clone()).collect();
        if self.lists == 1 {
            self.known = &self.known | &all;
            self.queued = &self.queued | &in_queue;
            return Vec::new();
        }
        let untold = &all - &self.known;
        let unqueued = &(&in_queue - &self.queued) - &untold;
        let mut lacking = Vec::new();
        if !untold.is_disjoint(&self.suspects) {
            lacking.push("read class call");
        }
        if !unqueued.is_disjoint(&self.waiting) {
            lacking.push("read class agent");
        }
        self.suspects = untold;
        self.waiting = unqueued;
        // Those whose end no event told of would stay for ever; one that is newer than this list is in the next.
        let absent = &self.known - &all;
        for over in &absent & &self.absent {
            self.known.remove(&over);
            self.queued.remove(&over);
        }
        self.absent = absent;
        lacking
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(channels: &[(&str, bool)]) -> Vec<Listed> {
        let listed = |(channel, in_queue): &(&str, bool)| Listed {
            channel: (*channel).to_owned(),
            in_queue: *in_queue,
        };
        channels.iter().map(listed).collect()
    }

    #[test]
    fn what_two_lists_show_and_no_event_told_of_is_not_allowed() {
        let mut privileges = Privileges::default();
        assert!(privileges.listed(&list(&[("old", true)])).is_empty());
        privileges.told("Newchannel", "new");
        let both = list(&[("old", true), ("new", false), ("unseen", false)]);
        assert!(
            privileges.listed(&both).is_empty(),
            "its event may be on its way"
        );
        assert_eq!(privileges.listed(&both), ["read class call"]);
        let queue = list(&[("new", true)]);
        assert!(privileges.listed(&queue).is_empty());
        assert_eq!(privileges.listed(&queue), ["read class agent"]);
        privileges.told("QueueCallerJoin", "new");
        assert!(privileges.listed(&queue).is_empty());
    }
}
