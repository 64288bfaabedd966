//! The one test binary: each further binary would cost a link of the whole program.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::too_many_lines,
    reason = "a test stops at the first surprise and says what it measured"
)]

mod accounts;
mod assign;
mod asterisk;
mod attributes;
mod backlog;
mod calls;
mod carddav;
mod cloud;
mod config_show;
mod contacts;
mod crash;
mod customers;
mod damage;
mod decode;
mod denials;
mod directory;
mod docs;
mod doctor;
mod each_dialect;
mod entries;
mod filter_test;
mod filters;
mod intake;
mod journal;
mod kustomer;
mod kustomer_faults;
mod late;
mod links;
mod monitoring;
mod network;
mod numbers;
mod onprem;
mod outbox;
mod overload;
mod package;
mod patterns;
mod powercut;
mod practice;
mod readonly;
mod recovery;
mod retention;
mod roles;
mod running;
mod samples;
mod sandbox;
mod sandbox_faults;
mod sandbox_records;
mod sandbox_search;
mod schema;
mod settings;
mod shadow;
mod store;
mod support;
mod sync;
mod systemd;
mod texts;
mod tidy;
mod tls;
mod webhooks;
