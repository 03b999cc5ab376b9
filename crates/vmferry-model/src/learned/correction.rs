//! How measured costs differ from physics, learned from earlier moves.

use vmferry_core::Interval;

use super::groups::parts;
use super::physics::TRAITS;
use super::ridge::Triangle;

/// Traits whose squares and products count too.
const SQUARED: usize = 4;
/// A constant, the traits, and squares and products.
const FEATURES: usize = 1 + TRAITS + SQUARED * (SQUARED + 1) / 2;
/// Parts that are left out in turn.
const PARTS: usize = 8;
/// Penalties that are tried on every coefficient but the constant.
const STRENGTHS: [f64; 7] = [0.1, 1.0, 10.0, 100.0, 1e3, 1e4, 1e6];
/// Penalty of the constant: physics is believed within a factor of e.
const CONSTANT: f64 = 0.1;
/// A stronger penalty is preferred when it is worse by no more than this
/// share: simpler models err less on what nobody has seen.
const TOLERANCE: f64 = 0.01;

/// One move as the correction sees it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lesson {
    pub(super) traits: [f64; TRAITS],
    /// ln(measured / physics).
    pub(super) residual: f64,
    /// What the guest did: moves of one workload are left out together.
    pub(super) workload: usize,
}

/// A factor on what physics says, as a logarithm.
#[derive(Clone, Debug)]
pub(super) struct Correction {
    scale: Scale,
    coefficients: Vec<f64>,
    /// What the factor did not explain of moves that were left out, sorted.
    errors: Vec<f64>,
}

impl Correction {
    /// Learns from at least one lesson. Every strength is tried with workloads
    /// left out in turn (moves, where there is but one workload); the best
    /// one stays, or none where physics alone errs least.
    pub(super) fn of(lessons: &[Lesson]) -> Self {
        let (mut part, mut count) = parts(lessons.iter().map(|l| l.workload), PARTS);
        if count < 2 {
            (part, count) = parts(0..lessons.len(), PARTS);
        }
        let scale = Scale::of(lessons.iter());
        let triangles: Vec<Triangle> = (0..count)
            .map(|out| {
                let members = lessons.iter().zip(&part).filter(|(_, p)| **p == out);
                triangle(members.map(|(lesson, _)| lesson), &scale)
            })
            .collect();
        let mut tried = vec![vec![0.0; lessons.len()]; STRENGTHS.len()];
        for out in 0..count {
            let rest = triangles.iter().enumerate().filter(|(i, _)| *i != out);
            let rest = Triangle::joined(rest.map(|(_, t)| t), FEATURES + 1);
            let others = lessons.iter().zip(&part).filter(|(_, p)| **p != out);
            let seen = scale.bounded_by(others.map(|(lesson, _)| lesson));
            let fits = STRENGTHS.map(|strength| rest.ridge(&penalties(strength)));
            let members = (0..lessons.len()).filter(|i| part[*i] == out);
            for i in members {
                let features = seen.features(&lessons[i].traits);
                for (errors, fit) in tried.iter_mut().zip(&fits) {
                    errors[i] = lessons[i].residual - dot(&features, fit.as_slice());
                }
            }
        }
        let physics: Vec<f64> = lessons.iter().map(|l| l.residual).collect();
        let best = tried
            .iter()
            .map(|e| mean_size(e))
            .fold(f64::INFINITY, f64::min);
        let near = |errors: &[f64]| mean_size(errors) <= best * (1.0 + TOLERANCE);
        let (coefficients, mut errors) = if near(&physics) || count < 2 {
            (vec![0.0; FEATURES], physics)
        } else {
            let chosen = tried.iter().rposition(|errors| near(errors)).unwrap_or(0);
            let whole = Triangle::joined(triangles.iter(), FEATURES + 1);
            let fit = whole.ridge(&penalties(STRENGTHS[chosen]));
            (fit.as_slice().to_vec(), tried.swap_remove(chosen))
        };
        errors.sort_by(f64::total_cmp);
        Self {
            scale,
            coefficients,
            errors,
        }
    }

    /// The factor on physics, with the interval in which nine of ten unseen
    /// moves fell (split conformal: ranks of n + 1; the extremes below 19
    /// moves). Beyond what was seen the factor stays as at the edge, and
    /// physics alone goes on.
    pub(super) fn factor(&self, traits: &[f64; TRAITS]) -> Interval<f64> {
        let middle = dot(&self.scale.features(traits), &self.coefficients);
        let (n, last) = (self.errors.len() as f64, self.errors.len() - 1);
        let low = ((n + 1.0) * 0.05).floor() as usize;
        let high = ((n + 1.0) * 0.95).ceil() as usize;
        let low = self.errors[low.saturating_sub(1).min(last)].min(0.0);
        let high = self.errors[high.saturating_sub(1).min(last)].max(0.0);
        Interval {
            p5: (middle + low).exp(),
            p50: middle.exp(),
            p95: (middle + high).exp(),
        }
    }
}

fn penalties(strength: f64) -> [f64; FEATURES] {
    let mut penalties = [strength; FEATURES];
    penalties[0] = CONSTANT;
    penalties
}

fn triangle<'a>(lessons: impl Iterator<Item = &'a Lesson>, scale: &Scale) -> Triangle {
    let mut rows = Vec::new();
    for lesson in lessons {
        rows.extend(scale.features(&lesson.traits));
        rows.push(lesson.residual);
    }
    Triangle::of(&rows, FEATURES + 1)
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn mean_size(errors: &[f64]) -> f64 {
    errors.iter().map(|e| e.abs()).sum::<f64>() / errors.len() as f64
}

/// Traits brought to mean 0 and standard deviation 1, and held within what
/// was seen.
#[derive(Clone, Debug)]
struct Scale {
    mean: [f64; TRAITS],
    /// 1 over the standard deviation; 0 where a trait never varies.
    inverse: [f64; TRAITS],
    least: [f64; TRAITS],
    most: [f64; TRAITS],
}

impl Scale {
    fn of<'a>(lessons: impl Iterator<Item = &'a Lesson> + Clone) -> Self {
        let n = lessons.clone().count().max(1) as f64;
        let mut mean = [0.0; TRAITS];
        let mut inverse = [0.0; TRAITS];
        for j in 0..TRAITS {
            mean[j] = lessons.clone().map(|l| l.traits[j]).sum::<f64>() / n;
            let squares = lessons.clone().map(|l| (l.traits[j] - mean[j]).powi(2));
            let sd = (squares.sum::<f64>() / n).sqrt();
            inverse[j] = if sd > 1e-6 { 1.0 / sd } else { 0.0 };
        }
        Self {
            mean,
            inverse,
            least: [0.0; TRAITS],
            most: [0.0; TRAITS],
        }
        .bounded_by(lessons)
    }

    fn bounded_by<'a>(&self, lessons: impl Iterator<Item = &'a Lesson>) -> Self {
        let mut bounded = Self {
            least: [f64::INFINITY; TRAITS],
            most: [f64::NEG_INFINITY; TRAITS],
            ..self.clone()
        };
        for lesson in lessons {
            for (j, value) in lesson.traits.iter().enumerate() {
                bounded.least[j] = bounded.least[j].min(*value);
                bounded.most[j] = bounded.most[j].max(*value);
            }
        }
        bounded
    }

    fn features(&self, traits: &[f64; TRAITS]) -> [f64; FEATURES] {
        let mut features = [1.0; FEATURES];
        for (j, value) in traits.iter().enumerate() {
            let held = value.min(self.most[j]).max(self.least[j]);
            features[1 + j] = (held - self.mean[j]) * self.inverse[j];
        }
        let mut next = 1 + TRAITS;
        for i in 0..SQUARED {
            for j in i..SQUARED {
                features[next] = features[1 + i] * features[1 + j];
                next += 1;
            }
        }
        features
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lesson(x: f64, residual: f64, workload: usize) -> Lesson {
        Lesson {
            traits: [x, 0.0, 0.0, 0.0, 0.0, 0.0],
            residual,
            workload,
        }
    }

    #[test]
    fn a_constant_factor_is_found() {
        let lessons: Vec<_> = (0..40)
            .map(|i| lesson(f64::from(i), 0.7, i as usize % 5))
            .collect();
        let factor = Correction::of(&lessons).factor(&lessons[3].traits);
        assert!((factor.p50 - 0.7f64.exp()).abs() < 0.02, "{factor:?}");
        assert!(factor.p5 <= factor.p50 && factor.p50 <= factor.p95);
    }

    #[test]
    fn a_slope_is_found_and_not_carried_on() {
        let at = |i: i32| f64::from(i) / 10.0;
        let lessons: Vec<_> = (0..100)
            .map(|i| lesson(at(i), 0.1 * at(i), i as usize % 5))
            .collect();
        let correction = Correction::of(&lessons);
        let factor = |x: f64| correction.factor(&[x, 0.0, 0.0, 0.0, 0.0, 0.0]).p50.ln();
        assert!((factor(5.0) - 0.5).abs() < 0.05, "{}", factor(5.0));
        assert_eq!(factor(1e3), factor(9.9));
    }

    #[test]
    fn noise_of_workloads_widens_the_interval_and_teaches_nothing() {
        // Every workload has a factor of its own, half above 1 and half below.
        let own = |w: usize| if w.is_multiple_of(2) { 0.5 } else { -0.5 };
        let lessons: Vec<_> = (0..200)
            .map(|i| lesson(f64::from(i % 7), own(i as usize % 6), i as usize % 6))
            .collect();
        let factor = Correction::of(&lessons).factor(&lessons[0].traits);
        assert!(factor.p50.ln().abs() < 0.15, "{factor:?}");
        assert!(factor.p5.ln() < -0.4 && factor.p95.ln() > 0.4, "{factor:?}");
    }
}
