//! How a guest is recorded.

use std::time::Duration;

use vmferry_core::Ratio;

use crate::MeasureError;
use crate::pages::{bad_option, check_budget};

/// How a guest is recorded.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RecordOptions {
    /// Time from look to look; 100 ms by default, at least 1 ms.
    pub interval: Duration,
    /// How long; 60 s by default, at least one interval.
    pub duration: Duration,
    /// Which pages.
    pub pages: PageChoice,
    /// Most of one core that recording may take, 0..1; 20 % by default.
    pub budget: Ratio,
    /// Draws the pages of a subset: the same seed draws the same.
    pub seed: u64,
}

/// Which pages are recorded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PageChoice {
    /// The whole guest where the budget allows a look at all of it every interval; else a random
    /// subset as large as the budget allows.
    #[default]
    Affordable,
    /// The whole guest. Where the budget does not allow a look every interval, intervals are
    /// longer.
    All,
    /// A random subset of about that size, or the whole guest where it is no larger. Where the
    /// budget does not allow a look every interval, intervals are longer.
    Count(u64),
}

impl Default for RecordOptions {
    fn default() -> Self {
        Self {
            interval: Duration::from_millis(100),
            duration: Duration::from_secs(60),
            pages: PageChoice::default(),
            budget: Ratio(0.2),
            seed: 0x766d_6665_7272_7921,
        }
    }
}

impl RecordOptions {
    pub(crate) fn check(&self) -> Result<(), MeasureError> {
        let bad = |option, problem| Err(bad_option(option, problem));
        if self.interval < Duration::from_millis(1) {
            return bad("interval", "is below 1 ms; 100 ms is usual");
        }
        if self.duration < self.interval {
            return bad("duration", "is shorter than one interval; 60 s is usual");
        }
        if self.pages == PageChoice::Count(0) {
            return bad("pages", "is 0; 4096 is a good subset");
        }
        check_budget(self.budget)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn absurd_options_are_refused() {
        let good = RecordOptions::default();
        good.check().unwrap();
        for (bad, option) in [
            (
                RecordOptions {
                    interval: Duration::ZERO,
                    ..good
                },
                "interval",
            ),
            (
                RecordOptions {
                    duration: Duration::from_millis(99),
                    ..good
                },
                "duration",
            ),
            (
                RecordOptions {
                    pages: PageChoice::Count(0),
                    ..good
                },
                "pages",
            ),
            (
                RecordOptions {
                    budget: Ratio(f64::NAN),
                    ..good
                },
                "budget",
            ),
        ] {
            let text = bad.check().unwrap_err().to_string();
            assert!(text.starts_with(option), "{text}");
        }
    }
}
