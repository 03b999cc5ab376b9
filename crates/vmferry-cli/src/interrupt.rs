//! The first Ctrl-C cancels the move safely; the second one exits.

use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use vmferry::core::ExitCode;

use crate::progress::say_within;

/// How long a word may take: a terminal may stand still (Ctrl-S).
const PATIENCE: Duration = Duration::from_millis(200);

/// A flag that turns true at the first SIGINT or SIGTERM. A second one ends
/// the process; the guard then takes over.
pub(crate) fn cancel_on_ctrl_c() -> watch::Receiver<bool> {
    let (sender, receiver) = watch::channel(false);
    tokio::spawn(async move {
        let (Ok(mut interrupt), Ok(mut terminate)) = (
            signal(SignalKind::interrupt()),
            signal(SignalKind::terminate()),
        ) else {
            return;
        };
        let mut asked = false;
        loop {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
            if asked {
                say_within(
                    "leaving; the guard puts the hosts back and records the outcome",
                    PATIENCE,
                );
                std::process::exit(ExitCode::Uncertain as i32);
            }
            asked = true;
            // The move is over when nobody listens.
            let _ = sender.send(true);
            say_within("cancelling; once more leaves at once", PATIENCE);
        }
    });
    receiver
}
