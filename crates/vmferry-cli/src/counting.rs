//! Progress of work that is counted, on standard error.

use std::io::{self, IsTerminal as _};
use std::sync::{Mutex, PoisonError};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle as BarStyle};

use crate::args::{Global, ProgressStyle};
use crate::progress::say;

/// Plain progress is said so often, in percent.
const EVERY_PERCENT: usize = 10;

/// Shows how far some work is: a bar, or a line every tenth.
pub(crate) struct Counting {
    bar: Option<ProgressBar>,
    plain: bool,
    /// What was said last: which work, and how many percent.
    said: Mutex<(String, usize)>,
}

impl Counting {
    /// As the options say.
    pub(crate) fn new(global: &Global) -> Self {
        let style = match global.progress {
            ProgressStyle::Auto if io::stderr().is_terminal() => ProgressStyle::Bar,
            ProgressStyle::Auto => ProgressStyle::Plain,
            chosen => chosen,
        };
        let bar = (style == ProgressStyle::Bar).then(|| {
            let bar = ProgressBar::with_draw_target(Some(100), ProgressDrawTarget::stderr());
            if let Ok(template) = BarStyle::with_template("{elapsed:>5} {bar:30} {percent} % {msg}")
            {
                bar.set_style(template);
            }
            bar
        });
        Self {
            bar,
            plain: style == ProgressStyle::Plain,
            said: Mutex::default(),
        }
    }

    /// `done` of all pieces of `work` are done. Steps may come out of order;
    /// those that are behind are passed over.
    pub(crate) fn show(&self, work: &str, (done, of): (usize, usize)) {
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        let percent = done * 100 / of.max(1);
        let new = said.0 != work;
        if !new && percent <= said.1 {
            return;
        }
        if let Some(bar) = &self.bar {
            bar.set_position(percent as u64);
            bar.set_message(work.to_owned());
        }
        let tenth = |percent: usize| percent / EVERY_PERCENT;
        if self.plain && (new || tenth(percent) > tenth(said.1)) {
            say(&format!("{work}: {} %", tenth(percent) * EVERY_PERCENT));
        }
        *said = (work.to_owned(), percent);
    }

    /// Takes the bar away.
    pub(crate) fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
