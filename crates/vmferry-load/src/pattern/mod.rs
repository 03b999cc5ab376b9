//! What a thread of the load does: one file a pattern.

mod compute;
mod disk;
mod growing;
mod idle;
pub(crate) mod network;
mod order;
mod phases;
mod script;
mod stream;

use vmferry_load::spec::{Pattern, Rate, Service, Writing};

use crate::clock::Nanos;
use crate::memory::{Region, Touch, populate};
use crate::pace::Pacer;
use crate::random::Random;
use crate::tally::Tally;
use order::Order;
use script::Script;
use stream::{Stream, Streams};

/// A pattern ready to run. `run` may be called again after it returned: nothing was missed in between.
pub(crate) trait Run {
    /// Works until the given time, or for ever.
    fn run(&mut self, until: Option<Nanos>, tally: &Tally);
}

/// Prepares a pattern: writes its memory once, opens its device.
///
/// # Errors
/// In words, what is missing and what to do.
pub(crate) fn build(pattern: &Pattern, region: Region, seed: u64) -> Result<Box<dyn Run>, String> {
    Ok(match pattern {
        Pattern::Idle => Box::new(idle::Idle),
        Pattern::Sequential(writing) => single(Order::sequential(), writing, region, seed),
        Pattern::Uniform(writing) => single(Order::uniform(seed), writing, region, seed),
        Pattern::Zipf { writing, skew } => {
            let pages = region.piece(writing.at, writing.set).pages();
            single(Order::zipf(pages, *skew, seed), writing, region, seed)
        }
        Pattern::HotCold {
            hot,
            cold_set,
            cold_rate,
        } => {
            let cold = Writing {
                at: hot.at + hot.set,
                set: *cold_set,
                rate: *cold_rate,
                ..*hot
            };
            let cold_seed = seed ^ 0xc01d;
            Box::new(Streams::new(vec![
                writer(Order::uniform(seed), hot, region, seed),
                writer(Order::uniform(cold_seed), &cold, region, cold_seed),
            ]))
        }
        Pattern::Read(reading) => {
            let set = region.piece(reading.at, reading.set);
            populate(set, reading.compress, Random::new(seed));
            let touch = Touch::Read(reading.grain);
            let stream = Stream::new(set, Order::sequential(), touch, pacer(reading.rate));
            Box::new(Streams::new(vec![stream]))
        }
        Pattern::Growing {
            writing,
            limit,
            grow,
        } => {
            let set = region.piece(0, *limit);
            populate(
                region.piece(0, writing.set),
                writing.compress,
                Random::new(seed),
            );
            Box::new(growing::Growing::new(set, writing, *grow, seed))
        }
        Pattern::Compute { duty } => Box::new(compute::Compute::new(*duty, seed)),
        Pattern::Disk {
            device,
            rate,
            block,
        } => Box::new(disk::Disk::open(device, *rate, *block)?),
        Pattern::Network(network) => network::build(*network)?,
        Pattern::Program { program, set, duty } => {
            Box::new(Script::program(*program, *set, *duty).start(seed)?)
        }
        Pattern::Service {
            service: Service::Standby,
            ..
        } => Box::new(idle::Idle),
        Pattern::Service { service, set } => Box::new(Script::service(*service, *set).start(seed)?),
        Pattern::Phases(phases) => {
            let phases = phases
                .iter()
                .map(|phase| Ok((phase.time, build(&phase.pattern, region, seed)?)))
                .collect::<Result<_, String>>()?;
            Box::new(phases::Phases::new(phases))
        }
    })
}

fn pacer(rate: Rate) -> Pacer {
    Pacer::new(rate, vmferry_load::spec::PAGE)
}

fn single(order: Order, writing: &Writing, region: Region, seed: u64) -> Box<dyn Run> {
    Box::new(Streams::new(vec![writer(order, writing, region, seed)]))
}

fn writer(order: Order, writing: &Writing, region: Region, seed: u64) -> Stream {
    let set = region.piece(writing.at, writing.set);
    populate(set, writing.compress, Random::new(seed));
    // Not the random numbers of the first filling: a rewrite must change the page.
    let touch = Touch::write(writing.grain, writing.compress, Random::new(!seed));
    Stream::new(set, order, touch, pacer(writing.rate))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use vmferry_load::spec::{PAGE, Spec};

    use super::*;
    use crate::clock;

    fn run(text: &str, time: Duration) -> (Tally, Region) {
        let spec: Spec = text.parse().unwrap();
        let pattern = &spec.parts[0].pattern;
        let region = Region::map(pattern.span()).unwrap();
        let tally = Tally::default();
        let mut run = build(pattern, region, 1).unwrap();
        run.run(Some(clock::now() + clock::nanos(time)), &tally);
        (tally, region)
    }

    #[test]
    fn memory_patterns_count_pages_and_bytes() {
        for text in [
            "sequential:set=64K,write=word",
            "uniform:set=64K",
            "zipf:set=64K",
            "hotcold:set=64K,cold-set=64K",
            "read:set=64K",
            "growing:set=64K,limit=128K,grow=max",
            "phases:2ms@uniform:set=64K/2ms@read:set=64K,at=64K",
        ] {
            let (tally, _) = run(text, Duration::from_millis(20));
            assert!(tally.work() > 0, "{text}");
            assert_eq!(tally.bytes(), tally.work() * PAGE, "{text}");
            assert_eq!(tally.aim(), None, "{text}");
        }
    }

    #[test]
    fn a_limit_holds_and_is_told() {
        let (tally, _) = run("uniform:set=1M,rate=4M", Duration::from_millis(250));
        assert_eq!(tally.aim(), Some(4 << 20));
        // One page late or early; a busy machine only makes it less.
        assert!(tally.bytes() <= (1 << 20) + PAGE, "{}", tally.bytes());
        assert!(tally.bytes() > 0);
    }

    #[test]
    fn sequential_rewrites_every_page_in_turn() {
        let spec: Spec = "sequential:set=64K".parse().unwrap();
        let region = Region::map(64 << 10).unwrap();
        let mut run = build(&spec.parts[0].pattern, region, 1).unwrap();
        let before: Vec<u64> = (0..16).map(|page| region.read(page, 512)).collect();
        run.run(
            Some(clock::now() + 20 * clock::MILLISECOND),
            &Tally::default(),
        );
        assert!((0..16).all(|page| region.read(page, 512) != before[page as usize]));
    }

    #[test]
    fn a_missing_disk_is_told() {
        let spec: Spec = "disk:dev=nosuchdisk".parse().unwrap();
        let region = Region::map(0).unwrap();
        let error = build(&spec.parts[0].pattern, region, 1).err().unwrap();
        assert!(error.contains("/dev/nosuchdisk"), "{error}");
    }
}
