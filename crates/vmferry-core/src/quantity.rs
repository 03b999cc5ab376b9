//! Quantities as operators write them: `400Mbit/s`, `300ms`, `20%`, `64MiB`.

use std::time::Duration;

use thiserror::Error;

use crate::energy::{Joules, Watts};
use crate::units::{ByteRate, Bytes, Ratio};

/// Why a text is no quantity.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("`{text}` is no {what}: {reason}; write for example {example}")]
pub struct QuantityError {
    text: String,
    what: &'static str,
    reason: String,
    example: &'static str,
}

/// The fastest link that is believed: 100 Tbit/s.
const MAX_RATE: ByteRate = ByteRate::from_bits_per_s(1e14);
/// The longest span that is believed: 30 days.
const MAX_SPAN: Duration = Duration::from_secs(30 * 24 * 3600);

struct Reader<'a> {
    text: &'a str,
    what: &'static str,
    example: &'static str,
}

impl Reader<'_> {
    fn fail(&self, reason: impl Into<String>) -> QuantityError {
        QuantityError {
            text: self.text.to_owned(),
            what: self.what,
            reason: reason.into(),
            example: self.example,
        }
    }

    /// Splits `12.5 Mbit/s` into a positive finite number and a unit.
    fn split(&self) -> Result<(f64, String), QuantityError> {
        let text = self.text.trim();
        let end = text
            .find(|c: char| !(c.is_ascii_digit() || c == '.'))
            .unwrap_or(text.len());
        let (number, unit) = text.split_at(end);
        if text.starts_with('-') {
            return Err(self.fail("it is negative"));
        }
        let number: f64 = number
            .parse()
            .map_err(|_| self.fail("it does not start with a number"))?;
        if number == 0.0 {
            return Err(self.fail("it is zero"));
        }
        Ok((number, unit.trim().to_ascii_lowercase()))
    }
}

/// Reads a link rate. Decimal prefixes count bits or bytes by the word:
/// `400Mbit/s`, `2.1Gbit/s`, `400mbps` (bits), `50MB/s`, `50MiB/s`; a bare
/// number is MiB/s, as in virsh.
///
/// # Errors
/// When it is zero, negative, above 100 Tbit/s, below 1 kbit/s or of an unknown unit.
pub fn parse_rate(text: &str) -> Result<ByteRate, QuantityError> {
    let reader = Reader {
        text,
        what: "bandwidth",
        example: "400Mbit/s, 2.1Gbit/s or 50MiB/s",
    };
    let (number, unit) = reader.split()?;
    let bytes_per_s = match unit.trim_end_matches("/s").trim_end_matches("ps") {
        "" | "mib" => number * 1_048_576.0,
        "bit" | "b" => number / 8.0,
        "kbit" | "kb" if !self::bytes_meant(text) => number * 1e3 / 8.0,
        "mbit" | "mb" | "m" if !self::bytes_meant(text) => number * 1e6 / 8.0,
        "gbit" | "gb" | "g" if !self::bytes_meant(text) => number * 1e9 / 8.0,
        "tbit" | "tb" if !self::bytes_meant(text) => number * 1e12 / 8.0,
        "kb" => number * 1e3,
        "mb" => number * 1e6,
        "gb" => number * 1e9,
        "tb" => number * 1e12,
        "kib" => number * 1024.0,
        "gib" => number * 1_073_741_824.0,
        other => return Err(reader.fail(format!("the unit `{other}` is unknown"))),
    };
    let rate = ByteRate(bytes_per_s);
    if rate > MAX_RATE {
        return Err(reader.fail("it is above 100 Tbit/s"));
    }
    if rate.bits_per_s() < 1000.0 {
        return Err(reader.fail("it is below 1 kbit/s"));
    }
    Ok(rate)
}

/// `MB/s` and `MBps` are bytes, `Mb/s`, `Mbps` and `Mbit/s` bits.
fn bytes_meant(text: &str) -> bool {
    text.contains('B')
}

/// Reads a span of time: `300ms`, `1.5s`, `2m`, `1h`; a bare number is seconds.
///
/// # Errors
/// When it is zero, negative, above 30 days or of an unknown unit.
pub fn parse_span(text: &str) -> Result<Duration, QuantityError> {
    let reader = Reader {
        text,
        what: "duration",
        example: "300ms, 10s or 2m",
    };
    let (number, unit) = reader.split()?;
    let seconds = match unit.as_str() {
        "us" => number / 1e6,
        "ms" => number / 1e3,
        "" | "s" | "sec" => number,
        "m" | "min" => number * 60.0,
        "h" => number * 3600.0,
        "d" => number * 86_400.0,
        other => return Err(reader.fail(format!("the unit `{other}` is unknown"))),
    };
    Duration::try_from_secs_f64(seconds)
        .ok()
        .filter(|span| *span <= MAX_SPAN)
        .ok_or_else(|| reader.fail("it is above 30 days"))
}

/// Reads an amount of memory: `64MiB`, `1GiB`, `512M` (binary, as QEMU reads
/// it); a bare number is MiB.
///
/// # Errors
/// When it is zero, negative, above 1 PiB or of an unknown unit.
pub fn parse_size(text: &str) -> Result<Bytes, QuantityError> {
    let reader = Reader {
        text,
        what: "size",
        example: "512MiB or 1GiB",
    };
    let (number, unit) = reader.split()?;
    let scale: u64 = match unit.as_str() {
        "b" => 1,
        "k" | "kib" => 1 << 10,
        "" | "m" | "mib" => 1 << 20,
        "g" | "gib" => 1 << 30,
        "t" | "tib" => 1 << 40,
        other => return Err(reader.fail(format!("the unit `{other}` is unknown"))),
    };
    let bytes = number * scale as f64;
    if bytes > (1u64 << 50) as f64 {
        return Err(reader.fail("it is above 1 PiB"));
    }
    Ok(Bytes(bytes.round() as u64))
}

/// Reads a share: `20%` or `0.2`.
///
/// # Errors
/// When it is zero, negative, above 100 % or of an unknown unit.
pub fn parse_ratio(text: &str) -> Result<Ratio, QuantityError> {
    let reader = Reader {
        text,
        what: "share",
        example: "20% or 0.2",
    };
    let (number, unit) = reader.split()?;
    let ratio = match unit.as_str() {
        "%" => number / 100.0,
        "" => number,
        other => return Err(reader.fail(format!("the unit `{other}` is unknown"))),
    };
    if ratio > 1.0 {
        return Err(reader.fail("it is above 100 %"));
    }
    Ok(Ratio(ratio))
}

/// Reads a power: `180W`, `1.2kW`; a bare number is watts.
///
/// # Errors
/// When it is zero, negative, above 1 MW or of an unknown unit.
pub fn parse_power(text: &str) -> Result<Watts, QuantityError> {
    let reader = Reader {
        text,
        what: "power",
        example: "180W or 1.2kW",
    };
    let (number, unit) = reader.split()?;
    let watts = match unit.as_str() {
        "" | "w" => number,
        "kw" => number * 1e3,
        other => return Err(reader.fail(format!("the unit `{other}` is unknown"))),
    };
    if watts > 1e6 {
        return Err(reader.fail("it is above 1 MW"));
    }
    Ok(Watts(watts))
}

/// Reads an energy: `500J`, `30kJ`, `10Wh`; a bare number is joules.
///
/// # Errors
/// When it is zero, negative, above 1 GJ or of an unknown unit.
pub fn parse_energy(text: &str) -> Result<Joules, QuantityError> {
    let reader = Reader {
        text,
        what: "energy",
        example: "30kJ or 10Wh",
    };
    let (number, unit) = reader.split()?;
    let joules = match unit.as_str() {
        "" | "j" => number,
        "kj" => number * 1e3,
        "mj" => number * 1e6,
        "wh" => number * 3600.0,
        "kwh" => number * 3.6e6,
        other => return Err(reader.fail(format!("the unit `{other}` is unknown"))),
    };
    if joules > 1e9 {
        return Err(reader.fail("it is above 1 GJ"));
    }
    Ok(Joules(joules))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_in_every_spelling() {
        for (text, mbit) in [
            ("400Mbit/s", 400.0),
            ("400mbit", 400.0),
            ("400 Mbps", 400.0),
            ("2.1Gbit/s", 2100.0),
            ("50MB/s", 400.0),
            ("50MBps", 400.0),
            ("1MiB/s", 8.388_608),
            ("1", 8.388_608),
            ("1000kbit/s", 1.0),
        ] {
            let rate = parse_rate(text).unwrap();
            assert!((rate.mbit_per_s() - mbit).abs() < 1e-9, "{text}: {rate:?}");
        }
    }

    #[test]
    fn absurd_quantities_are_refused_with_an_example() {
        for text in [
            "0",
            "-5Mbit/s",
            "fast",
            "400Mfurlong",
            "1e99",
            "999999Tbit/s",
            "1bit/s",
            "",
        ] {
            let message = parse_rate(text).unwrap_err().to_string();
            assert!(message.contains("write for example 400Mbit/s"), "{message}");
        }
        for text in ["0ms", "-1s", "soon", "31d", "5 parsecs"] {
            assert!(parse_span(text).is_err(), "{text}");
        }
        assert!(parse_ratio("101%").is_err());
        assert!(parse_size("2000000G").is_err());
    }

    #[test]
    fn spans_and_sizes() {
        assert_eq!(parse_span("300ms"), Ok(Duration::from_millis(300)));
        assert_eq!(parse_span("10"), Ok(Duration::from_secs(10)));
        assert_eq!(parse_size("512M"), Ok(Bytes::from_mib(512)));
        assert_eq!(parse_ratio("20%"), Ok(Ratio(0.2)));
        assert_eq!(parse_power("1.2kW"), Ok(Watts(1200.0)));
        assert_eq!(parse_energy("10Wh"), Ok(Joules(36_000.0)));
        for text in ["0W", "-1W", "2MW", "9e9", "much"] {
            assert!(parse_power(text).is_err(), "{text}");
        }
    }
}
