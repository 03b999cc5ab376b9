//! `cargo xtask papers`: what our models say beside what the papers print.
//!
//! Writes `docs/papers.md` and its figures, `docs/papers/*.svg`. Takes seconds.

mod akoush2010;
mod dom0cpu;
mod figure;
mod jin2011;
mod liu2011;
mod page;
mod writer;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use figure::Drawn;
use page::Page;

fn main() -> Drawn {
    let folder = docs().join("papers");
    if folder.exists() {
        // A figure that is no longer drawn must not stay.
        fs::remove_dir_all(&folder)
            .map_err(|error| format!("cannot clear {}: {error}", folder.display()))?;
    }
    fs::create_dir_all(&folder)
        .map_err(|error| format!("cannot make {}: {error}", folder.display()))?;
    for (name, text) in files()? {
        let path = docs().join(name);
        fs::write(&path, text)
            .map_err(|error| format!("cannot write {}: {error}", path.display()))?;
    }
    Ok(())
}

/// Every file by its name below `docs`.
fn files() -> Drawn<BTreeMap<String, String>> {
    let page = page();
    let mut files = BTreeMap::new();
    for figure in &page.figures {
        files.insert(format!("papers/{}.svg", figure.name), figure.svg()?);
    }
    files.insert(
        "papers.md".to_owned(),
        format!("{}\n", page.text.trim_end()),
    );
    Ok(files)
}

fn page() -> Page {
    let mut page = Page::default();
    page.say(
        "# The papers' numbers, and ours\n\n\
         Written by `cargo xtask papers`; a test fails when this page is not what the command writes now.\n\n\
         vmferry implements models of five papers; what is not there yet, each section says. This page holds them against the numbers that the papers print. \
         *Printed* is what a paper gives in its text; what it only draws cannot be read exactly and is not used. \
         `xen_legacy` are the rules of Xen 3, the hypervisor of these papers, as `vmferry-precopy` replays them. \
         Nothing is tuned silently: where a parameter was fitted, it is named with the points it was fitted on, and \
         all else is prediction.\n\n\
         In the figures lines are ours, dots and dashed lines are the paper's, unless they say that they are made up. Words are explained on the front page \
         of `vmferry-core`.",
    );
    for section in [
        akoush2010::section(),
        jin2011::section(),
        liu2011::section(),
        dom0cpu::section(),
    ] {
        page.append(section);
    }
    page.say(
        "## virtlm2011: Virt-LM, a benchmark for live migration\n\n\
         Nothing yet: its tables are scores of a benchmark that vmferry does not have, from guests whose dirty rates \
         are not printed.",
    );
    page.say(
        "## Not one of the papers\n\n\
         The textbook rules give all 48 migration times that Gudkov published for one dirty curve (qemu-devel, April \
         2023): a test where that data set is at hand (`crates/vmferry-precopy/tests/textbook_vectors.rs`).",
    );
    page
}

fn docs() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_committed_page_is_what_the_command_writes() {
        let files = files().expect("the figures can be drawn");
        for (name, text) in &files {
            let path = docs().join(name);
            let committed = fs::read_to_string(&path).unwrap_or_default();
            assert!(
                committed == *text,
                "{} is not what the models say now; run `cargo xtask papers` and look at the difference",
                path.display()
            );
        }
        for entry in fs::read_dir(docs().join("papers")).expect("figures are committed") {
            let name = entry.expect("a readable folder").file_name();
            let name = format!("papers/{}", name.to_string_lossy());
            assert!(
                files.contains_key(&name),
                "docs/{name} is no longer drawn; run `cargo xtask papers`"
            );
        }
    }

    #[test]
    fn every_figure_loads_nothing() {
        for figure in page().figures {
            let drawing = figure.svg().expect("a drawing");
            assert_eq!(drawing.matches("http").count(), 1, "{}", figure.name);
        }
    }
}
