//! How long the leaderboard takes over many migrations:
//!
//! ```text
//! cargo bench -p vmferry-model --bench leaderboard [MIGRATIONS] [FILE.csv]
//! ```
//!
//! With a file, the migrations are written there instead, for `vmferry history
//! import`; its map is said.
//!
//! The migrations (30,000) are made up: 60 workloads, each with a working set
//! and a share of zero pages of its own that no model is told, moved by five
//! techniques over links of 0.2 to 10 Gbit/s; costs are those of the textbook's
//! rounds over a curve that saturates, with 3 % of noise. So the errors say
//! something of the models too, but nothing of real guests.
#![expect(clippy::print_stdout, reason = "the figures are what it is for")]

use std::error::Error;
use std::time::{Duration, Instant};

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use vmferry_core::{
    ByteRate, Bytes, CurvePoint, DirtyCurve, ImportedMigration, Millis, Ratio, Technique,
};
use vmferry_model::leaderboard::{Holdout, compare};
use vmferry_model::predictor::{Fit, Past, RuleSet, calibrated};
use vmferry_precopy::dirt::CurveAmount;
use vmferry_precopy::textbook::{Rules, replay};

const WORKLOADS: usize = 60;
const DEADLINE: Duration = Duration::from_secs(600);
/// Columns of a written file, as a column map calls them.
const FIELDS: [&str; 11] = [
    "run",
    "guest",
    "workload",
    "technique",
    "memory_bytes",
    "dirty_bytes_per_s",
    "bandwidth_bytes_per_s",
    "total_time_ms",
    "downtime_ms",
    "transferred_bytes",
    "converged",
];
const TECHNIQUES: [Technique; 5] = [
    Technique::PreCopy,
    Technique::AutoConverge,
    Technique::Xbzrle,
    Technique::Compression,
    Technique::PostCopy,
];

/// What a workload does, which models have to find out.
struct Workload {
    name: String,
    /// Share of memory in the working set.
    working_set: f64,
    zero: f64,
    /// Seconds in which most of it is written.
    time_constant: f64,
    compressed: f64,
}

fn workload(rng: &mut SmallRng, number: usize) -> Workload {
    Workload {
        name: format!("workload-{number}"),
        working_set: 10f64.powf(rng.random_range(-3.0..-0.5)),
        zero: rng.random_range(0.05..0.7),
        time_constant: 10f64.powf(rng.random_range(-0.5..1.5)),
        compressed: rng.random_range(0.3..0.8),
    }
}

fn migration(rng: &mut SmallRng, workload: &Workload, run: usize) -> ImportedMigration {
    let technique = TECHNIQUES[run % TECHNIQUES.len()];
    let memory = Bytes::from_mib(1024 << rng.random_range(0..6));
    let rate = ByteRate::from_mbit_per_s(10f64.powf(rng.random_range(2.3..4.0)));
    let curve = |speed: f64| {
        let size = memory.0 as f64 * workload.working_set;
        let point = |seconds: f64| CurvePoint {
            window_ms: Millis(seconds * 1e3),
            dirtied_bytes: Bytes(
                (size * -(-seconds * speed / workload.time_constant).exp_m1()) as u64,
            ),
            standard_error_bytes: Bytes(0),
        };
        DirtyCurve {
            points: (-4..8).map(|i| point(2f64.powi(i))).collect(),
        }
    };
    let (speed, shrink) = match technique {
        Technique::AutoConverge => (0.4, 1.0),
        Technique::Compression => (1.0, workload.compressed),
        Technique::Xbzrle => (0.7, 1.0),
        _ => (1.0, 1.0),
    };
    let stream = ByteRate(rate.0 / shrink);
    let dirt = CurveAmount::new(curve(speed), memory.pages(), Ratio(workload.zero));
    let rules = Rules {
        downtime_limit: (technique != Technique::PostCopy).then_some(Duration::from_millis(300)),
        ..Rules::default()
    };
    let found = replay(&dirt, &rules, stream, DEADLINE);
    let noise = 1.0 + 0.03 * rng.random_range(-1.0..1.0);
    let total = found.total_time.as_secs_f64() * 1e3 * noise;
    let pause = found
        .switchover
        .map_or(total, |s| s.downtime.as_secs_f64() * 1e3);
    ImportedMigration {
        run: Some(run.to_string()),
        guest: Some(format!("guest-{}", run % 500)),
        workload: Some(workload.name.clone()),
        started_at: None,
        technique,
        memory_bytes: memory,
        dirty_rate: curve(1.0).rate_over(Duration::from_secs(1)),
        bandwidth: rate,
        downtime_limit_ms: Some(Millis(300.0)),
        converged: Some(found.switchover.is_some()),
        total_time_ms: Millis(total),
        downtime_ms: Some(Millis(match technique {
            Technique::PostCopy => 30.0 * noise,
            _ => pause + 20.0 * noise,
        })),
        transferred_bytes: Some(Bytes((found.transferred.0 as f64 * shrink) as u64)),
    }
}

/// Writes migrations as `vmferry history import` reads them.
fn write(rows: &[ImportedMigration], path: &str) -> Result<(), Box<dyn Error>> {
    let text = |value: Option<&String>| value.cloned().unwrap_or_default();
    let mut file = csv::Writer::from_path(path)?;
    file.write_record(FIELDS)?;
    for row in rows {
        file.write_record([
            text(row.run.as_ref()),
            text(row.guest.as_ref()),
            text(row.workload.as_ref()),
            row.technique.name().to_owned(),
            row.memory_bytes.0.to_string(),
            row.dirty_rate.0.to_string(),
            row.bandwidth.0.to_string(),
            row.total_time_ms.0.to_string(),
            row.downtime_ms.map_or(String::new(), |ms| ms.0.to_string()),
            row.transferred_bytes
                .map_or(String::new(), |bytes| bytes.0.to_string()),
            row.converged
                .map_or(String::new(), |converged| converged.to_string()),
        ])?;
    }
    file.flush()?;
    println!("{} migrations in {path}", rows.len());
    println!(
        "--map {}",
        FIELDS.map(|name| format!("{name}={name}")).join(",")
    );
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    let wanted = std::env::args().skip(1).find_map(|text| text.parse().ok());
    let mut rng = SmallRng::seed_from_u64(1);
    let workloads: Vec<_> = (0..WORKLOADS).map(|i| workload(&mut rng, i)).collect();
    let rows: Vec<_> = (0..wanted.unwrap_or(30_000))
        .map(|run| {
            let workload = &workloads[rng.random_range(0..WORKLOADS)];
            migration(&mut rng, workload, run)
        })
        .collect();
    if let Some(path) = std::env::args().find(|text| text.ends_with(".csv")) {
        return write(&rows, &path);
    }
    let moves: Vec<Past<'_>> = rows.iter().map(Past::from).collect();
    let tabular = [
        "auto",
        "learned",
        "closed-form",
        "avg",
        "base",
        "refined",
        "textbook",
        "post-copy",
    ];
    let models: Vec<Box<dyn Fit>> = tabular
        .into_iter()
        .filter_map(|name| calibrated(name, RuleSet::default()))
        .collect();
    let models: Vec<&dyn Fit> = models.iter().map(|model| &**model).collect();
    let threads = std::thread::available_parallelism()?;
    for holdout in [Holdout::Workload, Holdout::Guest, Holdout::Future] {
        let started = Instant::now();
        let board = compare(&moves, &models, holdout, 1, threads)?;
        let took = started.elapsed().as_secs_f64();
        println!(
            "{holdout:?}: {} migrations ({} censored), {} fits in {took:.1} s",
            board.moves, board.censored, board.fits
        );
        for s in &board.standings {
            let technique = s.technique.map_or("all", Technique::name);
            println!(
                "  {:<12} {technique:<14} {:>6} of {:>6}",
                s.model, s.forecast, s.moves
            );
            let errors = [
                ("time", s.total_time),
                ("downtime", s.downtime),
                ("traffic", s.transferred),
            ];
            for (quantity, errors) in errors {
                let Some(e) = errors else { continue };
                println!(
                    "    {quantity:<8} median {:>7.3} mean {:>7.3} p90 {:>7.3} coverage {}",
                    e.median,
                    e.mean,
                    e.p90,
                    e.coverage.map_or("-".to_owned(), |c| format!("{c:.3}")),
                );
            }
            if let Some(v) = s.verdicts {
                println!("    verdicts {} of {}", v.right, v.n);
            }
        }
    }
    Ok(())
}
