//! The first Ctrl-C cancels the move safely, or ends a recording in order; the second one exits.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
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
    on_ctrl_c(
        "cancelling; once more leaves at once",
        move || {
            // The move is over when nobody listens.
            let _ = sender.send(true);
        },
        "leaving; the guard puts the hosts back and records the outcome",
        ExitCode::Uncertain,
    );
    receiver
}

/// A flag that is set at the first SIGINT or SIGTERM: the recording then ends
/// in order. A second one ends the process.
pub(crate) fn stop_on_ctrl_c() -> Arc<AtomicBool> {
    let stop = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&stop);
    on_ctrl_c(
        "ending the recording; once more leaves at once",
        move || flag.store(true, Ordering::Relaxed),
        "leaving; the trace is cut off",
        ExitCode::Cancelled,
    );
    stop
}

/// A flag that turns true at the first SIGINT or SIGTERM, when `first` is said; at a second one
/// `second` is, and the process ends.
pub(crate) fn end_on_ctrl_c(first: &'static str, second: &'static str) -> watch::Receiver<bool> {
    let (sender, receiver) = watch::channel(false);
    let end = move || {
        // It is over when nobody listens.
        let _ = sender.send(true);
    };
    on_ctrl_c(first, end, second, ExitCode::Cancelled);
    receiver
}

fn on_ctrl_c(
    first: &'static str,
    act: impl Fn() + Send + 'static,
    second: &'static str,
    code: ExitCode,
) {
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
                say_within(second, PATIENCE);
                std::process::exit(code as i32);
            }
            asked = true;
            act();
            say_within(first, PATIENCE);
        }
    });
}
