//! Real programs that a guest can run as its load.

/// A program of the image of programs, and what it does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Program {
    /// PostgreSQL under `pgbench`, its data in memory; work units are transactions.
    Postgres,
    /// Redis under `redis-benchmark`, which rewrites keys at random; work units are commands.
    Redis,
    /// `xz -3` on files of programs, again and again; work units are bytes read.
    Xz,
    /// `sort` of random lines, again and again; work units are bytes read.
    Sort,
    /// CPython, which replaces records of a dictionary at random; work units are records.
    Python,
}

const MIB: u64 = 1 << 20;

impl Program {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::Postgres,
        Self::Redis,
        Self::Xz,
        Self::Sort,
        Self::Python,
    ];

    /// Its name in a load, and below `/programs` in the image.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Postgres => "postgres",
            Self::Redis => "redis",
            Self::Xz => "xz",
            Self::Sort => "sort",
            Self::Python => "python",
        }
    }

    /// The program of a name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|program| program.name() == name)
    }

    /// What it works on where nothing else is asked for, bytes: tables, values, files, records.
    #[must_use]
    pub const fn usual_set(self) -> u64 {
        match self {
            Self::Postgres => 32 * MIB,
            Self::Redis | Self::Python => 64 * MIB,
            Self::Xz | Self::Sort => 16 * MIB,
        }
    }

    /// Memory it needs for a set of so many bytes, without the kernel; rounded up from the most
    /// seen in use, plus room for its files, which are read from the disk.
    #[must_use]
    pub const fn memory(self, set: u64) -> u64 {
        match self {
            Self::Postgres => 3 * set + 160 * MIB,
            Self::Redis => 2 * set + 64 * MIB,
            Self::Xz => 2 * set + 96 * MIB,
            Self::Sort => 4 * set + 64 * MIB,
            Self::Python => 2 * set + 64 * MIB,
        }
    }
}
