//! What tells one imported migration from another.

use std::fmt;

use vmferry_core::ImportedMigration;
use xxhash_rust::xxh3::xxh3_128;

/// A hash of everything that an imported migration says. Files that say the
/// same migration give the same one; two runs that agree in every measured
/// value need a name of their own each ([`ImportedMigration::run`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Fingerprint(u128);

impl Fingerprint {
    /// Of a migration.
    pub fn of(migration: &ImportedMigration) -> Self {
        // Whole, so that a new field is thought of here. It is written only
        // where it is known: then migrations of before stay what they were.
        let ImportedMigration {
            run,
            guest,
            workload,
            started_at,
            technique,
            memory_bytes,
            dirty_rate,
            bandwidth,
            downtime_limit_ms,
            converged,
            total_time_ms,
            downtime_ms,
            transferred_bytes,
        } = migration;
        let mut said = Said::default();
        said.text(1, run.as_deref());
        said.text(2, guest.as_deref());
        said.text(3, workload.as_deref());
        let nanoseconds = started_at.map(|at| at.as_nanosecond().to_le_bytes());
        said.bytes(4, nanoseconds.as_ref().map(<[u8; 16]>::as_slice));
        said.text(5, Some(technique.name()));
        said.whole(6, Some(memory_bytes.0));
        said.number(7, Some(dirty_rate.0));
        said.number(8, Some(bandwidth.0));
        said.number(9, downtime_limit_ms.map(|ms| ms.0));
        said.whole(10, converged.map(u64::from));
        said.number(11, Some(total_time_ms.0));
        said.number(12, downtime_ms.map(|ms| ms.0));
        said.whole(13, transferred_bytes.map(|bytes| bytes.0));
        Self(xxh3_128(&said.0))
    }
}

/// As the database keeps it: 32 hexadecimal digits.
impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

/// Known fields, each with its number and length.
#[derive(Default)]
struct Said(Vec<u8>);

impl Said {
    fn bytes(&mut self, field: u8, value: Option<&[u8]>) {
        if let Some(value) = value {
            self.0.push(field);
            self.0.extend((value.len() as u64).to_le_bytes());
            self.0.extend(value);
        }
    }

    fn text(&mut self, field: u8, value: Option<&str>) {
        self.bytes(field, value.map(str::as_bytes));
    }

    fn whole(&mut self, field: u8, value: Option<u64>) {
        self.bytes(
            field,
            value
                .map(u64::to_le_bytes)
                .as_ref()
                .map(<[u8; 8]>::as_slice),
        );
    }

    fn number(&mut self, field: u8, value: Option<f64>) {
        // Minus zero is zero.
        self.whole(field, value.map(|value| (value + 0.0).to_bits()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use vmferry_core::{ByteRate, Bytes, Millis, Technique};

    fn migration() -> ImportedMigration {
        ImportedMigration {
            run: None,
            guest: None,
            workload: Some("ycsb".into()),
            started_at: None,
            technique: Technique::PreCopy,
            memory_bytes: Bytes::from_mib(8192),
            dirty_rate: ByteRate(0.0),
            bandwidth: ByteRate(1e8),
            downtime_limit_ms: None,
            converged: None,
            total_time_ms: Millis(17_166.0),
            downtime_ms: Some(Millis(14.0)),
            transferred_bytes: None,
        }
    }

    #[test]
    fn stays_the_same_from_version_to_version() {
        // A history that was written holds it.
        insta::assert_snapshot!(Fingerprint::of(&migration()), @"df99528b03917d6d616bbb1afffeee1a");
        let minus_zero = ImportedMigration {
            dirty_rate: ByteRate(-0.0),
            ..migration()
        };
        assert_eq!(Fingerprint::of(&minus_zero), Fingerprint::of(&migration()));
    }

    #[test]
    fn every_field_counts() {
        type Change = fn(&mut ImportedMigration);
        let changes: [Change; 13] = [
            |m| m.run = Some("1".into()),
            |m| m.guest = Some("1".into()),
            |m| m.workload = None,
            |m| m.started_at = Some(jiff::Timestamp::UNIX_EPOCH),
            |m| m.technique = Technique::PostCopy,
            |m| m.memory_bytes = Bytes(1),
            |m| m.dirty_rate = ByteRate(1.0),
            |m| m.bandwidth = ByteRate(1.0),
            |m| m.downtime_limit_ms = Some(Millis(14.0)),
            |m| m.converged = Some(false),
            |m| m.total_time_ms = Millis(1.0),
            |m| m.downtime_ms = None,
            |m| m.transferred_bytes = Some(Bytes(1)),
        ];
        let mut seen = std::collections::HashSet::from([Fingerprint::of(&migration())]);
        for change in changes {
            let mut other = migration();
            change(&mut other);
            assert!(seen.insert(Fingerprint::of(&other)), "{other:?}");
        }
    }
}
