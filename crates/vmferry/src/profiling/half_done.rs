//! The file of a profile that is being made: a line of settings and validity,
//! then a line for every migration, written as soon as it ends. Whoever begins
//! again with the same settings goes on after the last line.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use vmferry_model::cpu_profile::{CapPoint, ParallelPoint};

use super::settings::{ProfileSettings, Task};
use super::validity::Validity;
use crate::Error;

/// Version of the file.
const VERSION: u32 = 1;

#[derive(Serialize, Deserialize)]
#[serde(tag = "line", rename_all = "kebab-case")]
enum Line {
    Begun {
        version: u32,
        settings: Box<ProfileSettings>,
        validity: Box<Validity>,
    },
    Point(CapPoint),
    AtOnce(ParallelPoint),
}

/// What such a file holds.
pub(crate) struct SoFar {
    /// `None` of an empty file, and one of another version.
    pub(crate) begun: Option<(ProfileSettings, Validity)>,
    pub(crate) points: Vec<CapPoint>,
    pub(crate) at_once: Vec<ParallelPoint>,
    /// Length of its whole lines, bytes.
    whole: usize,
}

impl SoFar {
    /// Reads its text, or says what is wrong with it.
    pub(crate) fn in_text(text: &str) -> Result<Self, String> {
        // A last line without its end was being written when its writer died.
        let whole = text.rfind('\n').map_or(0, |end| end + 1);
        let mut so_far = Self {
            begun: None,
            points: Vec::new(),
            at_once: Vec::new(),
            whole,
        };
        for (number, line) in (1..).zip(text[..whole].lines()) {
            let line: Line = serde_json::from_str(line).map_err(|error| {
                format!("line {number}, is no part of a half-done profile ({error})")
            })?;
            match line {
                Line::Begun {
                    version: VERSION,
                    settings,
                    validity,
                } if number == 1 => so_far.begun = Some((*settings, *validity)),
                Line::Begun { .. } => {
                    so_far.begun = None;
                    break;
                }
                Line::Point(point) => so_far.points.push(point),
                Line::AtOnce(point) => so_far.at_once.push(point),
            }
        }
        Ok(so_far)
    }
}

/// A profile that is being made.
#[derive(Debug)]
pub(crate) struct HalfDone {
    path: PathBuf,
    file: File,
    pub(crate) points: Vec<CapPoint>,
    pub(crate) at_once: Vec<ParallelPoint>,
}

impl HalfDone {
    /// Begins a file, or goes on with one that was begun with the same settings
    /// on the same hosts.
    ///
    /// # Errors
    /// When the file cannot be used, or is of other settings or hosts.
    pub(crate) fn open(
        path: &Path,
        settings: &ProfileSettings,
        validity: &Validity,
    ) -> Result<Self, Error> {
        let fail = |source| Error::Io {
            what: format!("the half-done profile {}", path.display()),
            source,
        };
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(fail(error)),
        };
        let SoFar {
            begun,
            points,
            at_once,
            whole,
        } = SoFar::in_text(&text).map_err(|problem| {
            Error::Usage(format!(
                "{}, {problem}; remove the file or give another --state",
                path.display()
            ))
        })?;
        let ours = match &begun {
            Some((begun, there)) => begun == settings && there == validity,
            None => whole == 0,
        };
        if !ours {
            return Err(Error::Usage(format!(
                "{} is a half-done profile of other settings, hosts or versions; go on with those, remove it, or give another --state",
                path.display()
            )));
        }
        let file = OpenOptions::new()
            .create(true)
            .append(true)
            .open(path)
            .map_err(fail)?;
        file.set_len(whole as u64).map_err(fail)?;
        let mut half = Self {
            path: path.to_owned(),
            file,
            points,
            at_once,
        };
        if whole == 0 {
            half.write(&Line::Begun {
                version: VERSION,
                settings: Box::new(settings.clone()),
                validity: Box::new(validity.clone()),
            })?;
        }
        Ok(half)
    }

    /// Tasks that have no point yet, in their order.
    pub(crate) fn left(&self, tasks: Vec<Task>) -> Vec<Task> {
        let mut made: Vec<&CapPoint> = self.points.iter().collect();
        tasks
            .into_iter()
            .filter(|task| {
                let same = |point: &&CapPoint| {
                    (point.guest, point.intensity, point.caps)
                        == (task.guest, task.intensity, task.caps)
                };
                match made.iter().position(same) {
                    Some(at) => {
                        made.swap_remove(at);
                        false
                    }
                    None => true,
                }
            })
            .collect()
    }

    /// Numbers of guests that were not moved at once yet, in their order.
    pub(crate) fn rounds_left(&self, rounds: Vec<u32>) -> Vec<u32> {
        let mut made: Vec<u32> = self.at_once.iter().map(|point| point.guests).collect();
        rounds
            .into_iter()
            .filter(|number| match made.iter().position(|one| one == number) {
                Some(at) => {
                    made.swap_remove(at);
                    false
                }
                None => true,
            })
            .collect()
    }

    /// Adds guests that were moved at once, on disk when this returns.
    pub(crate) fn add_at_once(&mut self, point: ParallelPoint) -> Result<(), Error> {
        self.write(&Line::AtOnce(point.clone()))?;
        self.at_once.push(point);
        Ok(())
    }

    /// Adds a point, on disk when this returns.
    pub(crate) fn add(&mut self, point: CapPoint) -> Result<(), Error> {
        self.write(&Line::Point(point.clone()))?;
        self.points.push(point);
        Ok(())
    }

    /// Removes the file of a profile that is whole and kept elsewhere.
    pub(crate) fn remove(self) -> Result<(), Error> {
        std::fs::remove_file(&self.path).map_err(|source| self.fail(source))
    }

    fn write(&mut self, line: &Line) -> Result<(), Error> {
        let write = |file: &mut File| {
            let mut text = serde_json::to_vec(line)?;
            text.push(b'\n');
            file.write_all(&text)?;
            file.sync_data()
        };
        write(&mut self.file).map_err(|source: io::Error| self.fail(source))
    }

    fn fail(&self, source: io::Error) -> Error {
        Error::Io {
            what: format!("the half-done profile {}", self.path.display()),
            source,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use vmferry_core::{Bytes, HostInfo, Millis, Ratio};

    fn validity() -> Validity {
        Validity {
            source: HostInfo::default(),
            destination: HostInfo::default(),
            cpu_model: None,
            cpus: Some(2),
            accelerator: None,
            link_rate: None,
        }
    }

    fn point(task: &Task) -> CapPoint {
        CapPoint {
            guest: task.guest,
            intensity: task.intensity,
            caps: task.caps,
            capped_after_ms: None,
            total_time_ms: None,
            downtime_ms: None,
            transferred_bytes: None,
            source_use: Some(Ratio(0.1)),
            destination_use: None,
        }
    }

    #[test]
    fn goes_on_where_it_was_left() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("profile.jsonl");
        let settings = ProfileSettings {
            repeats: 2,
            ..ProfileSettings::default()
        };
        let tasks = settings.tasks();
        let mut half = HalfDone::open(&path, &settings, &validity()).unwrap();
        assert_eq!(half.left(tasks.clone()), tasks);
        half.add(point(&tasks[0])).unwrap();
        half.add(point(&tasks[1])).unwrap();
        drop(half);
        // Killed while it wrote the third.
        let mut file = OpenOptions::new().append(true).open(&path).unwrap();
        file.write_all(b"{\"line\":\"point\",\"gue").unwrap();
        let mut half = HalfDone::open(&path, &settings, &validity()).unwrap();
        assert_eq!(half.points, [point(&tasks[0]), point(&tasks[1])]);
        // The repeats of those two are still to be made.
        assert_eq!(half.left(tasks.clone()), tasks[2..]);
        half.add(point(&tasks[2])).unwrap();
        drop(half);
        let mut half = HalfDone::open(&path, &settings, &validity()).unwrap();
        assert_eq!(half.points.len(), 3);
        let rounds = settings.rounds();
        assert_eq!(half.rounds_left(rounds.clone()), [1, 2, 3, 4, 1, 2, 3, 4]);
        half.add_at_once(ParallelPoint {
            guests: 2,
            total_times_ms: vec![Millis(1000.0); 2],
            makespan_ms: Millis(1001.0),
            transferred_bytes: Bytes::from_mib(2048),
            source_cpu_ms: None,
            destination_cpu_ms: None,
        })
        .unwrap();
        drop(half);
        let half = HalfDone::open(&path, &settings, &validity()).unwrap();
        assert_eq!(half.rounds_left(rounds), [1, 3, 4, 1, 2, 3, 4]);
        half.remove().unwrap();
        assert!(!path.exists());
    }

    #[test]
    fn another_s_file_is_not_touched() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("profile.jsonl");
        let settings = ProfileSettings::default();
        drop(HalfDone::open(&path, &settings, &validity()).unwrap());
        let before = std::fs::read(&path).unwrap();
        let other = ProfileSettings {
            repeats: 9,
            ..settings.clone()
        };
        let error = HalfDone::open(&path, &other, &validity()).unwrap_err();
        assert!(error.to_string().contains("of other settings"), "{error}");
        let elsewhere = Validity {
            cpus: Some(64),
            ..validity()
        };
        assert!(HalfDone::open(&path, &settings, &elsewhere).is_err());
        assert_eq!(std::fs::read(&path).unwrap(), before);
        std::fs::write(&path, "hello\n").unwrap();
        let error = HalfDone::open(&path, &settings, &validity()).unwrap_err();
        assert!(error.to_string().contains("line 1"), "{error}");
    }
}
