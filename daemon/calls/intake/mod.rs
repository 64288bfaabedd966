//! The listener for phone systems: takes a post, proves who sent it, journals it, answers. Nothing is decided here;
//! `line.rs` reads the journal. `app.rs` builds an `Intake` and hands its routes to `server::serve`.

mod body;
pub mod problem;
pub mod proof;
pub mod routes;
pub mod server;

pub use routes::{Intake, IntakeFault, IntakeStats, PbxCounts};
