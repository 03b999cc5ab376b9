//! One page history out of two: few pages looked at quickly, many slowly.
//!
//! Under a small budget a guest is watched at two paces
//! ([`Observation::slow_page_history`](vmferry_core::Observation)). The few pages tell when within
//! a second something is written, but each stands for a large piece of memory; the many tell which
//! pages are written in which second, but not when within it. The merged history has the many
//! pages at the quick pace: where a slow page changed between two slow looks, it takes the quick
//! looks of a *donor*, a quick page that changed in the same interval, wrote about as often over
//! the whole window and lies near. So what is known of every page stays true, and what is not
//! known (when within the interval) is drawn from pages that were seen. A page has several donors,
//! taken in turn, lest many pages be written at one instant because they share one.

use vmferry_core::{Observation, PageHistory, scattered};

/// Donors a page takes in turn.
const DONORS: usize = 8;
/// Weight of a donor's distance, as a share of memory, against the difference of the shares of
/// intervals in which the two are written.
const DISTANCE_WEIGHT: f64 = 0.25;

/// An observation at two paces with its page histories merged, as every forecast begins by doing:
/// for those who make many of the same one. Others come back as they are.
#[must_use]
pub fn at_one_pace(mut observation: Observation) -> Observation {
    let histories = (&observation.page_history, &observation.slow_page_history);
    if let (Some(quick), Some(slow)) = histories
        && let Some(merged) = merged(quick, slow)
    {
        observation.page_history = Some(merged);
        observation.slow_page_history = None;
    }
    observation
}

/// The pages of `slow` at the pace of `quick`, over the window that both cover; `None` where
/// either holds nothing.
pub(crate) fn merged(quick: &PageHistory, slow: &PageHistory) -> Option<PageHistory> {
    let paces = Paces::new(quick, slow)?;
    let (quick_share, slow_share) = (
        written_share(quick.pages().len(), &paces.quick_dirty),
        written_share(slow.pages().len(), &paces.slow_dirty),
    );
    let end = slow.pages().last().zip(quick.pages().last())?;
    let memory = (end.0.index.0.max(end.1.index.0) + 1) as f64;

    let rows = paces.spans.last()?.1;
    let mut dirty: Vec<Vec<usize>> = vec![Vec::new(); rows];
    let mut order: Vec<(f64, usize)> = Vec::with_capacity(quick.pages().len());
    for (page, sampled) in slow.pages().iter().enumerate() {
        if slow_share[page] == 0.0 {
            continue;
        }
        order.clear();
        order.extend(quick.pages().iter().enumerate().map(|(donor, other)| {
            let apart = sampled.index.0.abs_diff(other.index.0) as f64 / memory;
            let unlike = (slow_share[page] - quick_share[donor]).abs();
            (unlike + DISTANCE_WEIGHT * apart, donor)
        }));
        order.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
        for (interval, (from, to)) in paces.spans.iter().copied().enumerate() {
            if !paces.slow_dirty[interval][page] {
                continue;
            }
            let turn = (scattered(page as u64, interval as u64) >> 40) as usize;
            let near: Vec<usize> = order
                .iter()
                .map(|(_, donor)| *donor)
                .filter(|donor| paces.quick_dirty[interval][*donor])
                .take(DONORS)
                .collect();
            if near.is_empty() {
                dirty[from + turn % (to - from)].push(page);
                continue;
            }
            let donor = near[turn % near.len()];
            for (row, pages) in (from..to).zip(&mut dirty[from..to]) {
                if quick.is_dirty(row, donor) {
                    pages.push(page);
                }
            }
        }
    }
    let mut history = PageHistory::new(slow.pages().to_vec());
    for (row, pages) in dirty.into_iter().enumerate() {
        history.push(quick.interval_us(row).1, pages);
    }
    Some(history)
}

/// Both histories cut into the slow one's intervals.
struct Paces {
    /// The quick intervals of each slow one, first and one past the last.
    spans: Vec<(usize, usize)>,
    /// By slow interval and page: whether it was written.
    quick_dirty: Vec<Vec<bool>>,
    slow_dirty: Vec<Vec<bool>>,
}

impl Paces {
    fn new(quick: &PageHistory, slow: &PageHistory) -> Option<Self> {
        let mut spans = Vec::new();
        let mut slow_intervals = Vec::new();
        let mut from = 0;
        for interval in 0..slow.intervals() {
            let end = slow.interval_us(interval).1;
            // A quick interval belongs where its middle lies.
            let middle = |row: usize| {
                let (start, end) = quick.interval_us(row);
                start.midpoint(end)
            };
            let to = (from..quick.intervals())
                .find(|row| middle(*row) >= end)
                .unwrap_or(quick.intervals());
            if to > from {
                spans.push((from, to));
                slow_intervals.push(interval);
            }
            from = to;
        }
        if spans.is_empty() {
            return None;
        }
        let quick_dirty = spans
            .iter()
            .map(|(from, to)| {
                let written = |page| (*from..*to).any(|row| quick.is_dirty(row, page));
                (0..quick.pages().len()).map(written).collect()
            })
            .collect();
        let slow_dirty = slow_intervals
            .iter()
            .map(|interval| {
                (0..slow.pages().len())
                    .map(|page| slow.is_dirty(*interval, page))
                    .collect()
            })
            .collect();
        Some(Self {
            spans,
            quick_dirty,
            slow_dirty,
        })
    }
}

/// Share of the intervals in which each page is written.
fn written_share(pages: usize, dirty: &[Vec<bool>]) -> Vec<f64> {
    (0..pages)
        .map(|page| dirty.iter().filter(|row| row[page]).count() as f64 / dirty.len() as f64)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::draws::Draws;
    use vmferry_core::{Pages, SampledPage};

    /// Of 64 Ki pages every `step`-th, each standing for as many.
    fn sample(step: u64) -> Vec<SampledPage> {
        (0..(1 << 16) / step)
            .map(|i| SampledPage {
                index: Pages(i * step),
                weight: step as f64,
                zero: false,
            })
            .collect()
    }

    /// The guest: a hot eighth written once in 0.2 s, a warm quarter once in 4 s, the rest never.
    /// `looks` of `period_ms` each.
    fn watched(step: u64, period_ms: u64, looks: u64, seed: u64) -> PageHistory {
        let mut draws = Draws::of_sample(seed, 0);
        let pages = sample(step);
        let mut history = PageHistory::new(pages.clone());
        for look in 1..=looks {
            let written: Vec<usize> = pages
                .iter()
                .enumerate()
                .filter(|(_, page)| {
                    let mean_s = match page.index.0 >> 13 {
                        0 => 0.2,
                        1 | 2 => 4.0,
                        _ => return false,
                    };
                    draws.uniform() < -(-(period_ms as f64) / 1e3 / mean_s).exp_m1()
                })
                .map(|(i, _)| i)
                .collect();
            history.push(look * period_ms * 1000, written);
        }
        history
    }

    /// Mean number of pages written at least once in windows of so many looks.
    fn unique(history: &PageHistory, looks: usize) -> f64 {
        let starts: Vec<usize> = (0..history.intervals() - looks).step_by(7).collect();
        let total: f64 = starts
            .iter()
            .map(|start| {
                (0..history.pages().len())
                    .filter(|p| (*start..start + looks).any(|row| history.is_dirty(row, *p)))
                    .map(|p| history.pages()[p].weight)
                    .sum::<f64>()
            })
            .sum();
        total / starts.len() as f64
    }

    #[test]
    fn keeps_what_the_slow_looks_know_and_the_pace_of_the_quick_ones() {
        let (quick, slow) = (watched(256, 50, 600, 1), watched(16, 1000, 30, 2));
        let merged = merged(&quick, &slow).unwrap();
        assert_eq!(merged.pages(), slow.pages());
        assert_eq!(merged.intervals(), quick.intervals());
        for interval in 0..slow.intervals() {
            for page in 0..slow.pages().len() {
                let rows = interval * 20..(interval + 1) * 20;
                let found = rows.clone().any(|row| merged.is_dirty(row, page));
                assert_eq!(found, slow.is_dirty(interval, page), "{interval} {page}");
            }
        }
    }

    #[test]
    fn short_windows_hold_as_much_as_in_a_quick_history_of_all_pages() {
        let (quick, slow) = (watched(256, 50, 600, 3), watched(16, 1000, 30, 4));
        let merged = merged(&quick, &slow).unwrap();
        let truth = watched(16, 50, 600, 5);
        for looks in [1, 4, 10, 40, 200] {
            let (said, is) = (unique(&merged, looks), unique(&truth, looks));
            assert!((said / is - 1.0).abs() < 0.1, "{looks}: {said} for {is}");
        }
    }

    #[test]
    fn nothing_seen_is_nothing_merged() {
        let empty = PageHistory::new(sample(256));
        assert!(merged(&empty, &watched(16, 1000, 3, 1)).is_none());
        assert!(merged(&watched(256, 50, 60, 1), &empty).is_none());
    }
}
