//! Memory of a part of the load: mapped once, touched only by volatile accesses, never given back.

use vmferry_load::spec::{Grain, PAGE};

use crate::random::Random;

const WORDS: usize = PAGE as usize / 8;

/// Whole pages of memory. Copies name the same memory; all stay within one thread, since a pointer is not `Send`.
#[derive(Clone, Copy)]
pub(crate) struct Region {
    start: *mut u64,
    pages: u64,
}

impl Region {
    /// Maps new memory, all zero. It stays mapped as long as the program runs.
    pub(crate) fn map(bytes: u64) -> std::io::Result<Self> {
        let pages = bytes.div_ceil(PAGE);
        if pages == 0 {
            return Ok(Self {
                start: std::ptr::null_mut(),
                pages,
            });
        }
        // SAFETY: a new private anonymous mapping at a place the kernel chooses touches no memory in use.
        let start = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                (pages * PAGE) as usize,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE,
                -1,
                0,
            )
        };
        if start == libc::MAP_FAILED {
            return Err(std::io::Error::last_os_error());
        }
        Ok(Self {
            start: start.cast(),
            pages,
        })
    }

    /// A piece of this memory, in bytes that are whole pages.
    pub(crate) fn piece(self, at: u64, bytes: u64) -> Self {
        let (first, pages) = (at / PAGE, bytes / PAGE);
        assert!(
            first + pages <= self.pages,
            "a piece lies within its region"
        );
        Self {
            start: self.start.wrapping_add(first as usize * WORDS),
            pages,
        }
    }

    pub(crate) fn pages(self) -> u64 {
        self.pages
    }

    fn word(self, page: u64, word: usize) -> *mut u64 {
        assert!(
            page < self.pages && word < WORDS,
            "an access lies within its region"
        );
        self.start.wrapping_add(page as usize * WORDS + word)
    }

    /// Rewrites a page: its first `filled` words (at least one) random, the others zero.
    fn write_page(self, page: u64, filled: usize, random: &mut Random) {
        let first = self.word(page, 0);
        for word in 0..WORDS {
            let value = if word < filled.max(1) {
                random.word()
            } else {
                0
            };
            // SAFETY: `first` begins a whole page of this mapping, which is never unmapped, is aligned,
            // and is used by this thread alone.
            unsafe { first.wrapping_add(word).write_volatile(value) };
        }
    }

    fn write_word(self, page: u64, random: &mut Random) {
        // SAFETY: `word` gives an aligned place within this mapping, used by this thread alone.
        unsafe { self.word(page, 0).write_volatile(random.word()) };
    }

    /// Reads the first words of a page and adds them up.
    pub(crate) fn read(self, page: u64, words: usize) -> u64 {
        let first = self.word(page, words - 1).wrapping_sub(words - 1);
        (0..words).fold(0, |sum: u64, word| {
            // SAFETY: `word` above checked that all of `words` lie within the page, which this thread owns.
            sum.wrapping_add(unsafe { first.wrapping_add(word).read_volatile() })
        })
    }
}

/// How pages are touched.
#[derive(Clone)]
pub(crate) enum Touch {
    /// Rewritten.
    Write {
        /// All words, or the first.
        grain: Grain,
        /// Words of a whole page that are random.
        filled: usize,
        /// Where the content comes from; new content at each rewrite.
        random: Random,
    },
    /// Read.
    Read(Grain),
}

impl Touch {
    /// Rewrites with this share of zeros.
    pub(crate) fn write(grain: Grain, compress: f64, random: Random) -> Self {
        let filled = ((1.0 - compress) * WORDS as f64).round() as usize;
        Self::Write {
            grain,
            filled,
            random,
        }
    }

    /// Touches one page.
    pub(crate) fn touch(&mut self, region: Region, page: u64) {
        match self {
            Self::Write {
                grain: Grain::Page,
                filled,
                random,
            } => {
                region.write_page(page, *filled, random);
            }
            Self::Write {
                grain: Grain::Word,
                random,
                ..
            } => region.write_word(page, random),
            Self::Read(grain) => {
                let words = if *grain == Grain::Page { WORDS } else { 1 };
                std::hint::black_box(region.read(page, words));
            }
        }
    }
}

/// Writes every page of a region once, whole.
pub(crate) fn populate(region: Region, compress: f64, random: Random) {
    let mut touch = Touch::write(Grain::Page, compress, random);
    for page in 0..region.pages() {
        touch.touch(region, page);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(region: Region, page: u64) -> Vec<u64> {
        (0..WORDS)
            .map(|word| {
                // SAFETY: within the mapping, as in `Region::read`.
                unsafe { region.word(page, word).read_volatile() }
            })
            .collect()
    }

    #[test]
    fn compressibility_is_the_share_of_zeros() {
        let region = Region::map(PAGE).unwrap();
        for (compress, zeros) in [(0.0, 0), (0.25, 128), (0.5, 256), (1.0, 511)] {
            populate(region, compress, Random::new(1));
            let found = page(region, 0).iter().filter(|word| **word == 0).count();
            assert_eq!(found, zeros, "{compress}");
        }
    }

    #[test]
    fn every_rewrite_changes_the_page() {
        let region = Region::map(3 * PAGE).unwrap();
        for (grain, compress) in [
            (Grain::Page, 0.0),
            (Grain::Page, 1.0),
            (Grain::Word, 0.0),
            (Grain::Word, 1.0),
        ] {
            let mut touch = Touch::write(grain, compress, Random::new(1));
            let mut last = page(region, 1);
            for _ in 0..1000 {
                touch.touch(region, 1);
                let new = page(region, 1);
                assert_ne!(last, new);
                last = new;
            }
        }
        assert!(
            page(region, 0)
                .iter()
                .chain(&page(region, 2))
                .all(|word| *word == 0)
        );
    }

    #[test]
    fn pieces_are_the_same_memory() {
        let region = Region::map(4 * PAGE).unwrap();
        let piece = region.piece(2 * PAGE, 2 * PAGE);
        Touch::write(Grain::Word, 0.0, Random::new(5)).touch(piece, 1);
        assert_eq!(region.read(3, WORDS), Random::new(5).word());
        assert_eq!(region.read(2, WORDS), 0);
    }

    #[test]
    #[should_panic(expected = "within its region")]
    fn accesses_are_checked() {
        Region::map(PAGE).unwrap().read(1, 1);
    }
}
