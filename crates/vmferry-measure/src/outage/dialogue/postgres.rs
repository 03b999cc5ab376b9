//! PostgreSQL's protocol 3.0, as far as a simple query needs it.

use super::{Speech, Turn};
use crate::outage::sample::ProbeError;

const VERSION: u32 = 3 << 16;
const USER: &[u8] = b"user\0postgres\0database\0postgres\0application_name\0vmferry\0\0";
const QUERY: &[u8] = b"SELECT 1\0";

/// The longest message that is taken: those we ask for have some hundred bytes.
const LONGEST: usize = 16 << 10;

#[derive(Debug, Default)]
pub(super) struct Postgres {
    ready: bool,
    /// The query failed; what is left of its answer is read before that is said.
    failed: bool,
}

impl Speech for Postgres {
    fn opening(&self) -> Vec<u8> {
        let length = u32::try_from(8 + USER.len()).unwrap_or(u32::MAX);
        [&length.to_be_bytes()[..], &VERSION.to_be_bytes(), USER].concat()
    }

    fn is_ready(&self) -> bool {
        self.ready
    }

    fn request(&mut self) -> Vec<u8> {
        let length = u32::try_from(4 + QUERY.len()).unwrap_or(u32::MAX);
        [b"Q", &length.to_be_bytes()[..], QUERY].concat()
    }

    fn read(&mut self, bytes: &[u8]) -> Result<(usize, Turn), ProbeError> {
        let Some((&kind, rest)) = bytes.split_first() else {
            return Ok((0, Turn::More));
        };
        let Some(length) = rest.first_chunk::<4>() else {
            return Ok((0, Turn::More));
        };
        let length = usize::try_from(u32::from_be_bytes(*length)).unwrap_or(usize::MAX);
        if !(4..=LONGEST).contains(&length) {
            return Err(ProbeError::NotUnderstood);
        }
        let Some(content) = rest.get(4..length) else {
            return Ok((0, Turn::More));
        };
        let turn = match kind {
            // Authentication: done, or it wants what we do not have.
            b'R' if content == [0; 4] => Turn::More,
            b'R' => return Err(ProbeError::Rejected),
            b'E' if self.ready => {
                self.failed = true;
                Turn::More
            }
            b'E' => return Err(ProbeError::Rejected),
            b'Z' if self.failed => return Err(ProbeError::Rejected),
            b'Z' if self.ready => Turn::Answered { closing: false },
            b'Z' => {
                self.ready = true;
                Turn::Ready
            }
            // Parameters, keys, notices; description, rows and end of a result.
            b'S' | b'K' | b'N' | b'A' | b'T' | b'D' | b'C' | b'I' | b'v' => Turn::More,
            _ => return Err(ProbeError::NotUnderstood),
        };
        Ok((1 + length, turn))
    }
}

#[cfg(test)]
mod tests {
    use super::super::Dialogue;
    use super::super::tests::hear;
    use super::*;
    use crate::outage::sample::Protocol;

    fn message(kind: u8, content: &[u8]) -> Vec<u8> {
        let length = u32::try_from(4 + content.len()).expect("short");
        [&[kind][..], &length.to_be_bytes(), content].concat()
    }

    fn started() -> Dialogue {
        let mut postgres = Dialogue::in_protocol(Protocol::Postgres);
        let greeting = [
            message(b'R', &[0; 4]),
            message(b'S', b"server_version\x0015.18\0"),
            message(b'K', &[1; 8]),
            message(b'Z', b"I"),
        ];
        assert_eq!(hear(&mut postgres, &greeting.concat(), 3), [Turn::Ready]);
        assert!(postgres.is_ready());
        postgres
    }

    #[test]
    fn a_query_is_answered_when_the_next_may_come() {
        let mut postgres = started();
        let answer = [
            message(b'T', b"\0\x01?column?\0"),
            message(b'D', b"\0\x01\0\0\0\x011"),
            message(b'C', b"SELECT 1\0"),
            message(b'Z', b"I"),
        ];
        let turns = hear(&mut postgres, &answer.concat(), 5);
        assert_eq!(turns, [Turn::Answered { closing: false }]);
    }

    #[test]
    fn passwords_errors_and_nonsense_are_told() {
        let of = |bytes: Vec<u8>| Dialogue::in_protocol(Protocol::Postgres).take(&bytes);
        assert_eq!(of(message(b'R', &[0, 0, 0, 10])), Err(ProbeError::Rejected));
        assert_eq!(of(message(b'E', b"FATAL")), Err(ProbeError::Rejected));
        assert_eq!(
            of(b"HTTP/1.1 400 Bad".to_vec()),
            Err(ProbeError::NotUnderstood)
        );
        let mut postgres = started();
        assert_eq!(postgres.take(&message(b'E', b"no")), Ok(Turn::More));
        assert_eq!(
            postgres.take(&message(b'Z', b"I")),
            Err(ProbeError::Rejected)
        );
    }

    #[test]
    fn it_says_who_it_is() {
        let postgres = Dialogue::in_protocol(Protocol::Postgres);
        let opening = postgres.opening();
        assert_eq!(opening.len(), usize::from(opening[3]));
        assert_eq!(&opening[4..8], &[0, 3, 0, 0]);
    }
}
