//! Progress on standard error: a bar, plain lines, JSON lines or nothing.

use std::fmt::Write as _;
use std::io::{self, IsTerminal as _, Write as _};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle as BarStyle};
use vmferry::Error;
use vmferry::core::{Bytes, MoveEvent, Ratio};
use vmferry::migrate::EventSink;

use crate::answer::Answer;
use crate::args::{Global, ProgressStyle};

/// Writes a line on standard error; a closed one is nobody's loss. At once, so that a line of the
/// answer in the same pipe (`2>&1`) never stands behind its words.
pub(crate) fn say(line: &str) {
    let _ = io::stderr().write_all(format!("{line}\n").as_bytes());
}

/// As [`say`], for those who must go on: waits no longer than `limit`.
pub(crate) fn say_within(line: &'static str, limit: Duration) {
    let (said, waiting) = mpsc::channel();
    thread::spawn(move || {
        say(line);
        let _ = said.send(());
    });
    let _ = waiting.recv_timeout(limit);
}

/// Writes an error with its causes.
pub(crate) fn say_error(error: &Error) {
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
    note_as(global.progress, text);
}

/// As [`note`], for those who outlive the options.
pub(crate) fn note_as(style: ProgressStyle, text: &str) {
    if matches!(
        style,
        ProgressStyle::Auto | ProgressStyle::Plain | ProgressStyle::Bar
    ) {
        say(text);
    }
}

/// Progress events that may wait to be shown; more are left out.
const WAITING: usize = 64;

/// The progress display of one move. A thread of its own draws: a terminal may
/// stand still (Ctrl-S), and the move must not wait for that.
#[derive(Clone)]
pub(crate) struct Progress {
    to: mpsc::Sender<Shown>,
    waiting: Arc<AtomicUsize>,
    lines: Option<Answer>,
}

/// What the drawing thread is handed.
enum Shown {
    Event(Box<MoveEvent>),
    Note(String),
    /// Answered by its end once everything before it is shown.
    Flush {
        last: bool,
        _done: mpsc::Sender<()>,
    },
}

impl Progress {
    /// As the options say; with `lines`, every event is also a line of the
    /// answer.
    pub(crate) fn new(global: &Global, lines: Option<Answer>) -> Result<Self, Error> {
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
        let (to, shown) = mpsc::channel();
        let waiting = Arc::new(AtomicUsize::new(0));
        let drawing = Drawing {
            style,
            bar,
            waiting: Arc::clone(&waiting),
            steered: String::new(),
        };
        thread::Builder::new()
            .name("progress".to_owned())
            .spawn(move || drawing.run(&shown))
            .map_err(|source| Error::Io {
                what: "a thread that shows progress".to_owned(),
                source,
            })?;
        Ok(Self { to, waiting, lines })
    }

    /// A word beside the display.
    pub(crate) fn note(&self, text: &str) {
        // The thread lives as long as any sender.
        let _ = self.to.send(Shown::Note(text.to_owned()));
    }

    /// Waits until everything is shown.
    pub(crate) fn flush(&self) {
        self.wait(false);
    }

    /// Ends the display, once everything is shown.
    pub(crate) fn finish(&self) {
        self.wait(true);
    }

    fn wait(&self, last: bool) {
        let (_done, shown) = mpsc::channel();
        let _ = self.to.send(Shown::Flush { last, _done });
        let _ = shown.recv();
    }

    /// Where a move's events go: never waits.
    pub(crate) fn sink(&self) -> EventSink {
        let this = self.clone();
        Arc::new(move |event| this.show(event))
    }

    fn show(&self, event: &MoveEvent) {
        if let Some(lines) = &self.lines
            && let Err(error) = lines.queue(event)
        {
            self.note(&format!("error: {error}"));
        }
        if matches!(event, MoveEvent::Progress { .. }) {
            if self.waiting.load(Ordering::Relaxed) >= WAITING {
                return;
            }
            self.waiting.fetch_add(1, Ordering::Relaxed);
        }
        let _ = self.to.send(Shown::Event(Box::new(event.clone())));
    }
}

/// What the drawing thread holds.
struct Drawing {
    style: ProgressStyle,
    bar: Option<ProgressBar>,
    waiting: Arc<AtomicUsize>,
    /// What the guest is held to, for the bar's message.
    steered: String,
}

impl Drawing {
    /// Runs until the last [`Progress`] is gone.
    fn run(mut self, shown: &mpsc::Receiver<Shown>) {
        for shown in shown {
            match shown {
                Shown::Event(event) => {
                    if matches!(*event, MoveEvent::Progress { .. }) {
                        self.waiting.fetch_sub(1, Ordering::Relaxed);
                    }
                    self.show(&event);
                }
                Shown::Note(text) => self.note(&text),
                Shown::Flush { last, .. } => {
                    if let (true, Some(bar)) = (last, &self.bar) {
                        bar.finish_and_clear();
                    }
                }
            }
        }
    }

    fn note(&self, text: &str) {
        match (&self.bar, self.style) {
            (Some(bar), _) => bar.suspend(|| say(text)),
            (None, ProgressStyle::Plain) => say(text),
            _ => {}
        }
    }

    fn show(&mut self, event: &MoveEvent) {
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

    fn show_to_people(&mut self, event: &MoveEvent) {
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
                "{status}, pass {}, sent {}, remaining {}{}",
                passes.unwrap_or(0),
                transferred_bytes.unwrap_or_default(),
                Bytes(left),
                self.steered
            ));
            return;
        }
        if let (
            Some(_),
            MoveEvent::Steered {
                cpu_share,
                ends_at_ms,
                ..
            },
        ) = (&self.bar, event)
        {
            let end = ends_at_ms.map_or_else(String::new, |end| format!(", end at {end}"));
            self.steered = format!("; {}{end}", speed(*cpu_share));
        }
        if let Some(text) = line_of(event) {
            self.note(&text);
        }
    }
}

/// What a guest is held to.
fn speed(share: Ratio) -> String {
    if share.0 < 0.995 {
        format!("guest held to {share} of its CPU")
    } else {
        "guest at full speed".to_owned()
    }
}

/// The plain line of an event; `None` for those that plain output leaves out.
pub(crate) fn line_of(event: &MoveEvent) -> Option<String> {
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
        MoveEvent::Steered {
            at_ms,
            cpu_share,
            max_bandwidth,
            downtime_limit_ms,
            ends_at_ms,
            lost_ms,
        } => {
            let mut text = format!("{at_ms:>9} {}", speed(*cpu_share));
            if let Some(rate) = max_bandwidth {
                let _ = write!(text, ", stream at {rate} at most");
            }
            if let Some(limit) = downtime_limit_ms {
                let _ = write!(text, ", downtime limit {limit}");
            }
            if let Some(end) = ends_at_ms {
                let _ = write!(text, "; planned end at {end}");
            }
            if lost_ms.0 > 0.0 {
                let _ = write!(text, "; {lost_ms} of work lost so far");
            }
            text
        }
        MoveEvent::Warning { message } => format!("warning: {message}"),
        MoveEvent::Ended { outcome } => match &outcome.error {
            Some(error) => format!("ended: {}: {error}", outcome.place),
            None => format!("ended: {}", outcome.place),
        },
        MoveEvent::Progress { .. } => return None,
    })
}
