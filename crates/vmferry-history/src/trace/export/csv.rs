//! Comma-separated values.

use std::io::{BufWriter, Result, Write};

use super::{Row, Table};

pub(super) struct Csv<W: Write>(BufWriter<W>);

impl<W: Write> Csv<W> {
    pub(super) fn new(output: W) -> Result<Self> {
        let mut output = BufWriter::new(output);
        writeln!(
            output,
            "interval,start_us,end_us,block,page_in_block,page,weight"
        )?;
        Ok(Self(output))
    }
}

impl<W: Write> Table for Csv<W> {
    fn add(&mut self, row: &Row<'_>) -> Result<()> {
        let out = &mut self.0;
        write!(out, "{},{},{},", row.interval, row.start_us, row.end_us)?;
        let Some(page) = &row.page else {
            return writeln!(out, ",,,");
        };
        match page.block {
            Some((name, within)) => write!(out, "{},{within},", quoted(name))?,
            None => write!(out, ",,")?,
        }
        writeln!(out, "{},{}", page.index, page.weight)
    }

    fn finish(mut self: Box<Self>) -> Result<()> {
        self.0.flush()
    }
}

/// RFC 4180: quoted where it must be.
fn quoted(name: &str) -> std::borrow::Cow<'_, str> {
    if name.contains([',', '"', '\n', '\r']) {
        format!("\"{}\"", name.replace('"', "\"\"")).into()
    } else {
        name.into()
    }
}

#[cfg(test)]
mod tests {
    use super::quoted;

    #[test]
    fn names_are_quoted_where_they_must_be() {
        assert_eq!(quoted("/rom@etc/acpi/tables"), "/rom@etc/acpi/tables");
        assert_eq!(quoted("a,\"b\""), "\"a,\"\"b\"\"\"");
    }
}
