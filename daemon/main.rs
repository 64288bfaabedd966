//! The `tieline` program: the life of the process and its exit codes.

fn main() {}
