//! What was seen of a guest before a forecast. Raw: fits are the model's.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::dirty_curve::DirtyCurve;
use crate::guest::{GuestInfo, HostInfo};
use crate::page_history::PageHistory;
use crate::page_mix::PageMix;
use crate::units::{Millis, Pages, Ratio};

/// One observation of one guest.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Observation {
    /// When it began.
    pub started_at: jiff::Timestamp,
    /// How it was made.
    pub method: ObservationMethod,
    /// The guest.
    pub guest: GuestInfo,
    /// The host it ran on.
    pub host: HostInfo,
    /// Length of the window.
    pub window_ms: Millis,
    /// When the last look at the pages was taken; `None` where pages were not looked at. Some time
    /// after `started_at` and the window, since memory is counted first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window_ended_at: Option<jiff::Timestamp>,
    /// The dirty curve U(t), of everything a migration sends.
    pub dirty_curve: DirtyCurve,
    /// Zero and other pages.
    pub page_mix: PageMix,
    /// Which sampled pages were dirtied when; `None` where pages could not
    /// be read.
    pub page_history: Option<PageHistory>,
    /// The same window over more pages at a slower pace, where the budget
    /// allows quick looks at few pages only. Its pages are drawn apart from
    /// those of [`Self::page_history`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slow_page_history: Option<PageHistory>,
    /// Share of its virtual CPUs that the guest used, 0..1; `None` where the
    /// threads cannot be seen.
    pub vcpu_use: Option<Ratio>,
    /// What the observation cost.
    pub cost: ObservationCost,
    /// What the reader should know, each a sentence.
    pub notes: Vec<String>,
}

/// How an observation was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ObservationMethod {
    /// A sample of pages hashed from outside the guest.
    PageHash,
    /// QMP `calc-dirty-rate` over several windows.
    CalcDirtyRate,
}

/// What an observation cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ObservationCost {
    /// Pages sampled.
    pub pages: Pages,
    /// Looks at each of them.
    pub looks: u64,
    /// Share of one core used by observing, 0..1.
    pub cpu: Ratio,
}

/// An observation without its bulk: what a forecast says it is based on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ObservationSummary {
    /// When it began.
    pub started_at: jiff::Timestamp,
    /// How it was made.
    pub method: ObservationMethod,
    /// Length of the window.
    pub window_ms: Millis,
    /// Pages sampled.
    pub pages: Pages,
    /// What it cost.
    pub cost: ObservationCost,
    /// Memory the migration will send in its first pass.
    pub migrated_pages: Pages,
    /// Share of zero pages.
    pub zero: Option<Ratio>,
    /// Mean dirty rate over one second, bytes per second.
    pub dirty_rate_1s_bytes_per_s: f64,
    /// Mean dirty rate over the whole window, bytes per second.
    pub dirty_rate_window_bytes_per_s: f64,
    /// Share of its virtual CPUs that the guest used.
    pub vcpu_use: Option<Ratio>,
    /// What the reader should know, each a sentence.
    pub notes: Vec<String>,
}

impl Observation {
    /// The same without knowing which pages are dirtied: what models of the dirty curve look at.
    #[must_use]
    pub fn without_pages(&self) -> Self {
        Self {
            started_at: self.started_at,
            method: self.method,
            guest: self.guest.clone(),
            host: self.host.clone(),
            window_ms: self.window_ms,
            window_ended_at: self.window_ended_at,
            dirty_curve: self.dirty_curve.clone(),
            page_mix: self.page_mix.clone(),
            page_history: None,
            slow_page_history: None,
            vcpu_use: self.vcpu_use,
            cost: self.cost,
            notes: self.notes.clone(),
        }
    }

    /// This observation without its bulk.
    pub fn summary(&self) -> ObservationSummary {
        ObservationSummary {
            started_at: self.started_at,
            method: self.method,
            window_ms: self.window_ms,
            pages: self.cost.pages,
            cost: self.cost,
            migrated_pages: self.page_mix.total_pages,
            zero: self.page_mix.zero,
            dirty_rate_1s_bytes_per_s: self
                .dirty_curve
                .rate_over(std::time::Duration::from_secs(1))
                .0,
            dirty_rate_window_bytes_per_s: match self.window_ms.duration() {
                window if window.is_zero() => 0.0,
                window => self.dirty_curve.rate_over(window).0,
            },
            vcpu_use: self.vcpu_use,
            notes: self.notes.clone(),
        }
    }
}
