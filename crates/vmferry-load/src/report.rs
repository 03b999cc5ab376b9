//! The lines `vmferry-load` writes on the console, and how a host reads them.
//!
//! Once, when the memory of the load has been written and the load begins:
//! ```text
//! @vmf 1 up t=2.104 ip=10.78.0.10/24 load=uniform:set=64M,rate=20M;
//! ```
//! Then every 100 ms:
//! ```text
//! @vmf 1 t=12.300 work=50234,1200 bytes=205758464 pause_ms=0.4 max_ms=12.1 rate=20971520 aim=20971520;
//! ```
//! | key | meaning |
//! |---|---|
//! | `t` | `CLOCK_MONOTONIC` of the guest, seconds |
//! | `work` | work units since the begin, one number a part of the load: pages touched (memory), blocks of 1024 steps (compute), bytes (disk, network), what the program does ([`Program`](crate::spec::Program)) |
//! | `bytes` | bytes since the begin, all parts: a page touched is 4096 |
//! | `pause_ms` | longest pause since the last line, milliseconds |
//! | `max_ms` | longest pause since the begin, milliseconds |
//! | `rate` | bytes a second since the last line, all parts, by the guest's clock |
//! | `aim` | bytes a second the load is limited to at this moment, all parts; `-` where a part is not limited. `role=exchange` limits what is sent, while `bytes` and `rate` count both ways |
//!
//! A pause is how much too late a thread of real-time priority woke that asks to wake every
//! millisecond, by the guest's own clock: vCPUs throttled, not scheduled, or waiting for a page.
//! **The guest's clock stands still while the guest is stopped** (QEMU's `stop`, and the stop-and-copy
//! of a migration), so that stop is not in it: measure it from outside.
//!
//! A line is complete only with its `;`: a stream cut off in mid-line (the console moves with
//! the guest) cannot pass for a shorter number. Trouble is told in words:
//! `vmferry-load error: TEXT` (no load runs, or a part of it ended) and `vmferry-load warning: TEXT`.

use std::fmt;
use std::time::Duration;

/// Begin of every line for machines, with the version of the format.
pub const PREFIX: &str = "@vmf 1 ";

const ERROR: &str = "vmferry-load error: ";
const WARNING: &str = "vmferry-load warning: ";

/// What the guest's program says on the console.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Message {
    /// The guest is up and the load begins.
    Up(Up),
    /// Progress, every 100 ms.
    Progress(Progress),
    /// No load runs, or a part of it ended, for this reason. The guest stays up.
    Error(String),
    /// Something is missing, but the load runs.
    Warning(String),
}

/// The guest is up and the load begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Up {
    /// Guest's clock since its boot.
    pub time: Duration,
    /// Address and prefix of its Ethernet card, if set.
    pub address: Option<String>,
    /// The load.
    pub load: String,
}

/// Progress of the load.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Progress {
    /// Guest's clock (`CLOCK_MONOTONIC`), to the millisecond.
    pub time: Duration,
    /// Work units since the begin, one number a part of the load.
    pub work: Vec<u64>,
    /// Bytes since the begin, all parts.
    pub bytes: u64,
    /// Longest pause since the last report, to the tenth of a millisecond.
    pub pause: Duration,
    /// Longest pause since the begin.
    pub longest_pause: Duration,
    /// Bytes a second since the last report.
    pub rate: u64,
    /// Bytes a second aimed at now; none where a part is not limited.
    pub aim: Option<u64>,
}

/// A line that begins like ours but cannot be read: cut off, mixed with kernel messages, or of
/// another version. Skip it and go on.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ReportError {
    /// The end mark is missing.
    CutOff,
    /// Another version of the format.
    Version(String),
    /// A key is missing, or its value cannot be read.
    Key(&'static str),
}

impl fmt::Display for ReportError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CutOff => write!(f, "the guest's report line is cut off"),
            Self::Version(version) => write!(
                f,
                "the guest's report line has format {version}, only 1 is known; use the vmferry-load of this vmferry"
            ),
            Self::Key(key) => write!(f, "the guest's report line has no valid {key}="),
        }
    }
}

impl std::error::Error for ReportError {}

impl Message {
    /// Reads one line of the console. None for a line that is not ours.
    ///
    /// Whatever stands before our prefix (an unfinished kernel message) is skipped.
    ///
    /// # Errors
    /// A line that is ours but cannot be read.
    pub fn find(line: &str) -> Result<Option<Self>, ReportError> {
        let line = line.trim_end();
        for (prefix, make) in [(ERROR, Self::Error as fn(_) -> _), (WARNING, Self::Warning)] {
            if let Some((_, text)) = line.split_once(prefix) {
                return Ok(Some(make(text.to_owned())));
            }
        }
        let Some((_, text)) = line.rsplit_once("@vmf ") else {
            return Ok(None);
        };
        let text = text.strip_suffix(';').ok_or(ReportError::CutOff)?;
        let (version, text) = text.split_once(' ').ok_or(ReportError::CutOff)?;
        if version != "1" {
            return Err(ReportError::Version(version.to_owned()));
        }
        match text.strip_prefix("up ") {
            Some(text) => Up::read(text).map(Self::Up),
            None => Progress::read(text).map(Self::Progress),
        }
        .map(Some)
    }
}

impl Up {
    fn read(text: &str) -> Result<Self, ReportError> {
        Ok(Self {
            time: key(text, "t", seconds)?,
            address: key(text, "ip", |ip| Some((ip != "-").then(|| ip.to_owned())))?,
            load: key(text, "load", |load| Some(load.to_owned()))?,
        })
    }
}

impl Progress {
    fn read(text: &str) -> Result<Self, ReportError> {
        Ok(Self {
            time: key(text, "t", seconds)?,
            work: key(text, "work", |work| {
                work.split(',').map(|one| one.parse().ok()).collect()
            })?,
            bytes: key(text, "bytes", |bytes| bytes.parse().ok())?,
            pause: key(text, "pause_ms", millis)?,
            longest_pause: key(text, "max_ms", millis)?,
            rate: key(text, "rate", |rate| rate.parse().ok())?,
            aim: key(text, "aim", |aim| match aim {
                "-" => Some(None),
                aim => aim.parse().ok().map(Some),
            })?,
        })
    }
}

fn key<T>(
    text: &str,
    name: &'static str,
    read: impl Fn(&str) -> Option<T>,
) -> Result<T, ReportError> {
    text.split(' ')
        .find_map(|piece| piece.strip_prefix(name)?.strip_prefix('='))
        .and_then(read)
        .ok_or(ReportError::Key(name))
}

fn seconds(text: &str) -> Option<Duration> {
    Duration::try_from_secs_f64(text.parse().ok()?).ok()
}

fn millis(text: &str) -> Option<Duration> {
    Duration::try_from_secs_f64(text.parse::<f64>().ok()? / 1e3).ok()
}

impl fmt::Display for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Up(up) => write!(
                f,
                "{PREFIX}up t={:.3} ip={} load={};",
                up.time.as_secs_f64(),
                up.address.as_deref().unwrap_or("-"),
                up.load
            ),
            Self::Progress(progress) => write!(f, "{progress}"),
            Self::Error(text) => write!(f, "{ERROR}{text}"),
            Self::Warning(text) => write!(f, "{WARNING}{text}"),
        }
    }
}

impl fmt::Display for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PREFIX}t={:.3} work=", self.time.as_secs_f64())?;
        for (index, work) in self.work.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            write!(f, "{comma}{work}")?;
        }
        write!(
            f,
            " bytes={} pause_ms={:.1} max_ms={:.1} rate={} aim=",
            self.bytes,
            self.pause.as_secs_f64() * 1e3,
            self.longest_pause.as_secs_f64() * 1e3,
            self.rate
        )?;
        match self.aim {
            Some(aim) => write!(f, "{aim};"),
            None => f.write_str("-;"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn progress() -> Progress {
        Progress {
            time: Duration::from_millis(12_300),
            work: vec![50_234, 1_200],
            bytes: 205_758_464,
            pause: Duration::from_micros(400),
            longest_pause: Duration::from_micros(12_100),
            rate: 20_971_520,
            aim: Some(20_971_520),
        }
    }

    #[test]
    fn progress_line() {
        let line = progress().to_string();
        assert_eq!(
            line,
            "@vmf 1 t=12.300 work=50234,1200 bytes=205758464 pause_ms=0.4 max_ms=12.1 rate=20971520 aim=20971520;"
        );
        assert_eq!(
            Message::find(&format!("[   3.1] random: {line}\r\n")),
            Ok(Some(Message::Progress(progress())))
        );
    }

    #[test]
    fn lines_stay_short_after_a_day_at_full_speed() {
        let line = Progress {
            time: Duration::from_secs(86_400),
            work: vec![99_999_999_999],
            bytes: 999_999_999_999_999,
            pause: Duration::from_secs(99),
            longest_pause: Duration::from_secs(99),
            rate: 9_999_999_999,
            aim: None,
        }
        .to_string();
        assert!(line.len() < 120, "{}: {line}", line.len());
    }

    #[test]
    fn unlimited_aim() {
        let unlimited = Progress {
            aim: None,
            ..progress()
        };
        assert_eq!(
            Message::find(&unlimited.to_string()),
            Ok(Some(Message::Progress(unlimited)))
        );
    }

    #[test]
    fn words_come_back() {
        for message in [
            Message::Up(Up {
                time: Duration::from_millis(2104),
                address: Some("10.78.0.10/24".to_owned()),
                load: "uniform:set=64M,rate=20M".to_owned(),
            }),
            Message::Up(Up {
                time: Duration::ZERO,
                address: None,
                load: "idle".to_owned(),
            }),
            Message::Error("uniform: unknown key \"x\"".to_owned()),
            Message::Warning("no module".to_owned()),
        ] {
            assert_eq!(Message::find(&message.to_string()), Ok(Some(message)));
        }
    }

    #[test]
    fn any_cut_is_noticed() {
        let line = progress().to_string();
        for end in PREFIX.len()..line.len() {
            assert_eq!(
                Message::find(&line[..end]),
                Err(ReportError::CutOff),
                "{end}"
            );
        }
        for begin in 1..line.len() {
            assert_eq!(Message::find(&line[begin..]), Ok(None), "{begin}");
        }
    }

    #[test]
    fn a_line_after_a_cut_one_is_found() {
        let line = progress().to_string();
        assert_eq!(
            Message::find(&format!("{}{line}", &line[..30])),
            Ok(Some(Message::Progress(progress())))
        );
    }

    #[test]
    fn strange_lines() {
        assert_eq!(Message::find("[ 0.0] Linux version 6.1"), Ok(None));
        assert_eq!(
            Message::find("@vmf 2 t=1;"),
            Err(ReportError::Version("2".to_owned()))
        );
        let line = progress().to_string();
        for (from, to, key) in [
            ("t=12.300", "t=-1", "t"),
            ("50234,1200", "50234,", "work"),
            ("bytes=205758464", "bites=205758464", "bytes"),
            ("pause_ms=0.4", "pause_ms=nan", "pause_ms"),
            ("rate=20971520 ", "rate=20[ 1.0] 71520 ", "rate"),
            ("aim=20971520", "aim=", "aim"),
        ] {
            assert_eq!(
                Message::find(&line.replace(from, to)),
                Err(ReportError::Key(key)),
                "{to}"
            );
        }
    }
}
