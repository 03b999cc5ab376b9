//! What samples of a probe mean: outages, stalls, percentiles. No clock, no I/O.

use std::ops::Range;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use vmferry_core::Millis;

use super::sample::{ProbeSample, ProbeSamples};

/// A time in which questions stood open and no answer came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Outage {
    /// When the first question after the last answered one was asked; or when that answer came,
    /// if it came later. By `CLOCK_MONOTONIC`.
    pub from_ns: u64,
    /// When the next answer came; `None` if none did.
    pub to_ns: Option<u64>,
}

/// Latencies within a window.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct LatencySummary {
    /// Questions asked.
    pub asked: usize,
    /// Of them, answered, late answers included. The rest was lost or failed.
    pub answered: usize,
    /// Of them, failed with an error.
    pub failed: usize,
    /// Median latency.
    pub p50_ms: Option<Millis>,
    /// 95th percentile.
    pub p95_ms: Option<Millis>,
    /// 99th percentile.
    pub p99_ms: Option<Millis>,
    /// The longest.
    pub max_ms: Option<Millis>,
}

impl Outage {
    /// How long; `None` if it did not end.
    #[must_use]
    pub fn length(&self) -> Option<Millis> {
        let to = self.to_ns?;
        Some(Millis(to.saturating_sub(self.from_ns) as f64 / 1e6))
    }

    fn overlaps(&self, window: &Range<u64>) -> bool {
        self.from_ns < window.end && self.to_ns.is_none_or(|to| to > window.start)
    }
}

impl ProbeSamples {
    /// Every outage longer than the pace, in order; shorter ones are the latency of answers. The
    /// last one has no end if the last questions were not answered. Silence before the first answer
    /// is none: a guest that was never seen was not lost.
    ///
    /// Time in which nothing was asked (a probe that got no processor, or could not ask) does not
    /// count, and of lost, late and stalled questions each gives the same: a question lost in the
    /// midst of others is an outage of one pace and a latency.
    #[must_use]
    pub fn outages(&self) -> Vec<Outage> {
        let mut answers: Vec<(u64, usize)> = self
            .samples
            .iter()
            .enumerate()
            .filter_map(|(index, sample)| Some((sample.answered_ns()?, index)))
            .collect();
        answers.sort_unstable();
        let pace = self.pace_ms.duration().as_nanos();
        let mut outages = Vec::new();
        let mut next = 0;
        for (place, &(answered_ns, index)) in answers.iter().enumerate() {
            // Questions before the furthest that was answered are lost or come late: neither opens
            // an outage any more.
            next = next.max(index + 1);
            let after = self.samples.get(next..).unwrap_or_default();
            let Some(open) = after.iter().find(|sample| sample.was_asked()) else {
                continue;
            };
            let from_ns = open.asked_ns.max(answered_ns);
            let to_ns = answers.get(place + 1).map(|(to, _)| *to);
            if to_ns.is_none_or(|to| u128::from(to.saturating_sub(from_ns)) > pace) {
                outages.push(Outage { from_ns, to_ns });
            }
        }
        outages
    }

    /// The longest outage of which a part lies in a window (`CLOCK_MONOTONIC`, ns). One that did
    /// not end is the longest.
    #[must_use]
    pub fn longest_outage(&self, window: Range<u64>) -> Option<Outage> {
        self.outages()
            .into_iter()
            .filter(|outage| outage.overlaps(&window))
            .max_by_key(|outage| {
                outage
                    .to_ns
                    .map_or(u64::MAX, |to| to.saturating_sub(outage.from_ns))
            })
    }

    /// The downtime in a window: the length of its longest outage, zero where none was longer than
    /// the pace. `None` where it is not known: nothing was asked in the window, the guest never
    /// answered before the window's end, or did not come back.
    ///
    /// For questions asked at a steady pace this is the time from the asking of the last answered
    /// question before the outage to the answer of the first after it, minus the pace. The true
    /// outage is at most a pace longer or shorter (both its ends fall between two questions), plus
    /// one latency; one shorter than two paces may be found as none. For requests over one connection it holds what TCP needs to send the request
    /// again (200 ms, doubled at each try): what clients see, which is more than the guest's pause.
    #[must_use]
    pub fn downtime(&self, window: Range<u64>) -> Option<Millis> {
        let asked = self.within(&window).iter().any(ProbeSample::was_asked);
        let seen = self
            .samples
            .iter()
            .filter_map(ProbeSample::answered_ns)
            .any(|answered| answered < window.end);
        if !(asked && seen) {
            return None;
        }
        match self.longest_outage(window) {
            Some(outage) => outage.length(),
            None => Some(Millis(0.0)),
        }
    }

    /// The longest latency of a question asked in a window; `None` where none was answered.
    /// Questions without an answer do not count: see [`outages`](Self::outages).
    #[must_use]
    pub fn longest_stall(&self, window: Range<u64>) -> Option<Millis> {
        self.latency(window).max_ms
    }

    /// Latencies of the questions asked in a window, whenever their answers came. Percentiles are
    /// of the nearest rank. Of requests one after the other, a stall is one long latency, however
    /// many requests it kept from being made.
    #[must_use]
    pub fn latency(&self, window: Range<u64>) -> LatencySummary {
        let samples = self.within(&window);
        let mut latencies: Vec<f64> = samples
            .iter()
            .filter_map(|sample| Some(sample.latency_ms?.0))
            .collect();
        latencies.sort_unstable_by(f64::total_cmp);
        let rank = |share: f64| {
            let rank = (share * latencies.len() as f64).ceil() as usize;
            latencies.get(rank.max(1) - 1).copied().map(Millis)
        };
        LatencySummary {
            asked: samples.len(),
            answered: latencies.len(),
            failed: samples.iter().filter(|one| one.error.is_some()).count(),
            p50_ms: rank(0.5),
            p95_ms: rank(0.95),
            p99_ms: rank(0.99),
            max_ms: rank(1.0),
        }
    }

    /// The questions asked in a window.
    #[must_use]
    pub fn within(&self, window: &Range<u64>) -> &[ProbeSample] {
        let before = |limit: u64| self.samples.partition_point(|one| one.asked_ns < limit);
        let from = before(window.start);
        self.samples
            .get(from..before(window.end))
            .unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::sample::{ProbeError, ProbeKind};
    use super::*;

    const MS: u64 = 1_000_000;
    const ALL: Range<u64> = 0..u64::MAX;

    /// Questions at 0, 5, 10 ms and so on, with their latencies; a negative one is none.
    fn asked(latencies: &[f64]) -> ProbeSamples {
        let steady = |(index, ms): (usize, &f64)| (index as f64 * 5.0, *ms);
        samples(latencies.iter().enumerate().map(steady))
    }

    fn samples(asked: impl Iterator<Item = (f64, f64)>) -> ProbeSamples {
        ProbeSamples {
            kind: ProbeKind::IcmpEcho,
            pace_ms: Millis(5.0),
            cpu_ms: Millis(0.0),
            samples: asked
                .map(|(at, latency)| ProbeSample {
                    asked_ns: 1000 * MS + (at * 1e6) as u64,
                    latency_ms: (latency >= 0.0).then_some(Millis(latency)),
                    error: None,
                })
                .collect(),
        }
    }

    #[test]
    fn lost_questions_are_an_outage_of_their_number() {
        // Last answered before: asked at 5; first after: asked at 30. 25 minus the pace, plus 1.
        let lost = asked(&[1.0, 1.0, -1.0, -1.0, -1.0, -1.0, 1.0, 1.0]);
        assert_eq!(lost.downtime(ALL), Some(Millis(21.0)));
        let outage = lost.longest_outage(ALL).expect("one");
        assert_eq!(outage.from_ns, 1010 * MS);
        assert_eq!(outage.to_ns, Some(1031 * MS));
        assert_eq!(lost.longest_stall(ALL), Some(Millis(1.0)));
        assert_eq!(lost.outages().len(), 1);
    }

    #[test]
    fn late_questions_are_the_same_outage() {
        let late = asked(&[1.0, 1.0, 20.0, 15.0, 10.0, 5.0, 1.0, 1.0]);
        assert_eq!(late.downtime(ALL), Some(Millis(20.0)));
        assert_eq!(late.longest_stall(ALL), Some(Millis(20.0)));
        assert_eq!(late.outages().len(), 1);
    }

    #[test]
    fn a_stalled_request_is_the_same_outage() {
        let one = [(0.0, 1.0), (5.0, 20.5), (30.0, 1.0), (35.0, 1.0)];
        let stalled = samples(one.into_iter());
        assert_eq!(stalled.downtime(ALL), Some(Millis(20.5)));
        assert_eq!(stalled.outages().len(), 1);
    }

    #[test]
    fn a_probe_that_slept_saw_no_outage() {
        let slept = [(0.0, 1.0), (5.0, 1.0), (305.0, 1.0), (310.0, 1.0)];
        assert_eq!(samples(slept.into_iter()).downtime(ALL), Some(Millis(0.0)));
    }

    #[test]
    fn what_this_machine_could_not_ask_is_no_outage() {
        let not_asked = |latencies: &[f64], which: Range<usize>| {
            let mut seen = asked(latencies);
            for sample in &mut seen.samples[which] {
                sample.error = Some(ProbeError::NotAsked);
            }
            seen
        };
        let silent = [1.0, 1.0, -1.0, -1.0, -1.0, -1.0, 1.0, 1.0];
        assert_eq!(not_asked(&silent, 2..6).outages(), []);
        assert_eq!(not_asked(&silent, 2..6).downtime(ALL), Some(Millis(0.0)));
        let within = 1010 * MS..1030 * MS;
        assert_eq!(not_asked(&silent, 2..6).downtime(within), None, "unknown");
        // Asked at 20 and 25 and not answered: the outage begins there.
        assert_eq!(not_asked(&silent, 2..4).downtime(ALL), Some(Millis(11.0)));
        let last = [1.0, 1.0, -1.0, -1.0];
        assert_eq!(not_asked(&last, 2..4).downtime(ALL), Some(Millis(0.0)));
        assert_eq!(not_asked(&last, 2..3).downtime(ALL), None, "it is away");
    }

    #[test]
    fn what_is_not_known_is_none() {
        let gone = asked(&[1.0, 1.0, -1.0, -1.0]);
        assert_eq!(gone.downtime(ALL), None);
        assert_eq!(gone.longest_outage(ALL).expect("one").to_ns, None);
        assert_eq!(asked(&[-1.0, -1.0]).downtime(ALL), None);
        assert_eq!(asked(&[]).downtime(ALL), None);
        assert_eq!(asked(&[]).latency(ALL), LatencySummary::default());
        let healthy = asked(&[1.0; 4]);
        assert_eq!(healthy.downtime(0..500 * MS), None, "nothing was asked");
        assert_eq!(healthy.downtime(ALL), Some(Millis(0.0)));
        // A guest that comes up was not away.
        let new = asked(&[-1.0, -1.0, 1.0, 1.0]);
        assert_eq!(new.downtime(ALL), Some(Millis(0.0)));
        assert_eq!(new.downtime(0..1010 * MS), None);
    }

    #[test]
    fn windows_part_before_during_and_after() {
        let mut latencies = vec![1.0; 100];
        latencies.splice(40..60, vec![-1.0; 20]);
        let samples = asked(&latencies);
        let at = |index: u64| (1000 + 5 * index) * MS;
        assert_eq!(samples.downtime(0..at(30)), Some(Millis(0.0)));
        assert_eq!(samples.downtime(at(30)..at(70)), Some(Millis(101.0)));
        assert_eq!(samples.downtime(at(45)..at(50)), Some(Millis(101.0)));
        assert_eq!(samples.downtime(at(70)..u64::MAX), Some(Millis(0.0)));
        let during = samples.latency(at(30)..at(70));
        assert_eq!((during.asked, during.answered), (40, 20));
    }

    #[test]
    fn percentiles_are_of_the_nearest_rank() {
        let hundred: Vec<f64> = (1..=100).rev().map(f64::from).collect();
        let mut samples = asked(&hundred);
        samples.samples[7].error = Some(ProbeError::Refused);
        let summary = samples.latency(ALL);
        assert_eq!(summary.failed, 1);
        assert_eq!(summary.p50_ms, Some(Millis(50.0)));
        assert_eq!(summary.p95_ms, Some(Millis(95.0)));
        assert_eq!(summary.p99_ms, Some(Millis(99.0)));
        assert_eq!(summary.max_ms, Some(Millis(100.0)));
    }

    #[test]
    fn documents_name_their_units() {
        let mut samples = asked(&[1.5, -1.0]);
        samples.samples[1].error = Some(ProbeError::Unreachable);
        samples.kind = ProbeKind::TcpConnect { port: 80 };
        let text = serde_json::to_string(&samples).expect("JSON");
        assert_eq!(
            text,
            r#"{"kind":{"probe":"tcp-connect","port":80},"pace_ms":5.0,"cpu_ms":0.0,"samples":[{"asked_ns":1000000000,"latency_ms":1.5},{"asked_ns":1005000000,"latency_ms":null,"error":"unreachable"}]}"#
        );
        let back: ProbeSamples = serde_json::from_str(&text).expect("read back");
        assert_eq!(back, samples);
    }

    proptest! {
        /// A blackout of two paces and more at any phase: lost, late and stalled questions find it
        /// to within a pace and the latency. A shorter one may be between two questions.
        #[test]
        fn a_blackout_is_found(start in 20.0f64..30.0, length in 10.0f64..400.0, rtt in 0.01f64..2.0) {
            let end = start + length;
            let away = |at: f64| (start..end).contains(&at);
            let ticks = || (0..120).map(|index| f64::from(index) * 5.0);
            let lost = samples(ticks().map(|at| (at, if away(at) { -1.0 } else { rtt })));
            let late = samples(ticks().map(|at| (at, if away(at) { end - at + rtt } else { rtt })));
            let mut free = 0.0;
            let stalled = samples(ticks().filter_map(|at| {
                if at < free {
                    return None;
                }
                let latency = if away(at) { end - at + rtt } else { rtt };
                free = at + latency;
                Some((at, latency))
            }));
            for (name, seen) in [("lost", lost), ("late", late), ("stalled", stalled)] {
                let downtime = seen.downtime(ALL).expect("it came back").0;
                prop_assert!((downtime - length).abs() <= 5.0 + rtt + 1e-3, "{name}: {downtime} of {length}");
            }
        }
    }
}
