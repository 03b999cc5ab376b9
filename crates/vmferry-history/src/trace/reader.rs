//! Reads a trace, frame by frame. Memory is bounded by one frame and the list of pages.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

use super::end::{TraceEnd, TraceFooter};
use super::frame::{self, Found, FrameReader};
use super::preamble::{self, Preamble};
use super::{Frame, PageSet, TraceError, TraceHeader};

/// A trace that is being read.
pub struct TraceReader<R> {
    frames: FrameReader<R>,
    trace: String,
    preamble: Preamble,
    header: TraceHeader,
    pages: PageSet,
    whole_frames: u64,
    end_us: u64,
    end: Option<TraceEnd>,
    failed: bool,
}

impl TraceReader<BufReader<File>> {
    /// Opens a trace.
    ///
    /// # Errors
    /// [`TraceError::Open`], and as [`Self::new`].
    pub fn open(path: &Path) -> Result<Self, TraceError> {
        let trace = path.display().to_string();
        match File::open(path) {
            Ok(file) => TraceReader::new(BufReader::new(file), trace),
            Err(source) => Err(TraceError::Open { trace, source }),
        }
    }
}

impl<R: Read> TraceReader<R> {
    /// Reads up to the first interval; `trace` names the file in errors.
    ///
    /// # Errors
    /// [`TraceError::NotATrace`], [`TraceError::TooOld`], [`TraceError::TooNew`],
    /// [`TraceError::CutInHeader`], [`TraceError::Damaged`] and [`TraceError::Read`].
    pub fn new(input: R, trace: impl Into<String>) -> Result<Self, TraceError> {
        let trace = trace.into();
        let failed = |at_byte| {
            let trace = trace.clone();
            move |source| TraceError::Read {
                trace,
                at_byte,
                source,
            }
        };
        let mut frames = FrameReader::new(input).map_err(failed(0))?;
        let first = frames.take(preamble::LENGTH).map_err(failed(0))?;
        let preamble = preamble::decode(&trace, &first)?;
        let mut expect = |wanted: u8| loop {
            let at = frames.at;
            let damaged = |problem| TraceError::Damaged {
                trace: trace.clone(),
                at_byte: at,
                problem,
                whole_frames: 0,
            };
            match frames.next().map_err(failed(at))? {
                Found::Frame { kind, plain } if kind == wanted => return Ok((at, plain)),
                Found::Frame { kind, .. } if kind > frame::END => {}
                Found::Frame { .. } => return Err(damaged("a frame is missing before it")),
                Found::CutOff => {
                    return Err(TraceError::CutInHeader {
                        trace: trace.clone(),
                        at_byte: frames.at,
                    });
                }
                Found::Damaged(problem) => return Err(damaged(problem)),
            }
        };
        let (header_at, text) = expect(frame::HEADER)?;
        let (pages_at, list) = expect(frame::PAGES)?;
        let damaged = |at_byte, problem| TraceError::Damaged {
            trace: trace.clone(),
            at_byte,
            problem,
            whole_frames: 0,
        };
        let header: TraceHeader = serde_json::from_slice(&text)
            .map_err(|_| damaged(header_at, "its header cannot be understood"))?;
        let all_pages = check_layout(&header).map_err(|problem| damaged(header_at, problem))?;
        let pages =
            PageSet::decode(&list, all_pages).map_err(|problem| damaged(pages_at, problem))?;
        Ok(Self {
            frames,
            preamble,
            header,
            pages,
            whole_frames: 0,
            end_us: 0,
            end: None,
            failed: false,
            trace,
        })
    }

    /// What names the file in errors.
    pub fn name(&self) -> &str {
        &self.trace
    }

    /// Version of vmferry that recorded it.
    pub fn recorded_by(&self) -> &str {
        &self.preamble.tool
    }

    /// Version of its format.
    pub fn format_version(&self) -> u32 {
        self.preamble.version
    }

    /// What was recorded, and how.
    pub fn header(&self) -> &TraceHeader {
        &self.header
    }

    /// The recorded pages.
    pub fn pages(&self) -> &PageSet {
        &self.pages
    }

    /// Instant of the last look read so far, in microseconds from the first.
    pub fn end_us(&self) -> u64 {
        self.end_us
    }

    /// Frames of intervals read so far.
    pub fn whole_frames(&self) -> u64 {
        self.whole_frames
    }

    /// Bytes read so far.
    pub fn bytes(&self) -> u64 {
        self.frames.at
    }

    /// How the trace ends, once [`Self::next_frame`] gave `None`.
    pub fn end(&self) -> Option<&TraceEnd> {
        self.end.as_ref()
    }

    /// The next intervals; `None` at the end, also where that is a cut: [`Self::end`] tells. After
    /// an error there is nothing more.
    ///
    /// # Errors
    /// [`TraceError::Damaged`], [`TraceError::ClockBack`] and [`TraceError::Read`].
    pub fn next_frame(&mut self) -> Result<Option<Frame>, TraceError> {
        if self.failed || self.end.is_some() {
            return Ok(None);
        }
        let frame = self.read_frame();
        self.failed = frame.is_err();
        frame
    }

    fn read_frame(&mut self) -> Result<Option<Frame>, TraceError> {
        loop {
            let at_byte = self.frames.at;
            let trace = || self.trace.clone();
            let damaged = |problem| TraceError::Damaged {
                trace: trace(),
                at_byte,
                problem,
                whole_frames: self.whole_frames,
            };
            let failed = |source| TraceError::Read {
                trace: trace(),
                at_byte,
                source,
            };
            match self.frames.next().map_err(failed)? {
                Found::CutOff => {
                    self.end = Some(TraceEnd::CutOff {
                        at_byte: self.frames.at,
                        whole_bytes: at_byte,
                    });
                    return Ok(None);
                }
                Found::Damaged(problem) => return Err(damaged(problem)),
                Found::Frame { kind, plain } if kind == frame::INTERVALS => {
                    let frame = Frame::decode(plain, self.pages.len()).map_err(damaged)?;
                    if frame.start_us() < self.end_us {
                        return Err(TraceError::ClockBack {
                            trace: trace(),
                            at_byte,
                            before_us: self.end_us,
                            after_us: frame.start_us(),
                        });
                    }
                    if frame.start_us() > self.end_us {
                        return Err(damaged("a frame is missing before it"));
                    }
                    self.end_us = frame.end_us();
                    self.whole_frames += 1;
                    return Ok(Some(frame));
                }
                Found::Frame { kind, plain } if kind == frame::END => {
                    let footer: TraceFooter = serde_json::from_slice(&plain)
                        .map_err(|_| damaged("its end cannot be understood"))?;
                    let more = self.frames.take(1).map_err(failed)?;
                    if !more.is_empty() {
                        return Err(damaged("bytes follow its end"));
                    }
                    self.end = Some(TraceEnd::Ended { footer });
                    return Ok(None);
                }
                Found::Frame { kind, .. } if kind > frame::END => {}
                Found::Frame { .. } => return Err(damaged("it begins a second time")),
            }
        }
    }
}

/// The blocks follow each other; returns their pages.
fn check_layout(header: &TraceHeader) -> Result<u64, &'static str> {
    header.blocks.iter().try_fold(0u64, |next, block| {
        if block.first_page.0 < next {
            return Err("its memory blocks overlap");
        }
        block
            .first_page
            .0
            .checked_add(block.pages.0)
            .ok_or("its memory blocks have no end")
    })
}
