//! Which pages a guest dirties: a sample of its pages, hashed again and again from outside.
//!
//! What hashing cannot see: a page rewritten with the same content (still dirty for QEMU), and how
//! often a page was written between two looks.
//!
//! **Nested paces.** A few hundred pages are looked at every 10 ms beside the others' 25 ms: they
//! tell the first points of the dirty curve. Where the budget is too small to look at all pages quickly, a few are looked at
//! quickly and all of them slowly. The samples are drawn apart. Short windows of the dirty curve
//! come from the first, long ones from the second.
//!
//! **Two densities.** Pages that a census found written ([`rewritten_pages`](crate::rewritten_pages))
//! get half of the sample, all of them where they are no more; the rest of memory gets the others.
//!
//! **Time stamps.** A look takes some milliseconds; all its pages carry the instant at which it
//! started. Pages are read in the same order every time, so the interval between two reads of one
//! page equals the interval between the looks up to the variation of a look's length. Only *when*
//! within the look a page was read is lost: a write may be put into the interval after its own, by
//! at most the length of a look.

pub(crate) mod look;
pub(crate) mod sample;
mod sampler;
mod watched;

pub(crate) use look::{ZERO, hash};
pub use sampler::{PageOptions, PageWatch, Progress, watch};
pub(crate) use sampler::{bad_option, check_budget};
