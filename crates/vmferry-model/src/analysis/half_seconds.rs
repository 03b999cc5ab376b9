//! Pages dirtied per half second over time (`liu2011` 5.2, second
//! measurement: peek and clear every 0.5 s).

use vmferry_core::PageHistory;

use super::dirtied::{Dirtied, Estimate, look_us, nearest_look};

/// Half a second, in microseconds.
const HALF_SECOND_US: f64 = 500_000.0;

/// Unique memory dirtied within each half second of a history. A half second
/// lasts from the look nearest to its start to the one nearest to its end; a
/// gap that swallows several of them is shared out evenly. What is left at the
/// end, less than 0.45 s, is dropped. Empty where looks are, on average, more
/// than 250 ms apart.
pub fn dirtied_per_half_second(history: &PageHistory) -> Vec<Estimate> {
    let window = history.window_us() as f64;
    let looks = history.intervals() as f64;
    if looks == 0.0 || window / looks > HALF_SECOND_US / 2.0 {
        return Vec::new();
    }
    let count = ((window + 0.1 * HALF_SECOND_US) / HALF_SECOND_US) as usize;
    let mut series = Vec::with_capacity(count);
    let (mut from, mut owed) = (0, 0);
    for end in 1..=count {
        owed += 1;
        let to = nearest_look(history, end as f64 * HALF_SECOND_US);
        // A look after a gap is nearest to ends that it lies far behind.
        let span = look_us(history, to) - look_us(history, from);
        let is_gap = span > (f64::from(owed) + 0.5) * HALF_SECOND_US;
        if to == from || is_gap && end < count {
            continue;
        }
        let mut dirtied = Dirtied::new(history);
        (from..to).for_each(|interval| dirtied.add(interval));
        let Estimate {
            bytes,
            standard_error,
        } = dirtied.estimate();
        let share = Estimate {
            bytes: bytes / f64::from(owed),
            standard_error: standard_error / f64::from(owed),
        };
        series.extend((0..owed).map(|_| share));
        (from, owed) = (to, 0);
    }
    series
}

#[cfg(test)]
mod tests {
    use super::*;
    use vmferry_core::{Pages, SampledPage};

    fn pages(count: u64, weight: f64) -> Vec<SampledPage> {
        (0..count)
            .map(|i| SampledPage {
                index: Pages(i * 8),
                weight,
                zero: false,
            })
            .collect()
    }

    #[test]
    fn counts_each_page_once_a_half_second() {
        let mut history = PageHistory::new(pages(10, 2.0));
        // Looks every 100 ms, some milliseconds late; page 0 always, another one each half second.
        for look in 1..=32u64 {
            let half = (look as usize - 1) / 5;
            history.push(look * 100_000 + look % 3 * 1000, [0, 1 + half]);
        }
        let series = dirtied_per_half_second(&history);
        // The last 0.2 s are dropped.
        assert_eq!(series.len(), 6);
        assert!(series.iter().all(|d| d.bytes == 2.0 * 2.0 * 4096.0));
        // Two lone pages among ten: the first has one clean neighbour, the others two.
        let error = |edges: f64| (edges * 2.0 * 1.0 / 2.0).sqrt() * 4096.0;
        assert_eq!(series[0].standard_error, error(1.0));
        assert_eq!(series[1].standard_error, error(3.0));
    }

    #[test]
    fn a_gap_is_shared_out_and_rare_looks_give_nothing() {
        let mut history = PageHistory::new(pages(6, 1.0));
        for look in 1..=10u64 {
            history.push(look * 50_000, [0]);
        }
        history.push(1_990_000, [0, 1, 2]);
        for look in 1..=20u64 {
            history.push(2_000_000 + look * 50_000, [0]);
        }
        let pages: Vec<f64> = dirtied_per_half_second(&history)
            .iter()
            .map(|d| d.bytes / 4096.0)
            .collect();
        assert_eq!(pages, [1.0, 1.0, 1.0, 1.0, 1.0, 1.0]);

        let mut rare = PageHistory::new(super::tests::pages(6, 1.0));
        for look in 1..=10u64 {
            rare.push(look * 400_000, [0]);
        }
        assert_eq!(dirtied_per_half_second(&rare), []);
    }
}
