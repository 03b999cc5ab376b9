//! How to run it again.

use crate::record::BenchRecord;
use crate::report::page::{Block, Section};

/// The section.
pub(crate) fn section(record: &BenchRecord) -> Section {
    let mut section = Section::new("How to run it again");
    match record.plan.to_toml() {
        Some(text) => {
            section.say("With the plan below as plan.toml. Binaries that it names are needed too.");
            let summary = "The plan as a file, plan.toml".to_owned();
            let file = Block::File("toml", text);
            section.blocks.push(Block::Fold(summary, vec![file]));
            section.commands(&["vmferry bench run plan.toml"]);
        }
        None => section.say(
            "The JSON document of this report holds the plan under record.plan. No plan file can \
             say all of it.",
        ),
    }
    if record.ended_at.is_none() {
        section.say(
            "This benchmark has not ended. Where it was begun it goes on with the next run, and \
             tells what there is so far:",
        );
        let id = record.id;
        section.commands(&[
            &format!("vmferry bench resume {id}"),
            &format!("vmferry bench report {id}"),
        ]);
        return section;
    }
    section.say(
        "From the JSON document of this report, report.json, the page is made and subjects are \
         compared anywhere:",
    );
    let compare = match record.plan.subjects.len() {
        0 | 1 => "vmferry bench compare shipped report.json",
        _ => "vmferry bench compare report.json",
    };
    section.commands(&[
        "vmferry bench report report.json --html report.html",
        compare,
    ]);
    section
}
