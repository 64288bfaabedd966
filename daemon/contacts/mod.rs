//! Pipeline 2: the two-way contact sync. The rules are in docs/contacts.md.
//!
//! ```text
//! fetch (both sides) -> import -> plan -> guard -> apply -> links
//! ```
//! `fetch` reads and writes Kustomer's customers. `import`, `merge`, `agree`, `plan` and `guard` decide and are plain
//! functions; `link` and `world` are what they see.
//! `webhooks` takes what Kustomer tells of its own accord.

pub mod agree;
pub mod apply;
pub mod closure;
pub mod fetch;
pub mod guard;
pub mod import;
pub mod link;
pub mod memory;
pub mod merge;
pub mod plan;
pub mod rounds;
pub mod schedule;
pub mod unmerge;
pub mod webhooks;
pub mod world;
