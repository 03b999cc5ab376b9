//! How to run it again.

use crate::record::BenchRecord;
use crate::report::page::{Block, Section};

/// The section.
pub(crate) fn section(record: &BenchRecord) -> Section {
    let mut section = Section::new("How to run it again");
    section.say(
        "The JSON document beside this page holds the plan under record.plan, and all that is \
         told here. A benchmark that was interrupted goes on where it was.",
    );
    section.blocks.push(Block::Commands(vec![
        "vmferry bench run plan.toml".to_owned(),
        format!("vmferry bench resume {}", record.id),
        format!("vmferry bench report {}", record.id),
    ]));
    section
}
