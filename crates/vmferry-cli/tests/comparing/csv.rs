//! CSV files of migrations.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;

pub(crate) const MAP: &str = "memory_mib=mem,dirty_pages_per_s=dirty,bandwidth_mbit_per_s=bw,\
                              technique=how,workload=load,guest=vm,run=run,total_time_ms=total,\
                              downtime_ms=down,transferred_mib=sent,converged=done";
pub(crate) const HEADER: &str = "run,vm,load,mem,dirty,bw,how,total,down,sent,done";

/// `count` migrations of five workloads and seven guests by three techniques:
/// what physics says, times a factor that no model is told.
pub(crate) fn made_up(count: usize) -> String {
    let mut text = format!("{HEADER}\n");
    for i in 0..count {
        let memory = 1024 << (i % 4);
        let bandwidth = [500, 1000, 2000][i % 3];
        let dirty = 1000 + 500 * (i % 5);
        let technique = ["pre-copy", "auto-converge", "post-copy"][i / 5 % 3];
        let once_s = f64::from(memory) * 8.388_608 / f64::from(bandwidth);
        let total = once_s * 1000.0 * 0.6;
        let (load, guest) = (i % 5, i % 7);
        let done = if i % 20 == 19 { "no" } else { "yes" };
        let sent = f64::from(memory) * 0.6;
        writeln!(
            text,
            "{i},vm{guest},load{load},{memory},{dirty},{bandwidth},{technique},{total:.1},25,{sent:.0},{done}"
        )
        .expect("text");
    }
    text
}

/// The 100 QEMU migrations of a PostgreSQL guest as a CSV of the columns above,
/// the dirty rate being that of the first round of runs that did the same;
/// `None` where the data are missing.
#[expect(clippy::print_stderr, reason = "a skipped test has to say so")]
pub(crate) fn qemu_postgres() -> Option<String> {
    let data = std::env::var_os("VMFERRY_SHARED_DATA").map_or_else(
        || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data"),
        PathBuf::from,
    );
    let read = |name: &str| {
        let path = data.join("qemu-postgres-2026").join(name);
        let text = std::fs::read_to_string(&path);
        text.inspect_err(|_| eprintln!("skipped: test data missing at {}", path.display()))
            .ok()
    };
    let runs = rows(&read("migrations.csv")?);
    let mut first_rounds: BTreeMap<(String, String), f64> = BTreeMap::new();
    for round in rows(&read("rounds.csv")?) {
        let rate: f64 = round["dirty_pages_rate"].parse().unwrap_or(0.0);
        if round["sync"] == "2" && rate > 0.0 {
            first_rounds.insert((round["scenario"].clone(), round["run"].clone()), rate);
        }
    }
    let work =
        |run: &BTreeMap<String, String>| (run["ycsb_threads"].clone(), run["ycsb_read"].clone());
    let rate_of = |run: &BTreeMap<String, String>| {
        let seen = |run: &BTreeMap<String, String>| {
            first_rounds
                .get(&(run["scenario"].clone(), run["run"].clone()))
                .copied()
        };
        seen(run).or_else(|| {
            let alike = runs.iter().filter(|other| work(other) == work(run));
            let mut rates: Vec<f64> = alike.filter_map(seen).collect();
            rates.sort_by(f64::total_cmp);
            rates.get(rates.len() / 2).copied()
        })
    };
    let mut text = format!("{HEADER}\n");
    for run in &runs {
        let how = match (
            run["mode_0pre_1stop_2post"].as_str(),
            run["auto_converge"].as_str(),
        ) {
            ("0", "1") => "auto-converge",
            ("0", _) => "pre-copy",
            ("1", _) => "stop-copy",
            _ => "post-copy",
        };
        let scenario = &run["scenario"];
        let at_once = how == "post-copy" && run["postcopy_start_s"] == "0";
        let bandwidth = if at_once { 10_000.0 } else { 1_073.741_824 };
        let down = if how == "stop-copy" {
            &run["total_time_ms"]
        } else {
            &run["qemu_downtime_ms"]
        };
        let sent = run["transferred_bytes"].parse::<f64>().expect("a number") / 1_048_576.0;
        let done = !scenario.starts_with("Precopy_Nonconvergent");
        writeln!(
            text,
            "{},postgres,{scenario},8192,{},{bandwidth},{how},{},{down},{sent},{done}",
            run["run"],
            rate_of(run).expect("a dirty rate"),
            run["total_time_ms"],
        )
        .expect("text");
    }
    Some(text)
}

fn rows(text: &str) -> Vec<BTreeMap<String, String>> {
    let mut lines = text.lines();
    let header: Vec<&str> = lines.next().unwrap_or_default().split(',').collect();
    let row = |line: &str| {
        let cells = line.split(',').map(str::to_owned);
        let names = header.iter().map(|name| (*name).to_owned());
        names.zip(cells).collect()
    };
    lines.map(row).collect()
}
