//! The signals that end the service.

use tokio::signal::unix::{SignalKind, signal};

/// Waits for SIGTERM or SIGINT, and says which came.
///
/// # Errors
/// The signals cannot be listened to.
pub async fn requested() -> std::io::Result<&'static str> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::select! {
        _ = terminate.recv() => Ok("SIGTERM"),
        _ = interrupt.recv() => Ok("SIGINT"),
    }
}
