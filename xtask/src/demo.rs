//! `cargo xtask demo`: from a clean clone to guests that move.

use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::process::Command;

use crate::command::{cargo, is_root, run, shown, target_dir};
use crate::steps::Steps;
use crate::{Outcome, fail, install, load};

/// Installs, builds, and becomes `vmferry testbed demo ARGS`.
pub(crate) fn run_with(args: &[OsString]) -> Outcome {
    let mut steps = Steps::default();
    steps.report("install", install::for_demo)?;
    steps.report("load", load::build)?;
    // The debug build, which the tests share: what is hot is optimised in it too, and SQLite
    // and the optimiser do not cost minutes before the first guest boots.
    steps.run("build", || run(&mut cargo(["build", "-p", "vmferry-cli"])))?;
    println!("\n{}\n", steps.table());

    let program = target_dir().join("debug/vmferry");
    let guest = load::path();
    let mut demo = if is_root() {
        let mut demo = Command::new(&program);
        demo.env("VMFERRY_LOAD", &guest);
        demo
    } else {
        // Network namespaces are root's; sudo drops the environment unless told on its line.
        let mut demo = Command::new("sudo");
        let mut variable = OsString::from("VMFERRY_LOAD=");
        variable.push(&guest);
        demo.arg(variable).arg(&program);
        demo
    };
    demo.args(["testbed", "demo"]).args(args);
    println!("==> {}", shown(&demo));
    let error = demo.exec();
    fail(format!("cannot start `{}`: {error}", shown(&demo)))
}
