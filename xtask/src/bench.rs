//! `cargo xtask bench NAME`: the benchmarks by name.

use std::ffi::OsString;
use std::process::ExitStatus;

use crate::command::{cargo, shown};
use crate::metadata::{self, Package};
use crate::{Failure, Outcome, fail};

/// One benchmark: an entry here, or a `[[bench]]` target of a crate, which is found by itself.
struct Bench {
    name: String,
    what: String,
    /// Arguments of cargo; those of the user follow.
    cargo: Vec<String>,
}

/// Benchmarks that are no `[[bench]]` target: name, what it measures, arguments of cargo.
/// Add a line here for each.
const LISTED: &[(&str, &str, &[&str])] = &[
    (
        "accuracy",
        "forecasts frozen before real migrations, beside their outcomes (an hour; `cargo xtask load` first)",
        &[
            "run",
            "--release",
            "-p",
            "vmferry",
            "--example",
            "accuracy",
            "--",
        ],
    ),
    (
        "reference",
        "replaces the reference that comes with Virt-LM by a benchmark: REPORT.json [SUBJECT] (measures nothing itself)",
        &[
            "run",
            "-p",
            "vmferry-bench",
            "--example",
            "shipped_reference",
            "--",
        ],
    ),
    (
        "choose",
        "which guest to move: guided, at random and by rules of thumb, moved for real (an hour; `cargo xtask load` first)",
        &[
            "run",
            "--release",
            "-p",
            "vmferry",
            "--example",
            "choose",
            "--",
        ],
    ),
    (
        "overhead",
        "what observing costs a guest and its host (a quarter of an hour; `cargo xtask load` first)",
        &[
            "run",
            "--release",
            "-p",
            "vmferry",
            "--example",
            "overhead",
            "--",
        ],
    ),
    (
        "cpu",
        "migration time against the CPU given to the migration, and several moves at once, into docs/cpu-profile/ (as root, some hours; `cargo xtask load` first)",
        &[
            "run",
            "--release",
            "-p",
            "vmferry-cli",
            "--",
            "profile",
            "cpu",
            "--repeats",
            "3",
            "--report",
            "docs/cpu-profile",
        ],
    ),
    (
        "throttle",
        "real guests moved under every controller, with the same promise (two hours; `cargo xtask load` first)",
        &[
            "run",
            "--release",
            "-p",
            "vmferry",
            "--example",
            "throttle",
            "--",
        ],
    ),
];

/// Lists the benchmarks, or runs the one named and passes further arguments to it.
pub(crate) fn run(args: &[OsString]) -> Outcome {
    let known = known(LISTED, &metadata::workspace()?);
    let Some((name, rest)) = args.split_first() else {
        print!("{}", listing(&known));
        return Ok(());
    };
    let name = name.to_string_lossy();
    let Some(bench) = known.iter().find(|bench| bench.name == name) else {
        return Err(Failure::Usage(format!(
            "unknown benchmark `{name}`\n{}",
            listing(&known)
        )));
    };
    let mut command = cargo(&bench.cargo);
    command.args(rest);
    match command.status() {
        Ok(status) => ended(status),
        Err(error) => fail(format!("cannot start `{}`: {error}", shown(&command))),
    }
}

/// Keeps the exit code of a benchmark: 30, for one, tells of a regression.
fn ended(status: ExitStatus) -> Outcome {
    match status.code().map(u8::try_from) {
        Some(Ok(0)) => Ok(()),
        Some(Ok(code)) => Err(Failure::Ended(code)),
        _ => fail(format!("the benchmark ended with {status}")),
    }
}

fn known(listed: &[(&str, &str, &[&str])], packages: &[Package]) -> Vec<Bench> {
    let listed = listed.iter().map(|(name, what, cargo)| Bench {
        name: (*name).to_owned(),
        what: (*what).to_owned(),
        cargo: cargo.iter().map(|word| (*word).to_owned()).collect(),
    });
    let targets = packages.iter().flat_map(|package| {
        package.benches.iter().map(|bench| Bench {
            name: bench.clone(),
            what: format!("the `{bench}` benchmark of {}", package.name),
            cargo: ["bench", "-p", &package.name, "--bench", bench, "--"]
                .map(str::to_owned)
                .to_vec(),
        })
    });
    listed.chain(targets).collect()
}

fn listing(known: &[Bench]) -> String {
    if known.is_empty() {
        return "No benchmark yet.\n".to_owned();
    }
    let mut text = String::from("Benchmarks:\n");
    for bench in known {
        text += &format!("  {:<20} {}\n", bench.name, bench.what);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use std::os::unix::process::ExitStatusExt;

    #[test]
    fn entries_and_targets_are_listed_and_run_by_name() {
        let metadata = json!({"packages": [{
            "name": "vmferry-model", "version": "0.1.0", "manifest_path": "/w/Cargo.toml",
            "dependencies": [], "targets": [{"name": "fit", "kind": ["bench"]}],
        }]});
        let packages = metadata::parse(&metadata).expect("made-up metadata parses");
        let known = known(
            &[("moves", "real moves", &["run", "--example", "moves"])],
            &packages,
        );
        assert_eq!(
            listing(&known),
            "Benchmarks:\n  moves                real moves\n  fit                  the `fit` benchmark of vmferry-model\n"
        );
        assert_eq!(known[0].cargo, ["run", "--example", "moves"]);
        assert_eq!(
            known[1].cargo,
            ["bench", "-p", "vmferry-model", "--bench", "fit", "--"]
        );
    }

    #[test]
    fn the_exit_code_of_a_benchmark_is_kept() {
        assert!(ended(ExitStatus::from_raw(0)).is_ok());
        assert!(matches!(
            ended(ExitStatus::from_raw(30 << 8)),
            Err(Failure::Ended(30))
        ));
        assert!(matches!(
            ended(ExitStatus::from_raw(9)),
            Err(Failure::Failed(_))
        ));
    }
}
