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
/// Says that the program has started itself again. Newer glibc takes the other variable from a program that has
/// capabilities of its own (`setcap`): without a second one that would go round for ever.
const AGAIN: &str = "STARTED_FOR_FEW_HEAPS";

/// Starts the program once more with few heaps, unless whoever started it has said how many. Returns if that can't be
/// done: it costs memory, and a stderr that nobody reads ends the process, for `exec` has let go of SIGPIPE by then.
pub fn few() {
    let said = || var_os(VARIABLE).is_some() || var_os(AGAIN).is_some();
    if !cfg!(target_env = "gnu") || said() {
        return;
    }
    if let Ok(program) = current_exe() {
        let mut again = Command::new(program);
        let mut args = args_os();
        if let Some(name) = args.next() {
            again.arg0(name);
        }
        again.args(args).env(VARIABLE, HEAPS).env(AGAIN, "1");
        let fault = again.exec();
        tracing::debug!(%fault, "the daemon runs with as many heaps as glibc likes");
    }
}
