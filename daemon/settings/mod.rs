//! Settings: layers of TOML, checked as a whole; every fault is reported at once (invariant 8).
//!
//! `load` reads the layers, each through `shape` (keys and types, by the schema of `file`), merges them and has `check`
//! turn the result into `types`, what all others read. `origin` remembers where each key came from.

pub mod certificate;
mod check;
pub mod fault;
pub mod file;
mod form;
pub mod load;
pub mod origin;
pub mod patterns;
pub(crate) mod read;
pub mod schema;
mod secrets;
pub mod shadow;
mod shape;
pub mod shown;
pub mod summary;
pub mod types;
