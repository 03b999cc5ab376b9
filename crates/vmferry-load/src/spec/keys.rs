//! The `KEY=VALUE` pieces of one part.

use super::SpecError;

/// Keys and values of one part, checked against what its pattern knows.
pub(super) struct Keys<'a> {
    pattern: &'a str,
    pairs: Vec<(&'a str, &'a str)>,
}

impl<'a> Keys<'a> {
    pub(super) fn parse(
        pattern: &'a str,
        text: Option<&'a str>,
        allowed: &[&str],
    ) -> Result<Self, SpecError> {
        let mut pairs: Vec<(&str, &str)> = Vec::new();
        for piece in text.map(|text| text.split(',')).into_iter().flatten() {
            let (key, value) = piece
                .split_once('=')
                .ok_or_else(|| SpecError::NotKeyValue {
                    pattern: pattern.to_owned(),
                    piece: piece.to_owned(),
                })?;
            if !allowed.contains(&key) {
                return Err(SpecError::UnknownKey {
                    pattern: pattern.to_owned(),
                    key: key.to_owned(),
                    allowed: allowed.join(", "),
                });
            }
            if pairs.iter().any(|(known, _)| *known == key) {
                return Err(SpecError::Repeated {
                    pattern: pattern.to_owned(),
                    key: key.to_owned(),
                });
            }
            pairs.push((key, value));
        }
        Ok(Self { pattern, pairs })
    }

    /// The value of `key` as `read` understands it; none where it is not given.
    pub(super) fn get<T>(
        &self,
        key: &str,
        allowed: &'static str,
        read: impl Fn(&str) -> Option<T>,
    ) -> Result<Option<T>, SpecError> {
        let Some((_, value)) = self.pairs.iter().find(|(known, _)| *known == key) else {
            return Ok(None);
        };
        read(value).map(Some).ok_or_else(|| SpecError::BadValue {
            pattern: self.pattern.to_owned(),
            key: key.to_owned(),
            value: (*value).to_owned(),
            allowed,
        })
    }

    /// The error for a key that must be there.
    pub(super) fn missing(&self, key: &'static str, allowed: &'static str) -> SpecError {
        SpecError::Missing {
            pattern: self.pattern.to_owned(),
            key,
            allowed,
        }
    }

    /// The error for a value that is fine by itself but not beside the others.
    pub(super) fn refused(&self, key: &str, allowed: &'static str) -> SpecError {
        let value = self
            .pairs
            .iter()
            .find(|(known, _)| *known == key)
            .map_or("", |pair| pair.1);
        SpecError::BadValue {
            pattern: self.pattern.to_owned(),
            key: key.to_owned(),
            value: value.to_owned(),
            allowed,
        }
    }
}
