//! What was run: the machine, the plan, the subjects and what is in the images.

use std::collections::BTreeMap;

use vmferry_core::promise::Preset;

use crate::plan::{BenchPlan, Subject};
use crate::record::{BenchRecord, SubjectRecord};
use crate::report::cell::load_name;
use crate::report::page::{Block, Section, Table};
use crate::report::spread::UNKNOWN;

/// The section.
pub(crate) fn section(record: &BenchRecord) -> Section {
    let mut section = Section::new("What was run");
    section.table(machine(record));
    section.table(plan(&record.plan));
    section.table(subjects(record));
    let packages: Vec<Block> = record
        .images
        .iter()
        .map(|image| {
            let mut table = Table::of_words(image.name.clone(), &["package", "version"]);
            let rows = image.packages.iter();
            table.rows = rows
                .map(|(name, version)| vec![name.clone(), version.clone()])
                .collect();
            match table.rows.is_empty() {
                true => Block::Text(format!("{}: no packages are recorded.", image.name)),
                false => Block::Table(table),
            }
        })
        .collect();
    match packages.is_empty() {
        true => section.say("What is in the images is not recorded."),
        false => {
            let summary = "Packages in the images and of the clients, with versions";
            section
                .blocks
                .push(Block::Fold(summary.to_owned(), packages));
        }
    }
    section
}

fn machine(record: &BenchRecord) -> Table {
    let machine = &record.machine;
    let ended = record.ended_at.map_or_else(
        || "it is under way, or was interrupted".to_owned(),
        |at| at.strftime("%Y-%m-%d %H:%M UTC").to_string(),
    );
    let mut table = Table::of_words("Where and when", &["", "value"]);
    table.rows = rows([
        (
            "processor",
            format!("{}, {} logical CPUs", machine.cpu, machine.cpus),
        ),
        ("memory", machine.memory_bytes.to_string()),
        ("kernel", machine.kernel.clone()),
        ("accelerator", machine.accelerator.clone()),
        ("hosts", machine.note.clone()),
        (
            "begun",
            record.started_at.strftime("%Y-%m-%d %H:%M UTC").to_string(),
        ),
        ("ended", ended),
        ("vmferry", record.tool_version.clone()),
        ("id", record.id.to_string()),
    ]);
    table
}

fn plan(plan: &BenchPlan) -> Table {
    let loads: Vec<_> = plan.loads.iter().map(|load| load_name(*load)).collect();
    let mut table = Table::of_words("The plan", &["", "value"]);
    table.rows = rows([
        ("workloads", plan.workloads.join(", ")),
        ("loads", loads.join(", ")),
        ("migration points a run", plan.points.to_string()),
        (
            "running time",
            format!(
                "{} sectors of {} s, after {} s of warm-up",
                plan.points + 1,
                plan.sector_s,
                plan.warm_up_s
            ),
        ),
        (
            "runs of every cell",
            format!("{} (a cell: a workload under a load)", plan.repeats),
        ),
        (
            "migration link",
            plan.link
                .map_or_else(|| "not shaped".to_owned(), |rate| rate.to_string()),
        ),
        (
            "downtime limit",
            format!("{}, unless a subject sets its own", plan.max_downtime_ms),
        ),
        ("deadline of a migration", plan.deadline_ms.to_string()),
        (
            "observed before each forecast",
            format!("{} s", plan.observe_s),
        ),
        ("power meters", meters(plan)),
    ]);
    table
}

fn meters(plan: &BenchPlan) -> String {
    let named = [
        ("source", &plan.meter),
        ("destination", &plan.destination_meter),
    ];
    let said: Vec<String> = named
        .into_iter()
        .filter_map(|(host, meter)| Some(format!("{host}: {}", meter.as_ref()?)))
        .collect();
    match said.is_empty() {
        true => "none".to_owned(),
        false => said.join(", "),
    }
}

fn subjects(record: &BenchRecord) -> Table {
    let head = ["subject", "hypervisor", "machine type", "settings"];
    let mut table = Table::of_words(
        "Subjects; the first is the one others are compared with",
        &head,
    );
    table.rows = record
        .plan
        .subjects
        .iter()
        .map(|subject| {
            let asked = record
                .subjects
                .iter()
                .find(|asked| asked.name == subject.name);
            vec![
                subject.name.clone(),
                hypervisor(subject, asked),
                subject
                    .machine
                    .clone()
                    .unwrap_or_else(|| "the platform's own".to_owned()),
                settings(subject),
            ]
        })
        .collect();
    table
}

fn hypervisor(subject: &Subject, asked: Option<&SubjectRecord>) -> String {
    let binary = subject
        .binary
        .as_ref()
        .map(|path| path.display().to_string());
    let Some(host) = asked.map(|asked| &asked.host) else {
        return binary.unwrap_or_else(|| UNKNOWN.to_owned());
    };
    let version = host
        .hypervisor_version
        .as_deref()
        .unwrap_or("of unknown version");
    let mut text = format!("{} {version}", host.hypervisor);
    for more in [host.package.clone(), binary].into_iter().flatten() {
        text.push_str(&format!(", {more}"));
    }
    text
}

/// The settings of a subject in words; `defaults` where it has none.
pub(crate) fn settings(subject: &Subject) -> String {
    let switches: BTreeMap<_, _> = subject
        .capabilities
        .iter()
        .map(|(name, on)| (name, if *on { "on" } else { "off" }))
        .collect();
    let mut said: Vec<String> = switches
        .iter()
        .map(|(name, on)| format!("{name} {on}"))
        .collect();
    for (name, value) in &subject.parameters {
        said.push(format!("{name} = {value}"));
    }
    if let Some(after) = subject.postcopy_after_ms {
        said.push(format!("post-copy after {after}"));
    }
    if let Some(promise) = &subject.promise {
        said.push(format!("steered by vmferry ({})", promise.throttle));
        if let Some(most) = promise.max_downtime_ms {
            said.push(format!("downtime promised at most {most}"));
        }
        if let Some(most) = promise.deadline_ms {
            said.push(format!("total time promised at most {most}"));
        }
        if let Some(most) = promise.max_slowdown {
            said.push(format!("work lost promised at most {most}"));
        }
        if let Some(least) = promise.min_bandwidth {
            said.push(format!("least bandwidth {least}"));
        }
        if let Some(most) = promise.max_bandwidth {
            said.push(format!("most bandwidth {most}"));
        }
        if promise.allow_postcopy {
            said.push("post-copy allowed".to_owned());
        }
        if promise.policy != Preset::default() {
            said.push(format!("{} policy", promise.policy));
        }
        if let Some(ratio) = promise.expectant_ratio {
            said.push(format!("expectant ratio {ratio}"));
        }
    }
    match said.is_empty() {
        true => "defaults".to_owned(),
        false => said.join(", "),
    }
}

fn rows<const N: usize>(rows: [(&str, String); N]) -> Vec<Vec<String>> {
    rows.into_iter()
        .map(|(name, value)| vec![name.to_owned(), value])
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use vmferry_core::promise::Promise;
    use vmferry_core::{ByteRate, Millis, Ratio};

    #[test]
    fn promises_that_differ_look_different() {
        let changes: [fn(&mut Promise); 9] = [
            |_| {},
            |promise| promise.max_downtime_ms = Some(Millis(300.0)),
            |promise| promise.deadline_ms = Some(Millis(20_000.0)),
            |promise| promise.max_slowdown = Some(Ratio(0.5)),
            |promise| promise.min_bandwidth = Some(ByteRate::from_mbit_per_s(10.0)),
            |promise| promise.max_bandwidth = Some(ByteRate::from_mbit_per_s(200.0)),
            |promise| promise.allow_postcopy = true,
            |promise| promise.policy = Preset::Urgent,
            |promise| promise.expectant_ratio = Some(Ratio(0.7)),
        ];
        let said = changes.map(|change| {
            let mut promise = Promise::default();
            change(&mut promise);
            settings(&Subject {
                promise: Some(promise),
                ..Subject::default()
            })
        });
        insta::assert_snapshot!(said.join("\n"), @"
        steered by vmferry (off)
        steered by vmferry (off), downtime promised at most 300 ms
        steered by vmferry (off), total time promised at most 20.0 s
        steered by vmferry (off), work lost promised at most 50.0 %
        steered by vmferry (off), least bandwidth 10 Mbit/s
        steered by vmferry (off), most bandwidth 200 Mbit/s
        steered by vmferry (off), post-copy allowed
        steered by vmferry (off), urgent policy
        steered by vmferry (off), expectant ratio 70.0 %
        ");
    }
}
