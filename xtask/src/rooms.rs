//! Which crate may use which: the table of ARCHITECTURE.md as data, and its checks.

use crate::metadata::{Kind, Package};

/// One row of the table.
pub(crate) struct Room {
    /// The crate.
    pub(crate) name: &'static str,
    /// The crates it may use, as its cell of the table says: names without `vmferry-`, or
    /// `all above`, or `-`.
    pub(crate) uses: &'static str,
}

/// The table. A row may use only rows above it, so no cycle can be written down.
pub(crate) const ROOMS: &[Room] = &[
    room("vmferry-core", "-"),
    room("vmferry-precopy", "core"),
    room("vmferry-model", "core, precopy"),
    room("vmferry-control", "core, precopy, model"),
    room("vmferry-hypervisor", "core"),
    room("vmferry-measure", "core, hypervisor"),
    room("vmferry-history", "core"),
    room("vmferry-migrate", "core, control, hypervisor, measure"),
    room("vmferry-load", "-"),
    room("vmferry-testbed", "core, hypervisor, load"),
    room(
        "vmferry-bench",
        "core, model, measure, migrate, history, testbed",
    ),
    room("vmferry", "all above"),
    room("vmferry-cli", "vmferry"),
    room("xtask", "-"),
];

/// The crates without clock, I/O and async: time and observations reach them as arguments.
pub(crate) const PURE: &[&str] = &[
    "vmferry-core",
    "vmferry-precopy",
    "vmferry-model",
    "vmferry-control",
];

/// Crates that bring a runtime, the system or the network along.
const NOT_FOR_PURE: &[&str] = &[
    "tokio",
    "async-std",
    "smol",
    "nix",
    "libc",
    "rustix",
    "sqlx",
    "reqwest",
    "hyper",
];

const fn room(name: &'static str, uses: &'static str) -> Room {
    Room { name, uses }
}

/// What is wrong between the table and the manifests of the workspace; one line each.
pub(crate) fn against_manifests(rooms: &[Room], packages: &[Package]) -> Vec<String> {
    let mut wrong = Vec::new();
    for (index, room) in rooms.iter().enumerate() {
        if let Err(error) = allowed(rooms, index) {
            wrong.push(error);
        }
        if !packages.iter().any(|package| package.name == room.name) {
            wrong.push(format!(
                "{}: has a row in xtask/src/rooms.rs but is no crate of the workspace; remove the row",
                room.name
            ));
        }
    }
    for package in packages {
        match rooms.iter().position(|room| room.name == package.name) {
            Some(index) => wrong.extend(edges(rooms, index, package, packages)),
            None => wrong.push(format!(
                "{}: a crate without a row; add one to xtask/src/rooms.rs and to ARCHITECTURE.md",
                package.name
            )),
        }
    }
    wrong
}

/// The forbidden dependencies of one crate.
fn edges(rooms: &[Room], index: usize, package: &Package, packages: &[Package]) -> Vec<String> {
    let Ok(allowed) = allowed(rooms, index) else {
        return Vec::new();
    };
    let name = &package.name;
    let pure = PURE.contains(&name.as_str());
    let mut wrong = Vec::new();
    for dependency in &package.dependencies {
        let to = dependency.name.as_str();
        let ours = packages.iter().any(|p| p.name == to);
        match dependency.kind {
            Kind::Normal | Kind::Build if ours && !allowed.contains(&to) => wrong.push(format!(
                "{name} -> {to}: not in the table, {name} may use: {}",
                rooms[index].uses
            )),
            Kind::Dev if ours && pure && !PURE.contains(&to) => wrong.push(format!(
                "{name} -> {to} (dev): a pure crate is tested with pure crates only"
            )),
            _ if pure && NOT_FOR_PURE.contains(&to) => wrong.push(format!(
                "{name} -> {to}: {name} is pure (no clock, no I/O, no async)"
            )),
            _ => {}
        }
    }
    wrong
}

/// The crates that a row may use, by their full names.
fn allowed(rooms: &[Room], index: usize) -> Result<Vec<&'static str>, String> {
    let above = || rooms[..index].iter().map(|room| room.name);
    match rooms[index].uses {
        "-" => Ok(Vec::new()),
        "all above" => Ok(above().collect()),
        listed => listed
            .split(", ")
            .map(|short| {
                above()
                    .find(|name| *name == short || name.strip_prefix("vmferry-") == Some(short))
                    .ok_or_else(|| {
                        format!(
                            "{}: its row names `{short}`, which is no row above it",
                            rooms[index].name
                        )
                    })
            })
            .collect(),
    }
}

/// What is wrong between the table and the one in ARCHITECTURE.md; one line each.
pub(crate) fn against_document(rooms: &[Room], document: &str) -> Vec<String> {
    let Some(rows) = rows(document) else {
        return vec![
            "ARCHITECTURE.md: no table whose last column is `may use`; \
             write one row for each crate: | `crate` | what lives there | what it may use |"
                .to_owned(),
        ];
    };
    let mut wrong = Vec::new();
    for room in rooms {
        match rows.iter().find(|row| row.name == room.name) {
            None => wrong.push(format!(
                "ARCHITECTURE.md: no row for {}; add | `{}` | what lives there | {} |",
                room.name, room.name, room.uses
            )),
            Some(row) if row.uses != room.uses => wrong.push(format!(
                "ARCHITECTURE.md: {} may use `{}` there, but `{}` in xtask/src/rooms.rs; make them equal",
                room.name, row.uses, room.uses
            )),
            Some(_) => {}
        }
    }
    for row in &rows {
        if !rooms.iter().any(|room| room.name == row.name) {
            wrong.push(format!(
                "ARCHITECTURE.md: a row for {}, which has none in xtask/src/rooms.rs",
                row.name
            ));
        }
    }
    let order = |name: &str| rows.iter().position(|row| row.name == name);
    let places: Vec<_> = rooms.iter().filter_map(|room| order(room.name)).collect();
    if !places.is_sorted() {
        wrong.push(
            "ARCHITECTURE.md: the rows stand in another order than in xtask/src/rooms.rs"
                .to_owned(),
        );
    }
    wrong
}

/// A row of the document: crate and what it may use, without back-ticks.
struct Row {
    name: String,
    uses: String,
}

fn rows(document: &str) -> Option<Vec<Row>> {
    let mut lines = document.lines();
    lines.find(|line| {
        cells(line).is_some_and(|cells| cells.last().is_some_and(|last| last == "may use"))
    })?;
    Some(
        lines
            .map_while(cells)
            .filter(|cells| {
                !cells
                    .iter()
                    .all(|cell| cell.chars().all(|c| matches!(c, '-' | ':')))
            })
            .filter_map(|mut cells| {
                let uses = cells.pop()?;
                let name = cells.into_iter().next()?;
                Some(Row { name, uses })
            })
            .collect(),
    )
}

fn cells(line: &str) -> Option<Vec<String>> {
    let inner = line.trim().strip_prefix('|')?.strip_suffix('|')?;
    Some(
        inner
            .split('|')
            .map(|cell| cell.replace('`', "").trim().to_owned())
            .collect(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metadata;
    use serde_json::{Value, json};

    const SMALL: &[Room] = &[
        room("vmferry-core", "-"),
        room("vmferry-model", "core"),
        room("vmferry-history", "core"),
        room("vmferry", "all above"),
    ];

    fn crate_json(name: &str, dependencies: &[(&str, Option<&str>)]) -> Value {
        let dependencies: Vec<Value> = dependencies
            .iter()
            .map(|(name, kind)| json!({"name": name, "kind": kind}))
            .collect();
        json!({
            "name": name, "version": "0.1.0", "license": "MIT", "targets": [],
            "manifest_path": format!("/w/{name}/Cargo.toml"), "dependencies": dependencies,
        })
    }

    fn checked(crates: &[Value]) -> Vec<String> {
        let packages =
            metadata::parse(&json!({ "packages": crates })).expect("made-up metadata parses");
        against_manifests(SMALL, &packages)
    }

    fn good() -> [Value; 4] {
        [
            crate_json("vmferry-core", &[("serde", None)]),
            crate_json(
                "vmferry-model",
                &[("vmferry-core", None), ("proptest", Some("dev"))],
            ),
            crate_json("vmferry-history", &[("vmferry-core", None), ("sqlx", None)]),
            crate_json(
                "vmferry",
                &[("vmferry-model", None), ("vmferry-history", None)],
            ),
        ]
    }

    #[test]
    fn allowed_edges_pass() {
        assert_eq!(checked(&good()), [""; 0]);
    }

    #[test]
    fn a_forbidden_edge_is_named_with_what_is_allowed() {
        for kind in [None, Some("build")] {
            let mut crates = good();
            crates[1] = crate_json("vmferry-model", &[("vmferry-history", kind)]);
            assert_eq!(
                checked(&crates),
                ["vmferry-model -> vmferry-history: not in the table, vmferry-model may use: core"]
            );
        }
    }

    #[test]
    fn tests_may_use_anything_except_in_pure_crates() {
        let mut crates = good();
        crates[2] = crate_json("vmferry-history", &[("vmferry", Some("dev"))]);
        assert_eq!(checked(&crates), [""; 0]);
        crates[1] = crate_json("vmferry-model", &[("vmferry-history", Some("dev"))]);
        assert_eq!(
            checked(&crates),
            [
                "vmferry-model -> vmferry-history (dev): a pure crate is tested with pure crates only"
            ]
        );
    }

    #[test]
    fn pure_crates_bring_no_runtime() {
        for kind in [None, Some("dev")] {
            let mut crates = good();
            crates[0] = crate_json("vmferry-core", &[("tokio", kind)]);
            assert_eq!(
                checked(&crates),
                ["vmferry-core -> tokio: vmferry-core is pure (no clock, no I/O, no async)"]
            );
        }
    }

    #[test]
    fn crates_and_rows_must_match() {
        let mut crates = good().to_vec();
        crates[2] = crate_json("vmferry-web", &[]);
        let wrong = checked(&crates);
        assert_eq!(wrong.len(), 2, "{wrong:?}");
        assert!(wrong[0].starts_with("vmferry-history: has a row"));
        assert!(wrong[1].starts_with("vmferry-web: a crate without a row"));
        assert_eq!(against_manifests(SMALL, &[]).len(), SMALL.len());
    }

    #[test]
    fn the_real_table_only_points_up() {
        for index in 0..ROOMS.len() {
            allowed(ROOMS, index).expect("every row names rows above it");
        }
        let looped = [room("vmferry-a", "b"), room("vmferry-b", "a")];
        assert!(allowed(&looped, 0).is_err_and(|text| text.contains("no row above it")));
        assert_eq!(allowed(&looped, 1), Ok(vec!["vmferry-a"]));
    }

    const DOCUMENT: &str = "\
# Code map
| crate | what lives there | may use |
|---|:---|---|
| `vmferry-core` | words | - |
| `vmferry-model` | forecasts | `core` |
| `vmferry-history` | the record | core |
| `vmferry` | façade | all above |

| `other` | table | x |
";

    #[test]
    fn the_document_must_say_the_same() {
        assert_eq!(against_document(SMALL, DOCUMENT), [""; 0]);
        let wider = DOCUMENT.replace("| `core` |", "| core, history |");
        let wrong = against_document(SMALL, &wider);
        assert_eq!(wrong.len(), 1);
        assert!(
            wrong[0].contains("vmferry-model may use `core, history` there"),
            "{wrong:?}"
        );
    }

    #[test]
    fn missing_strange_and_misplaced_rows_are_found() {
        let missing = DOCUMENT.replace("| `vmferry-model` | forecasts | `core` |\n", "");
        assert!(against_document(SMALL, &missing)[0].contains("no row for vmferry-model"));
        let strange = DOCUMENT.replace("|\n\n", "|\n| `vmferry-web` | page | vmferry |\n\n");
        assert!(against_document(SMALL, &strange)[0].contains("a row for vmferry-web"));
        let swapped = DOCUMENT
            .replace("`vmferry-model` | forecasts", "`vmferry-x` | forecasts")
            .replace(
                "`vmferry-history` | the record",
                "`vmferry-model` | the record",
            )
            .replace("`vmferry-x`", "`vmferry-history`");
        assert!(against_document(SMALL, &swapped)[0].contains("another order"));
        assert!(against_document(SMALL, "no table")[0].contains("no table"));
    }
}
