//! HTTP/1.1 (RFC 9112), as far as `GET` and its answer need it. Bodies are not kept.

use super::{Speech, Turn, line};
use crate::outage::sample::ProbeError;

const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: guest\r\nUser-Agent: vmferry\r\n\r\n";

/// Where reading is in an answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Place {
    #[default]
    Status,
    Headers,
    /// Bytes of the body left.
    Body(u64),
    ChunkSize,
    /// Bytes of the chunk and the line end behind it left.
    Chunk(u64),
    Trailers,
}

#[derive(Debug, Default)]
pub(super) struct Http {
    place: Place,
    status: u16,
    length: Option<u64>,
    chunked: bool,
    closing: bool,
}

impl Speech for Http {
    fn is_ready(&self) -> bool {
        true
    }

    fn request(&mut self) -> Vec<u8> {
        *self = Self::default();
        REQUEST.to_vec()
    }

    fn read(&mut self, bytes: &[u8]) -> Result<(usize, Turn), ProbeError> {
        match self.place {
            Place::Body(left) => Ok(self.skipped(left, bytes, Place::Body, Place::Status)),
            Place::Chunk(left) => Ok(self.skipped(left, bytes, Place::Chunk, Place::ChunkSize)),
            Place::Status | Place::Headers | Place::ChunkSize | Place::Trailers => {
                let Some((text, done)) = line(bytes) else {
                    return Ok((0, Turn::More));
                };
                let text = std::str::from_utf8(text).map_err(|_| ProbeError::NotUnderstood)?;
                Ok((done, self.line(text)?))
            }
        }
    }
}

impl Http {
    /// Skips a part of the body; nothing of it is kept.
    fn skipped(
        &mut self,
        left: u64,
        bytes: &[u8],
        within: fn(u64) -> Place,
        behind: Place,
    ) -> (usize, Turn) {
        let done = usize::try_from(left).map_or(bytes.len(), |left| left.min(bytes.len()));
        let left = left - done as u64;
        self.place = if left > 0 { within(left) } else { behind };
        let whole = left == 0 && behind == Place::Status;
        (done, if whole { self.answered() } else { Turn::More })
    }

    fn answered(&mut self) -> Turn {
        self.place = Place::Status;
        Turn::Answered {
            closing: self.closing,
        }
    }

    fn line(&mut self, text: &str) -> Result<Turn, ProbeError> {
        match self.place {
            Place::Headers if text.is_empty() => self.body(),
            Place::Headers => self.header(text),
            Place::ChunkSize => {
                let size = text.split(';').next().unwrap_or_default().trim();
                let size = u64::from_str_radix(size, 16).map_err(|_| ProbeError::NotUnderstood)?;
                self.place = match size {
                    0 => Place::Trailers,
                    size => Place::Chunk(size.saturating_add(2)),
                };
                Ok(Turn::More)
            }
            Place::Trailers if text.is_empty() => Ok(self.answered()),
            Place::Trailers => Ok(Turn::More),
            Place::Status | Place::Body(_) | Place::Chunk(_) => {
                let (version, rest) = text.split_once(' ').ok_or(ProbeError::NotUnderstood)?;
                let status = rest.split(' ').next().and_then(|code| code.parse().ok());
                self.status = status.ok_or(ProbeError::NotUnderstood)?;
                self.closing = match version {
                    "HTTP/1.1" => false,
                    "HTTP/1.0" => true,
                    _ => return Err(ProbeError::NotUnderstood),
                };
                self.place = Place::Headers;
                Ok(Turn::More)
            }
        }
    }

    fn header(&mut self, text: &str) -> Result<Turn, ProbeError> {
        let (name, value) = text.split_once(':').ok_or(ProbeError::NotUnderstood)?;
        let value = value.trim();
        if name.eq_ignore_ascii_case("content-length") {
            let length = value.parse().map_err(|_| ProbeError::NotUnderstood)?;
            self.length = Some(length);
        } else if name.eq_ignore_ascii_case("transfer-encoding") {
            self.chunked = value.eq_ignore_ascii_case("chunked");
        } else if name.eq_ignore_ascii_case("connection") {
            self.closing = value.eq_ignore_ascii_case("close");
        }
        Ok(Turn::More)
    }

    /// What comes behind the headers.
    fn body(&mut self) -> Result<Turn, ProbeError> {
        match self.status {
            // Another answer follows.
            100..200 => {
                *self = Self::default();
                return Ok(Turn::More);
            }
            500.. => return Err(ProbeError::Rejected),
            _ => {}
        }
        self.place = match self.length {
            _ if self.chunked => Place::ChunkSize,
            _ if matches!(self.status, 204 | 304) => return Ok(self.answered()),
            Some(0) => return Ok(self.answered()),
            Some(length) => Place::Body(length),
            // A body that ends with the connection; no server does this to HTTP/1.1 by itself.
            None => return Err(ProbeError::NotUnderstood),
        };
        Ok(Turn::More)
    }
}

#[cfg(test)]
mod tests {
    use super::super::Dialogue;
    use super::super::tests::hear;
    use super::*;
    use crate::outage::sample::Protocol;

    const OPEN: Turn = Turn::Answered { closing: false };
    const CLOSING: Turn = Turn::Answered { closing: true };

    fn heard(text: &str) -> Vec<Turn> {
        let mut turns = Vec::new();
        for piece in [1, 7, text.len()] {
            let mut dialogue = Dialogue::in_protocol(Protocol::Http);
            assert!(dialogue.is_ready());
            assert!(dialogue.request().ends_with(b"\r\n\r\n"));
            turns = hear(&mut dialogue, text.as_bytes(), piece);
        }
        turns
    }

    #[test]
    fn bodies_of_a_length_and_in_chunks_end_an_answer() {
        let page = "HTTP/1.1 200 OK\r\nServer: nginx/1.22.1\r\ncontent-length: 5\r\n\r\nhello";
        assert_eq!(heard(page), [OPEN]);
        let chunked = "HTTP/1.1 404 \r\nTransfer-Encoding: chunked\r\n\r\n5;x=1\r\nhello\r\n1\r\n!\r\n0\r\nTrailer: x\r\n\r\n";
        assert_eq!(heard(chunked), [OPEN]);
        assert_eq!(heard("HTTP/1.1 304 Not Modified\r\n\r\n"), [OPEN]);
        assert_eq!(
            heard("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No\r\n\r\n"),
            [OPEN]
        );
    }

    #[test]
    fn a_server_that_closes_says_so() {
        let last = "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
        assert_eq!(heard(last), [CLOSING]);
        assert_eq!(
            heard("HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\nx"),
            [CLOSING]
        );
    }

    #[test]
    fn errors_of_the_service_and_nonsense_are_told_apart() {
        let of = |text: &str| Dialogue::in_protocol(Protocol::Http).take(text.as_bytes());
        let busy = "HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n";
        assert_eq!(of(busy), Err(ProbeError::Rejected));
        assert_eq!(of("220 mail ESMTP\r\n"), Err(ProbeError::NotUnderstood));
        let endless = format!("HTTP/1.1 200 OK\r\nX: {}", "x".repeat(40_000));
        assert_eq!(of(&endless), Err(ProbeError::NotUnderstood));
    }
}
