//! Cuts a byte stream into lines of bounded length.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt};

/// The longest line accepted. `query-qmp-schema` answers with a line of about 300 kB.
pub(crate) const MAX_LINE_BYTES: usize = 16 << 20;

/// Why there is no next line.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReadError {
    /// The system's answer.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// A line went on beyond the bound.
    #[error("a line is longer than {0} bytes")]
    TooLong(usize),
}

/// Lines of a stream. Dropping the future of [`LineReader::next`] loses nothing.
pub(crate) struct LineReader<R> {
    stream: R,
    buffer: Vec<u8>,
    searched: usize,
    limit: usize,
}

impl<R: AsyncRead + Unpin> LineReader<R> {
    pub(crate) fn new(stream: R, limit: usize) -> Self {
        Self {
            stream,
            buffer: Vec::with_capacity(8192),
            searched: 0,
            limit,
        }
    }

    /// The next line that is not blank, without its line end; `None` at the end of the stream. An
    /// unfinished last line stays in [`LineReader::unfinished`].
    pub(crate) async fn next(&mut self) -> Result<Option<Vec<u8>>, ReadError> {
        loop {
            if let Some(at) = self.buffer[self.searched..]
                .iter()
                .position(|b| *b == b'\n')
            {
                let rest = self.buffer.split_off(self.searched + at + 1);
                let mut line = std::mem::replace(&mut self.buffer, rest);
                self.searched = 0;
                line.truncate(line.trim_ascii_end().len());
                if line.is_empty() {
                    continue;
                }
                return Ok(Some(line));
            }
            self.searched = self.buffer.len();
            if self.searched > self.limit {
                return Err(ReadError::TooLong(self.limit));
            }
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                return Ok(None);
            }
        }
    }

    /// What came since the last full line.
    pub(crate) fn unfinished(&self) -> &[u8] {
        &self.buffer
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn lines_are_cut_at_any_border_of_reads() {
        let text: &[u8] = b"one\r\n\r\ntwo\nthr";
        for size in 1..text.len() {
            let (mut writer, reader) = tokio::io::duplex(size);
            let feed = tokio::spawn(async move {
                tokio::io::AsyncWriteExt::write_all(&mut writer, text).await
            });
            let mut lines = LineReader::new(reader, 100);
            assert_eq!(lines.next().await.unwrap().unwrap(), b"one");
            assert_eq!(lines.next().await.unwrap().unwrap(), b"two");
            assert_eq!(lines.next().await.unwrap(), None);
            assert_eq!(lines.unfinished(), b"thr");
            feed.await.unwrap().unwrap();
        }
    }

    #[tokio::test]
    async fn endless_lines_end_in_an_error() {
        let mut lines = LineReader::new(tokio::io::repeat(b'x'), 100_000);
        assert!(matches!(
            lines.next().await,
            Err(ReadError::TooLong(100_000))
        ));
        assert!(lines.unfinished().len() < 200_000);
    }
}
