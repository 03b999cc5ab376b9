//! How memory is moved.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How memory is moved.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    Hash,
    PartialOrd,
    Ord,
    Serialize,
    Deserialize,
    JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum Technique {
    /// Plain pre-copy.
    #[default]
    PreCopy,
    /// Pre-copy, the guest throttled where it does not converge (QEMU's
    /// `auto-converge`).
    AutoConverge,
    /// Pre-copy that sends differences of pages (QEMU's `xbzrle`).
    Xbzrle,
    /// Pre-copy that compresses pages.
    Compression,
    /// The guest moves first or after one pass, its memory follows.
    PostCopy,
    /// The guest stops before anything is sent.
    StopAndCopy,
}

impl Technique {
    /// Every technique.
    pub const ALL: [Self; 6] = [
        Self::PreCopy,
        Self::AutoConverge,
        Self::Xbzrle,
        Self::Compression,
        Self::PostCopy,
        Self::StopAndCopy,
    ];

    /// Its name on the command line, in JSON and in CSV.
    pub const fn name(self) -> &'static str {
        match self {
            Self::PreCopy => "pre-copy",
            Self::AutoConverge => "auto-converge",
            Self::Xbzrle => "xbzrle",
            Self::Compression => "compression",
            Self::PostCopy => "post-copy",
            Self::StopAndCopy => "stop-and-copy",
        }
    }
}

impl fmt::Display for Technique {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Technique {
    type Err = String;

    /// Reads a name whatever its case and whether it is written in one word.
    fn from_str(text: &str) -> Result<Self, String> {
        let plain = |text: &str| {
            let letters = text.chars().filter(|c| c.is_alphanumeric());
            letters.collect::<String>().to_ascii_lowercase()
        };
        let wanted = plain(text);
        Self::ALL
            .into_iter()
            .find(|technique| plain(technique.name()) == wanted)
            .ok_or_else(|| {
                let names = Self::ALL.map(Self::name).join(", ");
                format!("`{text}` is no technique; write one of {names}")
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn techniques_are_read_in_every_spelling() {
        for technique in Technique::ALL {
            assert_eq!(technique.name().parse(), Ok(technique));
            let json = serde_json::to_value(technique).unwrap();
            assert_eq!(json, technique.name());
        }
        assert_eq!("Precopy".parse(), Ok(Technique::PreCopy));
        assert_eq!("AUTO_CONVERGE".parse(), Ok(Technique::AutoConverge));
        insta::assert_snapshot!(
            "telepathy".parse::<Technique>().unwrap_err(),
            @"`telepathy` is no technique; write one of pre-copy, auto-converge, xbzrle, compression, post-copy, stop-and-copy"
        );
    }
}
