//! Plan files (TOML), as people write them: durations as `"20s"`, rates as `"400Mbit/s"`.

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use serde::Deserialize;
use serde::de::{Deserializer, Visitor};
use vmferry_core::promise::{Preset, Promise, Throttle};
use vmferry_core::quantity::{QuantityError, parse_rate, parse_ratio, parse_span};
use vmferry_core::{ByteRate, Ratio};

use super::{BenchPlan, Load, PlanPart, Subject};
use crate::BenchError;

/// What the link is called that is not shaped.
pub(super) const UNSHAPED: &str = "unshaped";

/// A plan's file. What is not said is as in [`BenchPlan::usual`].
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct PlanFile {
    name: Option<String>,
    workloads: Option<Vec<String>>,
    loads: Option<Vec<Load>>,
    points: Option<u32>,
    sector: Option<Written<Duration>>,
    warm_up: Option<Written<Duration>>,
    observe: Option<Written<Duration>>,
    repeats: Option<u32>,
    link: Option<Written<Link>>,
    max_downtime: Option<Written<Duration>>,
    deadline: Option<Written<Duration>>,
    background_guests: Option<u32>,
    meter: Option<String>,
    destination_meter: Option<String>,
    #[serde(default)]
    subject: Vec<SubjectFile>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct SubjectFile {
    name: String,
    binary: Option<PathBuf>,
    machine: Option<String>,
    #[serde(default)]
    capabilities: BTreeMap<String, bool>,
    #[serde(default)]
    parameters: BTreeMap<String, serde_json::Value>,
    postcopy_after: Option<Written<Duration>>,
    promise: Option<PromiseFile>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct PromiseFile {
    max_downtime: Option<Written<Duration>>,
    deadline: Option<Written<Duration>>,
    max_slowdown: Option<Written<Ratio>>,
    min_bandwidth: Option<Written<ByteRate>>,
    max_bandwidth: Option<Written<ByteRate>>,
    #[serde(default)]
    allow_postcopy: bool,
    throttle: Option<Written<Throttle>>,
    policy: Option<Written<Preset>>,
}

/// The link between the hosts.
#[derive(Clone, Copy, Debug)]
struct Link(Option<ByteRate>);

/// A value that a file holds as a text.
#[derive(Clone, Copy, Debug)]
struct Written<T>(T);

/// What is written as a text.
trait Text: Sized {
    /// What it looks like in a file.
    const EXAMPLE: &'static str;

    fn read(text: &str) -> Result<Self, String>;
}

fn quantity<T>(read: Result<T, QuantityError>) -> Result<T, String> {
    read.map_err(|error| error.to_string())
}

impl Text for Duration {
    const EXAMPLE: &'static str = "a duration in quotes, as \"20s\" or \"300ms\"";

    fn read(text: &str) -> Result<Self, String> {
        quantity(parse_span(text))
    }
}

impl Text for ByteRate {
    const EXAMPLE: &'static str = "a rate in quotes, as \"400Mbit/s\"";

    fn read(text: &str) -> Result<Self, String> {
        quantity(parse_rate(text))
    }
}

impl Text for Ratio {
    const EXAMPLE: &'static str = "a share in quotes, as \"20%\"";

    fn read(text: &str) -> Result<Self, String> {
        quantity(parse_ratio(text))
    }
}

impl Text for Link {
    const EXAMPLE: &'static str = "a rate in quotes, as \"400Mbit/s\", or \"unshaped\"";

    fn read(text: &str) -> Result<Self, String> {
        if text == UNSHAPED {
            return Ok(Self(None));
        }
        let rate = quantity(parse_rate(text));
        rate.map(|rate| Self(Some(rate)))
            .map_err(|error| format!("{error}, or \"{UNSHAPED}\""))
    }
}

impl Text for Throttle {
    const EXAMPLE: &'static str = "a way to throttle in quotes, as \"auto\"";

    fn read(text: &str) -> Result<Self, String> {
        Self::from_str(text).map_err(|error| error.to_string())
    }
}

impl Text for Preset {
    const EXAMPLE: &'static str = "a policy in quotes, as \"balanced\"";

    fn read(text: &str) -> Result<Self, String> {
        Self::from_str(text).map_err(|error| error.to_string())
    }
}

impl<'de, T: Text> Deserialize<'de> for Written<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TextVisitor<T>(PhantomData<T>);
        impl<T: Text> Visitor<'_> for TextVisitor<T> {
            type Value = T;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(T::EXAMPLE)
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<T, E> {
                T::read(text).map_err(E::custom)
            }
        }
        deserializer
            .deserialize_str(TextVisitor(PhantomData))
            .map(Self)
    }
}

impl BenchPlan {
    /// Reads a plan file.
    ///
    /// # Errors
    /// [`BenchError::Plan`] with file, line, and what is allowed there.
    pub fn read(path: &Path) -> Result<Self, BenchError> {
        let text = std::fs::read_to_string(path).map_err(|error| BenchError::Plan {
            place: path.display().to_string(),
            problem: format!("{error}; give a plan file, or --quick"),
        })?;
        let stem = path.file_stem().unwrap_or(path.as_os_str());
        Self::parse(&text, &stem.to_string_lossy()).map_err(|(line, problem)| BenchError::Plan {
            place: match line {
                Some(line) => format!("{}, line {line}", path.display()),
                None => path.display().to_string(),
            },
            problem,
        })
    }

    /// Reads a plan from the text of a file; `name` is its name where the text gives none.
    pub(super) fn parse(text: &str, name: &str) -> Result<Self, (Option<usize>, String)> {
        let file: PlanFile = toml::from_str(text).map_err(|error| {
            let line = error.span().map(|span| line_of(text, span.start));
            (line, error.message().to_owned())
        })?;
        let plan = file.plan(name);
        plan.check(&[])
            .map_err(|fault| (line_of_part(text, fault.at), fault.to_string()))?;
        Ok(plan)
    }
}

/// The line, from 1 on, of a place in the text.
fn line_of(text: &str, offset: usize) -> usize {
    1 + text
        .bytes()
        .take(offset)
        .filter(|byte| *byte == b'\n')
        .count()
}

/// The line of a part of the plan, where it is written as people write it.
fn line_of_part(text: &str, part: PlanPart) -> Option<usize> {
    let is_there = |line: &str| match part {
        PlanPart::Subject(_) => line.replace(' ', "").starts_with("[[subject]]"),
        PlanPart::Setting(name) => line
            .trim_start()
            .strip_prefix(name)
            .is_some_and(|rest| rest.trim_start().starts_with('=')),
    };
    let nth = match part {
        PlanPart::Subject(index) => index,
        PlanPart::Setting(_) => 0,
    };
    let mut found = text.lines().enumerate().filter(|(_, line)| is_there(line));
    found.nth(nth).map(|(index, _)| index + 1)
}

impl PlanFile {
    fn plan(self, name: &str) -> BenchPlan {
        let usual = BenchPlan::usual();
        let seconds = |written: Option<Written<Duration>>, usual: f64| {
            written.map_or(usual, |span| span.0.as_secs_f64())
        };
        BenchPlan {
            name: self.name.unwrap_or_else(|| name.to_owned()),
            workloads: self.workloads.unwrap_or(usual.workloads),
            loads: self.loads.unwrap_or(usual.loads),
            points: self.points.unwrap_or(usual.points),
            sector_s: seconds(self.sector, usual.sector_s),
            warm_up_s: seconds(self.warm_up, usual.warm_up_s),
            repeats: self.repeats.unwrap_or(usual.repeats),
            link: self.link.map_or(usual.link, |link| link.0.0),
            max_downtime_ms: self
                .max_downtime
                .map_or(usual.max_downtime_ms, |span| span.0.into()),
            deadline_ms: self
                .deadline
                .map_or(usual.deadline_ms, |span| span.0.into()),
            observe_s: seconds(self.observe, usual.observe_s),
            background_guests: self.background_guests,
            meter: self.meter,
            destination_meter: self.destination_meter,
            subjects: if self.subject.is_empty() {
                usual.subjects
            } else {
                self.subject.into_iter().map(SubjectFile::subject).collect()
            },
        }
    }
}

impl SubjectFile {
    fn subject(self) -> Subject {
        Subject {
            name: self.name,
            binary: self.binary,
            machine: self.machine,
            capabilities: self.capabilities,
            parameters: self.parameters,
            postcopy_after_ms: self.postcopy_after.map(|span| span.0.into()),
            promise: self.promise.map(PromiseFile::promise),
        }
    }
}

impl PromiseFile {
    fn promise(self) -> Promise {
        Promise {
            max_downtime_ms: self.max_downtime.map(|span| span.0.into()),
            deadline_ms: self.deadline.map(|span| span.0.into()),
            max_slowdown: self.max_slowdown.map(|share| share.0),
            min_bandwidth: self.min_bandwidth.map(|rate| rate.0),
            max_bandwidth: self.max_bandwidth.map(|rate| rate.0),
            allow_postcopy: self.allow_postcopy,
            throttle: self.throttle.map_or(Throttle::Auto, |throttle| throttle.0),
            expectant_ratio: None,
            policy: self.policy.map(|policy| policy.0).unwrap_or_default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use vmferry_core::Millis;

    const FILE: &str = r#"
workloads = ["web", "cache"]
loads = ["heavy"]
sector = "20s"
link = "1Gbit/s"
max-downtime = "500ms"
background-guests = 3
meter = "rapl"

[[subject]]
name = "default"

[[subject]]
name = "multifd"
binary = "/opt/qemu/bin/qemu-system-x86_64"
machine = "pc-q35-7.2"
capabilities = { multifd = true }
parameters = { multifd-channels = 4, multifd-compression = "zstd" }

[[subject]]
name = "promised"
[subject.promise]
max-downtime = "300ms"
max-slowdown = "20%"
policy = "urgent"
"#;

    #[test]
    fn a_file_says_what_differs_from_the_usual() {
        let plan = BenchPlan::parse(FILE, "mine").unwrap();
        let usual = BenchPlan::usual();
        assert_eq!((plan.name.as_str(), plan.sector_s), ("mine", 20.0));
        assert_eq!((plan.points, plan.repeats), (usual.points, usual.repeats));
        assert_eq!(plan.link, Some(ByteRate::from_mbit_per_s(1000.0)));
        assert_eq!(plan.max_downtime_ms, Millis(500.0));
        assert_eq!(plan.background_guests, Some(3));
        assert_eq!(plan.meter.as_deref(), Some("rapl"));
        assert_eq!(plan.destination_meter, None);
        let multifd = plan.subject("multifd").unwrap();
        assert!(multifd.capabilities["multifd"]);
        assert_eq!(multifd.parameters["multifd-channels"], 4);
        assert_eq!(multifd.parameters["multifd-compression"], "zstd");
        let promise = plan.subject("promised").unwrap().promise.unwrap();
        assert_eq!(promise.max_slowdown, Some(Ratio(0.2)));
        assert_eq!(
            (promise.throttle, promise.policy),
            (Throttle::Auto, Preset::Urgent)
        );
        // A plan is kept as JSON with a benchmark, and read again.
        let kept = serde_json::to_string(&plan).unwrap();
        assert_eq!(serde_json::from_str::<BenchPlan>(&kept).unwrap(), plan);
        assert_eq!(
            BenchPlan::parse("link = \"unshaped\"", "x").unwrap().link,
            None
        );
    }

    #[test]
    fn faults_are_told_with_their_line_and_what_is_allowed() {
        let said = |from: &str, to: &str| {
            assert!(FILE.contains(from));
            let (line, problem) = BenchPlan::parse(&FILE.replace(from, to), "x").unwrap_err();
            let line = line.map_or_else(|| "-".to_owned(), |line| line.to_string());
            format!("{line}: {}", problem.replace('\n', " "))
        };
        let faults = [
            said("\"20s\"", "20"),
            said("\"20s\"", "\"soon\""),
            said("1Gbit/s", "fast"),
            said("[\"heavy\"]", "[\"huge\"]"),
            said("background-guests", "guests"),
            said("= 3", "= 0"),
            said("\"rapl\"", "\"\""),
            said("\"20s\"", "\"2s\"\nwarm-up = \"5s\""),
            said("multifd = true", "multifd = 1"),
            said("\"promised\"", "\"default\""),
            said("\"promised\"", "\"a b\""),
            said("urgent", "reckless"),
            said("[[subject]]\nname = \"default\"", "[[subject]]"),
            said("\"web\",", "\"web\""),
        ];
        insta::assert_snapshot!(faults.join("\n"), @r#"
        4: invalid type: integer `20`, expected a duration in quotes, as "20s" or "300ms"
        4: `soon` is no duration: it does not start with a number; write for example 300ms, 10s or 2m
        5: `fast` is no bandwidth: it does not start with a number; write for example 400Mbit/s, 2.1Gbit/s or 50MiB/s, or "unshaped"
        3: unknown variant `huge`, expected `light` or `heavy`
        7: unknown field `guests`, expected one of `name`, `workloads`, `loads`, `points`, `sector`, `warm-up`, `observe`, `repeats`, `link`, `max-downtime`, `deadline`, `background-guests`, `meter`, `destination-meter`, `subject`
        7: `background-guests`: it is 0; give 1 to 64, or leave it out
        8: `meter`: it is empty; name a meter, or leave it out
        4: `sector`: it is 2 s after 5 s of warm-up; before the first migration meters take 15 s to tell what the hosts draw anyway
        17: invalid type: integer `1`, expected a boolean
        20: subject 3: `default` is named twice
        20: subject 3: `a b` is no name; give letters, digits, `.` and `-`
        25: `reckless` is none of gentle, balanced, urgent
        10: missing field `name`
        2: missing comma between array elements, expected `,`
        "#);
    }

    #[test]
    fn the_example_is_a_plan() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/virt-lm/plan.toml");
        let plan = BenchPlan::read(&path).unwrap();
        assert!(plan.subjects.len() >= 8, "{:?}", plan.subjects);
        assert!(
            plan.subjects
                .iter()
                .any(|one| one.postcopy_after_ms.is_some())
        );
        assert!(plan.subjects.iter().any(|one| one.promise.is_some()));
        assert!(plan.subjects.iter().any(|one| one.binary.is_some()));
    }

    #[test]
    fn a_missing_file_is_said() {
        let error = BenchPlan::read(Path::new("/nowhere/plan.toml")).unwrap_err();
        assert!(
            error
                .to_string()
                .starts_with("/nowhere/plan.toml: No such file"),
            "{error}"
        );
    }
}
