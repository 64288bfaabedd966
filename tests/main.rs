//! The one test binary: each further binary would cost a link of the whole program.

mod decode;
mod numbers;
