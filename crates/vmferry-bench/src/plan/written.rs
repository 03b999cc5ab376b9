//! A plan as the text of a file, which is read as the same plan.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use serde::Serialize;
use vmferry_core::promise::{Preset, Promise};
use vmferry_core::quantity::{parse_rate, parse_ratio};
use vmferry_core::{ByteRate, Millis, Ratio};

use super::file::UNSHAPED;
use super::{BenchPlan, Load, Subject};

impl BenchPlan {
    /// The plan as a file (TOML) says it. `None` of a plan that no file can say, as of one whose
    /// warm-up is 0: what is given reads as this plan again.
    pub fn to_toml(&self) -> Option<String> {
        let text = toml::to_string(&PlanText::of(self)).ok()?;
        let read = Self::parse(&text, "");
        read.is_ok_and(|plan| plan == *self).then_some(text)
    }
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct PlanText<'a> {
    name: &'a str,
    workloads: &'a [String],
    loads: &'a [Load],
    points: u32,
    sector: String,
    warm_up: String,
    observe: String,
    repeats: u32,
    link: String,
    max_downtime: String,
    deadline: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    background_guests: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    meter: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    destination_meter: Option<&'a str>,
    subject: Vec<SubjectText<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct SubjectText<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    binary: Option<&'a Path>,
    #[serde(skip_serializing_if = "Option::is_none")]
    machine: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    postcopy_after: Option<String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    capabilities: &'a BTreeMap<String, bool>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    parameters: &'a BTreeMap<String, serde_json::Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    promise: Option<PromiseText>,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct PromiseText {
    #[serde(skip_serializing_if = "Option::is_none")]
    max_downtime: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    deadline: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_slowdown: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    min_bandwidth: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_bandwidth: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    allow_postcopy: Option<bool>,
    throttle: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    policy: Option<String>,
}

impl<'a> PlanText<'a> {
    fn of(plan: &'a BenchPlan) -> Self {
        Self {
            name: &plan.name,
            workloads: &plan.workloads,
            loads: &plan.loads,
            points: plan.points,
            sector: seconds(plan.sector_s),
            warm_up: seconds(plan.warm_up_s),
            observe: seconds(plan.observe_s),
            repeats: plan.repeats,
            link: plan.link.map_or_else(|| UNSHAPED.to_owned(), rate),
            max_downtime: span(plan.max_downtime_ms),
            deadline: span(plan.deadline_ms),
            background_guests: plan.background_guests,
            meter: plan.meter.as_deref(),
            destination_meter: plan.destination_meter.as_deref(),
            subject: plan.subjects.iter().map(SubjectText::of).collect(),
        }
    }
}

impl<'a> SubjectText<'a> {
    fn of(subject: &'a Subject) -> Self {
        Self {
            name: &subject.name,
            binary: subject.binary.as_deref(),
            machine: subject.machine.as_deref(),
            postcopy_after: subject.postcopy_after_ms.map(span),
            capabilities: &subject.capabilities,
            parameters: &subject.parameters,
            promise: subject.promise.as_ref().map(PromiseText::of),
        }
    }
}

impl PromiseText {
    fn of(promise: &Promise) -> Self {
        let policy = Some(promise.policy).filter(|policy| *policy != Preset::default());
        Self {
            max_downtime: promise.max_downtime_ms.map(span),
            deadline: promise.deadline_ms.map(span),
            max_slowdown: promise.max_slowdown.map(share),
            min_bandwidth: promise.min_bandwidth.map(rate),
            max_bandwidth: promise.max_bandwidth.map(rate),
            allow_postcopy: promise.allow_postcopy.then_some(true),
            throttle: promise.throttle.to_string(),
            policy: policy.map(|policy| policy.to_string()),
        }
    }
}

fn seconds(seconds: f64) -> String {
    // What is no time is written as it is, and not read again.
    let time = Duration::try_from_secs_f64(seconds);
    time.map_or_else(|_| seconds.to_string(), time_text)
}

fn span(span: Millis) -> String {
    seconds(span.0 / 1e3)
}

/// `300ms`, `1.5s`: to the nanosecond, as exact as plans are read.
fn time_text(time: Duration) -> String {
    format!("{time:?}").replace("µs", "us")
}

/// In the largest unit in which nothing is lost; in bits nothing is, as eight are a power of two.
fn rate(rate: ByteRate) -> String {
    let bits = rate.bits_per_s();
    let units = [(1e9, "Gbit/s"), (1e6, "Mbit/s"), (1e3, "kbit/s")];
    let written = units
        .into_iter()
        .filter(|(scale, _)| bits >= *scale)
        .map(|(scale, unit)| format!("{}{unit}", bits / scale));
    let mut whole = written.filter(|text| parse_rate(text).is_ok_and(|read| read == rate));
    whole.next().unwrap_or_else(|| format!("{bits}bit/s"))
}

fn share(share: Ratio) -> String {
    let percent = format!("{}%", share.percent());
    match parse_ratio(&percent).is_ok_and(|read| read == share) {
        true => percent,
        false => share.0.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = r#"
name = "mine"
loads = ["heavy"]
workloads = ["web"]
sector = "20.25s"
warm-up = "1m"
link = "33MiB/s"
max-downtime = "1333us"
deadline = "2m"
background-guests = 3
meter = "rapl"

[[subject]]
name = "multifd"
binary = "/opt/qemu \"7\"/bin/qemu"
machine = "pc-q35-7.2"
postcopy-after = "1.5s"
capabilities = { multifd = true, "x-odd name" = false }
parameters = { multifd-channels = 4, multifd-compression = "zstd", share = 0.1 }

[[subject]]
name = "promised"
[subject.promise]
max-downtime = "300ms"
deadline = "90s"
max-slowdown = "33.3%"
min-bandwidth = "10Mbit/s"
max-bandwidth = "2.1Gbit/s"
allow-postcopy = true
throttle = "courtesy"
policy = "urgent"
"#;

    #[test]
    fn what_is_written_is_read_as_the_same_plan() {
        let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/virt-lm");
        let plans = [
            BenchPlan::parse(FILE, "").unwrap(),
            BenchPlan::parse("link = \"unshaped\"", "bare").unwrap(),
            BenchPlan::read(&docs.join("plan.toml")).unwrap(),
            BenchPlan::read(&docs.join("report/plan.toml")).unwrap(),
            BenchPlan::quick(),
            BenchPlan::usual(),
        ];
        for plan in plans {
            let text = plan.to_toml().expect(&plan.name);
            assert_eq!(BenchPlan::parse(&text, "another name"), Ok(plan), "{text}");
        }
    }

    #[test]
    fn it_reads_as_people_write_it() {
        let plan = BenchPlan::parse(FILE, "").unwrap();
        insta::assert_snapshot!(plan.to_toml().unwrap());
    }

    #[test]
    fn what_no_file_can_say_is_not_written() {
        let mut plan = BenchPlan::quick();
        plan.warm_up_s = 0.0;
        assert_eq!(plan.to_toml(), None);
        plan = BenchPlan::quick();
        plan.subjects[0].promise = Some(Promise {
            expectant_ratio: Some(Ratio(0.7)),
            ..Promise::default()
        });
        assert_eq!(plan.to_toml(), None);
        plan.subjects[0].promise = None;
        let nothing = serde_json::Value::Null;
        plan.subjects[0].parameters.insert("x".to_owned(), nothing);
        assert_eq!(plan.to_toml(), None);
    }
}
