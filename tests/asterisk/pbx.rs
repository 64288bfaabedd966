//! A small Asterisk for tests: it is told what people do and writes the manager events that a real one would, in its words
//! and order (compared with the recordings).

use std::fmt::Write as _;

/// 2026-11-20T12:00:00Z.
const NOON: i64 = 1_795_176_000_000;

/// A channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Channel {
    pub id: String,
    pub linked: String,
    pub name: String,
    number: String,
    caller_name: String,
    exten: String,
    context: &'static str,
}

/// The phone system with its clock and what it told so far.
pub struct Pbx {
    /// Milliseconds since 1970.
    pub now: i64,
    counter: u32,
    /// Each a manager event.
    pub events: Vec<String>,
}

impl Pbx {
    pub fn new() -> Self {
        Self {
            now: NOON,
            counter: 0,
            events: Vec::new(),
        }
    }

    pub fn wait(&mut self, milliseconds: i64) {
        self.now += milliseconds;
    }

    fn count(&mut self) -> u32 {
        self.counter += 1;
        self.counter
    }

    /// One event, a microsecond or more after the last.
    fn tell(&mut self, event: &str, keys: &[(&str, &str)]) {
        let micros = self.events.len() % 1000;
        let (seconds, milliseconds) = (self.now / 1000, self.now % 1000);
        let mut text = format!(
            "Event: {event}\r\nPrivilege: call,all\r\nTimestamp: {seconds}.{milliseconds:03}{micros:03}\r\n"
        );
        for (key, value) in keys {
            write!(text, "{key}: {value}\r\n").unwrap();
        }
        text.push_str("\r\n");
        self.events.push(text);
    }

    fn about(&mut self, event: &str, prefix: &str, channel: &Channel, more: &[(&str, &str)]) {
        let keys = keys(prefix, channel);
        let mut all: Vec<(&str, &str)> = keys.iter().map(|(k, v)| (k.as_str(), *v)).collect();
        all.extend_from_slice(more);
        self.tell(event, &all);
    }

    fn channel(
        &mut self,
        name: &str,
        linked: Option<&Channel>,
        state: &str,
        of: Channel,
    ) -> Channel {
        let counter = self.count();
        let id = format!("pbx-{}.{counter}", self.now / 1000);
        let name = match name.split_once(';') {
            Some(_) => name.to_owned(),
            None => format!("{name}-{counter:08x}"),
        };
        let linked = linked.map_or_else(|| id.clone(), |caller| caller.linked.clone());
        let channel = Channel {
            id,
            linked,
            name,
            ..of
        };
        self.about("Newchannel", "", &channel, &[("ChannelState", state)]);
        channel
    }

    /// Somebody outside calls one of our numbers.
    pub fn incoming(&mut self, from: &str, did: &str) -> Channel {
        let of = channel_of(from, did, "from-trunk");
        self.channel("PJSIP/trunk-telco", None, "4", of)
    }

    /// One of our phones dials.
    pub fn dials(&mut self, phone: &str, exten: &str) -> Channel {
        let of = channel_of(phone, exten, "from-internal");
        self.channel(&format!("PJSIP/{phone}"), None, "4", of)
    }

    /// The dial plan calls a phone for `caller`.
    pub fn rings(&mut self, caller: &Channel, phone: &str) -> Channel {
        let of = channel_of(phone, "s", "from-internal");
        let called = self.channel(&format!("PJSIP/{phone}"), Some(caller), "0", of);
        self.dial_begin(caller, &called, phone);
        called
    }

    /// The dial plan calls out for `caller`, showing this number of ours.
    pub fn calls_out(&mut self, caller: &mut Channel, number: &str, shown: &str) -> Channel {
        shown.clone_into(&mut caller.number);
        self.about("NewCallerid", "", caller, &[]);
        let of = channel_of("<unknown>", "s", "from-trunk");
        let called = self.channel("PJSIP/trunk-telco", Some(caller), "0", of);
        self.dial_begin(caller, &called, &format!("{number}@trunk-telco"));
        called
    }

    /// The two ends of a link, made for `caller` to run the dial plan at `exten`.
    pub fn link(&mut self, caller: &Channel, exten: &str) -> (Channel, Channel) {
        let counter = self.count();
        let of = || channel_of("<unknown>", exten, "from-internal");
        let name = format!("Local/{exten}@from-internal-{counter:08x}");
        let first = self.channel(&format!("{name};1"), Some(caller), "0", of());
        let second = self.channel(&format!("{name};2"), Some(caller), "4", of());
        (first, second)
    }

    fn dial_begin(&mut self, caller: &Channel, called: &Channel, dialled: &str) {
        let dest = keys("Dest", called);
        let mut more: Vec<(&str, &str)> = dest.iter().map(|(k, v)| (k.as_str(), *v)).collect();
        more.push(("DialString", dialled));
        self.about("DialBegin", "", caller, &more);
    }

    pub fn dial_end(&mut self, caller: &Channel, called: &Channel, status: &str) {
        let dest = keys("Dest", called);
        let mut more: Vec<(&str, &str)> = dest.iter().map(|(k, v)| (k.as_str(), *v)).collect();
        more.push(("DialStatus", status));
        self.about("DialEnd", "", caller, &more);
    }

    pub fn variable(&mut self, channel: &Channel, name: &str, value: &str) {
        self.about(
            "VarSet",
            "",
            channel,
            &[("Variable", name), ("Value", value)],
        );
    }

    /// The attempt ends without an answer.
    pub fn gives_up(&mut self, caller: &Channel, called: &Channel, status: &str, cause: &str) {
        self.dial_end(caller, called, status);
        self.variable(caller, "DIALSTATUS", status);
        self.hangup(called, cause);
    }

    /// A new bridge with the two in it.
    pub fn bridge(&mut self, one: &Channel, other: &Channel) -> String {
        let bridge = format!("00000000-0000-4000-8000-{:012}", self.count());
        self.enters(&bridge, other);
        self.enters(&bridge, one);
        bridge
    }

    pub fn answers(&mut self, caller: &Channel, called: &Channel) -> String {
        self.about("Newstate", "", called, &[("ChannelState", "6")]);
        self.dial_end(caller, called, "ANSWER");
        self.variable(caller, "DIALSTATUS", "ANSWER");
        self.bridge(caller, called)
    }

    pub fn enters(&mut self, bridge: &str, channel: &Channel) {
        let of = [
            ("BridgeUniqueid", bridge),
            ("BridgeTechnology", "simple_bridge"),
        ];
        self.about("BridgeEnter", "", channel, &of);
    }

    pub fn leaves(&mut self, bridge: &str, channel: &Channel) {
        let of = [
            ("BridgeUniqueid", bridge),
            ("BridgeTechnology", "simple_bridge"),
        ];
        self.about("BridgeLeave", "", channel, &of);
    }

    pub fn parked(&mut self, channel: &Channel, came: bool) {
        let event = if came { "BridgeEnter" } else { "BridgeLeave" };
        let of = [
            ("BridgeUniqueid", "park"),
            ("BridgeTechnology", "holding_bridge"),
        ];
        self.about(event, "", channel, &of);
    }

    /// The party on the channel hangs up.
    pub fn hangs_up(&mut self, channel: &Channel) {
        self.about("HangupRequest", "", channel, &[("Cause", "16")]);
    }

    pub fn hangup(&mut self, channel: &Channel, cause: &str) {
        self.about(
            "Hangup",
            "",
            channel,
            &[("Cause", cause), ("Cause-txt", "x")],
        );
    }

    pub fn queue(&mut self, event: &str, channel: &Channel, queue: &str) {
        self.about(event, "", channel, &[("Queue", queue)]);
    }

    pub fn blind_transfer(&mut self, by: &Channel, whom: &Channel, to: &str) {
        let transferee = keys("Transferee", whom);
        let mut more: Vec<(&str, &str)> =
            transferee.iter().map(|(k, v)| (k.as_str(), *v)).collect();
        more.extend([
            ("Result", "Success"),
            ("Context", "from-internal"),
            ("Extension", to),
        ]);
        self.about("BlindTransfer", "Transferer", by, &more);
    }

    pub fn attended_transfer(&mut self, first: &Channel, second: &Channel, target: &str) {
        let second = keys("SecondTransferer", second);
        let mut more: Vec<(&str, &str)> = second.iter().map(|(k, v)| (k.as_str(), *v)).collect();
        more.extend([
            ("Result", "Success"),
            ("SecondTransfererConnectedLineNum", target),
        ]);
        self.about("AttendedTransfer", "OrigTransferer", first, &more);
    }
}

fn channel_of(number: &str, exten: &str, context: &'static str) -> Channel {
    Channel {
        id: String::new(),
        linked: String::new(),
        name: String::new(),
        number: number.to_owned(),
        caller_name: "<unknown>".to_owned(),
        exten: exten.to_owned(),
        context,
    }
}

fn keys<'a>(prefix: &str, channel: &'a Channel) -> Vec<(String, &'a str)> {
    let pairs = [
        ("Channel", channel.name.as_str()),
        ("CallerIDNum", &channel.number),
        ("CallerIDName", &channel.caller_name),
        ("Context", channel.context),
        ("Exten", &channel.exten),
        ("Uniqueid", &channel.id),
        ("Linkedid", &channel.linked),
    ];
    pairs
        .into_iter()
        .map(|(key, value)| (format!("{prefix}{key}"), value))
        .collect()
}
