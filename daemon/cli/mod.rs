//! The commands, one a file: what an administrator types, and what is printed. Called by main.

pub mod decode;
pub mod recording;
