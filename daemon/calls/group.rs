//! What goes through Kustomer's bulk requests, and when: plain functions from what waits to who goes together.
//!
//! `dispatch` asks when and who, `bulk` asks what is next for a group and how much of it fits one request.

use super::outbox::{Create, Delivery, Step};
use super::work::BulkNews;
use jiff::{SignedDuration, Timestamp};
use std::collections::{HashMap, HashSet, VecDeque};

/// Deliveries that move on together: as many as one request takes (Kustomer: Bulk operations).
pub const MEMBERS_MAX: usize = 100;

/// Fewer go alone: a bulk step costs a request, one or two looks at its job and one at its results, and a call has two
/// steps, so that below this there is nothing to save.
pub const MEMBERS_MIN: usize = 10;

/// Fewer items in one request than it costs in requests go alone.
pub const ITEMS_MIN: usize = 4;

/// Groups at once: most of their time is waiting for jobs. With 100 each this is also how many calls are in memory.
pub const GROUPS_MAX: usize = 8;

/// Of the crowd, so many are looked at to make up a group.
pub const LOOKED_AT_MAX: usize = 300;

/// A known customer's call costs a conversation and a note; others cost more, so that this errs towards going alone.
const SINGLE_COST: usize = 2;

/// Calls of one customer within one window. Kustomer takes 120 conversations, and 120 notes, a minute for one customer
/// (Kustomer: Rate limits), and live calls need some of them.
const PER_CUSTOMER_MAX: usize = 100;

/// Unclear requests in a row after which bulk rests.
const UNCLEAR_MAX: u32 = 3;

/// How long bulk rests after that, or after the key was refused: roles change by hand, and going alone works too.
const REST: SignedDuration = SignedDuration::from_hours(1);

/// Whether `ready` deliveries go together, when the window's budget has `rest` requests left for them: only when some
/// would have to wait for the next window.
pub const fn worth(ready: usize, rest: usize) -> bool {
    ready >= MEMBERS_MIN && ready.saturating_mul(SINGLE_COST) > rest
}

/// How many deliveries the rest of a window takes, going alone.
pub const fn singles(rest: usize) -> usize {
    rest / SINGLE_COST
}

/// What a group does next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Turn {
    /// Some are items of this job: nothing else before it is known what became of them.
    Ask(String),
    /// An unclear create that no job knows of is nobody else's.
    PartUnclear,
    FindCustomers,
    Create(Create),
    SetStatus,
    Finish,
}

/// The next turn: the earliest step that any member needs, so that all of them meet at the next one.
pub fn turn(members: &[Delivery]) -> Option<Turn> {
    if let Some(job) = members.iter().find_map(Delivery::job) {
        return Some(Turn::Ask(job.to_owned()));
    }
    let next = members.iter().map(|delivery| match delivery.next() {
        // Who joins a conversation has it before it comes here.
        Step::Verify(_) | Step::Join => (0, Turn::PartUnclear),
        Step::FindCustomer | Step::Create(Create::Customer) => (1, Turn::FindCustomers),
        Step::Create(create @ Create::Conversation) => (2, Turn::Create(create)),
        Step::Create(create @ Create::Note) => (3, Turn::Create(create)),
        Step::Create(create @ Create::Message) => (4, Turn::Create(create)),
        Step::SetStatus => (5, Turn::SetStatus),
        Step::Finish => (6, Turn::Finish),
    });
    next.min_by_key(|(rank, _)| *rank).map(|(_, turn)| turn)
}

/// How many items from the front fit one request of `items_max` items and `bytes_max` bytes.
pub fn fit(sizes: impl IntoIterator<Item = usize>, items_max: usize, bytes_max: usize) -> usize {
    let mut bytes = 0_usize;
    let fits = |size: &usize| {
        bytes = bytes.saturating_add(*size);
        bytes <= bytes_max
    };
    sizes.into_iter().take(items_max).take_while(fits).count()
}

/// Who could join a group.
#[derive(Clone, Debug)]
pub struct Candidate {
    pub key: String,
    /// The number, or the fixed customer.
    pub whose: String,
    /// The customer needn't be looked up.
    pub known: bool,
}

/// How many calls of one customer went together lately.
#[derive(Debug, Default)]
pub struct Shares(HashMap<String, VecDeque<Timestamp>>);

impl Shares {
    /// Forgets what is older than a window.
    pub fn prune(&mut self, now: Timestamp, window: SignedDuration) {
        self.0.retain(|_, times| {
            times.retain(|at| now.duration_since(*at) < window);
            !times.is_empty()
        });
    }

    /// These go together now.
    pub fn note(&mut self, members: &[Candidate], now: Timestamp) {
        for one in members {
            let times = self.0.entry(one.whose.clone()).or_default();
            times.push_back(now);
        }
    }
}

/// Picks a group from the front: at most `MEMBERS_MAX`, none whose number is in `looked_up` (another group asks whose it
/// is, and both could create the customer), no customer beyond its share.
pub fn pick(
    candidates: Vec<Candidate>,
    looked_up: &HashSet<String>,
    shares: &Shares,
) -> Vec<Candidate> {
    let mut counts: HashMap<String, usize> = HashMap::new();
    let may_go = |one: &Candidate| {
        let before = || shares.0.get(&one.whose).map_or(0, VecDeque::len);
        let count = counts.entry(one.whose.clone()).or_insert_with(before);
        *count += 1;
        *count <= PER_CUSTOMER_MAX && (one.known || !looked_up.contains(&one.whose))
    };
    let mut picked: Vec<Candidate> = candidates.into_iter().filter(may_go).collect();
    picked.truncate(MEMBERS_MAX);
    picked
}

/// How bulk requests went lately, and whether they are used.
#[derive(Debug, Default)]
pub struct Experience {
    unclear: u32,
    resting: Option<(Timestamp, String)>,
}

impl Experience {
    /// Learns from a group; true if bulk rests from now on.
    pub fn learn(&mut self, news: BulkNews, now: Timestamp) -> bool {
        let why = match news {
            BulkNews::Worked => {
                self.unclear = 0;
                return false;
            }
            BulkNews::Unclear(why) => {
                self.unclear = self.unclear.saturating_add(1);
                if self.unclear < UNCLEAR_MAX {
                    return false;
                }
                why
            }
            BulkNews::Refused(why) => why,
        };
        let rested = self.rests(now).is_some();
        self.unclear = 0;
        self.resting = now.checked_add(REST).ok().map(|until| (until, why));
        !rested
    }

    /// Why bulk isn't used, and until when.
    pub fn rests(&self, now: Timestamp) -> Option<(&str, Timestamp)> {
        let (until, why) = self.resting.as_ref()?;
        (now < *until).then_some((why.as_str(), *until))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn together_only_when_going_alone_would_wait_for_the_next_window() {
        for (ready, rest, together) in [
            (1000, 450, true),
            (226, 450, true),
            (225, 450, false),
            (100, 450, false),
            (10, 0, true),
            (9, 0, false),
            (0, 0, false),
        ] {
            assert_eq!(worth(ready, rest), together, "{ready} ready, {rest} left");
        }
    }

    #[test]
    fn a_request_is_filled_to_its_limits() {
        for (sizes, items, bytes, wanted) in [
            (vec![10, 10, 10], 100, 100, 3),
            (vec![10, 10, 10], 2, 100, 2),
            (vec![10, 10, 10], 100, 29, 2),
            (vec![10, 10, 10], 100, 30, 3),
            (vec![40, 1], 100, 30, 0),
            (vec![], 100, 30, 0),
        ] {
            assert_eq!(fit(sizes.clone(), items, bytes), wanted, "{sizes:?}");
        }
    }

    /// A delivery that has come so far: customer, conversation, note, status.
    fn delivery(steps: usize) -> Delivery {
        let entry = serde_json::json!({
            "external_id": "tieline:hq:a1", "note_external_id": "tieline:hq:a1:note", "name": "n", "direction": "in",
            "status": "done", "created_at": "2026-11-20T12:24:29Z", "agent": null, "tags": [], "note": "n",
            "message": null, "create": null,
        });
        let entry = serde_json::from_value(entry).unwrap();
        let number = Some("+4915112345678".parse().unwrap());
        let mut one = Delivery::new(
            "support",
            "call:hq:a1".to_owned(),
            entry,
            number,
            None,
            at(0),
        );
        let made = |step: usize| (steps >= step).then(|| "id".to_owned());
        (one.customer, one.conversation, one.note) = (made(1), made(2), made(3));
        one.status_set = steps >= 4;
        one
    }

    #[test]
    fn a_group_meets_at_the_earliest_step_and_asks_its_job_first() {
        let (conversation, note) = (Create::Conversation, Create::Note);
        for (steps, wanted) in [
            (vec![], None),
            (vec![1, 0, 3], Some(Turn::FindCustomers)),
            (vec![1, 2, 3], Some(Turn::Create(conversation))),
            (vec![3, 2, 2], Some(Turn::Create(note))),
            (vec![4, 3], Some(Turn::SetStatus)),
            (vec![4, 4], Some(Turn::Finish)),
        ] {
            let members: Vec<_> = steps.iter().map(|steps| delivery(*steps)).collect();
            assert_eq!(turn(&members), wanted, "{steps:?}");
        }
        let mut unclear = delivery(2);
        unclear.intend(note, Some(0));
        let members = [delivery(0), unclear.clone()];
        assert_eq!(turn(&members), Some(Turn::PartUnclear));
        unclear.note_bulk(Some("j"), at(9));
        let members = [delivery(0), unclear];
        assert_eq!(turn(&members), Some(Turn::Ask("j".to_owned())));
    }

    fn candidate(key: usize, whose: usize, known: bool) -> Candidate {
        Candidate {
            key: key.to_string(),
            whose: whose.to_string(),
            known,
        }
    }

    #[test]
    fn a_customer_s_share_comes_back_when_the_window_is_over() {
        let window = SignedDuration::from_secs(60);
        let all = || (0..150).map(|key| candidate(key, 7, true)).collect();
        let (none, mut shares) = (HashSet::new(), Shares::default());
        let first = pick(all(), &none, &shares);
        assert_eq!(first.len(), PER_CUSTOMER_MAX);
        shares.note(&first, at(0));
        shares.prune(at(59), window);
        assert_eq!(pick(all(), &none, &shares).len(), 0);
        shares.prune(at(60), window);
        assert_eq!(pick(all(), &none, &shares).len(), PER_CUSTOMER_MAX);
    }

    proptest! {
        #[test]
        fn a_group_keeps_its_limits_and_the_order(
            crowd in proptest::collection::vec((0_usize..40, any::<bool>()), 0..LOOKED_AT_MAX),
            asked in proptest::collection::hash_set((0_usize..40).prop_map(|whose| whose.to_string()), 0..20),
        ) {
            let crowd: Vec<_> =
                crowd.iter().enumerate().map(|(key, (whose, known))| candidate(key, *whose, *known)).collect();
            let free = crowd.iter().filter(|one| one.known || !asked.contains(&one.whose)).count();
            let picked = pick(crowd, &asked, &Shares::default());
            prop_assert_eq!(picked.len(), free.min(MEMBERS_MAX));
            let keys: Vec<usize> = picked.iter().map(|one| one.key.parse().unwrap()).collect();
            prop_assert!(keys.is_sorted());
            prop_assert!(picked.iter().all(|one| one.known || !asked.contains(&one.whose)));
        }
    }

    #[test]
    fn bulk_rests_when_the_key_is_refused_or_when_it_is_unclear_again_and_again() {
        let unclear = || BulkNews::Unclear("lost".to_owned());
        let mut seen = Experience::default();
        assert!(!seen.learn(unclear(), at(0)) && !seen.learn(unclear(), at(0)));
        assert!(!seen.learn(BulkNews::Worked, at(0)));
        assert!(!seen.learn(unclear(), at(0)) && !seen.learn(unclear(), at(0)));
        assert_eq!(seen.rests(at(0)), None);
        assert!(seen.learn(unclear(), at(0)));
        assert_eq!(seen.rests(at(3599)), Some(("lost", at(3600))));
        assert_eq!(seen.rests(at(3600)), None);
        assert!(seen.learn(BulkNews::Refused("403".to_owned()), at(4000)));
        assert!(
            !seen.learn(BulkNews::Refused("403".to_owned()), at(4001)),
            "said once"
        );
    }
}
