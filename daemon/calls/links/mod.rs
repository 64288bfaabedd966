//! Live connections to phone systems: tieline as client of Asterisk's manager interface (AMI) and FreeSWITCH's event socket
//! (ESL), and the folders in which phone systems leave what they could not post. `app.rs` builds and runs them.
//!
//! ```text
//! connect -> log in -> note the gap -> read records of the gap -> ask which channels are there -> events -> journal
//! ```
//! Nothing is decided here: each event goes into the journal as it came (invariant 1), and while the store is busy or full
//! the socket isn't read. What only a listener can know (when an event without a time came, which channels ended while
//! nobody listened) it says in events of its own, which the dialect decodes, so that a replay gives the same.

mod ami;
mod batch;
mod desk;
mod esl;
mod fault;
mod gap_csv;
mod life;
mod memory;
mod packet;
mod pen;
mod pickup;
mod privileges;
mod roll;
mod status;
mod wire;

pub use fault::LinkFault;
pub use life::{Link, LinkParts};
pub use memory::{Gap, TREE, check};
pub use pickup::{Pickup, PickupStats};
pub use status::{LinkState, LinkStatus, Links};
