//! Which sampled pages were dirtied when: the finest source of dirt.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::units::Pages;

/// One sampled page and the pages it stands for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SampledPage {
    /// Position in the order in which the hypervisor sends pages: the pages
    /// of the first RAM block by address, then those of the next, and so on.
    pub index: Pages,
    /// Number of pages it stands for, itself included; above 0.
    pub weight: f64,
    /// Whether it was a zero page when the window began.
    pub zero: bool,
}

/// A sampled page that stands for no more pages than this was not drawn but taken with all its
/// like: it stands for itself alone.
pub const COUNTED_WEIGHT: f64 = 1.5;

/// A window of observation over a fixed set of pages: for every interval
/// between two looks, which pages changed. Pages are in sending order.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "Document", into = "Document")]
#[schemars(with = "Document")]
pub struct PageHistory {
    pages: Vec<SampledPage>,
    /// Instants of the looks in microseconds from the first; one more than
    /// there are intervals.
    looks_us: Vec<u64>,
    /// Row-major bitset: interval by page, rows padded to whole words.
    dirty: Vec<u64>,
    words: usize,
}

/// Why a document holds no [`PageHistory`].
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("page history is damaged: {0}; measure the guest again")]
pub struct PageHistoryError(&'static str);

impl PageHistory {
    /// An empty history that starts with one look at time zero.
    ///
    /// # Panics
    /// When the pages are not in strictly growing order of `index`.
    pub fn new(pages: Vec<SampledPage>) -> Self {
        assert!(
            pages.windows(2).all(|p| p[0].index < p[1].index),
            "pages out of order"
        );
        let words = pages.len().div_ceil(64);
        Self {
            pages,
            looks_us: vec![0],
            dirty: Vec::new(),
            words,
        }
    }

    /// Adds the interval that ends with a look at `look_us` microseconds from
    /// the first; `dirty` lists the positions (in [`Self::pages`]) of the
    /// pages that changed in it.
    ///
    /// # Panics
    /// When time does not grow or a position is out of range.
    pub fn push(&mut self, look_us: u64, dirty: impl IntoIterator<Item = usize>) {
        assert!(
            self.looks_us.last().is_some_and(|last| look_us > *last),
            "looks out of order"
        );
        self.looks_us.push(look_us);
        let row = self.dirty.len();
        self.dirty.resize(row + self.words, 0);
        for page in dirty {
            assert!(page < self.pages.len(), "no such page");
            self.dirty[row + page / 64] |= 1 << (page % 64);
        }
    }

    /// The end of the window: what was seen after the look nearest to `from_us`.
    #[must_use]
    pub fn since(&self, from_us: u64) -> Self {
        let nearest = |k: &usize| self.looks_us[*k].abs_diff(from_us);
        let first = (0..self.intervals()).min_by_key(nearest).unwrap_or(0);
        let start = self.looks_us[first];
        Self {
            pages: self.pages.clone(),
            looks_us: self.looks_us[first..].iter().map(|us| us - start).collect(),
            dirty: self.dirty[first * self.words..].to_vec(),
            words: self.words,
        }
    }

    /// The sampled pages, in sending order.
    pub fn pages(&self) -> &[SampledPage] {
        &self.pages
    }

    /// Number of intervals.
    pub fn intervals(&self) -> usize {
        self.looks_us.len() - 1
    }

    /// Start and end of an interval in microseconds from the first look.
    pub fn interval_us(&self, interval: usize) -> (u64, u64) {
        (self.looks_us[interval], self.looks_us[interval + 1])
    }

    /// Length of the whole window in microseconds.
    pub fn window_us(&self) -> u64 {
        self.looks_us.last().copied().unwrap_or(0)
    }

    /// The bits of one interval, page 0 in the lowest bit of the first word.
    pub fn row(&self, interval: usize) -> &[u64] {
        &self.dirty[interval * self.words..(interval + 1) * self.words]
    }

    /// Whether a page was dirtied in an interval.
    pub fn is_dirty(&self, interval: usize, page: usize) -> bool {
        self.row(interval)[page / 64] >> (page % 64) & 1 == 1
    }

    /// The greatest weight of pages drawn more densely than the others; 0 where all were drawn
    /// alike, their weights within a factor of two.
    pub fn border(&self) -> f64 {
        let weights = self.pages.iter().map(|p| p.weight);
        let (least, most) = weights.fold((f64::INFINITY, 0f64), |(least, most), weight| {
            (least.min(weight), most.max(weight))
        });
        if most > 2.0 * least {
            (least * most).sqrt()
        } else {
            0.0
        }
    }

    /// Pairs of neighbouring pages drawn alike, by position: pages drawn more densely
    /// ([`Self::border`]) and the others are neighbours among themselves. Differences between
    /// neighbours tell the error of a stratified sample.
    pub fn neighbours(&self) -> Vec<(usize, usize)> {
        let border = self.border();
        let mut last = [None, None];
        let mut pairs = Vec::with_capacity(self.pages.len());
        for (position, page) in self.pages.iter().enumerate() {
            let before = &mut last[usize::from(page.weight > border)];
            if let Some(before) = before.replace(position) {
                pairs.push((before, position));
            }
        }
        pairs
    }

    /// Pages that all sampled pages together stand for.
    pub fn represented_pages(&self) -> f64 {
        self.pages.iter().map(|p| p.weight).sum()
    }
}

/// Positions of the bits set in some words, in growing order: the pages of a row.
pub fn set_bits(words: impl IntoIterator<Item = u64>) -> impl Iterator<Item = usize> {
    words.into_iter().enumerate().flat_map(|(at, word)| {
        let mut bits = word;
        std::iter::from_fn(move || {
            let bit = (bits != 0).then(|| bits.trailing_zeros() as usize)?;
            bits &= bits - 1;
            Some(at * 64 + bit)
        })
    })
}

/// The form on the wire: little-endian words in Base64.
#[derive(Clone, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "PageHistory")]
struct Document {
    /// Looks, in microseconds from the first.
    looks_us: Vec<u64>,
    /// Index of each page in sending order: u64, little-endian, Base64.
    page_indices: String,
    /// Weight of each page: f64, little-endian, Base64.
    page_weights: String,
    /// One bit a page, set for zero pages: u64 words, little-endian, Base64.
    zero_pages: String,
    /// One row a interval, one bit a page, rows padded to u64 words: Base64.
    dirty: String,
}

fn encode(words: impl Iterator<Item = u64>) -> String {
    BASE64.encode(words.flat_map(u64::to_le_bytes).collect::<Vec<u8>>())
}

fn decode(text: &str) -> Result<Vec<u64>, PageHistoryError> {
    let bytes = BASE64
        .decode(text)
        .map_err(|_| PageHistoryError("not Base64"))?;
    let (words, rest) = bytes.as_chunks::<8>();
    if !rest.is_empty() {
        return Err(PageHistoryError("cut off"));
    }
    Ok(words.iter().map(|w| u64::from_le_bytes(*w)).collect())
}

impl From<PageHistory> for Document {
    fn from(history: PageHistory) -> Self {
        let zero = (0..history.words).map(|word| {
            let pages = history.pages.iter().skip(word * 64).take(64);
            pages
                .enumerate()
                .fold(0, |bits, (i, p)| bits | u64::from(p.zero) << i)
        });
        Self {
            page_indices: encode(history.pages.iter().map(|p| p.index.0)),
            page_weights: encode(history.pages.iter().map(|p| p.weight.to_bits())),
            zero_pages: encode(zero),
            dirty: encode(history.dirty.iter().copied()),
            looks_us: history.looks_us,
        }
    }
}

impl TryFrom<Document> for PageHistory {
    type Error = PageHistoryError;

    fn try_from(document: Document) -> Result<Self, PageHistoryError> {
        let indices = decode(&document.page_indices)?;
        let weights = decode(&document.page_weights)?;
        let zero = decode(&document.zero_pages)?;
        let dirty = decode(&document.dirty)?;
        let words = indices.len().div_ceil(64);
        let looks = &document.looks_us;
        if weights.len() != indices.len() || zero.len() != words {
            return Err(PageHistoryError("page lists differ in length"));
        }
        if looks.first() != Some(&0) || looks.windows(2).any(|l| l[0] >= l[1]) {
            return Err(PageHistoryError("looks do not grow from zero"));
        }
        if dirty.len() != words * (looks.len() - 1) {
            return Err(PageHistoryError("intervals are missing"));
        }
        if indices.windows(2).any(|p| p[0] >= p[1]) {
            return Err(PageHistoryError("pages are out of order"));
        }
        let pages: Vec<_> = indices
            .iter()
            .zip(&weights)
            .enumerate()
            .map(|(i, (index, weight))| SampledPage {
                index: Pages(*index),
                weight: f64::from_bits(*weight),
                zero: zero[i / 64] >> (i % 64) & 1 == 1,
            })
            .collect();
        if pages
            .iter()
            .any(|p| !(p.weight.is_finite() && p.weight > 0.0))
        {
            return Err(PageHistoryError("a page's weight is not positive"));
        }
        Ok(Self {
            pages,
            looks_us: document.looks_us,
            dirty,
            words,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn history() -> PageHistory {
        let pages = (0..70)
            .map(|i| SampledPage {
                index: Pages(i * 3),
                weight: 3.0,
                zero: i % 5 == 0,
            })
            .collect();
        let mut history = PageHistory::new(pages);
        history.push(25_000, [0, 64, 69]);
        history.push(51_000, []);
        history.push(75_500, [1]);
        history
    }

    #[test]
    fn survives_json() {
        let before = history();
        let text = serde_json::to_string(&before).unwrap();
        let after: PageHistory = serde_json::from_str(&text).unwrap();
        assert_eq!(after, before);
        assert!(after.is_dirty(0, 69) && !after.is_dirty(1, 69) && after.is_dirty(2, 1));
        assert_eq!(after.interval_us(2), (51_000, 75_500));
    }

    #[test]
    fn damage_is_noticed() {
        let good = serde_json::to_value(history()).unwrap();
        for (key, value) in [
            ("looks_us", serde_json::json!([0, 25, 20, 30])),
            ("page_indices", serde_json::json!("AAAA")),
            ("page_weights", serde_json::json!("")),
            ("dirty", serde_json::json!("!")),
        ] {
            let mut bad = good.clone();
            bad[key] = value;
            let error = serde_json::from_value::<PageHistory>(bad)
                .unwrap_err()
                .to_string();
            assert!(error.contains("page history is damaged"), "{key}: {error}");
        }
    }
}
