//! Everything said to Kustomer and read from it. `client` sends and `http` carries; `customers`,
//! `conversations`, `users`, `webhooks` and `bulk` add one method for each thing asked for; `wire` reads replies; `fault` says what a
//! failure means for an exactly-once procedure and `verdict` finds it; `pacer` keeps the budgets, `reserve` over a restart; `limits` reads the rate
//! limit headers; `key` the API key, `roles` what one may do; `text` cuts to Kustomer's lengths; `time` is Kustomer's clock.
//! Called by the outbox, by contact sync and by `check --online`; nothing in here decides policy.

pub mod bulk;
pub mod client;
pub mod conversations;
pub mod customers;
pub mod fault;
pub mod http;
mod key;
mod limits;
pub mod metadata;
mod pacer;
pub mod reserve;
pub mod roles;
pub mod stats;
pub mod text;
mod time;
pub mod users;
mod verdict;
pub mod webhooks;
pub mod wire;
