//! What is wrong with a load's text.

use std::fmt;

/// Why a load's text was refused. The message names the part, the key, and what is allowed.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum SpecError {
    /// A part, or the whole text, is empty.
    Empty,
    /// There is no pattern of this name.
    UnknownPattern {
        /// The name given.
        name: String,
    },
    /// A piece between commas is not `KEY=VALUE`.
    NotKeyValue {
        /// The pattern it was given for.
        pattern: String,
        /// The piece.
        piece: String,
    },
    /// The pattern has no such key.
    UnknownKey {
        /// The pattern.
        pattern: String,
        /// The key given.
        key: String,
        /// The pattern's keys.
        allowed: String,
    },
    /// A key is given twice.
    Repeated {
        /// The pattern.
        pattern: String,
        /// The key.
        key: String,
    },
    /// A key that must be given is missing.
    Missing {
        /// The pattern.
        pattern: String,
        /// The key.
        key: &'static str,
        /// What it should be.
        allowed: &'static str,
    },
    /// A value cannot be read or is out of range.
    BadValue {
        /// The pattern.
        pattern: String,
        /// The key.
        key: String,
        /// The value given.
        value: String,
        /// What is allowed.
        allowed: &'static str,
    },
    /// A phase is not `TIME@PART`.
    BadPhase {
        /// The piece.
        piece: String,
    },
    /// A pattern that cannot run inside `phases`.
    NotInPhases {
        /// The pattern.
        pattern: String,
    },
}

impl fmt::Display for SpecError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => write!(
                f,
                "empty pattern; expected PATTERN[:KEY=VALUE,...] such as uniform:set=64M"
            ),
            Self::UnknownPattern { name } => write!(
                f,
                "unknown pattern {name:?}; allowed: {}",
                super::PATTERN_NAMES.join(", ")
            ),
            Self::NotKeyValue { pattern, piece } => {
                write!(f, "{pattern}: {piece:?} is not KEY=VALUE")
            }
            Self::UnknownKey {
                pattern,
                key,
                allowed,
            } => {
                write!(f, "{pattern}: unknown key {key:?}; allowed: {allowed}")
            }
            Self::Repeated { pattern, key } => write!(f, "{pattern}: key {key:?} is given twice"),
            Self::Missing {
                pattern,
                key,
                allowed,
            } => {
                write!(f, "{pattern}: key {key:?} is missing; give {allowed}")
            }
            Self::BadValue {
                pattern,
                key,
                value,
                allowed,
            } => {
                write!(
                    f,
                    "{pattern}: {key}={value:?} is not valid; allowed: {allowed}"
                )
            }
            Self::BadPhase { piece } => write!(
                f,
                "phases: {piece:?} is not TIME@PATTERN; allowed: such as 8s@uniform:set=64M/4s@idle"
            ),
            Self::NotInPhases { pattern } => {
                write!(
                    f,
                    "phases: {pattern} cannot be a phase; join it with + instead"
                )
            }
        }
    }
}

impl std::error::Error for SpecError {}
