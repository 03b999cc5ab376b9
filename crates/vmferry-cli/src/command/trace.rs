//! `vmferry trace`.

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use vmferry::core::ExitCode;
use vmferry::recording::{ExportFormat, TraceEnd};
use vmferry::{Error, recording};

use crate::answer::Answer;
use crate::args::{Global, Trace};
use crate::{progress, render};

pub(crate) async fn run(global: &Global, args: &Trace) -> Result<ExitCode, Error> {
    match args {
        Trace::Info { file } => {
            refuse_directory(file)?;
            let answer = Answer::open(global)?;
            let report = recording::info(file)?;
            answer.give(&report, || render::trace::table(&report))?;
        }
        Trace::Export { file } => {
            refuse_directory(file)?;
            export(global, file)?;
        }
    }
    Ok(ExitCode::Done)
}

fn export(global: &Global, file: &Path) -> Result<(), Error> {
    let end = match &global.output_file {
        None => {
            let output = UntilClosed(Some(io::stdout()));
            recording::export(file, ExportFormat::Csv, output, "standard output")?
        }
        Some(path) => {
            let name = path.display().to_string();
            let format = ExportFormat::of(path).ok_or_else(|| {
                Error::Usage(format!(
                    "{name}: the form of the export follows from the file's ending; give \
                     --output-file FILE.csv or FILE.parquet"
                ))
            })?;
            format.require(&name)?;
            // Before the output is made, so that a wrong trace leaves an earlier export alone.
            recording::check(file)?;
            refuse_same(file, path)?;
            let output = File::create(path).map_err(|error| {
                Error::Usage(format!(
                    "the export cannot be written to {name}: {error}; give another --output-file"
                ))
            })?;
            recording::export(file, format, output, &name)?
        }
    };
    if let TraceEnd::CutOff { at_byte, .. } = end {
        progress::note(
            global,
            &format!(
                "{} is cut off at byte {at_byte}; exported what is there",
                file.display()
            ),
        );
    }
    Ok(())
}

/// A directory opens like a file and then cannot be read.
fn refuse_directory(trace: &Path) -> Result<(), Error> {
    if trace.is_dir() {
        return Err(Error::Usage(format!(
            "{0} is a directory; name one trace in it, or give the directory to `vmferry when \
             GUEST --trace {0}`",
            trace.display()
        )));
    }
    Ok(())
}

/// An export over its own trace would destroy it.
fn refuse_same(trace: &Path, output: &Path) -> Result<(), Error> {
    let identity = |path: &Path| path.metadata().ok().map(|meta| (meta.dev(), meta.ino()));
    if identity(trace).is_some_and(|trace| identity(output) == Some(trace)) {
        return Err(Error::Usage(format!(
            "{} is the trace itself; give another --output-file",
            output.display()
        )));
    }
    Ok(())
}

/// An output whose reader may have seen enough (`vmferry ... | head`).
struct UntilClosed(Option<io::Stdout>);

impl UntilClosed {
    fn or_close<T>(&mut self, result: io::Result<T>, closed: T) -> io::Result<T> {
        match result {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
                self.0 = None;
                Ok(closed)
            }
            other => other,
        }
    }
}

impl Write for UntilClosed {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let Some(output) = &mut self.0 else {
            return Ok(bytes.len());
        };
        let written = output.write(bytes);
        self.or_close(written, bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        let Some(output) = &mut self.0 else {
            return Ok(());
        };
        let flushed = output.flush();
        self.or_close(flushed, ())
    }
}
