//! Values of keys: sizes, rates, times, numbers.

use std::time::Duration;

use super::{PAGE, Rate};

pub(super) const SIZE: &str = "a size from 4K to 1024G such as 64M (K, M, G are 2^10, 2^20, 2^30)";
pub(super) const SIZE_OR_ZERO: &str =
    "0, or a size up to 1024G such as 64M (K, M, G are 2^10, 2^20, 2^30)";
pub(super) const RATE: &str = "bytes a second from 1 to 1024G such as 20M, or max";
pub(super) const TIME: &str = "a time from 1ms to 86400s such as 500ms or 10s";

const LARGEST: f64 = (1u64 << 40) as f64;

/// `64M`, `0.5G`, `4096`.
pub(super) fn bytes(text: &str) -> Option<u64> {
    let (digits, scale) = match text.as_bytes().last()? {
        b'K' => (&text[..text.len() - 1], 1u64 << 10),
        b'M' => (&text[..text.len() - 1], 1 << 20),
        b'G' => (&text[..text.len() - 1], 1 << 30),
        _ => (text, 1),
    };
    let value = decimal(digits)? * scale as f64;
    (value <= LARGEST).then_some(value.round() as u64)
}

/// A size rounded up to whole pages; at least one page.
pub(super) fn pages(text: &str) -> Option<u64> {
    bytes(text)
        .filter(|size| *size >= PAGE)
        .map(|size| size.next_multiple_of(PAGE))
}

/// A size rounded up to whole pages, or nothing.
pub(super) fn pages_or_zero(text: &str) -> Option<u64> {
    bytes(text).map(|size| size.next_multiple_of(PAGE))
}

pub(super) fn rate(text: &str) -> Option<Rate> {
    if text == "max" {
        return Some(Rate::Unlimited);
    }
    bytes(text)
        .filter(|rate| *rate > 0)
        .map(Rate::BytesPerSecond)
}

pub(super) fn time(text: &str) -> Option<Duration> {
    let seconds = match text.strip_suffix("ms") {
        Some(millis) => decimal(millis)? / 1e3,
        None => decimal(text.strip_suffix('s')?)?,
    };
    (0.001..=86_400.0)
        .contains(&seconds)
        .then(|| Duration::from_secs_f64(seconds))
}

/// A plain decimal number without sign, exponent, `inf` or `nan`, which `f64::from_str` would accept.
pub(super) fn decimal(text: &str) -> Option<f64> {
    let plain = text
        .bytes()
        .all(|byte| byte.is_ascii_digit() || byte == b'.');
    let bounded = text.starts_with(|first: char| first.is_ascii_digit());
    (plain && bounded).then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        assert_eq!(bytes("4096"), Some(4096));
        assert_eq!(bytes("64M"), Some(64 << 20));
        assert_eq!(bytes("0.5G"), Some(512 << 20));
        assert_eq!(pages("5000"), Some(8192));
        assert_eq!(pages("4095"), None);
        assert_eq!(pages_or_zero("0"), Some(0));
        for bad in [
            "", "M", "-1", "1e9", "inf", "nan", ".5", "64m", "64MB", "9999999G", "1.2.3",
        ] {
            assert_eq!(bytes(bad), None, "{bad}");
        }
    }

    #[test]
    fn rates_and_times() {
        assert_eq!(rate("max"), Some(Rate::Unlimited));
        assert_eq!(rate("20M"), Some(Rate::BytesPerSecond(20 << 20)));
        assert_eq!(rate("0"), None);
        assert_eq!(time("500ms"), Some(Duration::from_millis(500)));
        assert_eq!(time("1.5s"), Some(Duration::from_millis(1500)));
        for bad in ["0s", "10", "ms", "s", "1m", "90000s", "-1s"] {
            assert_eq!(time(bad), None, "{bad}");
        }
    }
}
