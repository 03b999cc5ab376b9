//! The peek curve: unique memory dirtied since the window's start (`liu2011`
//! 5.2, first measurement: peek without clearing every 50 ms for 60 s).

use std::time::Duration;

use vmferry_core::{CurvePoint, Millis, PageHistory};

use super::dirtied::{Dirtied, look_us, nearest_look};

/// Time from peek to peek.
pub const PEEK: Duration = Duration::from_millis(50);

/// Most points of a curve: a minute of peeks.
pub const MOST_POINTS: usize = 1200;

/// Unique memory dirtied from the window's start to the looks nearest to every
/// [`PEEK`], or in windows with more than [`MOST_POINTS`] of them every
/// multiple of it that gives no more. `window_ms` of a point is the time from
/// the start; its standard error is that of the sample of pages.
pub fn peek_curve(history: &PageHistory) -> Vec<CurvePoint> {
    let window = history.window_us() as f64;
    let peek = PEEK.as_micros() as f64;
    let every = (window / peek / MOST_POINTS as f64).ceil().max(1.0) * peek;
    let mut dirtied = Dirtied::new(history);
    let mut points = Vec::new();
    let mut done = 0;
    let mut due = every;
    while done < history.intervals() {
        let look = nearest_look(history, due);
        due += every;
        if look == done {
            continue;
        }
        (done..look).for_each(|interval| dirtied.add(interval));
        done = look;
        let estimate = dirtied.estimate();
        points.push(CurvePoint {
            window_ms: Millis(look_us(history, look) / 1e3),
            dirtied_bytes: estimate.size(),
            standard_error_bytes: estimate.standard_error_size(),
        });
    }
    points
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use vmferry_core::{Pages, SampledPage};

    fn history(looks: u64, step_us: u64, dirty: impl Fn(u64) -> Vec<usize>) -> PageHistory {
        let page = |i| SampledPage {
            index: Pages(i),
            weight: 1.0,
            zero: false,
        };
        let mut history = PageHistory::new((0..100).map(page).collect());
        (1..=looks).for_each(|look| history.push(look * step_us, dirty(look)));
        history
    }

    #[test]
    fn peeks_every_50_ms_and_a_minute_s_worth_at_most() {
        let short = peek_curve(&history(81, 25_000, |look| vec![look as usize % 100]));
        assert_eq!(short.len(), 41);
        assert_eq!(short[0].window_ms, Millis(50.0));
        assert_eq!(short[0].dirtied_bytes.pages(), Pages(2));
        assert_eq!(short[40].window_ms, Millis(2025.0));
        let long = peek_curve(&history(6001, 25_000, |_| vec![0]));
        assert_eq!((long.len(), long[0].window_ms), (1001, Millis(150.0)));
        assert_eq!(peek_curve(&history(0, 1, |_| vec![])), []);
    }

    proptest! {
        #[test]
        fn never_falls_and_ends_with_the_window(looks in 1u64..300, step in 5_000u64..400_000) {
            let history = history(looks, step, |look| vec![(look * look % 89) as usize]);
            let points = peek_curve(&history);
            prop_assert!(points.windows(2).all(|p| p[0].window_ms.0 < p[1].window_ms.0
                && p[0].dirtied_bytes <= p[1].dirtied_bytes));
            let last = points.last().map(|p| p.window_ms.0);
            prop_assert_eq!(last, Some(history.window_us() as f64 / 1e3));
        }
    }
}
