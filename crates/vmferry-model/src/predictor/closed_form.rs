//! Pre-copy in closed form (`liu2011` eq. 1-8): a constant dirty rate D over a
//! constant transfer rate R, for lambda = D/R below 1.

use vmferry_core::{ByteRate, Bytes};

use super::{CannotForecast, Case, Predicted, Predictor, RuleSet, Technique};

/// Time a guest takes to resume at the destination in `liu2011`, seconds.
pub const T_RESUME: f64 = 0.020;

/// What the closed form says of one move.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Cost {
    /// Number n of rounds after the first (eq. 8).
    pub rounds: u32,
    /// V_mig: bytes sent in all rounds, the last with the guest stopped
    /// included (eq. 5).
    pub transferred: f64,
    /// T_mig: seconds from the first byte to the last (eq. 6).
    pub total_s: f64,
    /// T_down = T_n + T_resume, seconds (eq. 7).
    pub downtime_s: f64,
}

/// `liu2011` eq. 1-8: V_0 = V_mem, V_i = D T_(i-1), T_i = V_i / R, so that
/// V_mig = V_mem (1 - lambda^(n+1)) / (1 - lambda) with
/// n = ceil(log_lambda(V_thd / V_mem)) rounds until V_thd or less is left.
/// `None` where lambda is not below 1, for then nothing shrinks.
pub fn cost(memory: Bytes, dirty_rate: ByteRate, rate: ByteRate, threshold: Bytes) -> Option<Cost> {
    let lambda = dirty_rate.0 / rate.0;
    if !(0.0..1.0).contains(&lambda) {
        return None;
    }
    let (memory, threshold) = (memory.0 as f64, (threshold.0 as f64).max(1.0));
    let rounds = if memory <= threshold {
        0.0
    } else if lambda == 0.0 {
        1.0
    } else {
        (threshold / memory).ln() / lambda.ln()
    };
    // A power of lambda that hits the threshold exactly must not round up.
    let rounds = (rounds - 1e-9).ceil().max(0.0);
    let transferred = memory * (1.0 - lambda.powf(rounds + 1.0)) / (1.0 - lambda);
    let last = memory * lambda.powf(rounds);
    Some(Cost {
        rounds: rounds as u32,
        transferred,
        total_s: transferred / rate.0,
        downtime_s: last / rate.0 + T_RESUME,
    })
}

/// The closed form as a predictor. The rest that may be sent with the guest
/// stopped is what the downtime limit lets through.
#[derive(Clone, Copy, Debug, Default)]
pub struct ClosedForm;

impl Predictor for ClosedForm {
    fn name(&self) -> &'static str {
        "closed-form"
    }

    fn rules(&self) -> RuleSet {
        RuleSet::Textbook
    }

    fn forecast(&self, case: &Case<'_>, _seed: u64) -> Result<Predicted, CannotForecast> {
        case.check(self.name(), &[Technique::PreCopy])?;
        let rate = case.stream_rate()?;
        let dirty_rate = case.known_dirty_rate(self.name())?;
        let memory = Bytes(case.first_pass().round() as u64);
        let threshold = rate * case.downtime_limit();
        let cost =
            cost(memory, dirty_rate, rate, threshold).ok_or_else(|| CannotForecast::Diverges {
                guest: case.label(),
                dirty_rate,
                rate,
            })?;
        let in_time = cost.total_s <= case.deadline().as_secs_f64();
        let mut said = Predicted::of_formula(cost.total_s, cost.downtime_s, cost.transferred);
        said.converges_probability = Some(f64::from(u8::from(in_time)));
        Ok(said
            .by(self.name())
            .noted("A formula for a constant dirty rate: it has no interval of its own."))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_quarter_as_much_dirt_as_bandwidth() {
        // 1024, 256, 64, 16, 4 MiB: the fourth look finds the threshold.
        let mib = |n: u64| Bytes::from_mib(n);
        let found = cost(mib(1024), ByteRate(25e6), ByteRate(100e6), mib(4)).unwrap();
        assert_eq!(found.rounds, 4);
        let sum = mib(1024 + 256 + 64 + 16 + 4).0 as f64;
        assert!((found.transferred - sum).abs() < 1.0);
        assert!((found.total_s - sum / 100e6).abs() < 1e-6);
        // T_resume is 20 ms there.
        assert!((found.downtime_s - (mib(4).0 as f64 / 100e6 + 0.020)).abs() < 1e-9);
    }

    #[test]
    fn no_more_dirt_than_bandwidth() {
        let at = |dirt: f64| {
            cost(
                Bytes(1 << 30),
                ByteRate(dirt),
                ByteRate(1e8),
                Bytes(1 << 20),
            )
        };
        assert_eq!(at(1e8), None);
        assert_eq!(at(f64::NAN), None);
        let idle = at(0.0).unwrap();
        assert_eq!((idle.rounds, idle.downtime_s), (1, T_RESUME));
    }

    proptest! {
        /// The closed form is the sum of its rounds.
        #[test]
        fn adds_up_its_rounds(lambda in 0.001f64..0.95, memory in 1u64<<24..1<<38, rate in 1e6f64..1e10) {
            let threshold = Bytes(1 << 20);
            let found = cost(Bytes(memory), ByteRate(lambda * rate), ByteRate(rate), threshold).unwrap();
            let (mut left, mut sum, mut rounds) = (memory as f64, memory as f64, 0);
            while left > threshold.0 as f64 * (1.0 + 1e-6) {
                left *= lambda;
                sum += left;
                rounds += 1;
            }
            prop_assert_eq!(found.rounds, rounds);
            prop_assert!((found.transferred / sum - 1.0).abs() < 1e-9);
            prop_assert!((found.downtime_s - T_RESUME - left / rate).abs() < 1e-9 * memory as f64 / rate);
        }
    }
}
