//! Other people's CSV, well-meant and hostile.

use std::fmt::Write as _;
use std::io::{self, BufReader, Read};

use proptest::prelude::*;
use vmferry_core::{Bytes, Millis, Technique};
use vmferry_history::HistoryError;
use vmferry_history::import::{ColumnMap, ImportedTable, Rejection, read_csv};

const MAP: &str = "memory_mib=mem,dirty_pages_per_s=dirty,bandwidth_mbit_per_s=bw,technique=how,\
                   workload=load,total_time_ms=total,downtime_ms=down,transferred_kib=sent";
const HEADER: &str = "mem,dirty,bw,how,load,total,down,sent";
const GOOD: &str = "8192,11000,1074,pre-copy,ycsb,17166,14,2298460";

fn map() -> ColumnMap {
    MAP.parse().unwrap()
}

fn read(csv: &str) -> Result<ImportedTable, HistoryError> {
    read_csv(csv.as_bytes(), &map())
}

fn error(csv: &[u8]) -> String {
    read_csv(csv, &map()).unwrap_err().to_string()
}

/// What is said of one row below the header.
fn rejected(row: &str) -> String {
    let table = read(&format!("{HEADER}\n{row}\n")).unwrap();
    assert!(table.migrations.is_empty(), "{table:?}");
    table.rejected[0].to_string()
}

#[test]
fn reads_a_row_in_its_units() {
    let table = read(&format!("{HEADER}\n{GOOD}\n")).unwrap();
    let [migration] = table.migrations.as_slice() else {
        panic!("{table:?}");
    };
    assert_eq!(migration.memory_bytes, Bytes::from_mib(8192));
    assert_eq!(migration.dirty_rate.0, 11_000.0 * 4096.0);
    assert_eq!(migration.bandwidth.mbit_per_s(), 1074.0);
    assert_eq!(migration.technique, Technique::PreCopy);
    assert_eq!(migration.workload.as_deref(), Some("ycsb"));
    assert_eq!(migration.total_time_ms, Millis(17_166.0));
    assert_eq!(migration.downtime_ms, Some(Millis(14.0)));
    assert_eq!(migration.transferred_bytes, Some(Bytes(2_298_460 << 10)));
    assert_eq!(migration.converged, None);
}

#[test]
fn the_same_in_other_units() {
    let map: ColumnMap =
        "memory_gib=a,dirty_mib_per_s=b,bandwidth_mib_per_s=c,technique:=Pre_Copy,\
                          total_time_s=d,downtime_us=e,transferred_mb=f,converged=g,started_at=h"
            .parse()
            .unwrap();
    let csv = "a;b;c;d;e;f;g;h\n8;40;128;17.166;14000;2400;no;2026-01-31T12:00:00Z\n";
    let table = read_csv(csv.as_bytes(), &map).unwrap();
    let migration = &table.migrations[0];
    assert_eq!(migration.memory_bytes, Bytes::from_mib(8192));
    assert_eq!(migration.dirty_rate.0, 40.0 * 1_048_576.0);
    assert_eq!(migration.bandwidth.0, 128.0 * 1_048_576.0);
    assert_eq!(migration.total_time_ms, Millis(17_166.0));
    assert_eq!(migration.downtime_ms, Some(Millis(14.0)));
    assert_eq!(migration.transferred_bytes, Some(Bytes(2_400_000_000)));
    assert_eq!(migration.converged, Some(false));
    assert!(migration.started_at.is_some());
}

#[test]
fn what_is_unknown_stays_unknown() {
    let table = read(&format!("{HEADER}\n8192,0,1074,Post Copy,, 2058 ,NA,\n")).unwrap();
    let migration = &table.migrations[0];
    assert_eq!(migration.technique, Technique::PostCopy);
    assert_eq!(migration.dirty_rate.0, 0.0);
    let unknown = (
        &migration.workload,
        migration.downtime_ms,
        migration.transferred_bytes,
    );
    assert_eq!(unknown, (&None, None, None));
}

#[test]
fn every_rejected_row_says_where_and_why() {
    let rows = [
        ",11000,1074,pre-copy,ycsb,17166,14,2298460",
        "eight,11000,1074,pre-copy,ycsb,17166,14,2298460",
        "8192,-1,1074,pre-copy,ycsb,17166,14,2298460",
        "8192,11000,inf,pre-copy,ycsb,17166,14,2298460",
        "8192,11000,0,pre-copy,ycsb,17166,14,2298460",
        "8192,11000,1074,telepathy,ycsb,17166,14,2298460",
        "8192,11000,1074,,ycsb,17166,14,2298460",
        "8192,11000,1074,pre-copy,ycsb,1e300,14,2298460",
        "8192,11000,1074,pre-copy,ycsb,17166,17167,2298460",
        "8192,11000,1074,pre-copy,ycsb,17166,14,1",
        "8192,11000,1074,pre-copy,ycsb,17.166,14,2298460",
        "8192,11000,1074,pre-copy,ycsb,17166000,14,2298460",
        "8192,11000,1074,pre-copy,ycsb,17166",
        "8589934592,11000,1074,pre-copy,ycsb,17166,14,2298460",
        "8192,11000,\"1,074\",pre-copy,ycsb,17166,14,2298460",
    ];
    let said: Vec<String> = rows.iter().map(|row| rejected(row)).collect();
    insta::assert_snapshot!(said.join("\n"), @r"
    line 2: column `mem`: is missing
    line 2: column `mem`: `eight` is not a number; write digits, and a point for decimals
    line 2: column `dirty`: `-1` is negative
    line 2: column `bw`: `inf` is not a number; write digits, and a point for decimals
    line 2: column `bw`: `0` is not within 1 kbit/s to 100 Tbit/s; is the unit of `bandwidth_mbit_per_s` right?
    line 2: column `how`: `telepathy` is no technique; write one of pre-copy, auto-converge, xbzrle, compression, post-copy, stop-and-copy
    line 2: column `how`: is missing
    line 2: column `total`: `1e300` is not within 1 us to 30 days; is the unit of `total_time_ms` right?
    line 2: column `down`: `17167` is a downtime longer than the total time of 17166 ms; are both units right?
    line 2: column `sent`: `1` is less than a byte for each page of 8589934592 bytes of memory; are both units right?
    line 2: column `sent`: `2298460` is 1021 times what the bandwidth carries within the total time; are the units of all three right?
    line 2: column `sent`: `2298460` is so little that the bandwidth carries 979 times as much within the total time; are the units of all three right?
    line 2: has 6 columns where the header has 8
    line 2: column `mem`: `8589934592` is not within 1 MiB to 1 PiB; is the unit of `memory_mib` right?
    line 2: column `bw`: `1,074` is not a number; write digits, and a point for decimals
    ");
}

#[test]
fn units_are_held_to_what_is_possible_without_traffic() {
    let rows = [
        // Seconds taken for milliseconds.
        "8192,11000,1074,pre-copy,ycsb,17.166,,",
        "8192,11000,1074,stop-and-copy,ycsb,64.2,,",
        // Mbit/s taken for Gbit/s.
        "8192,11000,1074000,pre-copy,ycsb,171660,,",
        "8192,11000,1074000,post-copy,ycsb,171660,,",
        // Bytes per second taken for pages, of a guest of 128 MiB.
        "128,45056000,1074,pre-copy,ycsb,17166,,",
    ];
    let said: Vec<String> = rows.iter().map(|row| rejected(row)).collect();
    insta::assert_snapshot!(said.join("\n"), @r"
    line 2: column `total`: `17.166` is so short that sending the memory over the bandwidth takes 3727 times as long; are the units of all three right?
    line 2: column `total`: `64.2` is so short that sending the memory over the bandwidth takes 997 times as long; are the units of all three right?
    line 2: column `total`: `171660` is 2683 times what sending the memory over the bandwidth takes, at a dirty rate that cannot hold it up; are the units of all of them right? (map converged=COLUMN if it was cut off)
    line 2: column `total`: `171660` is 2683 times what sending the memory over the bandwidth takes, at a dirty rate that cannot hold it up; are the units of all of them right? (map converged=COLUMN if it was cut off)
    line 2: column `dirty`: `45056000` is 1375 times the whole memory every second; are both units right, and is it of pages that differ?
    ");
    // What is rare but possible.
    for row in [
        // All but empty, and over a link that was not held.
        "8192,11000,1074,post-copy,ycsb,140,,",
        // It never converges, and was watched for half a day.
        "8192,2000000,10740,pre-copy,ycsb,43200000,,",
        // A small guest behind a slow manager.
        "256,100,100000,pre-copy,ycsb,45000,,",
        // Every look finds every page dirty.
        "128,3000000,1074,pre-copy,ycsb,17166,,",
    ] {
        let table = read(&format!("{HEADER}\n{row}\n")).unwrap();
        assert_eq!(table.rejected, [], "{row}");
    }
}

#[test]
fn what_stands_in_a_file_steers_no_terminal() {
    let row = GOOD.replace("8192", "\u{1b}[2Jx\u{7}\u{202e}");
    let said = rejected(&row);
    assert!(
        said.contains(r"`\u{1b}[2Jx\u{7}\u{202e}` is not a number"),
        "{said}"
    );
    let named = error(b"m\x1b[31mem,dirty\n1,2\n");
    assert!(
        named.contains(r"m\u{1b}[31mem") && !named.contains('\u{1b}'),
        "{named}"
    );
}

#[test]
fn one_bad_row_costs_no_other() {
    let csv =
        format!("{HEADER}\n{GOOD}\n8192,x,1,,,,,\n8192,11000,1074,xbzrle,b,16000,14,2298460\n");
    let table = read(&csv).unwrap();
    assert_eq!((table.migrations.len(), table.rejected.len()), (2, 1));
    assert_eq!(table.rejected[0].line, 3);
    assert_eq!(table.rejected[0].column.as_deref(), Some("dirty"));
    assert_eq!(table.rejected[0].value.as_deref(), Some("x"));
    assert_eq!(table.rejected[0].reason, Rejection::NotANumber);
}

#[test]
fn a_row_counts_once_unless_runs_are_told_apart() {
    let twice = format!("{HEADER}\n{GOOD}\n\n{GOOD}\n");
    let table = read(&twice).unwrap();
    assert_eq!((table.migrations.len(), table.rejected.len()), (1, 1));
    assert_eq!(table.rejected[0].line, 4);
    assert_eq!(table.rejected[0].reason, Rejection::Duplicate { line: 2 });

    let runs = format!("run,{HEADER}\n1,{GOOD}\n2,{GOOD}\n");
    assert_eq!(read(&runs).unwrap().migrations.len(), 1);
    let map: ColumnMap = format!("{MAP},run=run").parse().unwrap();
    assert_eq!(read_csv(runs.as_bytes(), &map).unwrap().migrations.len(), 2);
}

#[test]
fn byte_order_marks_line_ends_and_tabs() {
    let plain = read(&format!("{HEADER}\n{GOOD}\n")).unwrap();
    let marked = format!("\u{feff}{HEADER}\r\n{GOOD}\r\n");
    assert_eq!(read(&marked).unwrap(), plain);
    let blank_first = format!("\n\r\n{HEADER}\n{GOOD}");
    assert_eq!(read(&blank_first).unwrap(), plain);
    let bad = blank_first.replace("8192", "-8192");
    assert_eq!(read(&bad).unwrap().rejected[0].line, 4);
    let tabs = format!("{HEADER}\n{GOOD}\n").replace(',', "\t");
    assert_eq!(read(&tabs).unwrap(), plain);
    let bad = marked.replace("8192", "-8192");
    assert_eq!(read(&bad).unwrap().rejected[0].line, 2);
    // A cell over two lines, and an end without line end.
    let long = format!(
        "{HEADER}\r\n{}\r\n \r\nx",
        GOOD.replace("ycsb", "\"yc\r\nsb\"")
    );
    let table = read(&long).unwrap();
    assert_eq!((table.migrations.len(), table.rejected[0].line), (1, 5));
}

#[test]
fn files_that_hold_nothing_or_no_csv() {
    insta::assert_snapshot!(error(b""), @"the CSV has no header; it needs a line of column names, then one line a migration");
    assert_eq!(error(b"\xef\xbb\xbf\r\n\r\n"), error(b""));
    insta::assert_snapshot!(error(HEADER.as_bytes()), @"the CSV has no rows; it needs a line of column names, then one line a migration");
    insta::assert_snapshot!(error(b"\xff\xfem\0e\0m\0"), @"the input is no CSV but UTF-16; save it as comma-separated UTF-8 text");
    insta::assert_snapshot!(error(b"SQLite format 3\0\x01\x02"), @"the input is no CSV but binary; save it as comma-separated UTF-8 text");
    insta::assert_snapshot!(error(&vec![b'x'; 3 << 20]), @"the input is no CSV but one line of more than 1 MiB; save it as comma-separated UTF-8 text");
    insta::assert_snapshot!(error(HEADER.replace(',', ",\r").as_bytes()), @"the input is no CSV but text whose lines end by carriage returns; save it as comma-separated UTF-8 text");
}

#[test]
fn columns_that_are_missing_or_there_twice() {
    insta::assert_snapshot!(error(b"memory,dirty,bw,how,load,total,down\n1,2,3,4,5,6,7\n"), @"the CSV has no column `mem` (memory_mib), `sent` (transferred_kib); its columns are: memory, dirty, bw, how, load, total, down");
    insta::assert_snapshot!(error(format!("{HEADER},mem\n{GOOD},1\n").as_bytes()), @"the CSV has two columns `mem`; rename the one that is not meant");
    let wide: String = (0..5000).fold(String::new(), |mut s, i| {
        let _ = write!(s, "c{i},");
        s
    });
    assert!(error(wide.as_bytes()).len() < 600);
}

#[test]
fn text_that_is_no_utf8_is_named() {
    let mut csv = format!("{HEADER}\n").into_bytes();
    csv.extend_from_slice(b"8192,11000,1074,pre-copy,caf\xe9,17166,14,2298460\n");
    let table = read_csv(csv.as_slice(), &map()).unwrap();
    assert_eq!(table.rejected[0].reason, Rejection::NotText);
    assert_eq!(table.rejected[0].column.as_deref(), Some("load"));
}

#[test]
fn a_quote_left_open_is_one_bad_row() {
    let csv = format!("{HEADER}\n\"8192,11000\n{GOOD}\n{GOOD}\n");
    let table = read(&csv).unwrap();
    assert!(table.migrations.is_empty());
    assert_eq!(table.rejected[0].line, 2);
}

#[test]
fn an_input_that_breaks_off_is_an_error() {
    struct Broken;
    impl Read for Broken {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::Error::other("the disk is gone"))
        }
    }
    let start = format!("{HEADER}\n{GOOD}\n");
    let input = BufReader::new(start.as_bytes().chain(Broken));
    let found = read_csv(input, &map());
    assert!(
        matches!(found, Err(HistoryError::Input { .. })),
        "{found:?}"
    );
}

#[test]
fn fifty_thousand_rows() {
    let mut csv = format!("{HEADER}\n");
    for i in 0..50_000 {
        let bad = if i % 1000 == 999 { "-" } else { "" };
        let _ = writeln!(
            csv,
            "8192,{bad}{i},1074,pre-copy,w{},17166,14,2298460",
            i % 40
        );
    }
    let table = read(&csv).unwrap();
    assert_eq!((table.migrations.len(), table.rejected.len()), (49_950, 50));
    assert_eq!(table.rejected[49].line, 50_001);
}

proptest! {
    /// Whatever stands in a file, nothing panics and every row is accounted
    /// for.
    #[test]
    fn no_text_panics(rows in prop::collection::vec("[-0-9.,e\"a-z ]{0,40}", 0..12)) {
        let rows: Vec<_> = rows.into_iter().filter(|row| !row.trim().is_empty()).collect();
        let quoted = rows.iter().any(|row| row.contains('"'));
        if let Ok(table) = read(&format!("{HEADER}\n{}\n", rows.join("\n"))) {
            let found = table.migrations.len() + table.rejected.len();
            prop_assert!(found == rows.len() || quoted, "{found}");
        }
    }

    #[test]
    fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let mut csv = format!("{HEADER}\n").into_bytes();
        csv.extend(bytes);
        let _ = read_csv(csv.as_slice(), &map());
    }

    /// What is taken makes sense.
    #[test]
    fn what_is_taken_is_possible(total in 0.1f64..1e6, down in 0f64..1e6, sent in 0f64..1e8) {
        let csv = format!("{HEADER}\n8192,11000,1074,pre-copy,ycsb,{total},{down},{sent}\n");
        let table = read(&csv).unwrap();
        if let [migration] = table.migrations.as_slice() {
            prop_assert!(migration.downtime_ms.unwrap().0 <= migration.total_time_ms.0);
            prop_assert!(migration.transferred_bytes.unwrap().0 >= 8192 << 8);
        }
    }
}
