//! The contact sync's decisions (docs/contacts.md): single cases, random histories, and a small world looked at completely.

mod cases;
mod closures;
mod exhaustive;
mod histories;
mod sim;
