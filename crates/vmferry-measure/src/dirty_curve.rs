//! The dirty curve U(t) of a page history: unique bytes dirtied within windows of every length.

use vmferry_core::{Bytes, CurvePoint, DirtyCurve, Millis, PAGE_SIZE, PageHistory, set_bits};

/// Points of a curve: nine a decade of window lengths.
const POINTS_PER_DECADE: f64 = 9.0;

/// Windows whose pages are counted one by one for the standard error; the mean uses all.
const WINDOWS_FOR_ERROR: usize = 400;

/// U(t) for windows from one interval to the whole history, log-spaced, each the mean over every
/// start; empty for a history without intervals.
///
/// A point's standard error combines that of the sample of pages (successive differences between
/// neighbouring strata, with the finite-population correction) and that of time (spread between
/// windows, of which only those that do not overlap count as independent). The curve never falls:
/// a longer window contains shorter ones, and where the mean over its fewer starts says otherwise,
/// the point is lifted.
#[must_use]
pub fn dirty_curve(history: &PageHistory) -> DirtyCurve {
    let unions = Unions::new(history);
    let weights = Weights::new(history);
    let neighbours = history.neighbours();
    let mut points: Vec<CurvePoint> = Vec::new();
    let mut relative_time_error = 0.0;
    for length in lengths(history.intervals()) {
        let measured = measure(
            history,
            &unions,
            &weights,
            &neighbours,
            length,
            relative_time_error,
        );
        relative_time_error = measured.relative_time_error;
        let bytes = |pages: f64| Bytes((pages * PAGE_SIZE.0 as f64).round() as u64);
        let before = points.last().map_or(Bytes(0), |p| p.dirtied_bytes);
        points.push(CurvePoint {
            window_ms: Millis(measured.window_us / 1e3),
            dirtied_bytes: bytes(measured.pages).max(before),
            standard_error_bytes: bytes(measured.standard_error),
        });
    }
    // Looks of uneven pace can make the mean length of few long windows fall short.
    points.dedup_by(|next, kept| next.window_ms.0 <= kept.window_ms.0);
    DirtyCurve { points }
}

/// U(t) of pages looked at quickly and others, more of them, looked at slowly: windows from one
/// slow interval on come from the latter, shorter ones from the former, scaled to meet them there
/// (the quick pages tell the shape, the many pages the size). The standard errors of the scaled
/// part add up those of both samples, which is more than they have in common.
#[must_use]
pub fn nested_dirty_curve(quick: &PageHistory, slow: Option<&PageHistory>) -> DirtyCurve {
    let short = dirty_curve(quick);
    let long = slow.map(dirty_curve).unwrap_or_default();
    let Some(join) = long.points.first().copied() else {
        return short;
    };
    let size = |bytes: Bytes| bytes.0 as f64;
    let met = size(short.dirtied_in(join.window_ms.duration()));
    let relative = |point: &CurvePoint| match size(point.dirtied_bytes) {
        0.0 => 0.0,
        dirtied => size(point.standard_error_bytes) / dirtied,
    };
    // Where the quick pages saw nothing, there is no shape to scale.
    let scale = if met > 0.0 {
        size(join.dirtied_bytes) / met
    } else {
        1.0
    };
    let mut points: Vec<CurvePoint> = short
        .points
        .iter()
        .filter(|point| point.window_ms.0 < join.window_ms.0)
        .map(|point| {
            let dirtied = size(point.dirtied_bytes) * scale;
            let error = dirtied * relative(point).hypot(relative(&join));
            CurvePoint {
                window_ms: point.window_ms,
                dirtied_bytes: Bytes(dirtied.round() as u64).min(join.dirtied_bytes),
                standard_error_bytes: Bytes(error.round() as u64),
            }
        })
        .collect();
    points.extend(long.points);
    DirtyCurve { points }
}

/// Window lengths in intervals: 1, 2, 3, ..., log-spaced, and the whole.
fn lengths(intervals: usize) -> Vec<usize> {
    let mut lengths = Vec::new();
    let mut step = 0;
    loop {
        let length = 10f64.powf(f64::from(step) / POINTS_PER_DECADE).round() as usize;
        if length >= intervals {
            break;
        }
        if lengths.last() != Some(&length) {
            lengths.push(length);
        }
        step += 1;
    }
    if intervals > 0 {
        lengths.push(intervals);
    }
    lengths
}

struct Measured {
    window_us: f64,
    pages: f64,
    standard_error: f64,
    relative_time_error: f64,
}

fn measure(
    history: &PageHistory,
    unions: &Unions,
    weights: &Weights,
    neighbours: &[(usize, usize)],
    length: usize,
    shorter_windows_time_error: f64,
) -> Measured {
    let starts = history.intervals() - length + 1;
    let every = starts.div_ceil(WINDOWS_FOR_ERROR);
    let mut row = vec![0; unions.words];
    let mut hits = vec![0u32; history.pages().len()];
    let (mut sum, mut squares, mut window_us, mut counted) = (0.0, 0.0, 0.0, 0u32);
    for start in 0..starts {
        unions.union(start, length, &mut row);
        let pages = weights.weigh(&row);
        sum += pages;
        squares += pages * pages;
        let (from, _) = history.interval_us(start);
        let (_, to) = history.interval_us(start + length - 1);
        window_us += (to - from) as f64;
        if start % every == 0 {
            counted += 1;
            for page in set_bits(row.iter().copied()) {
                hits[page] += 1;
            }
        }
    }
    let n = starts as f64;
    let mean = sum / n;
    let independent = history.intervals() as f64 / length as f64;
    let relative_time_error = if independent >= 2.0 && mean > 0.0 {
        let variance = (squares / n - mean * mean).max(0.0) * n / (n - 1.0).max(1.0);
        (variance / independent).sqrt() / mean
    } else {
        // One window alone shows no spread: it is at least as uncertain as shorter ones.
        shorter_windows_time_error
    };
    let page_error = page_error(history, neighbours, &hits, counted);
    Measured {
        window_us: window_us / n,
        pages: mean,
        standard_error: page_error.hypot(relative_time_error * mean),
        relative_time_error,
    }
}

/// Standard error from sampling one page a stratum.
fn page_error(
    history: &PageHistory,
    neighbours: &[(usize, usize)],
    hits: &[u32],
    windows: u32,
) -> f64 {
    let dirty = |at: usize| f64::from(hits[at]) / f64::from(windows.max(1));
    let mut variance = 0.0;
    for (one, other) in neighbours {
        // A stratum watched whole has no sampling error; neighbours of other blocks are no guide,
        // and there are too few of those to matter.
        let pages = history.pages();
        let weight = (pages[*one].weight + pages[*other].weight) / 2.0;
        let difference = dirty(*one) - dirty(*other);
        variance += weight * (weight - 1.0).max(0.0) * difference * difference / 2.0;
    }
    variance.sqrt()
}

/// Unions of 1, 2, 4, ... consecutive intervals: any window is the union of two of them.
struct Unions {
    words: usize,
    /// By power of two; rows one after the other.
    levels: Vec<Vec<u64>>,
}

impl Unions {
    fn new(history: &PageHistory) -> Self {
        let words = history.pages().len().div_ceil(64);
        let intervals = history.intervals();
        let mut levels = Vec::new();
        if intervals > 0 {
            levels.push(
                (0..intervals)
                    .flat_map(|i| history.row(i).to_vec())
                    .collect(),
            );
        }
        let mut span = 1;
        while span * 2 <= intervals {
            let below: &Vec<u64> = &levels[levels.len() - 1];
            let level = below[..(intervals - 2 * span + 1) * words]
                .iter()
                .zip(&below[span * words..])
                .map(|(a, b)| a | b)
                .collect();
            levels.push(level);
            span *= 2;
        }
        Self { words, levels }
    }

    fn union(&self, start: usize, length: usize, row: &mut [u64]) {
        let power = length.ilog2() as usize;
        let level = &self.levels[power];
        let first = &level[start * self.words..][..self.words];
        let last = &level[(start + length - (1 << power)) * self.words..][..self.words];
        for ((bits, a), b) in row.iter_mut().zip(first).zip(last) {
            *bits = a | b;
        }
    }
}

/// Pages grouped by weight: a stratified sample has few different ones, so that a row is weighed
/// by counting bits.
struct Weights {
    groups: Vec<(f64, Vec<(usize, u64)>)>,
}

impl Weights {
    fn new(history: &PageHistory) -> Self {
        let mut order: Vec<usize> = (0..history.pages().len()).collect();
        let weight = |page: usize| history.pages()[page].weight;
        order.sort_by(|a, b| weight(*a).total_cmp(&weight(*b)).then(a.cmp(b)));
        let mut groups: Vec<(f64, Vec<(usize, u64)>)> = Vec::new();
        for page in order {
            if groups.last().is_none_or(|(w, _)| *w != weight(page)) {
                groups.push((weight(page), Vec::new()));
            }
            let Some((_, masks)) = groups.last_mut() else {
                continue;
            };
            let (word, bit) = (page / 64, 1 << (page % 64));
            match masks.last_mut() {
                Some((last, mask)) if *last == word => *mask |= bit,
                _ => masks.push((word, bit)),
            }
        }
        Self { groups }
    }

    fn weigh(&self, row: &[u64]) -> f64 {
        self.groups
            .iter()
            .map(|(weight, masks)| {
                let pages: u32 = masks
                    .iter()
                    .map(|(word, mask)| (row[*word] & mask).count_ones())
                    .sum();
                weight * f64::from(pages)
            })
            .sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use vmferry_core::{Pages, SampledPage};

    fn history(weights: &[f64], rows: &[Vec<usize>]) -> PageHistory {
        let pages = weights
            .iter()
            .enumerate()
            .map(|(i, weight)| SampledPage {
                index: Pages(i as u64 * 100),
                weight: *weight,
                zero: false,
            })
            .collect();
        let mut history = PageHistory::new(pages);
        for (i, row) in rows.iter().enumerate() {
            history.push((i as u64 + 1) * 25_000, row.iter().copied());
        }
        history
    }

    #[test]
    fn counts_unique_pages_by_hand() {
        // Page 0 in every interval, page 1 in every other.
        let rows: Vec<Vec<usize>> = (0..4)
            .map(|i| if i % 2 == 0 { vec![0, 1] } else { vec![0] })
            .collect();
        let curve = dirty_curve(&history(&[1.0, 3.0], &rows));
        let pages: Vec<(f64, f64)> = curve
            .points
            .iter()
            .map(|p| (p.window_ms.0, p.dirtied_bytes.0 as f64 / 4096.0))
            .collect();
        assert_eq!(pages, [(25.0, 2.5), (50.0, 4.0), (75.0, 4.0), (100.0, 4.0)]);
    }

    #[test]
    fn nothing_seen_gives_no_curve_and_nothing_dirtied_a_flat_one() {
        assert!(dirty_curve(&history(&[1.0], &[])).points.is_empty());
        let flat = dirty_curve(&history(&[1.0; 70], &[vec![], vec![], vec![]]));
        assert!(
            flat.points
                .iter()
                .all(|p| p.dirtied_bytes.0 == 0 && p.standard_error_bytes.0 == 0)
        );
        assert_eq!(flat.points.len(), 3);
    }

    #[test]
    fn lengths_are_log_spaced_and_end_with_the_whole() {
        let lengths = lengths(400);
        assert_eq!(lengths[..4], [1, 2, 3, 4]);
        assert_eq!(lengths.last(), Some(&400));
        assert!(lengths.windows(2).all(|l| l[0] < l[1]) && lengths.len() < 30);
    }

    proptest! {
        #[test]
        fn agrees_with_counting_pages_one_by_one(
            rows in prop::collection::vec(prop::collection::vec(0usize..130, 0..20), 1..40),
            weights in prop::collection::vec(prop::sample::select(vec![1.0, 2.0, 7.0]), 130),
        ) {
            let history = history(&weights, &rows);
            let curve = dirty_curve(&history);
            let mut before = 0.0f64;
            for (length, point) in lengths(rows.len()).into_iter().zip(&curve.points) {
                let starts = rows.len() - length + 1;
                let total: f64 = (0..starts)
                    .map(|start| {
                        (0..130)
                            .filter(|page| (start..start + length).any(|i| history.is_dirty(i, *page)))
                            .map(|page| weights[page])
                            .sum::<f64>()
                    })
                    .sum();
                before = before.max(total / starts as f64 * 4096.0);
                prop_assert!((point.dirtied_bytes.0 as f64 - before).abs() <= 1.0);
            }
        }
    }

    #[test]
    fn two_paces_make_one_curve() {
        // 16 quick pages stand for 10 each, of which 4 are dirty all the time; of 100 slow ones for
        // 1.6 each, 30 are.
        let quick = history(&[10.0; 16], &vec![vec![0, 4, 8, 12]; 40]);
        let mut slow = PageHistory::new(
            (0..100)
                .map(|i| SampledPage {
                    index: Pages(i),
                    weight: 1.6,
                    zero: false,
                })
                .collect(),
        );
        for look in 1..=4 {
            slow.push(look * 250_000, 0..30);
        }
        let curve = nested_dirty_curve(&quick, Some(&slow));
        assert_eq!(nested_dirty_curve(&quick, None), dirty_curve(&quick));
        assert!(
            curve
                .points
                .windows(2)
                .all(|p| p[0].window_ms.0 < p[1].window_ms.0)
        );
        assert_eq!(curve.points[0].window_ms, Millis(25.0));
        // Every point has the size that the many pages show.
        assert!(
            curve
                .points
                .iter()
                .all(|p| p.dirtied_bytes == Bytes(48 * 4096))
        );
        let last = curve.points.len() - 1;
        let error = |at: usize| curve.points[at].standard_error_bytes;
        assert!(error(0) > error(last));
        let idle = nested_dirty_curve(&history(&[10.0; 16], &vec![vec![]; 40]), Some(&slow));
        assert_eq!(idle.points[0].dirtied_bytes, Bytes(0));
    }

    /// Many samples of the same guest: their scatter is what the standard error claims to be.
    #[test]
    fn the_standard_error_is_the_scatter_of_repeats() {
        use rand::{Rng, SeedableRng, rngs::SmallRng};
        // 16384 pages in 1024 strata; a hot quarter, written once in 0.3 s on average, and a cold
        // half, once in 20 s, in pieces of 300 pages.
        let chance = |page: usize| match page / 300 % 4 {
            0 => 1.0 - (-0.025f64 / 0.3).exp(),
            1 | 2 => 1.0 - (-0.025f64 / 20.0).exp(),
            _ => 0.0,
        };
        let repeats: Vec<DirtyCurve> = (0..40)
            .map(|seed| {
                let mut random = SmallRng::seed_from_u64(seed);
                let pages: Vec<usize> = (0..1024)
                    .map(|stratum| stratum * 16 + random.random_range(0..16))
                    .collect();
                let rows: Vec<Vec<usize>> = (0..160)
                    .map(|_| {
                        (0..1024)
                            .filter(|at| random.random_bool(chance(pages[*at])))
                            .collect()
                    })
                    .collect();
                dirty_curve(&history(&[16.0; 1024], &rows))
            })
            .collect();
        for at in 0..repeats[0].points.len() {
            let dirtied: Vec<f64> = repeats
                .iter()
                .map(|curve| curve.points[at].dirtied_bytes.0 as f64)
                .collect();
            let mean = dirtied.iter().sum::<f64>() / 40.0;
            let scatter = (dirtied.iter().map(|d| (d - mean).powi(2)).sum::<f64>() / 39.0).sqrt();
            let claimed = repeats
                .iter()
                .map(|curve| curve.points[at].standard_error_bytes.0 as f64)
                .sum::<f64>()
                / 40.0;
            let window = repeats[0].points[at].window_ms;
            let ratio = claimed / scatter;
            assert!((0.9..2.2).contains(&ratio), "{window}: {ratio}");
        }
    }

    #[test]
    fn the_standard_error_covers_the_truth() {
        // Half of all pages are dirty, at random: 1000 strata of 16 pages each. The error of an
        // estimate from one page a stratum is known: 16 * sqrt(1000 * 1/4 * 15/16).
        use rand::{Rng, SeedableRng, rngs::SmallRng};
        let mut random = SmallRng::seed_from_u64(3);
        let dirty: Vec<usize> = (0..1000).filter(|_| random.random_bool(0.5)).collect();
        let curve = dirty_curve(&history(&[16.0; 1000], &[dirty]));
        let expected = 16.0 * (1000.0f64 * 0.25 * 15.0 / 16.0).sqrt() * 4096.0;
        let got = curve.points[0].standard_error_bytes.0 as f64;
        assert!((got / expected - 1.0).abs() < 0.05, "{got} {expected}");
    }
}
