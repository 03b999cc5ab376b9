//! One row, checked.

use csv::ByteRecord;
use vmferry_core::{ByteRate, Bytes, ImportedMigration, Millis, PAGE_SIZE, Technique};

use super::field::{Field, Unit};
use super::rejection::{RejectedRow, Rejection, printable};

/// Bytes sent over what the bandwidth carries, and the reverse, from which on
/// a unit must be wrong. The stream outruns the rate it is held to at the
/// switchover and in post-copy (ten times, in a loopback set-up whose
/// pre-copy alone was held); it lies far below where a guest is all zero pages
/// (a hundredth) or where something else than the link holds it. Milliseconds
/// taken for seconds are a factor of a thousand.
const FASTEST: f64 = 64.0;
const SLOWEST: f64 = 500.0;

/// How often the bandwidth carries the memory within the total time, and the
/// reverse, from which on a unit must be wrong, whatever was sent. Shorter
/// than once by a factor of 10 is post-copy over an unheld link, by 80 a guest
/// whose pages are 99 % zero (9 bytes on the stream each). Longer, by any
/// factor, is what never converges: only moves that have to end are held to
/// it, beyond the minute that preparing and cleaning up may take.
const SOONEST: f64 = 500.0;
const LATEST: f64 = 500.0;
const AROUND_MS: f64 = 60_000.0;
/// Share of the bandwidth up to which dirtied memory cannot keep pre-copy from
/// its end: with it, everything is sent twice at most.
const HARMLESS: f64 = 0.5;
/// How often a second dirties all memory from which on a unit must be wrong:
/// looks of 10 ms that each find every page dirty give a rate of 100.
const MOST_DIRTIED: f64 = 100.0;

/// How other people call techniques, beside our names in any spelling.
const OTHER_NAMES: [(&str, Technique); 14] = [
    ("default", Technique::PreCopy),
    ("pre", Technique::PreCopy),
    ("throttling", Technique::AutoConverge),
    ("throttle", Technique::AutoConverge),
    ("cpu-throttling", Technique::AutoConverge),
    ("delta", Technique::Xbzrle),
    ("delta-compression", Technique::Xbzrle),
    ("dltc", Technique::Xbzrle),
    ("compress", Technique::Compression),
    ("data-compression", Technique::Compression),
    ("dtc", Technique::Compression),
    ("post", Technique::PostCopy),
    ("thr", Technique::AutoConverge),
    ("stop-copy", Technique::StopAndCopy),
];

/// Where the cells of a field are.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Source {
    pub(super) unit: Unit,
    /// The column's name, or the field's where every row has one value.
    pub(super) name: String,
    pub(super) from: CellPlace,
}

/// Where a cell is.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum CellPlace {
    Column(usize),
    Value(String),
}

/// A row with the sources of its cells.
pub(super) struct Row<'a> {
    pub(super) line: u64,
    pub(super) record: &'a ByteRecord,
    pub(super) sources: &'a [Source],
}

#[derive(Clone, Copy)]
struct Cell<'a> {
    source: &'a Source,
    text: &'a str,
}

struct Number<'a> {
    value: f64,
    cell: Cell<'a>,
}

impl<'a> Row<'a> {
    /// The migration that the row tells of.
    pub(super) fn migration(&self) -> Result<ImportedMigration, RejectedRow> {
        let memory = self.needed(Field::Memory)?;
        let dirty_rate = self.needed(Field::DirtyRate)?;
        let bandwidth = self.needed(Field::Bandwidth)?;
        let technique = self.technique()?;
        let total = self.needed(Field::TotalTime)?;
        let downtime = self.number(Field::Downtime)?;
        let sent = self.number(Field::Transferred)?;
        if let Some(downtime) = downtime.as_ref().filter(|d| d.value > total.value) {
            let total_time_ms = total.value;
            return Err(self.blame(
                downtime.cell,
                Rejection::DowntimeAboveTotal { total_time_ms },
            ));
        }
        if let Some(sent) = &sent {
            self.check_traffic(sent, &memory, &bandwidth, &total)?;
        }
        let converged = self.converged()?;
        if dirty_rate.value > MOST_DIRTIED * memory.value {
            let times = dirty_rate.value / memory.value;
            return Err(self.blame(dirty_rate.cell, Rejection::DirtyTooFast { times }));
        }
        // All memory over the bandwidth.
        let once_ms = memory.value / bandwidth.value * 1e3;
        let has_to_end = match technique {
            Technique::PostCopy | Technique::StopAndCopy => true,
            _ => dirty_rate.value <= HARMLESS * bandwidth.value,
        };
        if total.value * SOONEST < once_ms {
            let times = once_ms / total.value;
            return Err(self.blame(total.cell, Rejection::TooSoon { times }));
        }
        if has_to_end && converged != Some(false) && total.value > LATEST * once_ms + AROUND_MS {
            let times = total.value / once_ms;
            return Err(self.blame(total.cell, Rejection::TooLate { times }));
        }
        Ok(ImportedMigration {
            run: self.owned(Field::Run)?,
            guest: self.owned(Field::Guest)?,
            workload: self.owned(Field::Workload)?,
            started_at: self.started_at()?,
            technique,
            memory_bytes: Bytes(memory.value.round() as u64),
            dirty_rate: ByteRate(dirty_rate.value),
            bandwidth: ByteRate(bandwidth.value),
            downtime_limit_ms: self.number(Field::DowntimeLimit)?.map(|n| Millis(n.value)),
            converged,
            total_time_ms: Millis(total.value),
            downtime_ms: downtime.map(|n| Millis(n.value)),
            transferred_bytes: sent.map(|n| Bytes(n.value.round() as u64)),
        })
    }

    fn check_traffic(
        &self,
        sent: &Number<'_>,
        memory: &Number<'_>,
        bandwidth: &Number<'_>,
        total: &Number<'_>,
    ) -> Result<(), RejectedRow> {
        let carried = bandwidth.value * total.value / 1e3;
        let reason = if sent.value < memory.value / PAGE_SIZE.0 as f64 {
            Rejection::SentTooLittle {
                memory_bytes: memory.value.round() as u64,
            }
        } else if sent.value > FASTEST * carried {
            Rejection::SentTooMuch {
                times: sent.value / carried,
            }
        } else if sent.value * SLOWEST < carried {
            Rejection::LinkIdle {
                times: carried / sent.value,
            }
        } else {
            return Ok(());
        };
        Err(self.blame(sent.cell, reason))
    }

    /// What tells this row from another: every mapped cell as it is written.
    pub(super) fn identity(&self, into: &mut Vec<u8>) {
        into.clear();
        for source in self.sources {
            if let CellPlace::Column(index) = source.from {
                into.extend_from_slice(self.record.get(index).unwrap_or_default().trim_ascii());
                // A byte that no UTF-8 text holds.
                into.push(0xff);
            }
        }
    }

    fn blame(&self, cell: Cell<'_>, reason: Rejection) -> RejectedRow {
        RejectedRow::of_cell(self.line, &cell.source.name, cell.text, reason)
    }

    /// The cell of a field; `None` where the field is not mapped or says that
    /// nothing is known.
    fn cell(&self, field: Field) -> Result<Option<Cell<'a>>, RejectedRow> {
        let Some(source) = self.sources.iter().find(|s| s.unit.field == field) else {
            return Ok(None);
        };
        let text = match &source.from {
            CellPlace::Value(text) => text,
            CellPlace::Column(index) => {
                let bytes = self.record.get(*index).unwrap_or_default();
                std::str::from_utf8(bytes).map_err(|_| {
                    let shown = String::from_utf8_lossy(bytes);
                    RejectedRow::of_cell(self.line, &source.name, &shown, Rejection::NotText)
                })?
            }
        };
        let text = text.trim();
        let unknown = ["", "na", "n/a", "nan", "null", "none", "-", "?"];
        Ok(unknown
            .iter()
            .all(|word| !text.eq_ignore_ascii_case(word))
            .then_some(Cell { source, text }))
    }

    fn number(&self, field: Field) -> Result<Option<Number<'a>>, RejectedRow> {
        let Some(cell) = self.cell(field)? else {
            return Ok(None);
        };
        let value = match cell.text.parse::<f64>() {
            Ok(value) if value.is_finite() => value * cell.source.unit.factor,
            _ => return Err(self.blame(cell, Rejection::NotANumber)),
        };
        let (least, most, believed) = field.believed();
        if value < 0.0 {
            return Err(self.blame(cell, Rejection::Negative));
        }
        if !(least..=most).contains(&value) {
            let field = cell.source.unit.name;
            return Err(self.blame(cell, Rejection::Absurd { field, believed }));
        }
        Ok(Some(Number { value, cell }))
    }

    fn needed(&self, field: Field) -> Result<Number<'a>, RejectedRow> {
        self.number(field)?.ok_or_else(|| self.missing(field))
    }

    fn missing(&self, field: Field) -> RejectedRow {
        let source = self.sources.iter().find(|s| s.unit.field == field);
        RejectedRow {
            line: self.line,
            column: source.map(|s| printable(&s.name)),
            value: None,
            reason: Rejection::Missing,
        }
    }

    fn owned(&self, field: Field) -> Result<Option<String>, RejectedRow> {
        Ok(self.cell(field)?.map(|cell| cell.text.to_owned()))
    }

    fn technique(&self) -> Result<Technique, RejectedRow> {
        let field = Field::Technique;
        let cell = self.cell(field)?.ok_or_else(|| self.missing(field))?;
        if let Ok(technique) = cell.text.parse() {
            return Ok(technique);
        }
        let plain = cell.text.to_ascii_lowercase().replace(['_', ' '], "-");
        let other = OTHER_NAMES.iter().find(|(name, _)| *name == plain);
        other.map(|(_, technique)| *technique).ok_or_else(|| {
            let known = Technique::ALL.map(Technique::name).join(", ");
            self.blame(cell, Rejection::UnknownTechnique { known })
        })
    }

    fn converged(&self) -> Result<Option<bool>, RejectedRow> {
        let Some(cell) = self.cell(Field::Converged)? else {
            return Ok(None);
        };
        match cell.text.to_ascii_lowercase().as_str() {
            "true" | "yes" | "1" | "y" | "completed" | "converged" => Ok(Some(true)),
            "false" | "no" | "0" | "n" | "cancelled" | "cut off" => Ok(Some(false)),
            _ => Err(self.blame(cell, Rejection::NotYesOrNo)),
        }
    }

    fn started_at(&self) -> Result<Option<jiff::Timestamp>, RejectedRow> {
        let Some(cell) = self.cell(Field::StartedAt)? else {
            return Ok(None);
        };
        let read = if cell.source.unit.factor > 0.0 {
            let ms = self.number(Field::StartedAt)?.map(|n| n.value);
            ms.and_then(|ms| jiff::Timestamp::from_millisecond(ms as i64).ok())
        } else {
            cell.text.parse().ok()
        };
        read.map(Some)
            .ok_or_else(|| self.blame(cell, Rejection::NotATime))
    }
}
