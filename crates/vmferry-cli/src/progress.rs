//! Progress on standard error: a bar, plain lines, JSON lines or nothing.

use std::io::{self, IsTerminal as _, Write as _};
use std::sync::Arc;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle as BarStyle};
use vmferry::core::{Bytes, MoveEvent};
use vmferry::migrate::EventSink;

use crate::answer::Answer;
use crate::args::{Global, ProgressStyle};

/// Writes a line on standard error; a closed one is nobody's loss.
pub(crate) fn say(line: &str) {
    let _ = writeln!(io::stderr(), "{line}");
}

/// Writes an error with its causes.
pub(crate) fn say_error(error: &vmferry::Error) {
    say(&format!("error: {error}"));
    let shown = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(inner) = cause {
        let text = inner.to_string();
        if !shown.contains(&text) {
            say(&format!("  because: {text}"));
        }
        cause = inner.source();
    }
}

/// A word on what happens now, unless progress is off.
pub(crate) fn note(global: &Global, text: &str) {
    if matches!(
        global.progress,
        ProgressStyle::Auto | ProgressStyle::Plain | ProgressStyle::Bar
    ) {
        say(text);
    }
}

/// The progress display of one move.
#[derive(Clone)]
pub(crate) struct Progress {
    style: ProgressStyle,
    bar: Option<ProgressBar>,
    lines: Option<Answer>,
}

impl Progress {
    /// As the options say; with `lines`, every event is also a line of the
    /// answer.
    pub(crate) fn new(global: &Global, lines: Option<Answer>) -> Self {
        let style = match global.progress {
            ProgressStyle::Auto if io::stderr().is_terminal() => ProgressStyle::Bar,
            ProgressStyle::Auto => ProgressStyle::Plain,
            chosen => chosen,
        };
        let bar = (style == ProgressStyle::Bar).then(|| {
            let bar = ProgressBar::with_draw_target(Some(100), ProgressDrawTarget::stderr());
            if let Ok(template) = BarStyle::with_template("{elapsed:>5} {bar:30} {msg}") {
                bar.set_style(template);
            }
            bar
        });
        Self { style, bar, lines }
    }

    /// A word beside the display.
    pub(crate) fn note(&self, text: &str) {
        match (&self.bar, self.style) {
            (Some(bar), _) => bar.suspend(|| say(text)),
            (None, ProgressStyle::Plain) => say(text),
            _ => {}
        }
    }

    /// Ends the display.
    pub(crate) fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }

    /// Where a move's events go.
    pub(crate) fn sink(&self) -> EventSink {
        let this = self.clone();
        Arc::new(move |event| this.show(event))
    }

    fn show(&self, event: &MoveEvent) {
        if let Some(lines) = &self.lines
            && let Err(error) = lines.line(event)
        {
            say_error(&error);
        }
        match self.style {
            ProgressStyle::None => {
                if let MoveEvent::Warning { message } = event {
                    say(&format!("warning: {message}"));
                }
            }
            ProgressStyle::Json => {
                if let Ok(text) = serde_json::to_string(event) {
                    say(&text);
                }
            }
            _ => self.show_to_people(event),
        }
    }

    fn show_to_people(&self, event: &MoveEvent) {
        if let (
            Some(bar),
            MoveEvent::Progress {
                status,
                transferred_bytes,
                remaining_bytes,
                total_bytes,
                passes,
                ..
            },
        ) = (&self.bar, event)
        {
            let (total, left) = (
                total_bytes.unwrap_or_default().0,
                remaining_bytes.unwrap_or_default().0,
            );
            bar.set_length(total.max(1));
            bar.set_position(total.saturating_sub(left));
            bar.set_message(format!(
                "{status}, pass {}, sent {}, remaining {}",
                passes.unwrap_or(0),
                transferred_bytes.unwrap_or_default(),
                Bytes(left)
            ));
            return;
        }
        if let Some(text) = line_of(event) {
            self.note(&text);
        }
    }
}

/// The plain line of an event; `None` for those that plain output leaves out.
fn line_of(event: &MoveEvent) -> Option<String> {
    Some(match event {
        MoveEvent::Check {
            name,
            detail,
            passed,
        } => {
            format!(
                "check {} {name}: {detail}",
                if *passed { "ok  " } else { "FAIL" }
            )
        }
        MoveEvent::Started { move_id } => format!("move {move_id} started"),
        MoveEvent::Phase { at_ms, status } => format!("{at_ms:>9} {status}"),
        MoveEvent::Pass { pass } => format!(
            "{:>9} pass {}: {} remain, {} sent",
            pass.at_ms,
            pass.pass,
            pass.remaining_bytes
                .map_or_else(|| "?".into(), |b| b.to_string()),
            pass.transferred_bytes
                .map_or_else(|| "?".into(), |b| b.to_string()),
        ),
        MoveEvent::Reforecast {
            at_ms,
            converges_probability,
            total_time_ms,
            downtime_ms,
            ..
        } => match (total_time_ms, downtime_ms) {
            (Some(total), Some(downtime)) => format!(
                "{at_ms:>9} forecast now: total {total}, downtime {downtime}, converges {:.0} %",
                converges_probability * 100.0
            ),
            _ => format!("{at_ms:>9} forecast now: does not converge"),
        },
        MoveEvent::Warning { message } => format!("warning: {message}"),
        MoveEvent::Ended { outcome } => match &outcome.error {
            Some(error) => format!("ended: {}: {error}", outcome.place),
            None => format!("ended: {}", outcome.place),
        },
        MoveEvent::Progress { .. } => return None,
    })
}
