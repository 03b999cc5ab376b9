//! Starting a load: a thread for each part, ready together.

use std::fs;
use std::io::{self, Write};
use std::sync::{Arc, Barrier, mpsc};
use std::thread;
use std::time::Duration;

use vmferry_load::report::{Message, Up};
use vmferry_load::spec::{Part, Spec};

use crate::clock::{self, Nanos};
use crate::memory::{Region, populate};
use crate::pattern;
use crate::pause::Pauses;
use crate::random::Random;
use crate::reporter::Reporter;
use crate::tally::Tally;

/// A load that has begun.
pub(crate) struct Started {
    tallies: Vec<Arc<Tally>>,
    pauses: Arc<Pauses>,
    at: Nanos,
}

/// Reads the text, prepares all parts, and lets them begin at once.
///
/// # Errors
/// In words, what is wrong with the text or missing in the guest.
pub(crate) fn start(text: &str) -> Result<Started, String> {
    let spec: Spec = text.parse().map_err(|error| format!("{error}"))?;
    enough_memory(
        spec.memory(),
        &fs::read_to_string("/proc/meminfo").unwrap_or_default(),
    )?;
    let tallies: Vec<Arc<Tally>> = spec.parts.iter().map(|_| Arc::default()).collect();
    let gate = Arc::new(Barrier::new(spec.parts.len() + 1));
    let count = spec.parts.len();
    let (prepared, results) = mpsc::channel();
    for (index, part) in spec.parts.into_iter().enumerate() {
        let (tally, gate, prepared) = (
            Arc::clone(&tallies[index]),
            Arc::clone(&gate),
            prepared.clone(),
        );
        // Parts alike but for their place must not write alike.
        let seed = part.seed.wrapping_add((index as u64) << 32);
        thread::spawn(move || run(&part, seed, &tally, &gate, &prepared));
    }
    // Parts that are prepared keep their sender while they wait, so the channel does not end by itself.
    for result in results.iter().take(count) {
        result?;
    }
    gate.wait();
    Ok(Started {
        tallies,
        pauses: Pauses::watch(),
        at: clock::now(),
    })
}

fn run(
    part: &Part,
    seed: u64,
    tally: &Arc<Tally>,
    gate: &Barrier,
    prepared: &mpsc::Sender<Result<(), String>>,
) {
    let map = |bytes| Region::map(bytes).map_err(|error| format!("cannot get memory: {error}"));
    let ready = map(part.fill).and_then(|fill| {
        populate(fill, 0.0, Random::new(seed ^ 0xf111));
        pattern::build(&part.pattern, map(part.pattern.span())?, seed)
    });
    let (mut pattern, result) = match ready {
        Ok(pattern) => (pattern, Ok(())),
        Err(error) => {
            // The receiver is there until every part has answered or one has failed.
            let _told = prepared.send(Err(error));
            return;
        }
    };
    if prepared.send(result).is_ok() {
        gate.wait();
        pattern.run(None, tally);
    }
}

/// Refuses a load for which the kernel would have to kill us.
fn enough_memory(needed: u64, meminfo: &str) -> Result<(), String> {
    let available = meminfo
        .lines()
        .find_map(|line| {
            line.strip_prefix("MemAvailable:")?
                .trim()
                .strip_suffix(" kB")
        })
        .and_then(|kibibytes| kibibytes.parse::<u64>().ok())
        .map(|kibibytes| kibibytes << 10);
    match available {
        Some(available) if available < needed => Err(format!(
            "the load needs {} MiB but {} MiB are available; lower set=, cold-set=, limit= or fill=, or give the guest more memory",
            needed >> 20,
            available >> 20
        )),
        _ => Ok(()),
    }
}

impl Started {
    /// The line that says so.
    pub(crate) fn up(&self, address: Option<String>, load: String) -> Message {
        Message::Up(Up {
            time: Duration::from_nanos(self.at),
            address,
            load,
        })
    }

    /// Reports progress, for so long or for ever.
    ///
    /// # Errors
    /// The lines cannot be written.
    pub(crate) fn report(self, out: &mut dyn Write, time: Option<Duration>) -> io::Result<()> {
        let until = time.map(|time| self.at + clock::nanos(time));
        Reporter::new(self.tallies, self.pauses, self.at).run(out, until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn too_little_memory_is_told_before_it_is_touched() {
        let meminfo = "MemTotal: 249000 kB\nMemAvailable:   204800 kB\n";
        assert_eq!(enough_memory(200 << 20, meminfo), Ok(()));
        let error = enough_memory(300 << 20, meminfo).unwrap_err();
        assert!(error.contains("needs 300 MiB but 200 MiB"), "{error}");
        assert_eq!(enough_memory(1 << 40, ""), Ok(()));
    }

    #[test]
    fn a_load_reports_itself() {
        let started = start("uniform:set=64K,rate=8M+compute:duty=5").unwrap();
        let mut out = Vec::new();
        started
            .report(&mut out, Some(Duration::from_millis(250)))
            .unwrap();
        let text = String::from_utf8(out).unwrap();
        let lines: Vec<_> = text
            .lines()
            .map(|line| Message::find(line).unwrap().unwrap())
            .collect();
        assert!((1..=3).contains(&lines.len()), "{text}");
        let Some(Message::Progress(last)) = lines.last() else {
            panic!("{text}")
        };
        assert_eq!((last.work.len(), last.aim), (2, Some(8 << 20)));
        assert!(last.work.iter().all(|work| *work > 0), "{text}");
    }

    #[test]
    fn a_part_that_cannot_run_stops_all() {
        let error = start("idle+disk:dev=nosuchdisk").err().unwrap();
        assert!(error.contains("/dev/nosuchdisk"), "{error}");
        assert!(start("uniform:sett=1M").err().unwrap().contains("sett"));
    }
}
