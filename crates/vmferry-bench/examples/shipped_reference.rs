//! Makes the reference that ships with vmferry out of a report in JSON:
//! `shipped_reference REPORT.json [SUBJECT]`, the report's first subject where none is named.

use std::path::Path;
use std::{env, fs};

use vmferry_bench::reference::{lacking, reduced};
use vmferry_bench::report::json;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = env::args().skip(1);
    let report = args
        .next()
        .ok_or("say of which report: shipped_reference REPORT.json [SUBJECT]")?;
    let record = json::read(Path::new(&report))?;
    let first = record.plan.subjects.first();
    let subject = args.next().or(first.map(|one| one.name.clone()));
    let subject = subject.ok_or("the report has no subject")?;
    let kept = reduced(&record, &subject)?;
    let lacks = lacking(&kept);
    if !lacks.is_empty() {
        return Err(format!("{report} can be no reference: {}", lacks.join("; ")).into());
    }
    let place = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/reference/shipped.json");
    fs::write(place, serde_json::to_string(&kept)? + "\n")?;
    Ok(())
}
