//! What a guest's pages contain: zero pages cost a header, others a page.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::units::{Pages, Ratio};

/// Composition of the memory that a migration sends.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PageMix {
    /// Pages the migration will send in its first pass, video memory and ROMs
    /// included.
    pub total_pages: Pages,
    /// Share of zero pages, 0..1; `None` where the memory cannot be read.
    pub zero: Option<Ratio>,
    /// Standard error of `zero`; 0 when counted exactly.
    pub zero_standard_error: Option<Ratio>,
    /// Share of non-zero pages whose content equals another sampled page's.
    pub duplicate: Option<Ratio>,
    /// Mean size after compression over mean size, for non-zero pages.
    pub compressed: Option<Ratio>,
    /// Whether every page was looked at (else a random sample was).
    pub exact: bool,
}
