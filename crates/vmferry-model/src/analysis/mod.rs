//! How a guest writes: what an observation of it shows, and what it does not.
//!
//! ```text
//! PageHistory ─┬─> half seconds ──> stationarity, trend
//!              ├─> peek curve ────> working set
//!              ├─> rhythm ────────> period
//!              └─> drift: how much else it may write during the move
//! DirtyCurve ────> curve fit: U(t) beyond the window
//! ```

pub mod curve_fit;
mod dirtied;
pub(crate) mod drift;
pub mod half_seconds;
pub(crate) mod least_squares;
pub mod peek_curve;
pub mod period;
pub mod stationarity;
pub mod working_set;

use dirtied::Dirtied;
use vmferry_core::{Analysis, Bytes, Observation, PageHistory};

/// How much a few pages, looked at quickly, have to be scaled for all they saw
/// dirtied to be what `slow`, more pages, saw dirtied; 1 where either saw
/// nothing.
fn scale_to(slow: &PageHistory, quick: &PageHistory) -> f64 {
    let whole = |history: &PageHistory| {
        let mut dirtied = Dirtied::new(history);
        (0..history.intervals()).for_each(|interval| dirtied.add(interval));
        dirtied.estimate().bytes
    };
    match (whole(slow), whole(quick)) {
        (of_slow, of_quick) if of_slow > 0.0 && of_quick > 0.0 => of_slow / of_quick,
        _ => 1.0,
    }
}

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

    let slow = observation.slow_page_history.as_ref();
    let scale = slow.map_or(1.0, |slow| scale_to(slow, history));
    let scaled = |bytes: Bytes| Bytes((bytes.0 as f64 * scale).round() as u64);
    analysis.peek_curve = peek_curve::peek_curve(history);
    for point in &mut analysis.peek_curve {
        point.dirtied_bytes = scaled(point.dirtied_bytes);
        point.standard_error_bytes = scaled(point.standard_error_bytes);
    }
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
    analysis.trend_bytes_per_s2 = stationarity::trend(&dirtied).map(|trend| trend * scale);
    analysis.dirtied_per_half_second = series.iter().map(|d| scaled(d.size())).collect();
    analysis.dirtied_per_half_second_standard_error_bytes = series
        .iter()
        .map(|d| scaled(d.standard_error_size()))
        .collect();

    if let Some(period) = period::period(history) {
        analysis.period_ms = Some(period.length.into());
        analysis.period_autocorrelation = Some(period.autocorrelation);
    }
    analysis
}
