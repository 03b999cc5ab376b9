//! How much a guest that does not write evenly may write after the window.
//!
//! A guest that drifts within the window ([`stationarity`](super::stationarity)) does something else during the move than it did on average
//! while watched. What, no window tells: it may go on as it changed, stay where it ended, or turn
//! back. So a forecast draws from all of that, leaning towards the trend.

use vmferry_core::{PageHistory, Stationarity};

use super::half_seconds::dirtied_per_half_second;
use super::stationarity::stationarity;

/// Greatest change over a window that is believed, as a logarithm: a factor of three either way.
const MOST: f64 = 1.1;

/// Where a move may lie on the line through the window's change, in windows from its middle:
/// turned back by half a window, at its end (half a window on), or gone on for another half.
const REACH: (f64, f64) = (-0.5, 1.0);

/// Change of the memory dirtied per half second from the beginning of the window to its end, as a
/// logarithm; `None` for a guest that writes evenly, or was seen too shortly to say. (A guest that
/// goes round writes evenly where thirds of the window hold whole rounds.)
pub(crate) fn drift(history: &PageHistory) -> Option<f64> {
    let series = dirtied_per_half_second(history);
    let dirtied: Vec<f64> = series.iter().map(|d| d.bytes).collect();
    if stationarity(&dirtied) != Ok(Stationarity::Drifting) {
        return None;
    }
    let third = dirtied.len() / 3;
    let mean = |part: &[f64]| part.iter().sum::<f64>() / part.len() as f64;
    // The middles of the first and the last third are two thirds of a window apart.
    let begin = mean(&dirtied[..third]);
    let end = mean(&dirtied[dirtied.len() - third..]);
    let whole = mean(&dirtied);
    // A silent third says "far less", not "infinitely less".
    let change = (end.max(whole / 10.0) / begin.max(whole / 10.0)).ln() * 1.5;
    Some(change.clamp(-MOST, MOST))
}

/// Dirt during the move over dirt on average while watched, for a place 0..1 within what is
/// thought possible.
pub(crate) fn factor(change: f64, place: f64) -> f64 {
    (change * (REACH.0 + (REACH.1 - REACH.0) * place)).exp()
}

#[cfg(test)]
mod tests {
    use vmferry_core::SampledPage;

    use super::*;

    /// Sixty half seconds, in each of which `pages` of a thousand pages are written.
    fn history(pages: impl Fn(usize) -> usize) -> PageHistory {
        let sampled = (0..1000).map(|index| SampledPage {
            index: vmferry_core::Pages(index),
            weight: 1.0,
            zero: false,
        });
        let mut history = PageHistory::new(sampled.collect());
        let mut next = 0;
        for look in 0..120 {
            // Half of them at each of two looks.
            let written = pages(look / 2).div_ceil(2);
            history.push(
                (look as u64 + 1) * 250_000,
                (0..written).map(|i| (next + i) % 1000),
            );
            next += written;
        }
        history
    }

    #[test]
    fn growth_is_seen_and_leant_towards() {
        let change = drift(&history(|i| 20 + i)).expect("it drifts");
        assert!((0.9..=1.1).contains(&change), "{change}");
        assert!(factor(change, 1.0) > 2.0 && factor(change, 0.0) < 0.7);
        assert!(factor(change, 0.5) > 1.0);
        let falling = drift(&history(|i| 80 - i)).expect("it drifts");
        assert!(falling < -0.9, "{falling}");
    }

    #[test]
    fn even_and_periodic_guests_do_not_drift() {
        assert_eq!(drift(&history(|_| 40)), None);
        assert_eq!(drift(&history(|i| if i % 10 < 4 { 80 } else { 10 })), None);
    }
}
