//! `vmferry watch`.

use vmferry::Error;
use vmferry::core::{ExitCode, MoveEvent, OutcomeStatus, Place};
use vmferry::watching::{self, WatchEnd};

use crate::answer::Answer;
use crate::args::{Global, Watch};
use crate::progress::Progress;

pub(crate) async fn run(global: &Global, args: &Watch) -> Result<ExitCode, Error> {
    let answer = Answer::open(global)?;
    let progress = Progress::new(global, answer.lines())?;
    let guest = super::absolute(&args.guest)?;
    let inner = progress.sink();
    let last = std::sync::Arc::new(std::sync::Mutex::new(None));
    let keep = std::sync::Arc::clone(&last);
    let sink: vmferry::migrate::EventSink = std::sync::Arc::new(move |event| {
        if let MoveEvent::Ended { outcome } = event
            && let Ok(mut slot) = keep.lock()
        {
            *slot = Some((outcome.status, outcome.place));
        }
        inner(event);
    });
    let end = watching::watch(&guest, sink).await;
    progress.finish();
    let written = answer.flush();
    let end = end?;
    written?;
    let seen = last.lock().ok().and_then(|slot| *slot);
    let code = match end {
        WatchEnd::Ours => match seen {
            Some((OutcomeStatus::Completed, Place::RunningAtDestination)) => ExitCode::Done,
            Some((OutcomeStatus::Cancelled, Place::RunningAtSource)) => ExitCode::Cancelled,
            Some((_, Place::RunningAtSource)) => ExitCode::FailedSafe,
            _ => ExitCode::Uncertain,
        },
        WatchEnd::Abandoned => {
            progress.note("nobody supervises this move any more; run `vmferry recover`");
            ExitCode::Uncertain
        }
        WatchEnd::Theirs(watched) => {
            progress.note(&describe(&watched));
            match watched.kind {
                Some(vmferry::migrate::EndKind::Completed) => ExitCode::Done,
                Some(vmferry::migrate::EndKind::Cancelled) => ExitCode::Cancelled,
                Some(vmferry::migrate::EndKind::Failed) => ExitCode::FailedSafe,
                None => ExitCode::Uncertain,
            }
        }
    };
    progress.flush();
    Ok(code)
}

fn describe(watched: &vmferry::migrate::watching::Watched) -> String {
    use vmferry::core::{Bytes, Millis};
    let Some(info) = &watched.info else {
        return "the monitor was lost".to_owned();
    };
    let millis =
        |ms: Option<u64>| ms.map_or_else(|| "?".to_owned(), |ms| Millis(ms as f64).to_string());
    let sent = info
        .ram
        .transferred_bytes
        .map_or_else(|| "?".to_owned(), |b| Bytes(b).to_string());
    format!(
        "{}: total time {}, downtime {}, sent {sent}",
        info.status,
        millis(info.total_time_ms),
        millis(info.downtime_ms)
    )
}
