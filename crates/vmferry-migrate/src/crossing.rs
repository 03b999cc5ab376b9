//! Which way a move leaves pre-copy when it does not end by itself: a cancel and
//! post-copy must never both be given.

use tokio::sync::{Mutex, MutexGuard};

/// The way that was taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Way {
    /// None yet.
    #[default]
    Open,
    /// The guest is to stay.
    Cancelled,
    /// The guest is to go at once, its memory after it.
    PostCopy,
}

/// Shared by the one who follows a move and may cancel it, and the one who
/// steers it and may start post-copy: whoever acts holds it until done.
#[derive(Debug, Default)]
pub(crate) struct Crossing(Mutex<Way>);

impl Crossing {
    /// Waits for the other to be done.
    pub(crate) async fn enter(&self) -> MutexGuard<'_, Way> {
        self.0.lock().await
    }
}
