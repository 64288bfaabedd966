//! The vocabulary: what a call, a text, a number or a contact is. No I/O, and no knowledge of any other module.

pub mod number;
