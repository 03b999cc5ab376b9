//! Writes a trace while it is recorded. Memory is bounded by one frame.

use std::io::Write;

use super::end::TraceFooter;
use super::frame::{self, FrameWriter};
use super::{PageSet, TraceError, TraceHeader, interval, preamble, varint};

/// A frame is closed once its intervals last so long: as much is lost when the recorder is killed.
const FRAME_US: u64 = 1_000_000;

/// A frame is closed once it is that large before compression.
const FRAME_BYTES: usize = 256 << 10;

/// A trace that is being written.
pub struct TraceWriter<W: Write> {
    frames: FrameWriter<W>,
    trace: String,
    pages: u64,
    /// Intervals of the frame that is not yet written.
    body: Vec<u8>,
    intervals: u64,
    start_us: u64,
    end_us: u64,
}

impl<W: Write> TraceWriter<W> {
    /// Begins a trace; `trace` names it in errors. Every frame is written with a single call, so a
    /// buffered output gains nothing.
    ///
    /// # Errors
    /// [`TraceError::Full`] and [`TraceError::Write`].
    pub fn begin(
        output: W,
        trace: impl Into<String>,
        header: &TraceHeader,
        pages: &PageSet,
    ) -> Result<Self, TraceError> {
        let trace = trace.into();
        let fail = |source| TraceError::of_write(&trace, 0, source);
        let text = serde_json::to_vec(header).map_err(|error| fail(error.into()))?;
        let mut frames = FrameWriter::new(output).map_err(fail)?;
        frames
            .raw(&preamble::encode())
            .and_then(|()| frames.write(frame::HEADER, &text))
            .and_then(|()| frames.write(frame::PAGES, &pages.encode()))
            .map_err(fail)?;
        Ok(Self {
            frames,
            trace,
            pages: pages.len(),
            body: Vec::new(),
            intervals: 0,
            start_us: 0,
            end_us: 0,
        })
    }

    /// Adds the interval that ends with the look at `end_us` microseconds from the first;
    /// `dirty` lists the positions of the pages that changed in it.
    ///
    /// # Errors
    /// [`TraceError::ClockBack`] where time does not grow; nothing is added then.
    /// [`TraceError::Full`] and [`TraceError::Write`].
    ///
    /// # Panics
    /// When positions do not grow strictly, or one is out of range.
    pub fn push(&mut self, end_us: u64, dirty: &[usize]) -> Result<(), TraceError> {
        assert!(
            dirty.windows(2).all(|p| p[0] < p[1])
                && dirty.last().is_none_or(|last| (*last as u64) < self.pages),
            "positions out of order or range"
        );
        if end_us <= self.end_us {
            return Err(TraceError::ClockBack {
                trace: self.trace.clone(),
                at_byte: 0,
                before_us: self.end_us,
                after_us: end_us,
            });
        }
        interval::encode(&mut self.body, end_us - self.end_us, dirty, self.pages);
        self.intervals += 1;
        self.end_us = end_us;
        if end_us - self.start_us >= FRAME_US || self.body.len() >= FRAME_BYTES {
            self.flush()?;
        }
        Ok(())
    }

    /// Instant of the last look, in microseconds from the first.
    pub fn end_us(&self) -> u64 {
        self.end_us
    }

    /// Writes the intervals that are not yet in the file.
    ///
    /// # Errors
    /// [`TraceError::Full`] and [`TraceError::Write`].
    pub fn flush(&mut self) -> Result<(), TraceError> {
        if self.intervals == 0 {
            return Ok(());
        }
        let mut plain = Vec::with_capacity(self.body.len() + 20);
        varint::put(&mut plain, self.start_us);
        varint::put(&mut plain, self.intervals);
        plain.append(&mut self.body);
        self.frames
            .write(frame::INTERVALS, &plain)
            .map_err(|source| TraceError::of_write(&self.trace, self.start_us, source))?;
        self.intervals = 0;
        self.start_us = self.end_us;
        Ok(())
    }

    /// Ends the trace and gives the output back.
    ///
    /// # Errors
    /// [`TraceError::Full`] and [`TraceError::Write`].
    pub fn end(mut self, footer: &TraceFooter) -> Result<W, TraceError> {
        self.flush()?;
        let Self {
            mut frames,
            trace,
            end_us,
            ..
        } = self;
        let fail = |source| TraceError::of_write(&trace, end_us, source);
        let text = serde_json::to_vec(footer).map_err(|error| fail(error.into()))?;
        frames.write(frame::END, &text).map_err(fail)?;
        frames.into_output().map_err(fail)
    }
}
