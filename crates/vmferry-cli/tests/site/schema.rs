//! Answers of `vmferry` against the schemas that are checked in.

use std::path::{Path, PathBuf};

use serde_json::Value;

/// Where the schemas are checked in.
pub(crate) fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../schemas")
}

/// Panics unless the document is what `schemas/NAME.json` describes.
#[track_caller]
pub(crate) fn is_valid(name: &str, document: &Value) {
    let path = directory().join(format!("{name}.json"));
    let text = std::fs::read_to_string(&path)
        .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let schema: Value = serde_json::from_str(&text).expect("a schema is JSON");
    let validator = jsonschema::validator_for(&schema).expect("a schema");
    let problems: Vec<_> = validator
        .iter_errors(document)
        .map(|error| format!("{}: {error}", error.instance_path()))
        .collect();
    assert!(
        problems.is_empty(),
        "no valid {name}: {problems:#?}\n{document:#}"
    );
}
