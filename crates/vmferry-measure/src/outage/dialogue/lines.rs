//! Services that speak in lines: Redis, SMTP (RFC 5321), IMAP (RFC 9051).

use super::{Speech, Turn, line};
use crate::outage::sample::ProbeError;

const OPEN: Turn = Turn::Answered { closing: false };

/// Postfix takes 100 commands without a letter, and delays each after that.
const MOST_NOOPS: u32 = 90;

/// Dovecot ends connections without a login after 3 minutes.
const OLDEST_WITHOUT_LOGIN_NS: u64 = 150_000_000_000;

/// Redis: one line asks, one line answers.
#[derive(Debug)]
pub(super) struct Redis;

impl Speech for Redis {
    fn is_ready(&self) -> bool {
        true
    }

    fn request(&mut self) -> Vec<u8> {
        b"PING\r\n".to_vec()
    }

    fn read(&mut self, bytes: &[u8]) -> Result<(usize, Turn), ProbeError> {
        match line(bytes) {
            None => Ok((0, Turn::More)),
            Some((b"+PONG", done)) => Ok((done, OPEN)),
            // `-LOADING`, `-NOAUTH`, `-MISCONF`.
            Some(([b'-', ..], _)) => Err(ProbeError::Rejected),
            Some(_) => Err(ProbeError::NotUnderstood),
        }
    }
}

/// Where an SMTP session is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Session {
    /// The service is to greet.
    #[default]
    New,
    /// It was told who we are.
    Named,
    Open,
}

/// SMTP: replies are a code and a text, in several lines where a hyphen follows the code.
#[derive(Debug, Default)]
pub(super) struct Smtp {
    session: Session,
}

impl Speech for Smtp {
    fn is_ready(&self) -> bool {
        self.session == Session::Open
    }

    fn request(&mut self) -> Vec<u8> {
        b"NOOP\r\n".to_vec()
    }

    fn is_worn(&self, requests: u32, _age_ns: u64) -> bool {
        requests >= MOST_NOOPS
    }

    fn read(&mut self, bytes: &[u8]) -> Result<(usize, Turn), ProbeError> {
        let Some((text, done)) = line(bytes) else {
            return Ok((0, Turn::More));
        };
        let code = text.get(..3).ok_or(ProbeError::NotUnderstood)?;
        if !code.iter().all(u8::is_ascii_digit) {
            return Err(ProbeError::NotUnderstood);
        }
        if text.get(3) == Some(&b'-') {
            return Ok((done, Turn::More));
        }
        if code[0] != b'2' {
            return Err(ProbeError::Rejected);
        }
        let turn = match self.session {
            Session::New => {
                self.session = Session::Named;
                Turn::Say(b"HELO client.vmferry\r\n".to_vec())
            }
            Session::Named => {
                self.session = Session::Open;
                Turn::Ready
            }
            Session::Open => OPEN,
        };
        Ok((done, turn))
    }
}

/// IMAP: the answer carries the tag of its command; lines of a star come in between.
#[derive(Debug, Default)]
pub(super) struct Imap {
    greeted: bool,
    tag: u64,
}

impl Speech for Imap {
    fn is_ready(&self) -> bool {
        self.greeted
    }

    fn request(&mut self) -> Vec<u8> {
        self.tag += 1;
        format!("v{} NOOP\r\n", self.tag).into_bytes()
    }

    fn is_worn(&self, _requests: u32, age_ns: u64) -> bool {
        age_ns >= OLDEST_WITHOUT_LOGIN_NS
    }

    fn read(&mut self, bytes: &[u8]) -> Result<(usize, Turn), ProbeError> {
        let Some((text, done)) = line(bytes) else {
            return Ok((0, Turn::More));
        };
        let text = std::str::from_utf8(text).map_err(|_| ProbeError::NotUnderstood)?;
        if let Some(said) = text.strip_prefix("* ") {
            if said.starts_with("BYE") {
                return Err(ProbeError::ConnectionLost);
            }
            if self.greeted {
                return Ok((done, Turn::More));
            }
            self.greeted = said.starts_with("OK") || said.starts_with("PREAUTH");
            return match self.greeted {
                true => Ok((done, Turn::Ready)),
                false => Err(ProbeError::NotUnderstood),
            };
        }
        let (tag, said) = text.split_once(' ').ok_or(ProbeError::NotUnderstood)?;
        if tag != format!("v{}", self.tag) {
            return Err(ProbeError::NotUnderstood);
        }
        match said.starts_with("OK") {
            true => Ok((done, OPEN)),
            false => Err(ProbeError::Rejected),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Dialogue;
    use super::super::tests::hear;
    use super::*;
    use crate::outage::sample::Protocol;

    #[test]
    fn redis_pongs() {
        let mut redis = Dialogue::in_protocol(Protocol::Redis);
        assert_eq!(hear(&mut redis, b"+PONG\r\n", 2), [OPEN]);
        assert_eq!(redis.take(b"-LOADING Redis\r\n"), Err(ProbeError::Rejected));
        let mut redis = Dialogue::in_protocol(Protocol::Redis);
        assert_eq!(redis.take(b":1\r\n"), Err(ProbeError::NotUnderstood));
    }

    #[test]
    fn smtp_is_greeted_named_and_asked() {
        let mut smtp = Dialogue::in_protocol(Protocol::Smtp);
        assert!(smtp.opening().is_empty() && !smtp.is_ready());
        let greeting = hear(&mut smtp, b"220-guest\r\n220 guest ESMTP Postfix\r\n", 5);
        assert_eq!(greeting, [Turn::Say(b"HELO client.vmferry\r\n".to_vec())]);
        assert_eq!(
            hear(&mut smtp, b"250-guest\r\n250 ok\r\n", 3),
            [Turn::Ready]
        );
        assert!(smtp.is_ready());
        assert_eq!(hear(&mut smtp, b"250 2.0.0 Ok\r\n", 3), [OPEN]);
        assert!(!smtp.is_worn(89, u64::MAX) && smtp.is_worn(90, 0));
        assert_eq!(
            smtp.take(b"421 4.7.0 too many errors\r\n"),
            Err(ProbeError::Rejected)
        );
    }

    #[test]
    fn imap_answers_by_tag() {
        let mut imap = Dialogue::in_protocol(Protocol::Imap);
        assert_eq!(
            hear(&mut imap, b"* OK [CAPABILITY IMAP4rev1] ready\r\n", 9),
            [Turn::Ready]
        );
        assert_eq!(imap.request(), b"v1 NOOP\r\n");
        assert_eq!(
            hear(&mut imap, b"* 3 EXISTS\r\nv1 OK NOOP done.\r\n", 4),
            [OPEN]
        );
        let _ = imap.request();
        assert_eq!(imap.take(b"v1 OK late\r\n"), Err(ProbeError::NotUnderstood));
        let mut imap = Dialogue::in_protocol(Protocol::Imap);
        assert_eq!(
            imap.take(b"* BYE too many\r\n"),
            Err(ProbeError::ConnectionLost)
        );
    }
}
