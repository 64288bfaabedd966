//! How many heaps glibc keeps for the daemon. Called by `tieline run` before it begins.
//!
//! glibc gives each thread that allocates a heap of its own, up to eight for each core (mallopt(3), `M_ARENA_MAX`). Pages of
//! the store are read by one thread and let go by another, which leaves holes in all of them: with a million contacts the
//! daemon held a third more, and was slower for it (docs/benchmarks.md). glibc reads the number from the environment
//! before `main`, so the program starts itself once more with it: the same process, with the same number, files and sockets.

use std::env::{args_os, current_exe, var_os};
use std::os::unix::process::CommandExt;
use std::process::Command;

const VARIABLE: &str = "MALLOC_ARENA_MAX";
/// One holds the least memory; with two, threads that take events at the same time don't wait for each other.
const HEAPS: &str = "2";

/// Starts the program once more with few heaps, unless whoever started it has said how many. Returns if that can't be
/// done: it costs memory, nothing else.
pub fn few() {
    if !cfg!(target_env = "gnu") || var_os(VARIABLE).is_some() {
        return;
    }
    if let Ok(program) = current_exe() {
        let mut again = Command::new(program);
        let fault = again.args(args_os().skip(1)).env(VARIABLE, HEAPS).exec();
        tracing::debug!(%fault, "the daemon runs with as many heaps as glibc likes");
    }
}
