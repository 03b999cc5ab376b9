//! The cap on a guest's virtual CPUs while it moves: put on when it is first
//! asked for, taken back when it is lost.

use std::time::Duration;

use uuid::Uuid;
use vmferry_core::{GuestUri, Ratio};
use vmferry_hypervisor::qmp::Guest;
use vmferry_measure::VcpuMeter;

use crate::cpu_cap::{CpuCap, CpuCapError, CpuCapOptions, Grouping, VcpuThreads};
use crate::error::{End, MigrateError};
use crate::journal::Journal;

/// How often a capped guest's quota is filled up: it stands still for less
/// than that at a time. A kernel takes no quota below 1 ms, which is 2 % of it.
const PERIOD: Duration = Duration::from_millis(50);
/// Use of a virtual CPU is measured over so long at least.
const MEASURED_OVER: Duration = Duration::from_millis(500);
/// A virtual CPU that uses less is idle: nothing would be gained by capping it.
const IDLE: f64 = 0.05;

/// A guest's cap, in shares of the CPU time that it uses.
pub(super) struct GuestCap {
    uri: GuestUri,
    move_id: Uuid,
    state: State,
    in_force: Ratio,
}

enum State {
    /// Not asked for yet.
    Ready(Threads),
    On {
        cap: CpuCap,
        vcpus: Vec<Vcpu>,
        by: Means,
    },
    /// Never again, and why, until that is told.
    Unable(Option<MigrateError>),
}

/// What holds the guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Means {
    Quota,
    /// Where the kernel has no quotas: `jin2011` eq. 10. It binds only while
    /// others in the guest's group want the CPU, which cannot be read back.
    Weight,
}

/// Threads, and what they use.
struct Threads {
    threads: VcpuThreads,
    vcpus: Vec<(u64, Option<VcpuMeter>)>,
    /// What they used before the move, on average.
    used: Option<Ratio>,
}

/// A thread by the first virtual CPU that it runs.
#[derive(Clone, Copy, Debug)]
struct Vcpu {
    number: u64,
    /// Share of a CPU that it uses, 0..1.
    used: Ratio,
}

impl GuestCap {
    /// Looks the threads up and begins to measure what each uses; nothing is
    /// changed. `used` is what they used before, on average, where that is known.
    pub(super) async fn ready(source: &Guest, move_id: Uuid, used: Option<Ratio>) -> Self {
        let state = match VcpuThreads::of(source, End::Source).await {
            Ok(threads) => State::Ready(Threads::meter(threads, used)),
            Err(error) => State::Unable(Some(error)),
        };
        Self {
            uri: source.uri().clone(),
            move_id,
            state,
            in_force: Ratio(1.0),
        }
    }

    /// Whether the guest can be capped, as far as is known.
    pub(super) fn is_possible(&self) -> bool {
        !matches!(self.state, State::Unable(_))
    }

    /// Share of the CPU time it uses that the guest gets, as read back.
    pub(super) fn in_force(&self) -> Ratio {
        self.in_force
    }

    /// Holds the guest to a share of what it uses, or lets it go.
    pub(super) fn set(
        &mut self,
        share: Option<Ratio>,
        journal: &mut Journal,
    ) -> Result<(), MigrateError> {
        if let State::Ready(_) = &self.state {
            if share.is_none() {
                return Ok(());
            }
            self.put_on(journal)?;
        }
        match &mut self.state {
            State::On { cap, vcpus, by } => match hold(cap, vcpus, by, share) {
                Ok(in_force) => {
                    self.in_force = in_force;
                    Ok(())
                }
                Err(error) => {
                    self.give_up();
                    Err(error.into())
                }
            },
            State::Unable(why) => match (why.take(), share) {
                (Some(error), Some(_)) => Err(error),
                _ => Ok(()),
            },
            State::Ready(_) => Ok(()),
        }
    }

    fn put_on(&mut self, journal: &mut Journal) -> Result<(), MigrateError> {
        let before = std::mem::replace(&mut self.state, State::Unable(None));
        if let State::Ready(known) = before {
            let (threads, vcpus) = known.measured();
            let options = CpuCapOptions {
                grouping: if vcpus.len() > 1 {
                    Grouping::Apart
                } else {
                    Grouping::Together
                },
                period: PERIOD,
            };
            let cap = CpuCap::install(journal, &self.uri, self.move_id, threads, options)?;
            self.state = State::On {
                cap,
                vcpus,
                by: Means::Quota,
            };
        }
        Ok(())
    }

    /// Whether somebody took the cap off, told once. Weights follow those of
    /// the neighbours.
    pub(super) fn check(&mut self) -> Option<String> {
        let State::On { cap, by, .. } = &mut self.state else {
            return None;
        };
        let followed = match by {
            Means::Quota => Ok(false),
            Means::Weight => cap.follow_neighbours(),
        };
        let problem = match followed.and_then(|_| cap.look()) {
            Ok(None) => return None,
            Ok(Some(loss)) => loss.to_string(),
            Err(error) => error.to_string(),
        };
        self.give_up();
        Some(problem)
    }

    /// Goes on without a cap: what is left of it is lifted.
    fn give_up(&mut self) {
        if let State::On { mut cap, .. } = std::mem::replace(&mut self.state, State::Unable(None)) {
            let lifted = cap.set(None).map(drop).and_then(|()| cap.set_weight(None));
            if let Err(error) = lifted {
                tracing::info!(%error, "a cap that was lost in part");
            }
        }
        self.in_force = Ratio(1.0);
    }
}

impl Threads {
    fn meter(threads: VcpuThreads, used: Option<Ratio>) -> Self {
        let pid = threads.pid();
        let mut vcpus: Vec<(u64, Option<VcpuMeter>)> = Vec::new();
        let mut seen = Vec::new();
        for (number, tid) in threads.vcpus() {
            if !seen.contains(&tid) {
                seen.push(tid);
                let meter = VcpuMeter::start(pid, &[tid]).ok();
                vcpus.push((number, meter));
            }
        }
        Self {
            threads,
            vcpus,
            used,
        }
    }

    /// What each thread used until now, where that was long enough. One that
    /// is alone uses what the whole guest was seen to use before the move,
    /// when nothing disturbed it.
    fn measured(self) -> (VcpuThreads, Vec<Vcpu>) {
        let known = self.used.filter(|_| self.vcpus.len() == 1);
        let of = |(number, meter): (u64, Option<VcpuMeter>)| {
            let now = meter.and_then(|meter| meter.now().ok());
            let metered = now.filter(|now| now.elapsed >= MEASURED_OVER);
            let used = known
                .or(metered.map(|now| now.share))
                .or(self.used)
                .unwrap_or(Ratio(1.0));
            Vcpu { number, used }
        };
        (self.threads, self.vcpus.into_iter().map(of).collect())
    }
}

/// Caps the busy ones alike, by weight where the kernel has no quotas; returns
/// the share of what they use that they get.
fn hold(
    cap: &mut CpuCap,
    vcpus: &[Vcpu],
    by: &mut Means,
    share: Option<Ratio>,
) -> Result<Ratio, CpuCapError> {
    if *by == Means::Quota {
        match hold_by_quota(cap, vcpus, share) {
            Err(CpuCapError::Unable { .. }) => *by = Means::Weight,
            held => return held,
        }
    }
    let weight = share.filter(|share| share.0 < 1.0);
    cap.set_weight(weight)?;
    Ok(weight.unwrap_or(Ratio(1.0)))
}

fn hold_by_quota(
    cap: &mut CpuCap,
    vcpus: &[Vcpu],
    share: Option<Ratio>,
) -> Result<Ratio, CpuCapError> {
    let Some(share) = share else {
        cap.set(None)?;
        return Ok(Ratio(1.0));
    };
    let of = |used: Ratio| Ratio((share.0 * used.0).clamp(0.001, 1.0));
    let relative = |got: Ratio, used: Ratio| (got.0 / used.0.max(1e-6)).min(1.0);
    if let [only] = vcpus {
        let got = cap.set(Some(of(only.used)))?;
        return Ok(Ratio(relative(got, only.used)));
    }
    let busy = vcpus.iter().filter(|vcpu| vcpu.used.0 >= IDLE);
    let (mut got, mut used) = (0.0, 0.0);
    for vcpu in busy {
        let of_this = cap.set_vcpu(vcpu.number, Some(of(vcpu.used)))?;
        got += relative(of_this, vcpu.used) * vcpu.used.0;
        used += vcpu.used.0;
    }
    Ok(Ratio(if used > 0.0 { got / used } else { 1.0 }))
}
