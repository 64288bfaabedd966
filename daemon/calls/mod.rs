//! Calls and texts, from the phone system's post to Kustomer's note. The files in flow order:
//! intake -> journal -> decode -> assemble -> filter -> matching -> entry -> outbox -> log; `line` joins them.

pub mod assemble;
pub mod decode;
pub mod entry;
pub mod fields;
pub mod filter;
pub mod intake;
pub mod journal;
pub mod matching;
pub mod note;
