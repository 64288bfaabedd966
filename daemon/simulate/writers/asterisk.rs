//! Asterisk: the call's manager events, those of one moment in one post; a text as the dial plan's hook posts it. Of an
//! event's some twenty keys those are written that tell of the call.

use crate::simulate::post::{Post, Told};
use crate::simulate::scenario::{Call, Fate, Ring, Scenario, Way};
use jiff::Timestamp;

pub const SAYS: &[Scenario] = &[
    Scenario::Answered,
    Scenario::Missed,
    Scenario::Busy,
    Scenario::GaveUp,
    Scenario::Queue,
    Scenario::Transfer,
    Scenario::Voicemail,
    Scenario::OutAnswered,
    Scenario::OutBusy,
    Scenario::OutUnanswered,
    Scenario::Internal,
    Scenario::Anonymous,
    Scenario::TextIn,
    Scenario::TextOut,
];

pub fn write(call: &Call) -> Told {
    if call.scenario.is_text() {
        return text(call);
    }
    let mut posts: Vec<Post> = Vec::new();
    for (at, event) in events(call) {
        match posts.last_mut().filter(|post| post.at == at) {
            Some(post) => post.body.extend(event.into_bytes()),
            None => posts.push(Post::new("text/plain", event.into_bytes(), at)),
        }
    }
    Told::new(Channel::first(call).id, posts)
}

/// The call as manager events, each with its time.
pub fn events(call: &Call) -> Vec<(Timestamp, String)> {
    let mut script = Script {
        call,
        root: Channel::first(call),
        events: Vec::new(),
    };
    script.play();
    script.events
}

/// The hook of docs/phone-systems.md.
fn text(call: &Call) -> Told {
    let (id, parties) = (format!("{}@sip.example.org", call.hex()), &call.parties);
    let (from, to) = match call.tale.way {
        Way::In => (&parties.customer, &parties.ours),
        Way::Out | Way::Internal => (&parties.agent, &parties.customer),
    };
    let from = format!("<sip:{from}@sip.example.org>");
    let epoch = call.epoch(0).to_string();
    let fields = [
        ("event", "message"),
        ("from", from.as_str()),
        ("to", to),
        ("exten", to),
        ("body", &parties.words),
        ("callid", &id),
        ("epoch", &epoch),
    ];
    let post = Post::form(&fields, call.start);
    Told::new(id, vec![post])
}

#[derive(Clone)]
struct Channel {
    id: String,
    name: String,
    number: String,
    exten: String,
    context: &'static str,
}

impl Channel {
    fn new(call: &Call, leg: u64, second: i64, name: &str, number: &str, exten: &str) -> Self {
        // Like Asterisk's own: the second of its making, and a counter.
        let counter = call.number() * 10 + leg;
        Self {
            id: format!("sim-{}.{counter}", call.epoch(second)),
            name: format!("PJSIP/{name}-{:08x}", counter & 0xffff_ffff),
            number: number.to_owned(),
            exten: exten.to_owned(),
            context: if name == TRUNK {
                "from-trunk"
            } else {
                "from-internal"
            },
        }
    }

    /// The one that begins the call.
    fn first(call: &Call) -> Self {
        let parties = &call.parties;
        let agent = parties.agent.as_str();
        match call.tale.way {
            Way::In => Self::new(call, 0, 0, TRUNK, call.customer("anonymous"), &parties.ours),
            Way::Out => Self::new(call, 0, 0, agent, agent, &parties.customer),
            Way::Internal => Self::new(call, 0, 0, agent, agent, &parties.colleague),
        }
    }

    fn keys(&self, prefix: &str, linked: &str) -> String {
        let Self {
            id,
            name,
            number,
            exten,
            context,
        } = self;
        format!(
            "{prefix}Channel: {name}\r\n{prefix}CallerIDNum: {number}\r\n{prefix}CallerIDName: <unknown>\r\n\
             {prefix}Context: {context}\r\n{prefix}Exten: {exten}\r\n{prefix}Uniqueid: {id}\r\n{prefix}Linkedid: {linked}\r\n"
        )
    }
}

const TRUNK: &str = "trunk-telco";

struct Script<'a> {
    call: &'a Call,
    root: Channel,
    events: Vec<(Timestamp, String)>,
}

impl Script<'_> {
    fn tell(&mut self, second: i64, class: &str, event: &str, keys: &str) {
        let at = self.call.at(second);
        // Asterisk tells of two things at once at different microseconds.
        let (epoch, micros) = (at.as_second(), self.events.len() + 1);
        let text = format!(
            "Event: {event}\r\nPrivilege: {class},all\r\nTimestamp: {epoch}.{micros:06}\r\n{keys}\r\n"
        );
        self.events.push((at, text));
    }

    fn about(&mut self, second: i64, event: &str, channel: &Channel, more: &str) {
        let keys = format!("{}{more}", channel.keys("", &self.root.id));
        let class = if event.starts_with("Queue") {
            "agent"
        } else {
            "call"
        };
        self.tell(second, class, event, &keys);
    }

    fn play(&mut self) {
        let (call, root) = (self.call, self.root.clone());
        let tale = call.tale;
        self.about(0, "Newchannel", &root, "ChannelState: 4\r\n");
        if tale.way == Way::Out {
            self.root.number.clone_from(&call.parties.ours);
        }
        if tale.queue {
            self.about(0, "Newstate", &root, "ChannelState: 6\r\n");
            self.about(
                0,
                "QueueCallerJoin",
                &root,
                "Queue: support\r\nPosition: 1\r\nCount: 1\r\n",
            );
        }
        let mut talking: Option<(Channel, String)> = None;
        for (leg, (who, ring)) in (1..).zip(call.rings()) {
            if let (Some(second), Some((agent, bridge))) = (tale.handed_on(), talking.take()) {
                self.hand_on(second, &agent, &bridge);
            }
            talking = self.ring(leg, who, ring);
        }
        if tale.mailbox {
            self.mailbox();
        }
        if let Some((called, bridge)) = talking {
            self.about(tale.end, "HangupRequest", &root, "");
            self.part(tale.end, &[&root, &called], &bridge);
            self.about(
                tale.end,
                "Hangup",
                &called,
                "Cause: 16\r\nCause-txt: Normal Clearing\r\n",
            );
        }
        let cause = match tale.ring.fate {
            Fate::Busy => "Cause: 17\r\nCause-txt: User busy\r\n",
            Fate::Answered | Fate::NoAnswer | Fate::GaveUp => {
                "Cause: 16\r\nCause-txt: Normal Clearing\r\n"
            }
        };
        self.about(tale.end, "Hangup", &root, cause);
    }

    /// A phone or a line is called; the channel and the bridge if somebody answers.
    fn ring(&mut self, leg: u64, who: &str, ring: Ring) -> Option<(Channel, String)> {
        let (call, root) = (self.call, self.root.clone());
        let out = call.tale.way == Way::Out;
        let (name, number) = if out {
            (TRUNK, "<unknown>")
        } else {
            (who, who)
        };
        let called = Channel::new(call, leg, ring.from, name, number, "s");
        self.about(ring.from, "Newchannel", &called, "ChannelState: 0\r\n");
        let dial = if out {
            format!("{who}@{TRUNK}")
        } else {
            who.to_owned()
        };
        let both = called.keys("Dest", &root.id);
        self.about(
            ring.from,
            "DialBegin",
            &root,
            &format!("{both}DialString: {dial}\r\n"),
        );
        let status = match ring.fate {
            Fate::Answered => "ANSWER",
            Fate::NoAnswer => "NOANSWER",
            Fate::Busy => "BUSY",
            Fate::GaveUp => "CANCEL",
        };
        if ring.fate == Fate::GaveUp {
            self.about(ring.until, "HangupRequest", &root, "");
        }
        if ring.answered() {
            self.about(ring.until, "Newstate", &called, "ChannelState: 6\r\n");
        }
        self.about(
            ring.until,
            "DialEnd",
            &root,
            &format!("{both}DialStatus: {status}\r\n"),
        );
        self.about(
            ring.until,
            "VarSet",
            &root,
            &format!("Variable: DIALSTATUS\r\nValue: {status}\r\n"),
        );
        if !ring.answered() {
            self.about(
                ring.until,
                "Hangup",
                &called,
                "Cause: 0\r\nCause-txt: Unknown\r\n",
            );
            return None;
        }
        self.about(ring.until, "Newstate", &root, "ChannelState: 6\r\n");
        let bridge = call.uuid(usize::try_from(leg).unwrap_or_default());
        for channel in [&called, &root] {
            let keys = format!("BridgeUniqueid: {bridge}\r\nBridgeTechnology: simple_bridge\r\n");
            self.about(ring.until, "BridgeEnter", channel, &keys);
        }
        Some((called, bridge))
    }

    fn part(&mut self, second: i64, channels: &[&Channel], bridge: &str) {
        for channel in channels {
            let keys = format!("BridgeUniqueid: {bridge}\r\nBridgeTechnology: simple_bridge\r\n");
            self.about(second, "BridgeLeave", channel, &keys);
        }
    }

    fn hand_on(&mut self, second: i64, agent: &Channel, bridge: &str) {
        let root = self.root.clone();
        let (by, of) = (
            agent.keys("Transferer", &root.id),
            root.keys("Transferee", &root.id),
        );
        let to = &self.call.parties.colleague;
        let keys = format!(
            "Result: Success\r\n{by}{of}BridgeUniqueid: {bridge}\r\nIsExternal: Yes\r\nContext: from-internal\r\nExtension: {to}\r\n"
        );
        self.tell(second, "call", "BlindTransfer", &keys);
        self.part(second, &[agent, &root], bridge);
        self.about(
            second,
            "Hangup",
            agent,
            "Cause: 16\r\nCause-txt: Normal Clearing\r\n",
        );
    }

    fn mailbox(&mut self) {
        let (root, tale) = (self.root.clone(), self.call.tale);
        let start = "Application: VoiceMail\r\nAppData: 101@default,su\r\n";
        self.about(tale.ring.until, "Newexten", &root, start);
        self.about(
            tale.end,
            "VarSet",
            &root,
            "Variable: VMSTATUS\r\nValue: SUCCESS\r\n",
        );
    }
}
