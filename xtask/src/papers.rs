//! `cargo xtask papers`: our figures beside the papers', `docs/papers.md`.

use crate::Outcome;
use crate::command::{cargo, run};

/// Writes the page and its drawings. The debug build, which the tests share: what computes is
/// optimised in it too.
pub(crate) fn write() -> Outcome<String> {
    run(&mut cargo([
        "run",
        "--quiet",
        "-p",
        "vmferry-model",
        "--example",
        "papers",
    ]))?;
    Ok("docs/papers.md and docs/papers/*.svg are what the models say now".to_owned())
}
