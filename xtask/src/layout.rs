//! File names and sizes: a file is named by what lives in it, and can be read in one sitting.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// No source file is longer, in lines.
const LONGEST: usize = 600;

/// Names that say nothing about what lives there.
const EMPTY_NAMES: &[&str] = &["util", "utils", "common", "manager", "helper", "helpers"];

/// Every Rust file below the folder, sorted; build output, hidden folders and what git-ignored
/// tools leave there are skipped.
pub(crate) fn rust_files(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder)? {
            let entry = entry?;
            let (path, kind) = (entry.path(), entry.file_type()?);
            let name = entry.file_name();
            let name = name.to_string_lossy();
            if kind.is_dir() && !name.starts_with('.') && name != "target" && name != "node_modules"
            {
                folders.push(path);
            } else if kind.is_file() && path.extension().is_some_and(|extension| extension == "rs")
            {
                files.push(path);
            }
        }
    }
    files.sort();
    Ok(files)
}

/// What is wrong with one file, given its path within the repository; one line each.
pub(crate) fn problems(path: &Path, text: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    let lines = text.lines().count();
    if lines > LONGEST {
        wrong.push(format!(
            "{}: {lines} lines, at most {LONGEST}; split it by what lives there",
            path.display()
        ));
    }
    for part in path.with_extension("").components() {
        let name = part.as_os_str().to_string_lossy();
        if EMPTY_NAMES.contains(&&*name) {
            wrong.push(format!(
                "{}: `{name}` does not say what lives there; name it by a noun of the domain",
                path.display()
            ));
        }
    }
    wrong
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_files_are_found() {
        let path = Path::new("crates/a/src/curve.rs");
        assert_eq!(problems(path, &"x\n".repeat(600)), [""; 0]);
        assert!(problems(path, &"x\n".repeat(601))[0].contains("601 lines"));
    }

    #[test]
    fn empty_names_are_found_for_files_and_folders() {
        for path in [
            "crates/a/src/utils.rs",
            "crates/a/tests/common/mod.rs",
            "xtask/src/manager.rs",
        ] {
            assert_eq!(problems(Path::new(path), "").len(), 1, "{path}");
        }
        assert_eq!(
            problems(Path::new("crates/a/src/utility_curve.rs"), ""),
            [""; 0]
        );
    }

    #[test]
    fn the_walk_finds_this_file_and_no_build_output() {
        let root = crate::command::root();
        let files = rust_files(root).expect("readable");
        assert!(files.contains(&root.join("xtask/src/layout.rs")));
        assert!(
            files
                .iter()
                .all(|file| !file.starts_with(root.join("target")))
        );
    }
}
