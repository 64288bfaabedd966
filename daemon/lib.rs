//! tieline joins a phone system to Kustomer: every call and text becomes one conversation with one note.
//!
//! ```text
//! calls, texts   intake -> journal -> decode -> assemble -> filter -> matching -> entry -> outbox -> log
//! contacts       fetch (both sides) -> plan -> guard -> apply -> links
//! ```
#![forbid(unsafe_code)]

pub mod admin;
pub mod app;
pub mod backoff;
pub mod calls;
pub mod cli;
pub mod clock;
pub mod contacts;
pub mod doctor;
pub mod heaps;
pub mod kustomer;
pub mod offload;
pub mod pace;
pub mod phonebook;
pub mod recovery;
pub mod sandbox;
pub mod settings;
pub mod shares;
pub mod simulate;
pub mod store;
pub mod systemd;
pub mod terms;
pub mod trace;
