//! Settings: layers of TOML, checked as a whole; every fault is reported at once (invariant 8).

pub mod types;
