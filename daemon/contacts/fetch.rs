//! Stand-in for the Kustomer side, with its signatures.

use super::plan::{Edit, NewCustomer};
use super::world::Customer;
use crate::kustomer::client::Client;
use crate::kustomer::fault::KustomerFault;
use crate::terms::contact::Fields;
use crate::terms::ids::CustomerId;
use crate::terms::number::NumberPlan;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Cursor {}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    pub done: u64,
    pub total: Option<u64>,
    pub importing: bool,
}

#[derive(Clone, Debug)]
pub struct Page {
    pub rows: Vec<Row>,
    pub cursor: Cursor,
    pub more: bool,
    pub progress: Progress,
}

#[derive(Clone, Debug)]
pub enum Row {
    Here {
        customer: Box<Customer>,
        stamp: Stamp,
    },
    Gone {
        id: CustomerId,
        into: Option<CustomerId>,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Stamp {
    pub updated_at: Timestamp,
    pub rev: u64,
}

#[derive(Clone)]
pub struct Kustomer {
    _client: Client,
    _plan: NumberPlan,
}

fn absent<T>() -> Result<T, KustomerFault> {
    Err(KustomerFault::Unreachable("not built yet".to_owned()))
}

#[expect(clippy::unused_async, reason = "stand-in")]
impl Kustomer {
    pub fn new(client: Client, plan: NumberPlan) -> Self {
        Self {
            _client: client,
            _plan: plan,
        }
    }

    pub async fn next(&self, _cursor: &Cursor, _now: Timestamp) -> Result<Page, KustomerFault> {
        absent()
    }

    pub async fn look(&self, _id: &CustomerId) -> Result<Row, KustomerFault> {
        absent()
    }

    pub async fn find(&self, _fields: &Fields, _id: &str) -> Result<Vec<Row>, KustomerFault> {
        absent()
    }

    pub async fn create(&self, _new: &NewCustomer) -> Result<Row, KustomerFault> {
        absent()
    }

    pub async fn edit(&self, _id: &CustomerId, _edit: &Edit) -> Result<Row, KustomerFault> {
        absent()
    }
}
