//! Writes the report of a made-up benchmark, to look at: `made_up_report DIRECTORY`.

#[path = "../tests/made_up/mod.rs"]
mod made_up;

use std::path::PathBuf;
use std::{env, fs};

use vmferry_bench::report::{html, json::BenchDocument, markdown, page, results::Results};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let directory = env::args_os().nth(1).map(PathBuf::from);
    let directory = directory.ok_or("say into which directory: made_up_report DIRECTORY")?;
    fs::create_dir_all(&directory)?;
    for (name, record) in [("whole", made_up::record()), ("small", made_up::small())] {
        let results = Results::of(&record, None);
        let page = page(&record, &results);
        let file = |end: &str| directory.join(format!("{name}.{end}"));
        fs::write(file("html"), html::html(&page))?;
        fs::write(file("md"), markdown::markdown(&page))?;
        let document = BenchDocument::whole(&record, &results).leaned();
        fs::write(file("json"), serde_json::to_vec_pretty(&document)?)?;
    }
    Ok(())
}
