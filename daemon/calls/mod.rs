//! Calls and texts, from the phone system's post to Kustomer's note. In flow order:
//! intake -> journal -> decode -> assemble -> filter -> matching -> entry -> outbox -> log.
//! `line` joins the stages and keeps the `ledger`; `dispatch` says which delivery is next, `bulk` moves many together.

pub mod intake;
pub mod journal;

pub mod decode;

pub mod assemble;

pub mod filter;

pub mod matching;

pub mod assign;
pub mod custom;
pub mod entry;
pub mod exchange;
pub mod fields;
pub mod late;
pub mod note;

pub mod delivery;
pub mod directory;
pub mod lately;
pub mod outbox;

pub mod agents;
pub mod attributes;
mod bulk;
mod crew;
pub mod dispatch;
pub mod extras;
mod finish;
mod group;
mod job;
mod join;
pub mod log;
mod queue;
pub mod requests;

mod whose;
mod work;

pub mod book;
pub mod due;
pub mod family;
pub mod judge;
pub mod known;
pub mod ledger;
pub mod line;
pub mod links;
pub mod picture;
pub mod reader;
pub mod retention;
pub mod suppose;
