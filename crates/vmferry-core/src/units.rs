//! Units as types, with only the operators that make physical sense.

use std::fmt;
use std::iter::Sum;
use std::ops::{Add, AddAssign, Div, Mul, Sub};
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Bytes in a guest page. vmferry drives x86 guests, whose dirty logs work on
/// 4 KiB pages whatever backs them.
pub const PAGE_SIZE: Bytes = Bytes(4096);

/// An amount of data, in bytes.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    JsonSchema,
)]
#[serde(transparent)]
pub struct Bytes(pub u64);

/// A number of 4 KiB guest pages.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    JsonSchema,
)]
#[serde(transparent)]
pub struct Pages(pub u64);

/// A rate, in bytes per second.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, PartialOrd, Serialize, Deserialize, JsonSchema,
)]
#[serde(transparent)]
pub struct ByteRate(pub f64);

/// A dimensionless share, usually 0..1.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, PartialOrd, Serialize, Deserialize, JsonSchema,
)]
#[serde(transparent)]
pub struct Ratio(pub f64);

/// A span of time in milliseconds: what JSON documents carry. Code computes
/// with [`Duration`]; this is its form at the boundary.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, PartialOrd, Serialize, Deserialize, JsonSchema,
)]
#[serde(transparent)]
pub struct Millis(pub f64);

impl Bytes {
    /// `n` MiB.
    pub const fn from_mib(n: u64) -> Self {
        Self(n << 20)
    }

    /// This amount in MiB.
    pub fn as_mib(self) -> f64 {
        self.0 as f64 / f64::from(1 << 20)
    }

    /// Whole pages that fit in this amount.
    pub const fn pages(self) -> Pages {
        Pages(self.0 / PAGE_SIZE.0)
    }

    /// The difference, or zero where `other` is larger.
    pub const fn saturating_sub(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }
}

impl Pages {
    /// The memory these pages take.
    pub const fn bytes(self) -> Bytes {
        Bytes(self.0 * PAGE_SIZE.0)
    }
}

impl ByteRate {
    /// A link rate given in bits per second.
    pub const fn from_bits_per_s(bits: f64) -> Self {
        Self(bits / 8.0)
    }

    /// `n` Mbit/s (10^6 bits).
    pub const fn from_mbit_per_s(n: f64) -> Self {
        Self::from_bits_per_s(n * 1e6)
    }

    /// `n` MiB/s.
    pub const fn from_mib_per_s(n: f64) -> Self {
        Self(n * 1_048_576.0)
    }

    /// This rate in bits per second.
    pub const fn bits_per_s(self) -> f64 {
        self.0 * 8.0
    }

    /// This rate in Mbit/s.
    pub const fn mbit_per_s(self) -> f64 {
        self.0 * 8.0 / 1e6
    }
}

impl Ratio {
    /// This share in percent.
    pub fn percent(self) -> f64 {
        self.0 * 100.0
    }
}

impl Millis {
    /// The same span as a [`Duration`]; negative and non-finite values become zero.
    pub fn duration(self) -> Duration {
        Duration::try_from_secs_f64(self.0 / 1e3).unwrap_or_default()
    }
}

impl From<Duration> for Millis {
    fn from(value: Duration) -> Self {
        Self(value.as_secs_f64() * 1e3)
    }
}

impl Add for Bytes {
    type Output = Self;
    fn add(self, rhs: Self) -> Self {
        Self(self.0 + rhs.0)
    }
}
impl AddAssign for Bytes {
    fn add_assign(&mut self, rhs: Self) {
        self.0 += rhs.0;
    }
}
impl Sub for Bytes {
    type Output = Self;
    fn sub(self, rhs: Self) -> Self {
        Self(self.0 - rhs.0)
    }
}
impl Sum for Bytes {
    fn sum<I: Iterator<Item = Self>>(iter: I) -> Self {
        iter.fold(Self(0), Add::add)
    }
}
impl Add for Pages {
    type Output = Self;
    fn add(self, rhs: Self) -> Self {
        Self(self.0 + rhs.0)
    }
}
impl Mul<Ratio> for Bytes {
    type Output = Self;
    fn mul(self, rhs: Ratio) -> Self {
        Self((self.0 as f64 * rhs.0).round().max(0.0) as u64)
    }
}
impl Mul<Ratio> for ByteRate {
    type Output = Self;
    fn mul(self, rhs: Ratio) -> Self {
        Self(self.0 * rhs.0)
    }
}
impl Mul<Duration> for ByteRate {
    type Output = Bytes;
    fn mul(self, rhs: Duration) -> Bytes {
        Bytes((self.0 * rhs.as_secs_f64()).round().max(0.0) as u64)
    }
}
/// The time it takes to send an amount at a rate. A rate of zero takes for
/// ever: [`Duration::MAX`].
impl Div<ByteRate> for Bytes {
    type Output = Duration;
    fn div(self, rhs: ByteRate) -> Duration {
        Duration::try_from_secs_f64(self.0 as f64 / rhs.0).unwrap_or(Duration::MAX)
    }
}
impl Div<Duration> for Bytes {
    type Output = ByteRate;
    fn div(self, rhs: Duration) -> ByteRate {
        ByteRate(self.0 as f64 / rhs.as_secs_f64())
    }
}
impl Div for Bytes {
    type Output = Ratio;
    fn div(self, rhs: Self) -> Ratio {
        Ratio(self.0 as f64 / rhs.0 as f64)
    }
}
impl Div for ByteRate {
    type Output = Ratio;
    fn div(self, rhs: Self) -> Ratio {
        Ratio(self.0 / rhs.0)
    }
}

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            0..1024 => write!(f, "{} B", self.0),
            1024..1_048_576 => write!(f, "{:.0} KiB", self.0 as f64 / 1024.0),
            1_048_576..10_737_418_240 => write!(f, "{:.0} MiB", self.as_mib()),
            _ => write!(f, "{:.1} GiB", self.as_mib() / 1024.0),
        }
    }
}
impl fmt::Display for ByteRate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mbit = self.mbit_per_s();
        if mbit >= 1000.0 {
            write!(f, "{:.2} Gbit/s", mbit / 1000.0)
        } else if mbit >= 10.0 {
            write!(f, "{mbit:.0} Mbit/s")
        } else {
            write!(f, "{mbit:.2} Mbit/s")
        }
    }
}
impl fmt::Display for Ratio {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.1} %", self.percent())
    }
}
impl fmt::Display for Millis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&if self.0 >= 10_000.0 {
            format!("{:.1} s", self.0 / 1e3)
        } else if self.0 >= 1000.0 {
            format!("{:.2} s", self.0 / 1e3)
        } else {
            format!("{:.0} ms", self.0)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn people_read_mib_and_gbit() {
        assert_eq!(Bytes::from_mib(512).to_string(), "512 MiB");
        assert_eq!(ByteRate::from_mbit_per_s(400.0).to_string(), "400 Mbit/s");
        assert_eq!(ByteRate::from_mbit_per_s(2100.0).to_string(), "2.10 Gbit/s");
        assert_eq!(Millis(12_345.0).to_string(), "12.3 s");
    }

    #[test]
    fn nothing_is_sent_at_rate_zero() {
        assert_eq!(Bytes(1) / ByteRate(0.0), Duration::MAX);
    }

    proptest! {
        #[test]
        fn sending_for_the_time_it_takes_sends_it_all(bytes in 1u64..1 << 40, rate in 1e3f64..1e10) {
            let sent = ByteRate(rate) * (Bytes(bytes) / ByteRate(rate));
            prop_assert!(sent.0.abs_diff(bytes) as f64 <= 1.0 + rate * 1e-9 + bytes as f64 * 1e-9);
        }

        #[test]
        fn millis_and_durations_agree(ms in 0f64..1e9) {
            prop_assert!((Millis::from(Millis(ms).duration()).0 - ms).abs() < 1e-3);
        }
    }
}
