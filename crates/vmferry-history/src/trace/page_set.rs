//! The pages that a trace records, kept as runs: a whole guest takes a few bytes.

use vmferry_core::{Pages, SampledPage};

use super::{MAX_PAGES, MAX_RUNS, TraceError, varint};

/// Neighbouring pages of the same weight.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PageRun {
    /// Position of the first one among the recorded pages.
    pub position: u64,
    /// Its index in sending order.
    pub first: Pages,
    /// How many; above 0.
    pub pages: u64,
    /// Pages that each of them stands for, itself included; above 0.
    pub weight: f64,
}

/// The recorded pages, in sending order. A position is a page's place in this order, from 0.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PageSet {
    runs: Vec<PageRun>,
    /// One bit a position, set for pages that were zero when the recording began.
    zero: Vec<u8>,
    len: u64,
}

impl PageSet {
    /// Pages in strictly growing order of their index; `trace` names the file in errors.
    ///
    /// # Errors
    /// [`TraceError::TooManyPages`].
    ///
    /// # Panics
    /// When they are not in that order, or a weight is not positive.
    pub fn new(
        trace: &str,
        pages: impl IntoIterator<Item = SampledPage>,
    ) -> Result<Self, TraceError> {
        let mut set = Self::default();
        for page in pages {
            assert!(
                page.weight > 0.0 && page.weight.is_finite(),
                "a page's weight is not positive"
            );
            set.add(page);
        }
        if set.len > MAX_PAGES || set.runs.len() as u64 > MAX_RUNS {
            return Err(TraceError::TooManyPages {
                trace: trace.to_owned(),
                pages: set.len,
            });
        }
        Ok(set)
    }

    fn add(&mut self, page: SampledPage) {
        if self.len.is_multiple_of(8) {
            self.zero.push(0);
        }
        if let Some(last) = self.zero.last_mut() {
            *last |= u8::from(page.zero) << (self.len % 8);
        }
        match self.runs.last_mut() {
            Some(run) if run.first.0 + run.pages == page.index.0 && run.weight == page.weight => {
                run.pages += 1;
            }
            last => {
                assert!(
                    last.is_none_or(|run| run.first.0 + run.pages <= page.index.0),
                    "pages out of order"
                );
                self.runs.push(PageRun {
                    position: self.len,
                    first: page.index,
                    pages: 1,
                    weight: page.weight,
                });
            }
        }
        self.len += 1;
    }

    /// Number of recorded pages.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether nothing is recorded.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The runs, in order.
    pub fn runs(&self) -> &[PageRun] {
        &self.runs
    }

    /// Pages that all recorded pages together stand for.
    pub fn represented_pages(&self) -> f64 {
        self.runs.iter().map(|r| r.weight * r.pages as f64).sum()
    }

    /// The page at a position; `None` beyond the last.
    pub fn at(&self, position: u64) -> Option<SampledPage> {
        let after = self.runs.partition_point(|run| run.position <= position);
        let run = self.runs[..after].last()?;
        let within = position - run.position;
        (within < run.pages).then(|| SampledPage {
            index: Pages(run.first.0 + within),
            weight: run.weight,
            zero: self.zero[(position / 8) as usize] >> (position % 8) & 1 == 1,
        })
    }

    /// Every page, in order.
    pub fn iter(&self) -> impl Iterator<Item = SampledPage> {
        self.runs.iter().flat_map(|run| {
            (0..run.pages).map(|within| {
                let position = run.position + within;
                SampledPage {
                    index: Pages(run.first.0 + within),
                    weight: run.weight,
                    zero: self.zero[(position / 8) as usize] >> (position % 8) & 1 == 1,
                }
            })
        })
    }

    /// The form in a file: number of runs; of each its distance from the end of the one before,
    /// its length, its weight; then the zero pages' bits.
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.runs.len() * 11 + self.zero.len() + 10);
        varint::put(&mut out, self.runs.len() as u64);
        let mut end = 0;
        for run in &self.runs {
            varint::put(&mut out, run.first.0 - end);
            varint::put(&mut out, run.pages);
            out.extend_from_slice(&run.weight.to_le_bytes());
            end = run.first.0 + run.pages;
        }
        out.extend_from_slice(&self.zero);
        out
    }

    /// Reads [`Self::encode`]'s form; `all_pages` is the size of the guest. The error says what is
    /// wrong.
    pub(super) fn decode(mut input: &[u8], all_pages: u64) -> Result<Self, &'static str> {
        const CUT: &str = "its list of pages is cut off";
        let count = varint::take(&mut input).ok_or(CUT)?;
        // Each takes ten bytes at least: a wrong count reserves no memory.
        if count > input.len() as u64 / 10 {
            return Err(CUT);
        }
        let mut set = Self {
            runs: Vec::with_capacity(count as usize),
            ..Self::default()
        };
        let mut end = 0u64;
        for _ in 0..count {
            let gap = varint::take(&mut input).ok_or(CUT)?;
            let pages = varint::take(&mut input).ok_or(CUT)?;
            let (weight, rest) = input.split_first_chunk::<8>().ok_or(CUT)?;
            input = rest;
            let weight = f64::from_le_bytes(*weight);
            if !(weight > 0.0 && weight.is_finite()) {
                return Err("a page's weight is not positive");
            }
            let first = end.checked_add(gap);
            let next = first.and_then(|first| first.checked_add(pages));
            let (Some(first), Some(next)) = (first, next.filter(|next| *next <= all_pages)) else {
                return Err("it records pages that the guest does not have");
            };
            if pages == 0 {
                return Err("its list of pages has an empty run");
            }
            set.runs.push(PageRun {
                position: set.len,
                first: Pages(first),
                pages,
                weight,
            });
            set.len += pages;
            end = next;
        }
        if set.len > MAX_PAGES || input.len() as u64 != set.len.div_ceil(8) {
            return Err("its list of pages has another length than its zero pages");
        }
        set.zero = input.to_vec();
        Ok(set)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn pages() -> impl Strategy<Value = Vec<SampledPage>> {
        prop::collection::vec((1u64..4, prop::bool::ANY, 1u8..3), 0..200).prop_map(|parts| {
            let mut index = 0;
            let page = |(gap, zero, weight): (u64, bool, u8)| {
                index += gap;
                SampledPage {
                    index: Pages(index),
                    weight: f64::from(weight),
                    zero,
                }
            };
            parts.into_iter().map(page).collect()
        })
    }

    proptest! {
        #[test]
        fn sets_come_back(pages in pages()) {
            let set = PageSet::new("t", pages.clone()).unwrap();
            prop_assert_eq!(set.iter().collect::<Vec<_>>(), pages.clone());
            for (position, page) in pages.iter().enumerate() {
                prop_assert_eq!(set.at(position as u64), Some(*page));
            }
            prop_assert_eq!(set.at(pages.len() as u64), None);
            let bytes = set.encode();
            prop_assert_eq!(PageSet::decode(&bytes, 1000), Ok(set));
            for cut in 0..bytes.len() {
                prop_assert!(PageSet::decode(&bytes[..cut], 1000).is_err());
            }
        }
    }

    #[test]
    fn a_subset_has_its_bound() {
        let page = |index| SampledPage {
            index: Pages(index * 2),
            weight: 2.0,
            zero: false,
        };
        let set = |pages| PageSet::new("t", (0..pages).map(page));
        assert_eq!(set(MAX_RUNS).unwrap().len(), MAX_RUNS);
        let error = set(MAX_RUNS + 1).unwrap_err().to_string();
        assert!(error.contains("a subset of 1048576"), "{error}");
    }

    #[test]
    fn a_whole_guest_is_one_run() {
        let page = |index| SampledPage {
            index: Pages(index),
            weight: 1.0,
            zero: false,
        };
        let set = PageSet::new("t", (0..1000).map(page)).unwrap();
        assert_eq!(set.runs().len(), 1);
        assert_eq!(set.represented_pages(), 1000.0);
        assert!(PageSet::decode(&set.encode(), 999).is_err());
    }
}
