//! What `cargo metadata` says, reduced to what the checks ask.

use std::path::PathBuf;

use serde_json::Value;

use crate::Outcome;
use crate::command::{cargo, output};
use crate::fail;

/// One package: of the workspace, or one we are built from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Package {
    pub(crate) name: String,
    pub(crate) version: String,
    /// The SPDX expression of its manifest, if it has one.
    pub(crate) license: Option<String>,
    pub(crate) folder: PathBuf,
    pub(crate) dependencies: Vec<Dependency>,
    /// Names of its benchmarks (`[[bench]]`).
    pub(crate) benches: Vec<String>,
}

/// One direct dependency as the manifest lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Dependency {
    pub(crate) name: String,
    pub(crate) kind: Kind,
}

/// The table of the manifest a dependency stands in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Normal,
    Build,
    Dev,
}

/// The packages of the workspace.
pub(crate) fn workspace() -> Outcome<Vec<Package>> {
    read(&["--no-deps"])
}

/// Every package of the lock file, on all platforms and with the features we use.
pub(crate) fn all() -> Outcome<Vec<Package>> {
    read(&[])
}

fn read(options: &[&str]) -> Outcome<Vec<Package>> {
    let mut command = cargo(["metadata", "--quiet", "--format-version", "1"]);
    let text = output(command.args(options))?;
    match serde_json::from_str(&text) {
        Ok(metadata) => parse(&metadata),
        Err(error) => fail(format!("`cargo metadata` printed no JSON: {error}")),
    }
}

/// Reads the `packages` of a `cargo metadata` document.
pub(crate) fn parse(metadata: &Value) -> Outcome<Vec<Package>> {
    let Some(packages) = metadata["packages"].as_array() else {
        return fail("`cargo metadata` lists no packages");
    };
    packages.iter().map(package).collect()
}

fn package(json: &Value) -> Outcome<Package> {
    let text = |field: &str| match json[field].as_str() {
        Some(text) => Ok(text.to_owned()),
        None => fail(format!(
            "`cargo metadata`: a package has no `{field}`: {json}"
        )),
    };
    let manifest = PathBuf::from(text("manifest_path")?);
    Ok(Package {
        name: text("name")?,
        version: text("version")?,
        license: json["license"].as_str().map(str::to_owned),
        folder: manifest.parent().map(PathBuf::from).unwrap_or_default(),
        dependencies: elements(&json["dependencies"])
            .filter_map(dependency)
            .collect(),
        benches: elements(&json["targets"])
            .filter(|target| elements(&target["kind"]).any(|kind| kind == "bench"))
            .filter_map(|target| target["name"].as_str().map(str::to_owned))
            .collect(),
    })
}

fn dependency(json: &Value) -> Option<Dependency> {
    Some(Dependency {
        name: json["name"].as_str()?.to_owned(),
        kind: match json["kind"].as_str() {
            Some("dev") => Kind::Dev,
            Some("build") => Kind::Build,
            _ => Kind::Normal,
        },
    })
}

fn elements(json: &Value) -> impl Iterator<Item = &Value> {
    json.as_array().into_iter().flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_package_is_read_with_its_dependencies_and_benches() {
        let metadata = json!({"packages": [{
            "name": "vmferry-model", "version": "0.1.0", "license": null,
            "manifest_path": "/w/crates/vmferry-model/Cargo.toml",
            "dependencies": [
                {"name": "vmferry-core", "kind": null},
                {"name": "proptest", "kind": "dev"},
                {"name": "cc", "kind": "build"},
            ],
            "targets": [{"name": "vmferry_model", "kind": ["lib"]}, {"name": "fit", "kind": ["bench"]}],
        }]});
        let packages = parse(&metadata).expect("parses");
        let package = &packages[0];
        assert_eq!(package.folder, PathBuf::from("/w/crates/vmferry-model"));
        assert_eq!(package.license, None);
        assert_eq!(package.benches, ["fit"]);
        let kinds: Vec<Kind> = package.dependencies.iter().map(|d| d.kind).collect();
        assert_eq!(kinds, [Kind::Normal, Kind::Dev, Kind::Build]);
    }

    #[test]
    fn a_document_without_packages_is_refused() {
        assert!(parse(&json!({})).is_err());
        assert!(parse(&json!({"packages": [{"name": "x"}]})).is_err());
    }
}
