//! Processor time of whole processes, ended threads included.

use std::fs;
use std::time::Duration;

/// Clock ticks of `/proc` in a second: a constant of the kernel's interface.
const TICKS: f64 = 100.0;

/// Processor time that a process and its threads, ended ones too, have used; to 10 ms. `None` for
/// a process that has ended.
pub(super) fn of_process(pid: u32) -> Option<Duration> {
    ticks(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// The same of some of its threads, which must be running.
pub(super) fn of_threads(pid: u32, tids: &[u32]) -> Option<Duration> {
    let of = |tid| ticks(&fs::read_to_string(format!("/proc/{pid}/task/{tid}/stat")).ok()?);
    tids.iter().map(of).sum()
}

/// Fields 14 and 15 of `stat`; the name in field 2 may hold blanks and brackets.
fn ticks(stat: &str) -> Option<Duration> {
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_whitespace().skip(11);
    let (user, system): (u64, u64) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
    Some(Duration::from_secs_f64((user + system) as f64 / TICKS))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_may_hold_brackets() {
        let stat = "7 (a) b) S 1 7 7 0 -1 4 5 0 0 0 120 30 0 0 20 0 1 0 100 0 0";
        assert_eq!(ticks(stat), Some(Duration::from_millis(1500)));
        assert_eq!(ticks("nothing"), None);
    }

    #[test]
    fn this_process_uses_time() {
        let own = || of_process(std::process::id()).expect("this process");
        let before = own();
        let mut sum = 0u64;
        while own() == before {
            sum = std::hint::black_box(sum + 1);
        }
        assert!(own() > before);
        assert_eq!(of_process(u32::MAX), None);
    }
}
