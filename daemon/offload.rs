//! Work that holds a thread for long, done where it holds up nobody. In a simulation, which is one thread so that it can be
//! repeated, it is done in place.

use crate::clock;

/// Runs `work` on a thread of its own.
///
/// # Errors
/// It panicked, or the runtime is being shut down.
pub async fn off_the_runtime<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, tokio::task::JoinError> {
    if clock::is_simulated() {
        return Ok(work());
    }
    tokio::task::spawn_blocking(work).await
}
