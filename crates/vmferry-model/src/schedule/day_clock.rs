//! The local day in equal parts.

use std::time::Duration;

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

/// Seconds of a day without change of clocks.
const DAY_S: u64 = 24 * 3600;

/// The local day in equal parts: what times of day are told apart. On days
/// when clocks change, a part is missing or lasts twice.
#[derive(Clone, Debug, PartialEq)]
pub struct DayClock {
    zone: TimeZone,
    /// Length of a part; whole minutes.
    width_s: u64,
}

impl DayClock {
    /// Parts of `width` in a time zone; `None` where it is not a whole number
    /// of minutes that divides a day.
    pub fn new(zone: TimeZone, width: Duration) -> Option<Self> {
        let width_s = width.as_secs();
        let whole = width.subsec_nanos() == 0 && width_s > 0 && width_s.is_multiple_of(60);
        (whole && DAY_S.is_multiple_of(width_s)).then_some(Self { zone, width_s })
    }

    /// Length of a part.
    pub fn width(&self) -> Duration {
        Duration::from_secs(self.width_s)
    }

    /// Parts of a day.
    pub fn parts(&self) -> usize {
        (DAY_S / self.width_s) as usize
    }

    /// The part of the day that an instant lies in, from 0.
    pub fn part(&self, at: Timestamp) -> usize {
        (self.second_of_day(at) / self.width_s) as usize
    }

    /// The local day that an instant lies in.
    pub fn day(&self, at: Timestamp) -> Date {
        at.to_zoned(self.zone.clone()).date()
    }

    /// When the next part begins.
    pub fn next(&self, at: Timestamp) -> Timestamp {
        let left = self.width_s - self.second_of_day(at) % self.width_s;
        let whole = at - SignedDuration::from_nanos(i64::from(at.subsec_nanosecond()));
        // Before 1970 the nanoseconds count down.
        let whole = if whole > at {
            whole - SignedDuration::from_secs(1)
        } else {
            whole
        };
        whole
            .checked_add(SignedDuration::from_secs(left as i64))
            .unwrap_or(Timestamp::MAX)
    }

    /// When a part begins by the local clock, for example `03:15`.
    pub fn name(&self, part: usize) -> String {
        let minutes = part as u64 * self.width_s / 60;
        format!("{:02}:{:02}", minutes / 60, minutes % 60)
    }

    /// An instant by the local clock, for example `2026-03-01 03:15`.
    pub fn local(&self, at: Timestamp) -> String {
        let local = at.to_zoned(self.zone.clone());
        local.strftime("%Y-%m-%d %H:%M").to_string()
    }

    /// The time zone's name; its offset where it has none.
    pub fn zone_name(&self) -> String {
        self.zone.iana_name().map_or_else(
            || {
                let offset = self.zone.to_fixed_offset();
                offset.map_or_else(|_| "unnamed".to_owned(), |offset| offset.to_string())
            },
            str::to_owned,
        )
    }

    fn second_of_day(&self, at: Timestamp) -> u64 {
        let time = at.to_zoned(self.zone.clone()).time();
        let part = |value: i8| u64::from(value.unsigned_abs());
        part(time.hour()) * 3600 + part(time.minute()) * 60 + part(time.second())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn only_what_divides_a_day_is_a_part() {
        let parts = |s| DayClock::new(TimeZone::UTC, Duration::from_secs(s)).map(|c| c.parts());
        assert_eq!(parts(900), Some(96));
        assert_eq!(parts(86_400), Some(1));
        for bad in [0, 30, 90, 7 * 60, 86_460, 2 * 86_400] {
            assert_eq!(parts(bad), None, "{bad}");
        }
    }

    #[test]
    fn parts_follow_the_local_clock() {
        let zone = TimeZone::get("Europe/Berlin").unwrap();
        let clock = DayClock::new(zone, Duration::from_secs(900)).unwrap();
        let summer = at("2026-07-01T22:20:30.5Z");
        assert_eq!(clock.name(clock.part(summer)), "00:15");
        assert_eq!(clock.day(summer).to_string(), "2026-07-02");
        assert_eq!(clock.next(summer), at("2026-07-01T22:30:00Z"));
        assert_eq!(clock.local(summer), "2026-07-02 00:20");
        // Clocks go forward at 01:00 UTC: the parts from 02:00 to 03:00 are missing.
        let before = at("2026-03-29T00:50:00Z");
        let after = clock.next(before);
        assert_eq!(clock.name(clock.part(before)), "01:45");
        assert_eq!(clock.name(clock.part(after)), "03:00");
        // They go back at 01:00 UTC: the parts from 02:00 on come twice.
        let before = at("2026-10-25T00:50:00Z");
        assert_eq!(clock.name(clock.part(before)), "02:45");
        assert_eq!(clock.name(clock.part(clock.next(before))), "02:00");
        assert_eq!(clock.zone_name(), "Europe/Berlin");
    }

    #[test]
    fn the_next_part_is_always_ahead() {
        let clock = DayClock::new(TimeZone::UTC, Duration::from_secs(3600)).unwrap();
        for (now, next) in [
            ("2026-01-01T00:00:00Z", "2026-01-01T01:00:00Z"),
            ("2026-01-01T23:59:59.999Z", "2026-01-02T00:00:00Z"),
            ("1969-12-31T22:30:00.25Z", "1969-12-31T23:00:00Z"),
        ] {
            assert_eq!(clock.next(at(now)), at(next), "{now}");
        }
    }
}
