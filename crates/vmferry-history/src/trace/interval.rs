//! Intervals, and the frames that hold them.

use super::varint;

/// How one interval's pages are written.
const LIST: u8 = 0;
const BITMAP: u8 = 1;

/// Most intervals of one frame, more than a writer puts into one: bounds the memory of a reader.
const MAX_INTERVALS: u64 = 1 << 17;

/// Appends one interval: its length, then the positions of its dirtied pages (strictly growing,
/// below `pages`) as a list of distances or as a bitmap, whichever is smaller.
pub(super) fn encode(out: &mut Vec<u8>, length_us: u64, dirty: &[usize], pages: u64) {
    varint::put(out, length_us);
    let bitmap = usize::try_from(pages.div_ceil(8)).unwrap_or(usize::MAX);
    let list = varint::size(dirty.len() as u64) + gaps(dirty).map(varint::size).sum::<usize>();
    if list <= bitmap {
        out.push(LIST);
        varint::put(out, dirty.len() as u64);
        gaps(dirty).for_each(|gap| varint::put(out, gap));
    } else {
        out.push(BITMAP);
        let start = out.len();
        out.resize(start + bitmap, 0);
        for page in dirty {
            out[start + page / 8] |= 1 << (page % 8);
        }
    }
}

/// Positions as distances: from the position after the one before.
fn gaps(dirty: &[usize]) -> impl Iterator<Item = u64> {
    let mut next = 0;
    dirty.iter().map(move |&page| {
        let gap = page - next;
        next = page + 1;
        gap as u64
    })
}

/// Intervals that follow each other, decoded and checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    plain: Vec<u8>,
    intervals: Vec<Place>,
    start_us: u64,
}

/// Where an interval's pages are in a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Place {
    end_us: u64,
    /// Dirtied pages.
    dirty: u64,
    bitmap: bool,
    from: usize,
    to: usize,
}

/// What was dirtied between two looks.
#[derive(Clone, Copy, Debug)]
pub struct Interval<'a> {
    /// Its start in microseconds from the first look of the recording.
    pub start_us: u64,
    /// Its end; above the start.
    pub end_us: u64,
    /// The dirtied pages.
    pub dirty: DirtyPages<'a>,
}

/// Dirtied pages of one interval, as they are kept.
#[derive(Clone, Copy, Debug)]
pub struct DirtyPages<'a> {
    bytes: &'a [u8],
    len: u64,
    bitmap: bool,
}

impl Frame {
    /// Reads a frame of a trace of `pages` pages: the instant of its first look, the number of its
    /// intervals, then these. The error says what is wrong.
    pub(super) fn decode(plain: Vec<u8>, pages: u64) -> Result<Self, &'static str> {
        const CUT: &str = "an interval is cut off";
        let mut rest = &plain[..];
        let start_us = varint::take(&mut rest).ok_or(CUT)?;
        let count = varint::take(&mut rest).ok_or(CUT)?;
        // Each takes two bytes at least: a wrong count reserves no memory.
        if count > rest.len() as u64 / 2 {
            return Err(CUT);
        }
        if count > MAX_INTERVALS {
            return Err("a frame has too many intervals");
        }
        let mut intervals = Vec::with_capacity(count as usize);
        let mut end_us = start_us;
        for _ in 0..count {
            let length = varint::take(&mut rest).ok_or(CUT)?;
            if length == 0 {
                return Err("an interval has no length");
            }
            end_us = end_us
                .checked_add(length)
                .ok_or("an interval ends after all time")?;
            let (&form, after) = rest.split_first().ok_or(CUT)?;
            rest = after;
            let place = |dirty, from: &[u8], to: &[u8]| Place {
                end_us,
                dirty,
                bitmap: form == BITMAP,
                from: plain.len() - from.len(),
                to: plain.len() - to.len(),
            };
            match form {
                LIST => {
                    let dirty = varint::take(&mut rest).ok_or(CUT)?;
                    let from = rest;
                    skip_list(&mut rest, dirty, pages)?;
                    intervals.push(place(dirty, from, rest));
                }
                BITMAP => {
                    let length = usize::try_from(pages.div_ceil(8)).map_err(|_| CUT)?;
                    let (bits, after) = rest.split_at_checked(length).ok_or(CUT)?;
                    let spare = pages % 8;
                    if spare > 0 && bits.last().is_some_and(|last| last >> spare != 0) {
                        return Err("an interval has pages that are not recorded");
                    }
                    let dirty = bits.iter().map(|byte| u64::from(byte.count_ones())).sum();
                    intervals.push(place(dirty, rest, after));
                    rest = after;
                }
                _ => return Err("an interval has an unknown form"),
            }
        }
        if !rest.is_empty() {
            return Err("a frame has bytes after its last interval");
        }
        Ok(Self {
            plain,
            intervals,
            start_us,
        })
    }

    /// Instant of its first look in microseconds from the start of the recording.
    pub fn start_us(&self) -> u64 {
        self.start_us
    }

    /// Instant of its last look.
    pub fn end_us(&self) -> u64 {
        self.intervals.last().map_or(self.start_us, |i| i.end_us)
    }

    /// Its intervals, which follow each other without a gap.
    pub fn intervals(&self) -> impl Iterator<Item = Interval<'_>> {
        let mut start_us = self.start_us;
        self.intervals.iter().map(move |place| {
            let interval = Interval {
                start_us,
                end_us: place.end_us,
                dirty: DirtyPages {
                    bytes: &self.plain[place.from..place.to],
                    len: place.dirty,
                    bitmap: place.bitmap,
                },
            };
            start_us = place.end_us;
            interval
        })
    }
}

/// Steps over a list of `dirty` pages, checking every one.
fn skip_list(rest: &mut &[u8], dirty: u64, pages: u64) -> Result<(), &'static str> {
    let mut next = 0u64;
    for _ in 0..dirty {
        let gap = varint::take(rest).ok_or("an interval is cut off")?;
        next = next
            .checked_add(gap)
            .filter(|position| *position < pages)
            .ok_or("an interval has pages that are not recorded")?
            + 1;
    }
    Ok(())
}

impl<'a> DirtyPages<'a> {
    /// How many there are.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Their positions among the recorded pages, strictly growing.
    pub fn iter(&self) -> impl Iterator<Item = u64> + use<'a> {
        let (bits, mut list): (&[u8], &[u8]) = if self.bitmap {
            (self.bytes, &[])
        } else {
            (&[], self.bytes)
        };
        let mut next = 0;
        // Checked when the frame was read: every number is there.
        let listed = std::iter::from_fn(move || {
            let position = next + varint::take(&mut list)?;
            next = position + 1;
            Some(position)
        });
        let set = bits.iter().enumerate().flat_map(|(at, &byte)| {
            (0..8)
                .filter(move |bit| byte >> bit & 1 == 1)
                .map(move |bit| at as u64 * 8 + bit)
        });
        listed.chain(set)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn frame(intervals: &[(u64, Vec<usize>)], pages: u64) -> Vec<u8> {
        let mut plain = Vec::new();
        varint::put(&mut plain, 7);
        varint::put(&mut plain, intervals.len() as u64);
        for (length, dirty) in intervals {
            encode(&mut plain, *length, dirty, pages);
        }
        plain
    }

    proptest! {
        #[test]
        fn intervals_come_back(
            pages in 1u64..300,
            parts in prop::collection::vec((1u64..1 << 40, prop::collection::btree_set(0usize..300, 0..300)), 0..6),
        ) {
            let intervals: Vec<(u64, Vec<usize>)> = parts
                .into_iter()
                .map(|(length, dirty)| (length, dirty.into_iter().filter(|p| (*p as u64) < pages).collect()))
                .collect();
            let plain = frame(&intervals, pages);
            let read = Frame::decode(plain.clone(), pages).unwrap();
            let back: Vec<(u64, Vec<usize>)> = read
                .intervals()
                .map(|i| (i.end_us - i.start_us, i.dirty.iter().map(|p| p as usize).collect()))
                .collect();
            for (interval, (_, dirty)) in read.intervals().zip(&back) {
                prop_assert_eq!(interval.dirty.len(), dirty.len() as u64);
            }
            prop_assert_eq!(&back, &intervals);
            for cut in 0..plain.len() {
                prop_assert!(Frame::decode(plain[..cut].to_vec(), pages).is_err());
            }
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(0u8..=255, 0..64), pages in 0u64..100) {
            if let Ok(frame) = Frame::decode(bytes, pages) {
                for interval in frame.intervals() {
                    prop_assert!(interval.end_us > interval.start_us);
                    let positions: Vec<u64> = interval.dirty.iter().collect();
                    prop_assert!(positions.windows(2).all(|p| p[0] < p[1]));
                    prop_assert!(positions.iter().all(|p| *p < pages));
                    prop_assert_eq!(positions.len() as u64, interval.dirty.len());
                }
            }
        }
    }

    #[test]
    fn the_smaller_form_is_written() {
        let size = |dirty: &[usize]| frame(&[(1, dirty.to_vec())], 8000).len();
        assert_eq!(size(&[]), 5);
        assert_eq!(size(&[7999]), 7);
        assert_eq!(size(&(0..8000).collect::<Vec<_>>()), 4 + 1000);
    }
}
