//! What services are asked, and how their answers are read: no sockets, no clock. What is kept of an
//! answer is bounded, whatever comes.

mod http;
mod lines;
mod mariadb;
mod postgres;

use super::sample::{ProbeError, Protocol};

/// The most that is kept of what does not mean anything yet: HTTP headers are the longest, and
/// servers bound theirs at 8 KiB.
const MOST_KEPT: usize = 32 << 10;

/// One side of a conversation with a service.
pub(super) struct Dialogue {
    speech: Box<dyn Speech>,
    /// Received, and not understood yet.
    kept: Vec<u8>,
}

/// What received bytes mean.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// Nothing yet.
    More,
    /// This is to be sent before requests are taken.
    Say(Vec<u8>),
    /// Requests are taken.
    Ready,
    /// The request is answered; the service may close the connection behind that.
    Answered {
        /// It does.
        closing: bool,
    },
}

/// A protocol.
trait Speech: Send {
    /// What is sent first; nothing where the service speaks first.
    fn opening(&self) -> Vec<u8> {
        Vec::new()
    }

    /// Whether requests are taken.
    fn is_ready(&self) -> bool;

    /// The next request.
    fn request(&mut self) -> Vec<u8>;

    /// Reads what was received: how many bytes are done with, and what they mean. Nothing of either
    /// waits for more bytes.
    fn read(&mut self, bytes: &[u8]) -> Result<(usize, Turn), ProbeError>;

    /// Whether a connection of this many requests and this age (ns) had better be replaced.
    fn is_worn(&self, _requests: u32, _age_ns: u64) -> bool {
        false
    }
}

impl Dialogue {
    pub(super) fn in_protocol(protocol: Protocol) -> Self {
        let speech: Box<dyn Speech> = match protocol {
            Protocol::Http => Box::new(http::Http::default()),
            Protocol::Postgres => Box::new(postgres::Postgres::default()),
            Protocol::Mariadb => Box::new(mariadb::Mariadb::default()),
            Protocol::Redis => Box::new(lines::Redis),
            Protocol::Smtp => Box::new(lines::Smtp::default()),
            Protocol::Imap => Box::new(lines::Imap::default()),
        };
        Self {
            speech,
            kept: Vec::new(),
        }
    }

    pub(super) fn opening(&self) -> Vec<u8> {
        self.speech.opening()
    }

    pub(super) fn is_ready(&self) -> bool {
        self.speech.is_ready()
    }

    pub(super) fn request(&mut self) -> Vec<u8> {
        self.speech.request()
    }

    pub(super) fn is_worn(&self, requests: u32, age_ns: u64) -> bool {
        self.speech.is_worn(requests, age_ns)
    }

    /// Takes received bytes, none included, until they mean something.
    ///
    /// # Errors
    /// [`ProbeError::NotUnderstood`] and [`ProbeError::Rejected`].
    pub(super) fn take(&mut self, received: &[u8]) -> Result<Turn, ProbeError> {
        self.kept.extend_from_slice(received);
        loop {
            let (done, turn) = self.speech.read(&self.kept)?;
            self.kept.drain(..done.min(self.kept.len()));
            if turn != Turn::More {
                return Ok(turn);
            }
            if done == 0 || self.kept.is_empty() {
                break;
            }
        }
        if self.kept.len() > MOST_KEPT {
            return Err(ProbeError::NotUnderstood);
        }
        Ok(Turn::More)
    }
}

/// The first line with the bytes that end it; `None` where its end has not come.
fn line(bytes: &[u8]) -> Option<(&[u8], usize)> {
    let end = bytes.iter().position(|byte| *byte == b'\n')?;
    let text = &bytes[..end];
    Some((text.strip_suffix(b"\r").unwrap_or(text), end + 1))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ALL: [Protocol; 6] = [
        Protocol::Http,
        Protocol::Postgres,
        Protocol::Mariadb,
        Protocol::Redis,
        Protocol::Smtp,
        Protocol::Imap,
    ];

    /// Gives a conversation bytes in pieces and returns what they meant.
    pub(super) fn hear(dialogue: &mut Dialogue, bytes: &[u8], piece: usize) -> Vec<Turn> {
        let mut turns = Vec::new();
        for piece in bytes.chunks(piece.max(1)) {
            let mut turn = dialogue.take(piece).expect("understood");
            while turn != Turn::More {
                turns.push(turn);
                turn = dialogue.take(&[]).expect("understood");
            }
        }
        turns
    }

    proptest! {
        /// Whatever a service sends: no panic, no endless memory.
        #[test]
        fn any_bytes_are_read_within_bounds(
            pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..3000), 0..30),
            which in 0usize..6,
            asks: bool,
        ) {
            let mut dialogue = Dialogue::in_protocol(ALL[which]);
            let _ = dialogue.opening();
            for piece in pieces {
                if asks {
                    let _ = dialogue.request();
                }
                if dialogue.take(&piece).is_err() {
                    break;
                }
                prop_assert!(dialogue.kept.len() <= MOST_KEPT + 3000);
            }
        }

        /// Nearly right bytes go deeper than random ones.
        #[test]
        fn damaged_answers_are_read(
            which in 0usize..6,
            at in 0usize..120,
            byte: u8,
            piece in 1usize..50,
        ) {
            let protocol = ALL[which];
            let mut bytes = example(protocol);
            let at = at % bytes.len();
            bytes[at] = byte;
            let mut dialogue = Dialogue::in_protocol(protocol);
            for piece in bytes.chunks(piece) {
                let _ = dialogue.request();
                if dialogue.take(piece).is_err() {
                    break;
                }
            }
        }
    }

    fn example(protocol: Protocol) -> Vec<u8> {
        match protocol {
            Protocol::Http => {
                b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"
                    .to_vec()
            }
            Protocol::Postgres => {
                b"R\0\0\0\x08\0\0\0\0Z\0\0\0\x05IT\0\0\0\x06\0\0Z\0\0\0\x05I".to_vec()
            }
            Protocol::Mariadb => mariadb::greeting(),
            Protocol::Redis => b"+PONG\r\n".to_vec(),
            Protocol::Smtp => b"220-a\r\n220 b\r\n250-c\r\n250 d\r\n250 e\r\n".to_vec(),
            Protocol::Imap => b"* OK [CAPABILITY IMAP4rev1] ready\r\na1 OK done\r\n".to_vec(),
        }
    }
}
