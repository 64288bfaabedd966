//! The one test binary: each further binary would cost a link of the whole program.

mod entries;
mod filters;
mod patterns;
mod samples;
