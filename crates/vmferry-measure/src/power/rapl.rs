//! RAPL: energy counters of the processors, through the kernel's powercap
//! (<https://docs.kernel.org/power/powercap/powercap.html>).

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Instant;

use vmferry_core::Joules;

use super::{PowerError, PowerMeter, ReadFuture, Reading, Value};

/// Where the kernel shows its zones.
const ROOT: &str = "/sys/class/powercap";

/// Which counters are summed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RaplDomains {
    /// The packages alone. Cores and uncore are parts of them.
    #[default]
    Packages,
    /// Packages and the memory at them, which on servers is no part of a
    /// package's counter.
    PackagesAndMemory,
}

/// The RAPL counters of this host, summed.
#[derive(Debug)]
pub struct Rapl {
    name: String,
    zones: Vec<Zone>,
}

#[derive(Debug)]
struct Zone {
    energy: PathBuf,
    /// The counter starts again from zero after this, in microjoules.
    range: u64,
    /// Last value; `None` before the first.
    last: Option<u64>,
    /// Counted since the first reading, in microjoules.
    counted: u64,
}

impl Rapl {
    /// The counters of this host.
    ///
    /// # Errors
    /// When there are none, or they cannot be read.
    pub fn open(domains: RaplDomains) -> Result<Self, PowerError> {
        Self::open_at(Path::new(ROOT), domains)
    }

    /// The counters below a directory laid out like `/sys/class/powercap`.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn open_at(root: &Path, domains: RaplDomains) -> Result<Self, PowerError> {
        let mut zones = Vec::new();
        let mut names = Vec::new();
        for dir in children(root)? {
            let Some(number) = file_name(&dir)
                .strip_prefix("intel-rapl:")
                .map(str::to_owned)
            else {
                // `intel-rapl-mmio` counts the same package another way.
                continue;
            };
            let name = word(&dir.join("name"))?;
            // Zones of a package stand beside it too, as links: 0 and 0:1. `psys` is the
            // platform, packages included, where the board's maker wired it.
            if number.contains(':') || !name.starts_with("package") {
                continue;
            }
            zones.push(Zone::open(&dir)?);
            names.push(name.clone());
            if domains == RaplDomains::PackagesAndMemory {
                for part in children(&dir)? {
                    if file_name(&part).starts_with("intel-rapl:")
                        && word(&part.join("name"))? == "dram"
                    {
                        zones.push(Zone::open(&part)?);
                        names.push(format!("{name} dram"));
                    }
                }
            }
        }
        if zones.is_empty() {
            return Err(PowerError::Absent {
                meter: "RAPL".to_owned(),
                problem: format!(
                    "{} has no package to count; it takes an Intel or AMD processor seen directly, not from within a guest, and the kernel's intel_rapl_msr module",
                    root.display()
                ),
            });
        }
        Ok(Self {
            name: format!("RAPL ({})", names.join(", ")),
            zones,
        })
    }

    fn read_all(&mut self) -> Result<Reading, PowerError> {
        let mut sum = 0;
        for zone in &mut self.zones {
            sum += zone.read()?;
        }
        Ok(Reading {
            at: Instant::now(),
            value: Value::Energy(Joules(sum as f64 / 1e6)),
        })
    }
}

impl PowerMeter for Rapl {
    fn name(&self) -> &str {
        &self.name
    }

    fn read(&mut self) -> ReadFuture<'_> {
        // The kernel answers at once.
        let read = self.read_all();
        Box::pin(async { read })
    }
}

impl Zone {
    fn open(dir: &Path) -> Result<Self, PowerError> {
        let mut zone = Self {
            energy: dir.join("energy_uj"),
            range: number(&dir.join("max_energy_range_uj"))?,
            last: None,
            counted: 0,
        };
        // What cannot be read is known now: since 2020 only root may.
        zone.read()?;
        Ok(zone)
    }

    fn read(&mut self) -> Result<u64, PowerError> {
        let now = number(&self.energy)?;
        if now > self.range {
            return Err(PowerError::NotUnderstood {
                meter: "RAPL".to_owned(),
                problem: format!(
                    "{} is {now}, beyond its range of {}",
                    self.energy.display(),
                    self.range
                ),
            });
        }
        if let Some(last) = self.last {
            // Once around at most: even at 1 kW that takes a minute.
            let grown = now.checked_sub(last);
            self.counted += grown.unwrap_or_else(|| self.range - last + now);
        }
        self.last = Some(now);
        Ok(self.counted)
    }
}

/// What stands in a directory, in the order of its names.
fn children(dir: &Path) -> Result<Vec<PathBuf>, PowerError> {
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(source) => return Err(of_file(dir)(source)),
    };
    let mut found: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    found.sort();
    Ok(found)
}

fn file_name(path: &Path) -> &str {
    path.file_name()
        .and_then(|name| name.to_str())
        .unwrap_or_default()
}

fn word(path: &Path) -> Result<String, PowerError> {
    let text = fs::read_to_string(path).map_err(of_file(path))?;
    Ok(text.trim().to_owned())
}

fn number(path: &Path) -> Result<u64, PowerError> {
    let text = word(path)?;
    text.parse().map_err(|_| PowerError::NotUnderstood {
        meter: "RAPL".to_owned(),
        problem: format!("{} holds `{text}`", path.display()),
    })
}

fn of_file(path: &Path) -> impl FnOnce(io::Error) -> PowerError {
    let path = path.to_owned();
    move |source| PowerError::File {
        meter: "RAPL".to_owned(),
        path,
        source,
    }
}
