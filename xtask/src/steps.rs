//! Steps with a name and a time: what `test` and `lint` are made of.

use std::time::{Duration, Instant};

use crate::{Outcome, fail};

/// The steps of one command, in the order they ran.
#[derive(Default)]
pub(crate) struct Steps {
    done: Vec<Step>,
}

struct Step {
    name: &'static str,
    took: Duration,
    failed: bool,
}

impl Steps {
    /// Runs one step and says how long it took. The failure is returned and remembered.
    pub(crate) fn run<T>(
        &mut self,
        name: &'static str,
        work: impl FnOnce() -> Outcome<T>,
    ) -> Outcome<T> {
        println!("==> {name}");
        let start = Instant::now();
        let result = work();
        let took = start.elapsed();
        match &result {
            Ok(_) => println!("<== {name}: {}", seconds(took)),
            Err(error) => println!("<== {name} FAILED after {}: {error}", seconds(took)),
        }
        self.done.push(Step {
            name,
            took,
            failed: result.is_err(),
        });
        result
    }

    /// Runs a step whose report is worth a line.
    pub(crate) fn report(
        &mut self,
        name: &'static str,
        work: impl FnOnce() -> Outcome<String>,
    ) -> Outcome {
        self.run(name, || {
            println!("{}", work()?);
            Ok(())
        })
    }

    /// Ends with a failure that names the steps that failed, if any did.
    pub(crate) fn verdict(&self) -> Outcome {
        let failed: Vec<&str> = self
            .done
            .iter()
            .filter(|s| s.failed)
            .map(|s| s.name)
            .collect();
        if failed.is_empty() {
            Ok(())
        } else {
            fail(format!("failed: {}", failed.join(", ")))
        }
    }

    /// The time of each step and of all together, as a table.
    pub(crate) fn table(&self) -> String {
        let mut table = String::from("step            time  result\n");
        for step in &self.done {
            let result = if step.failed { "FAILED" } else { "ok" };
            table += &format!("{:<10} {:>9}  {result}\n", step.name, seconds(step.took));
        }
        let total = self.done.iter().map(|s| s.took).sum();
        table += &format!("{:<10} {:>9}", "all", seconds(total));
        table
    }
}

fn seconds(took: Duration) -> String {
    format!("{:.1} s", took.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_step_is_named_and_the_others_still_count() {
        let mut steps = Steps::default();
        assert!(steps.run("fmt", || fail::<()>("2 files differ")).is_err());
        assert!(
            steps
                .report("arrows", || Ok("14 crates".to_owned()))
                .is_ok()
        );
        let verdict = steps.verdict().expect_err("fmt failed");
        assert_eq!(verdict.to_string(), "failed: fmt");
    }

    #[test]
    fn the_table_has_a_row_for_each_step_and_the_sum() {
        let step = |name, ms, failed| Step {
            name,
            took: Duration::from_millis(ms),
            failed,
        };
        let steps = Steps {
            done: vec![step("install", 300, false), step("clippy", 61_000, true)],
        };
        assert_eq!(
            steps.table(),
            "step            time  result\n\
             install        0.3 s  ok\n\
             clippy        61.0 s  FAILED\n\
             all           61.3 s"
        );
    }

    #[test]
    fn nothing_failed_is_a_good_verdict() {
        let mut steps = Steps::default();
        assert!(steps.run("load", || Ok(())).is_ok());
        assert!(steps.verdict().is_ok());
    }
}
