//! Apache Parquet, through the crate's own column writers, without Arrow.

use std::io::{Error, Result, Write};
use std::sync::Arc;

use parquet::basic::{Compression, ZstdLevel};
use parquet::data_type::{ByteArray, ByteArrayType, DataType, DoubleType, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use parquet::schema::parser::parse_message_type;

use super::{Row, Table};
use crate::trace::TraceHeader;

const SCHEMA: &str = "message trace {
    required int64 interval;
    required int64 start_us;
    required int64 end_us;
    optional binary block (utf8);
    optional int64 page_in_block;
    optional int64 page;
    optional double weight;
}";

/// Rows of one group: some MiB of memory.
const GROUP: usize = 1 << 17;

pub(super) struct Parquet<W: Write + Send> {
    writer: SerializedFileWriter<W>,
    interval: Vec<i64>,
    start_us: Vec<i64>,
    end_us: Vec<i64>,
    block: Column<ByteArray>,
    page_in_block: Column<i64>,
    page: Column<i64>,
    weight: Column<f64>,
}

/// Values, and for every row whether there is one.
struct Column<T> {
    values: Vec<T>,
    there: Vec<i16>,
}

impl<T> Default for Column<T> {
    fn default() -> Self {
        Self {
            values: Vec::new(),
            there: Vec::new(),
        }
    }
}

impl<T> Column<T> {
    fn add(&mut self, value: Option<T>) {
        self.there.push(i16::from(value.is_some()));
        self.values.extend(value);
    }
}

impl<W: Write + Send> Parquet<W> {
    pub(super) fn new(output: W, header: &TraceHeader) -> Result<Self> {
        let schema = Arc::new(parse_message_type(SCHEMA).map_err(of_parquet)?);
        let header = serde_json::to_string(header)?;
        let properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(ZstdLevel::default()))
            .set_created_by(format!("vmferry version {}", env!("CARGO_PKG_VERSION")))
            .set_key_value_metadata(Some(vec![KeyValue::new(
                "vmferry.trace".to_owned(),
                header,
            )]))
            .build();
        let writer =
            SerializedFileWriter::new(output, schema, Arc::new(properties)).map_err(of_parquet)?;
        Ok(Self {
            writer,
            interval: Vec::new(),
            start_us: Vec::new(),
            end_us: Vec::new(),
            block: Column::default(),
            page_in_block: Column::default(),
            page: Column::default(),
            weight: Column::default(),
        })
    }

    /// Writes the rows that are held as one group.
    fn flush(&mut self) -> Result<()> {
        if self.interval.is_empty() {
            return Ok(());
        }
        let mut group = self.writer.next_row_group().map_err(of_parquet)?;
        for numbers in [&mut self.interval, &mut self.start_us, &mut self.end_us] {
            write::<Int64Type, _>(&mut group, numbers, None)?;
            numbers.clear();
        }
        optional::<ByteArrayType, _>(&mut group, &mut self.block)?;
        optional::<Int64Type, _>(&mut group, &mut self.page_in_block)?;
        optional::<Int64Type, _>(&mut group, &mut self.page)?;
        optional::<DoubleType, _>(&mut group, &mut self.weight)?;
        group.close().map_err(of_parquet)?;
        Ok(())
    }
}

fn optional<D: DataType, W: Write + Send>(
    group: &mut SerializedRowGroupWriter<'_, W>,
    column: &mut Column<D::T>,
) -> Result<()> {
    write::<D, W>(group, &column.values, Some(&column.there))?;
    *column = Column::default();
    Ok(())
}

/// Writes the next column of a group.
fn write<D: DataType, W: Write + Send>(
    group: &mut SerializedRowGroupWriter<'_, W>,
    values: &[D::T],
    there: Option<&[i16]>,
) -> Result<()> {
    let Some(mut column) = group.next_column().map_err(of_parquet)? else {
        return Err(Error::other("the schema has fewer columns"));
    };
    let written = column.typed::<D>().write_batch(values, there, None);
    written.and_then(|_| column.close()).map_err(of_parquet)
}

impl<W: Write + Send> Table for Parquet<W> {
    fn add(&mut self, row: &Row<'_>) -> Result<()> {
        // Instants and pages stay far below 2^63.
        let signed = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
        self.interval.push(signed(row.interval));
        self.start_us.push(signed(row.start_us));
        self.end_us.push(signed(row.end_us));
        let block = row.page.as_ref().and_then(|page| page.block);
        self.block.add(block.map(|(name, _)| name.into()));
        self.page_in_block
            .add(block.map(|(_, within)| signed(within)));
        self.page
            .add(row.page.as_ref().map(|page| signed(page.index)));
        self.weight.add(row.page.as_ref().map(|page| page.weight));
        if self.interval.len() >= GROUP {
            self.flush()?;
        }
        Ok(())
    }

    fn finish(mut self: Box<Self>) -> Result<()> {
        self.flush()?;
        self.writer.close().map_err(of_parquet)?;
        Ok(())
    }
}

/// The system's answer where there is one.
fn of_parquet(error: ParquetError) -> Error {
    match error {
        ParquetError::External(inner) => match inner.downcast::<Error>() {
            Ok(error) => *error,
            Err(other) => Error::other(other),
        },
        other => Error::other(other),
    }
}

#[cfg(test)]
mod tests {
    use parquet::file::reader::{FileReader as _, SerializedFileReader};

    use crate::trace::TraceReader;
    use crate::trace::export::{ExportFormat, export};
    use crate::trace::tests::sparse_trace;

    #[test]
    fn rows_come_back() {
        let trace = sparse_trace();
        let mut reader = TraceReader::new(&trace[..], "t").unwrap();
        let file = tempfile::tempfile().unwrap();
        let output = file.try_clone().unwrap();
        let rows = export(&mut reader, ExportFormat::Parquet, output, "out").unwrap();
        let table = SerializedFileReader::new(file).unwrap();
        let read: Vec<String> = table
            .get_row_iter(None)
            .unwrap()
            .map(|row| row.unwrap().to_string())
            .collect();
        assert_eq!(read.len() as u64, rows);
        insta::assert_snapshot!(read.join("\n"), @r#"
        {interval: 0, start_us: 0, end_us: 100000, block: "pc.ram", page_in_block: 0, page: 0, weight: 10.0}
        {interval: 0, start_us: 0, end_us: 100000, block: "pc.ram", page_in_block: 20, page: 20, weight: 10.0}
        {interval: 1, start_us: 100000, end_us: 200100, block: null, page_in_block: null, page: null, weight: null}
        {interval: 2, start_us: 200100, end_us: 300000, block: "vga.vram", page_in_block: 0, page: 300, weight: 10.0}
        "#);
        let kept = table
            .metadata()
            .file_metadata()
            .key_value_metadata()
            .unwrap();
        assert!(kept.iter().any(|pair| pair.key == "vmferry.trace"));
    }
}
