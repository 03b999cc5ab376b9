//! The eight guests: two of each of four kinds.

use vmferry::core::Bytes;
use vmferry::testbed::GuestSpec;

/// Name, kind, memory in MiB, load.
///
/// The order by memory misleads: the smallest are caches that rewrite most of
/// what they have. So does that by CPU use: the solvers use most, and are the
/// cheapest to move. The lowest dirty rate is that of the archives, which have
/// the most to send once.
pub(crate) const GUESTS: [(&str, &str, u64, &str); 8] = [
    ("cache-1", "cache", 240, "uniform:set=160M,rate=80M"),
    ("cache-2", "cache", 256, "uniform:set=176M,rate=80M"),
    (
        "database-1",
        "database",
        352,
        "hotcold:set=96M,rate=60M,cold-set=64M,cold-rate=2M",
    ),
    (
        "database-2",
        "database",
        384,
        "hotcold:set=112M,rate=60M,cold-set=64M,cold-rate=2M",
    ),
    (
        "solver-1",
        "solver",
        320,
        "compute:duty=25+uniform:set=2M,rate=2M",
    ),
    (
        "solver-2",
        "solver",
        336,
        "compute:duty=25+uniform:set=2M,rate=2M,fill=48M",
    ),
    ("archive-1", "archive", 448, "idle:fill=300M"),
    ("archive-2", "archive", 512, "idle:fill=340M"),
];

/// The guests to start.
pub(crate) fn specs() -> impl Iterator<Item = GuestSpec> {
    GUESTS
        .into_iter()
        .map(|(name, _, mib, load)| GuestSpec::new(name, load).memory(Bytes::from_mib(mib)))
}

/// The kind of a guest.
pub(crate) fn kind(name: &str) -> &'static str {
    let found = GUESTS.into_iter().find(|(known, ..)| *known == name);
    found.map_or("unknown", |(_, kind, ..)| kind)
}
