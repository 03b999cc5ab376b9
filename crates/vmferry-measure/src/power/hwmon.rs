//! hwmon: power sensors of the kernel
//! (<https://docs.kernel.org/hwmon/sysfs-interface.html>), in microwatts.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::{PowerError, PowerMeter, ReadFuture, power_now};

/// A power sensor of this host.
#[derive(Debug)]
pub struct Hwmon {
    name: String,
    file: PathBuf,
}

impl Hwmon {
    /// The sensor at a path: a `powerN_input` or `powerN_average` file, or the
    /// directory of a chip that has one sensor. A chip's average is taken
    /// before its input: it misses nothing between two readings.
    ///
    /// # Errors
    /// When there is none, or several to choose from.
    pub fn open(path: &Path) -> Result<Self, PowerError> {
        let file = if path.is_dir() {
            sensor_in(path)?
        } else {
            path.to_owned()
        };
        let chip = file.parent().map(|dir| dir.join("name"));
        let chip = chip
            .and_then(|path| fs::read_to_string(path).ok())
            .map_or_else(|| "hwmon".to_owned(), |text| text.trim().to_owned());
        let sensor = file_name(&file);
        let label = sensor
            .split_once('_')
            .map(|(channel, _)| file.with_file_name(format!("{channel}_label")))
            .and_then(|path| fs::read_to_string(path).ok());
        let label = label.map_or_else(|| sensor.clone(), |text| text.trim().to_owned());
        let meter = Self {
            name: format!("hwmon {chip} {label}"),
            file,
        };
        meter.watts()?;
        Ok(meter)
    }

    fn watts(&self) -> Result<f64, PowerError> {
        let text = fs::read_to_string(&self.file).map_err(|source| PowerError::File {
            meter: self.name.clone(),
            path: self.file.clone(),
            source,
        })?;
        let microwatts: i64 = text.trim().parse().map_err(|_| PowerError::NotUnderstood {
            meter: self.name.clone(),
            problem: format!("{} holds `{}`", self.file.display(), text.trim()),
        })?;
        Ok(microwatts as f64 / 1e6)
    }
}

impl PowerMeter for Hwmon {
    fn name(&self) -> &str {
        &self.name
    }

    fn read(&mut self) -> ReadFuture<'_> {
        let read = self.watts().map(power_now);
        Box::pin(async { read })
    }
}

fn sensor_in(dir: &Path) -> Result<PathBuf, PowerError> {
    let entries = fs::read_dir(dir).map_err(|source: io::Error| PowerError::File {
        meter: "hwmon".to_owned(),
        path: dir.to_owned(),
        source,
    })?;
    let mut found: Vec<PathBuf> = entries
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| channel(path).is_some())
        .collect();
    // `powerN_average` comes before `powerN_input`.
    found.sort();
    found.dedup_by_key(|path| channel(path));
    match &found[..] {
        [one] => Ok(one.clone()),
        [] => Err(PowerError::Absent {
            meter: "hwmon".to_owned(),
            problem: format!(
                "{} has no power sensor (power1_input or power1_average); `grep . /sys/class/hwmon/*/name` names the chips",
                dir.display()
            ),
        }),
        several => Err(PowerError::Absent {
            meter: "hwmon".to_owned(),
            problem: format!(
                "{} has several power sensors, which may count the same power; name one of {}",
                dir.display(),
                several
                    .iter()
                    .map(|p| file_name(p))
                    .collect::<Vec<_>>()
                    .join(", ")
            ),
        }),
    }
}

/// The `powerN` of a sensor's file.
fn channel(path: &Path) -> Option<String> {
    let name = file_name(path);
    let (channel, what) = name.split_once('_')?;
    let number = channel.strip_prefix("power")?;
    (number.parse::<u32>().is_ok() && matches!(what, "input" | "average"))
        .then(|| channel.to_owned())
}

fn file_name(path: &Path) -> String {
    path.file_name()
        .map(|name| name.to_string_lossy().into_owned())
        .unwrap_or_default()
}
