//! The contact sync's decisions (docs/contacts.md): single cases, random histories, and a small world looked at completely. And its
//! Kustomer side over real sockets against the sandbox: `fetch` reads, `fetch_writes` writes.

mod cases;
mod closures;
mod examples;
mod exhaustive;
mod fetch;
mod fetch_writes;
mod histories;
mod rows;
mod sim;
mod together;
