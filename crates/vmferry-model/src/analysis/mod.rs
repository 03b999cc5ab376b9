//! How a guest writes: what an observation of it shows, and what it does not.
//!
//! ```text
//! PageHistory ─┬─> half seconds ──> stationarity, trend
//!              ├─> peek curve ────> working set
//!              └─> rhythm ────────> period
//! DirtyCurve ────> curve fit: U(t) beyond the window
//! ```

pub mod curve_fit;
mod dirtied;
pub mod half_seconds;
mod least_squares;
pub mod peek_curve;
pub mod period;
pub mod stationarity;
pub mod working_set;

use vmferry_core::{Analysis, Observation};

/// Reads an observation. Where pages could not be read, only the fitted curve
/// is known.
pub fn analyse(observation: &Observation) -> Analysis {
    let total = observation.page_mix.total_pages.bytes();
    let mut analysis = Analysis {
        fitted_curve: curve_fit::extended(&observation.dirty_curve, total),
        ..Analysis::default()
    };
    let Some(history) = &observation.page_history else {
        let why = "the guest's pages were not read, only QEMU's estimates of its dirty rate";
        analysis.working_set_unknown = Some(why.to_owned());
        analysis.stationarity_unknown = Some(why.to_owned());
        return analysis;
    };

    analysis.peek_curve = peek_curve::peek_curve(history);
    let slow = observation.slow_page_history.as_ref();
    match working_set::working_set(history, slow) {
        Ok(set) => {
            analysis.working_set_bytes = Some(set.size);
            analysis.working_set_standard_error_bytes = Some(set.standard_error);
            analysis.working_set_reached_ms = Some(set.reached.into());
        }
        Err(unknown) => analysis.working_set_unknown = Some(unknown.to_string()),
    }

    let series = half_seconds::dirtied_per_half_second(history);
    let dirtied: Vec<f64> = series.iter().map(|d| d.bytes).collect();
    match stationarity::stationarity(&dirtied) {
        Ok(verdict) => analysis.stationarity = verdict,
        Err(unknown) => analysis.stationarity_unknown = Some(unknown.to_string()),
    }
    analysis.trend_bytes_per_s2 = stationarity::trend(&dirtied);
    analysis.dirtied_per_half_second = series.iter().map(dirtied::Estimate::size).collect();
    analysis.dirtied_per_half_second_standard_error_bytes = series
        .iter()
        .map(dirtied::Estimate::standard_error_size)
        .collect();

    if let Some(period) = period::period(history) {
        analysis.period_ms = Some(period.length.into());
        analysis.period_autocorrelation = Some(period.autocorrelation);
    }
    analysis
}
