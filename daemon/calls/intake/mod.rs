//! The listener for phone systems: takes a post, proves who sent it, journals it, answers. Nothing is decided here;
//! `line.rs` reads the journal. `app.rs` builds a `Front` and hands it to `server::serve`.

pub(crate) mod body;
pub mod problem;
pub mod proof;
mod reply;
pub mod routes;
pub mod server;
pub mod tls;

pub use routes::{Front, Intake, IntakeFault, IntakeStats, PbxCounts, or_unknown};
