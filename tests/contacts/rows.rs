//! Kustomer's customers as they are told: pages overlap and end anywhere, the index lags, a look and a webhook come in between.
//! However often and in whatever order a customer's states come, what is known is the newest.

use super::closures::{desk, memory};
use super::sim::{fields, id};
use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use tieline::contacts::fetch::{Row, Stamp};
use tieline::contacts::memory::Batch;
use tieline::contacts::world::Customer;

fn row(customer: u32, rev: u64) -> Row {
    let customer = Box::new(state(customer, rev));
    let stamp = Stamp {
        updated_at: customer.modified_at,
        rev,
    };
    Row::Here { customer, stamp }
}

/// State number `rev` of a customer.
fn state(customer: u32, rev: u64) -> Customer {
    let at = Timestamp::UNIX_EPOCH + SignedDuration::from_secs(i64::try_from(rev).unwrap());
    Customer {
        id: id(customer),
        external_id: None,
        fields: fields(
            &format!("Ada {rev}"),
            &[customer * 10 + u32::try_from(rev % 3).unwrap()],
        ),
        invalid: Vec::new(),
        shared_numbers: BTreeSet::new(),
        shared_emails: BTreeSet::new(),
        whatsapps: BTreeSet::new(),
        modified_at: at,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn the_newest_state_is_known_whatever_comes_when(
        told in proptest::collection::vec((1..4_u32, 1..8_u64), 1..40),
        page in 1..7_usize,
    ) {
        let memory = memory();
        let mut newest: BTreeMap<u32, u64> = BTreeMap::new();
        for rows in told.chunks(page) {
            let mut batch = Batch::open(&memory).unwrap();
            for (customer, rev) in rows {
                batch.note_row(row(*customer, *rev)).unwrap();
                let known = newest.entry(*customer).or_default();
                *known = (*known).max(*rev);
            }
            desk().runtime.block_on(batch.commit()).unwrap();
        }
        for (customer, rev) in &newest {
            let known = memory.customer(&id(*customer)).unwrap().unwrap();
            prop_assert_eq!(known.customer, Some(Box::new(state(*customer, *rev))));
        }
        prop_assert_eq!(memory.meta().unwrap().customers, newest.len() as u64);
    }

    /// What a removed customer had before it is told late, by an index that lags.
    #[test]
    fn a_removed_customer_does_not_come_back_with_what_it_was(
        before in proptest::collection::vec(1..8_u64, 1..5),
        late in proptest::collection::vec(1..8_u64, 1..5),
    ) {
        let memory = memory();
        let last = *before.iter().max().unwrap();
        let tell = |rows: Vec<Row>| {
            let mut batch = Batch::open(&memory).unwrap();
            for row in rows {
                batch.note_row(row).unwrap();
            }
            desk().runtime.block_on(batch.commit()).unwrap();
        };
        tell(before.iter().map(|rev| row(1, *rev)).collect());
        tell(vec![Row::Gone { id: id(1), into: None }]);
        tell(late.iter().map(|rev| row(1, (*rev).min(last))).collect());
        let known = memory.customer(&id(1)).unwrap().unwrap();
        prop_assert!(known.customer.is_none());
        prop_assert_eq!(memory.meta().unwrap().customers, 0);
    }
}
