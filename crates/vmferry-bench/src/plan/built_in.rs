//! The plans that need no file, and how long plans take.

use std::time::Duration;

use vmferry_core::{ByteRate, Millis};

use super::{BenchPlan, Load, Subject};

/// What a step takes as long as nothing was timed: seconds on two cores without KVM, where a guest
/// with its service boots in 4 to 10 s and moves over 400 Mbit/s in 5 to 10 s (measured), the time
/// around in which it is looked at included.
mod typical {
    pub(super) const BOOT_S: f64 = 10.0;
    pub(super) const STOP_S: f64 = 3.0;
    pub(super) const MIGRATION_S: f64 = 8.0;
    pub(super) const WAY_BACK_S: f64 = 3.0;
    /// Guests beside the migrated one, where the number is searched.
    pub(super) const BACKGROUND_GUESTS: u32 = 2;
}

impl BenchPlan {
    /// Two workloads, three points, once: ends within five minutes. Its warm-up is short: the
    /// service may still get faster, which lowers overheads.
    pub fn quick() -> Self {
        Self {
            name: "quick".into(),
            workloads: vec!["web".into(), "standby".into()],
            loads: vec![Load::Light],
            points: 3,
            sector_s: 6.0,
            warm_up_s: 15.0,
            repeats: 1,
            link: Some(ByteRate::from_mbit_per_s(400.0)),
            max_downtime_ms: Millis(300.0),
            deadline_ms: Millis(60_000.0),
            observe_s: 2.0,
            background_guests: None,
            meter: None,
            destination_meter: None,
            subjects: vec![Subject {
                name: "default".into(),
                ..Subject::default()
            }],
        }
    }

    /// Three workloads, alone and beside others, twice: ends within an hour.
    pub fn usual() -> Self {
        Self {
            name: "usual".into(),
            workloads: vec!["web".into(), "postgres".into(), "standby".into()],
            loads: vec![Load::Light, Load::Heavy],
            sector_s: 12.0,
            // Without KVM services get faster for half a minute, as QEMU translates their code.
            warm_up_s: 30.0,
            repeats: 2,
            ..Self::quick()
        }
    }

    /// About how long the whole plan takes on two cores without KVM.
    pub fn expected(&self) -> Duration {
        let mut shared = super::order::Sharing::default();
        let runs = self.runs();
        let seconds: f64 = runs
            .iter()
            .map(|key| {
                let own = shared.own_reference(self, key);
                self.expected_run_s(key.load, own)
            })
            .sum();
        let searches = if self.loads.contains(&Load::Heavy) {
            self.workloads.len() as f64 * self.expected_search_s()
        } else {
            0.0
        };
        Duration::from_secs_f64(seconds + searches)
    }

    /// Seconds of one run, with a reference of its own or not.
    pub(crate) fn expected_run_s(&self, load: Load, own_reference: bool) -> f64 {
        let around =
            self.expected_boot_s(self.expected_guests(load)) + self.warm_up_s + typical::STOP_S;
        let points = f64::from(self.points);
        let reference = around + (points + 1.0) * self.sector_s;
        let sector = self.sector_s.max(self.observe_s + typical::MIGRATION_S);
        let migrated = around + self.sector_s + points * (sector + typical::WAY_BACK_S);
        migrated + if own_reference { reference } else { 0.0 }
    }

    /// Seconds of the search for heavy load, for one workload.
    pub(crate) fn expected_search_s(&self) -> f64 {
        if self.background_guests.is_some() {
            return 0.0;
        }
        (1..=typical::BACKGROUND_GUESTS)
            .map(|guests| {
                self.expected_boot_s(guests) + self.warm_up_s + self.sector_s + typical::STOP_S
            })
            .sum()
    }

    fn expected_guests(&self, load: Load) -> u32 {
        match load {
            Load::Light => 0,
            Load::Heavy => self.background_guests.unwrap_or(typical::BACKGROUND_GUESTS),
        }
    }

    /// Guests boot side by side on the same cores.
    fn expected_boot_s(&self, background_guests: u32) -> f64 {
        typical::BOOT_S * f64::from(1 + background_guests)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn built_in_plans_end_in_time() {
        assert_eq!(BenchPlan::quick().check(&[]), Ok(()));
        assert_eq!(BenchPlan::usual().check(&[]), Ok(()));
        let minutes = |plan: BenchPlan| plan.expected().as_secs_f64() / 60.0;
        let (quick, usual) = (minutes(BenchPlan::quick()), minutes(BenchPlan::usual()));
        assert!((3.0..5.0).contains(&quick), "{quick}");
        assert!((30.0..60.0).contains(&usual), "{usual}");
    }

    #[test]
    fn subjects_that_share_a_reference_cost_half() {
        let alone = BenchPlan::quick();
        let mut two = alone.clone();
        two.subjects.push(Subject {
            name: "multifd".into(),
            capabilities: [("multifd".to_owned(), true)].into(),
            ..Subject::default()
        });
        let mut apart = two.clone();
        apart.subjects[1].binary = Some("/opt/qemu".into());
        assert_eq!(apart.expected(), alone.expected() * 2);
        assert!(two.expected() < apart.expected());
    }
}
