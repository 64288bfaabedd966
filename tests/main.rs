//! The one test binary; a file per part.

mod sandbox;
mod sandbox_faults;
mod sandbox_records;
mod sandbox_search;
