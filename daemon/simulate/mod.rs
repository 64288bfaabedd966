//! A phone system for try-outs and tests: plays calls and texts, made up or recorded, against a running daemon.
//!
//! `scenario.rs` says what happens, `writers/` put it into a phone system's words, `fresh.rs` makes new calls of recorded ones,
//! `proof.rs` signs as the phone system would, `play.rs` posts, `live.rs` plays for daemons that connect. Called by
//! `tieline simulate`, the demo and the tests. It is the counterpart of `calls/` and shares no code with it: what both got
//! wrong would look right.

pub mod fresh;
pub mod live;
pub mod play;
pub mod post;
pub mod proof;
pub mod scenario;
pub mod writers;

pub use post::{Post, Told};
pub use proof::Proof;
pub use scenario::{Call, Parties, Scenario};
