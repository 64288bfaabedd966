<<<<<<< HEAD
//! The vocabulary: what a call, a text and a party are. No I/O, knows no other module.

pub mod call;
pub mod ids;
pub mod number;
pub mod party;
pub mod text;
=======
//! The vocabulary: what a call, a text, a number or a contact is. No I/O, and no knowledge of any other module.

pub mod number;
>>>>>>> gates
