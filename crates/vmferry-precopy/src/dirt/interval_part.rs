//! When within an interval a page is written: drawn once, and told 64 pages at a time.

use std::ops::Range;

use vmferry_core::scattered;

/// Parts of an interval that are told apart.
const INSTANTS: u32 = 65_536;
/// Instants that the pages of one word have between each other.
const STEP: u32 = INSTANTS / 64;

/// Where a word's pages stand in an interval: the pages of a word are spread evenly over it, one in
/// each 64th, in an order that begins at another page for every word and interval; within its 64th
/// each has the same instant.
#[derive(Clone, Copy)]
struct Order {
    turn: u32,
    within: u32,
}

impl Order {
    fn of(word: usize, interval: usize) -> Self {
        let drawn = scattered(word as u64, interval as u64);
        Self {
            turn: (drawn >> 58) as u32,
            within: (drawn >> 48) as u32 % STEP,
        }
    }
}

/// The 64th of an interval that a place in the order has: neighbours are far apart.
fn slot(place: u32) -> u32 {
    place.reverse_bits() >> 26
}

/// When a page is written within an interval that has it.
pub(super) fn instant(page: u32, interval: usize) -> u16 {
    let order = Order::of(page as usize / 64, interval);
    let place = (page + order.turn) % 64;
    (slot(place) * STEP + order.within) as u16
}

/// A part of an interval.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Part {
    low: u32,
    high: u32,
}

impl Part {
    pub(super) const WHOLE: Self = Self {
        low: 0,
        high: INSTANTS,
    };

    /// The part of an interval that lies between two instants.
    pub(super) fn between(interval: Range<f64>, from: f64, to: f64) -> Self {
        let length = interval.end - interval.start;
        let place = |at: f64| {
            let share = ((at - interval.start) / length).clamp(0.0, 1.0);
            (share * f64::from(INSTANTS)) as u32
        };
        Self {
            low: place(from),
            high: place(to),
        }
    }

    pub(super) fn holds(self, instant: u16) -> bool {
        (self.low..self.high).contains(&u32::from(instant))
    }

    /// The same for all pages of a word: what [`instant`] says, without asking page by page.
    pub(super) fn masks(self, interval: usize) -> impl Fn(usize) -> u64 {
        let (low, high) = (Before::new(self.low), Before::new(self.high));
        move |word| {
            let order = Order::of(word, interval);
            (high.places(order.within) & !low.places(order.within)).rotate_right(order.turn)
        }
    }
}

/// The places of the order that lie before an instant.
struct Before {
    /// Those before the 64th that holds it.
    sure: u64,
    /// The one in the same 64th, if the instant within that is before this one.
    border: u64,
    within: u32,
}

impl Before {
    fn new(instant: u32) -> Self {
        let places = |of: &dyn Fn(u32) -> bool| {
            let found = (0..64).filter(|place| of(slot(*place)));
            found.fold(0, |places, place| places | 1 << place)
        };
        Self {
            sure: places(&|slot| slot < instant / STEP),
            border: places(&|slot| slot == instant / STEP),
            within: instant % STEP,
        }
    }

    fn places(&self, within: u32) -> u64 {
        let border = if within < self.within { self.border } else { 0 };
        self.sure | border
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_mask_holds_the_pages_whose_instants_are_held(
            word in 0usize..1000, interval in 0usize..1000, from in 0f64..1.0, to in 0f64..1.0,
        ) {
            let part = Part::between(0.0..1.0, from.min(to), from.max(to));
            let mask = part.masks(interval)(word);
            for bit in 0..64 {
                let page = (word * 64 + bit) as u32;
                prop_assert_eq!(mask >> bit & 1 == 1, part.holds(instant(page, interval)));
            }
            prop_assert_eq!(Part::WHOLE.masks(interval)(word), u64::MAX);
            // As many as the part is long, but for the two at its ends.
            let share = 64.0 * (from - to).abs();
            prop_assert!((f64::from(mask.count_ones()) - share).abs() <= 2.0);
        }
    }

    #[test]
    fn instants_are_spread_over_words_too() {
        // Of one page of each word a quarter lies in the second quarter of an interval.
        let part = Part::between(0.0..1.0, 0.25, 0.5);
        let found = (0..4096u32).filter(|word| part.holds(instant(word * 64 + 5, 7)));
        assert!(found.count().abs_diff(1024) < 140);
    }
}
