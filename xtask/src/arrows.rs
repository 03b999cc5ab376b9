//! `cargo xtask arrows`: does the workspace still have the shape that ARCHITECTURE.md draws?

use std::fs;
use std::io;
use std::path::Path;

use crate::command::root;
use crate::metadata::{self, Package};
use crate::{Failure, Outcome, fail, layout, purity, rooms};

/// Checks dependencies, the table of ARCHITECTURE.md, purity, file names and sizes; says how
/// much was looked at, or everything that is wrong.
pub(crate) fn check() -> Outcome<String> {
    let packages = metadata::workspace()?;
    let mut wrong = rooms::against_manifests(rooms::ROOMS, &packages);
    match fs::read_to_string(root().join("ARCHITECTURE.md")) {
        Ok(document) => wrong.extend(rooms::against_document(rooms::ROOMS, &document)),
        Err(error) => wrong.push(format!(
            "ARCHITECTURE.md: cannot read it ({error}); it must hold the table of crates with the \
             columns crate, what lives there, may use"
        )),
    }
    let files = source_files(&packages, &mut wrong)?;
    if wrong.is_empty() {
        Ok(format!(
            "arrows: {} crates and {files} source files as drawn",
            packages.len()
        ))
    } else {
        fail(format!(
            "arrows: {} wrong\n  {}",
            wrong.len(),
            wrong.join("\n  ")
        ))
    }
}

/// Looks into every source file; returns how many there are.
fn source_files(packages: &[Package], wrong: &mut Vec<String>) -> Outcome<usize> {
    let unreadable = |path: &Path, error: io::Error| {
        Failure::Failed(format!("cannot read {}: {error}", path.display()))
    };
    let pure_folders: Vec<_> = packages
        .iter()
        .filter(|package| rooms::PURE.contains(&package.name.as_str()))
        .map(|package| package.folder.join("src"))
        .collect();
    let files = layout::rust_files(root()).map_err(|error| unreadable(root(), error))?;
    for file in &files {
        let text = fs::read_to_string(file).map_err(|error| unreadable(file, error))?;
        let shown = file.strip_prefix(root()).unwrap_or(file);
        wrong.extend(layout::problems(shown, &text));
        if pure_folders.iter().any(|folder| file.starts_with(folder)) {
            for (line, word) in purity::impurities(&text) {
                wrong.push(format!(
                    "{}:{line}: `{word}` in a pure crate; take the time or the data as an argument",
                    shown.display()
                ));
            }
        }
    }
    Ok(files.len())
}
