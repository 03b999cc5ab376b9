//! What a trace was recorded of, and how.

use std::fmt;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use vmferry_core::{GuestInfo, HostInfo, Millis, PAGE_SIZE, Pages, Ratio};

use super::TraceError;

/// The first frame of a trace.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TraceHeader {
    /// The guest, with every RAM block that a migration sends.
    pub guest: GuestInfo,
    /// The host it ran on.
    pub host: HostInfo,
    /// Where the pages of each RAM block stand, in sending order.
    pub blocks: Vec<TraceBlock>,
    /// By which means dirtied pages were seen.
    pub source: PageSource,
    /// Whether every page of the blocks that were seen is recorded; else a random subset, one page
    /// of each stratum, which carries the stratum's size as its weight.
    pub whole_guest: bool,
    /// Interval asked for. Intervals are as long as their time stamps say.
    pub interval_ms: Millis,
    /// Most of one core that recording might take, 0..1.
    pub budget: Ratio,
    /// The first look, by the host's wall clock.
    pub started_at: Timestamp,
    /// The same instant by the host's monotonic clock (`CLOCK_MONOTONIC`), in nanoseconds. Time
    /// stamps count from it by the same clock.
    pub started_monotonic_ns: u64,
    /// Seed that drew the subset.
    pub seed: u64,
}

/// Where the pages of one RAM block stand.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TraceBlock {
    /// The hypervisor's name for it, for example `pc.ram`.
    pub name: String,
    /// Position of its first page in sending order.
    pub first_page: Pages,
    /// Its pages.
    pub pages: Pages,
}

/// By which means dirtied pages were seen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PageSource {
    /// Hashes of the pages' content, read from outside. A page rewritten with the same content
    /// does not show.
    PageHash,
    /// One that this version does not know.
    #[serde(untagged)]
    Other(String),
}

impl fmt::Display for PageSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::PageHash => "page hashes",
            Self::Other(name) => name,
        })
    }
}

impl TraceBlock {
    /// The blocks of a guest, in sending order; empty ones are left out.
    pub fn of_guest(guest: &GuestInfo) -> Vec<Self> {
        let mut first_page = 0;
        let mut blocks = Vec::with_capacity(guest.ram_blocks.len());
        for block in &guest.ram_blocks {
            let pages = block.used_bytes.0.div_ceil(PAGE_SIZE.0);
            if pages > 0 {
                blocks.push(Self {
                    name: block.name.clone(),
                    first_page: Pages(first_page),
                    pages: Pages(pages),
                });
            }
            first_page += pages;
        }
        blocks
    }
}

impl TraceHeader {
    /// The block that holds a page, and the page's position in it.
    pub fn block_of(&self, page: Pages) -> Option<(&TraceBlock, Pages)> {
        let after = self.blocks.partition_point(|b| b.first_page <= page);
        let block = &self.blocks[after.checked_sub(1)?];
        let within = page.0 - block.first_page.0;
        (within < block.pages.0).then_some((block, Pages(within)))
    }

    /// Whether the trace may speak for a guest: by UUID where both have one, else by name; and
    /// memory of the same size.
    ///
    /// # Errors
    /// [`TraceError::OtherGuest`].
    pub fn require_guest(&self, trace: &str, guest: &GuestInfo) -> Result<(), TraceError> {
        let differ = |what: &str, recorded: &str, wanted: &str| {
            Err(TraceError::OtherGuest {
                trace: trace.to_owned(),
                difference: format!("its {what} is {recorded}, not {wanted}"),
            })
        };
        match (&self.guest.uuid, &guest.uuid) {
            (Some(recorded), Some(wanted)) if !recorded.eq_ignore_ascii_case(wanted) => {
                return differ("UUID", recorded, wanted);
            }
            (Some(_), Some(_)) => {}
            _ => {
                let (recorded, wanted) = (self.guest.label(), guest.label());
                if recorded != wanted {
                    return differ("name", &recorded, &wanted);
                }
            }
        }
        match (self.guest.memory_bytes, guest.memory_bytes) {
            (Some(recorded), Some(wanted)) if recorded != wanted => differ(
                "memory",
                &format!("{} bytes", recorded.0),
                &format!("{} bytes", wanted.0),
            ),
            _ => Ok(()),
        }
    }
}
