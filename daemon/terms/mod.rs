//! The vocabulary: what a call, a text and a party are. No I/O, knows no other module.

pub mod call;
pub mod contact;
pub mod ids;
pub mod number;
pub mod party;
pub mod text;
