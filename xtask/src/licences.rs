//! `cargo xtask licences`: may we ship every package that we are built from?

use crate::metadata::{self, Package};
use crate::spdx::Expression;
use crate::{Outcome, fail};

/// Licences that ask of a program under MIT OR Apache-2.0 nothing but their notice.
const ALLOWED: &[&str] = &[
    "MIT",
    "MIT-0",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "ISC",
    "Zlib",
    "Unicode-3.0",
    "Unicode-DFS-2016",
    "CC0-1.0",
    "0BSD",
    "Unlicense",
    "MPL-2.0",
    "BSL-1.0",
    // SQLite's.
    "blessing",
];

/// Licences for certain packages only. libvirt's binding is LGPL: it stays in a part of its own.
const ALLOWED_FOR: &[(&str, &[&str])] = &[("LGPL-2.1-or-later", &["virt", "virt-sys"])];

/// Checks every package of the lock file.
pub(crate) fn check() -> Outcome<String> {
    let packages = metadata::all()?;
    let wrong: Vec<String> = packages.iter().filter_map(problem).collect();
    if wrong.is_empty() {
        Ok(format!(
            "licences: {} packages, all allowed",
            packages.len()
        ))
    } else {
        fail(format!(
            "licences: {} not allowed; replace the package, or allow its licence in \
             xtask/src/licences.rs with a reason\n  {}",
            wrong.len(),
            wrong.join("\n  ")
        ))
    }
}

/// What is wrong with the licence of one package.
fn problem(package: &Package) -> Option<String> {
    let who = format!("{} {}", package.name, package.version);
    let Some(text) = &package.license else {
        return Some(format!("{who}: its manifest has no licence expression"));
    };
    let allowed = |licence: &str| {
        ALLOWED.contains(&licence)
            || ALLOWED_FOR.iter().any(|(name, packages)| {
                *name == licence && packages.contains(&package.name.as_str())
            })
    };
    match Expression::parse(text) {
        Ok(expression) if expression.satisfied(&allowed) => None,
        Ok(_) => Some(format!("{who}: {text}")),
        Err(error) => Some(format!("{who}: cannot read `{text}`: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn problem_of(name: &str, license: Option<&str>) -> Option<String> {
        let metadata = json!({"packages": [{
            "name": name, "version": "1.2.3", "license": license, "manifest_path": "/r/Cargo.toml",
            "dependencies": [], "targets": [],
        }]});
        problem(&metadata::parse(&metadata).expect("made-up metadata parses")[0])
    }

    #[test]
    fn usual_licences_are_allowed() {
        for license in [
            "MIT OR Apache-2.0",
            "MIT/Apache-2.0",
            "Apache-2.0 WITH LLVM-exception OR Apache-2.0 OR MIT",
            "(MIT OR Apache-2.0) AND Unicode-3.0",
            "GPL-3.0-only OR BSD-2-Clause",
        ] {
            assert_eq!(problem_of("some", Some(license)), None, "{license}");
        }
    }

    #[test]
    fn an_offender_is_named_with_its_expression() {
        assert_eq!(
            problem_of("copyleft", Some("GPL-3.0-only AND MIT")).as_deref(),
            Some("copyleft 1.2.3: GPL-3.0-only AND MIT")
        );
        assert!(
            problem_of("silent", None).is_some_and(|text| text.contains("no licence expression"))
        );
        assert!(
            problem_of("odd", Some("MIT AND"))
                .is_some_and(|text| text.contains("cannot read `MIT AND`"))
        );
    }

    #[test]
    fn the_lgpl_is_for_libvirt_only() {
        assert_eq!(problem_of("virt-sys", Some("LGPL-2.1-or-later")), None);
        assert!(problem_of("other", Some("LGPL-2.1-or-later")).is_some());
    }
}
