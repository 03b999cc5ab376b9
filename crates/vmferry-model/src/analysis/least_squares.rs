//! Straight lines and non-negative sums through points.

/// A straight line.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Line {
    /// Value at zero.
    pub(crate) intercept: f64,
    /// Growth per unit.
    pub(crate) slope: f64,
}

impl Line {
    /// The line with the least squares through at least two points of
    /// different `x`.
    pub(crate) fn through(points: impl Iterator<Item = (f64, f64)> + Clone) -> Option<Self> {
        let n = points.clone().count() as f64;
        let (x, y) = points
            .clone()
            .fold((0.0, 0.0), |(x, y), p| (x + p.0 / n, y + p.1 / n));
        let (xx, xy) = points.fold((0.0, 0.0), |(xx, xy), p| {
            (xx + (p.0 - x) * (p.0 - x), xy + (p.0 - x) * (p.1 - y))
        });
        (xx > 0.0).then(|| {
            let slope = xy / xx;
            Self {
                intercept: y - slope * x,
                slope,
            }
        })
    }

    /// Value at `x`.
    pub(crate) fn at(&self, x: f64) -> f64 {
        self.intercept + self.slope * x
    }
}

/// The coefficients, none negative, with which the columns come nearest to
/// `wanted` in least squares (Lawson and Hanson's active set; every inner
/// problem by orthogonalisation, as the columns are nearly parallel).
pub(crate) fn non_negative(columns: &[Vec<f64>], wanted: &[f64]) -> Vec<f64> {
    let mut x = vec![0.0; columns.len()];
    let mut free = vec![false; columns.len()];
    let scale = dot(wanted, wanted).sqrt();
    let norms: Vec<f64> = columns.iter().map(|c| dot(c, c).sqrt()).collect();
    // Each turn frees one column for good or meets a smaller residual; the bound only guards
    // against rounding in circles.
    for _ in 0..3 * columns.len() {
        let mut residual = wanted.to_vec();
        for (column, x) in columns.iter().zip(&x) {
            subtract(&mut residual, column, *x);
        }
        let gain = |j: usize| dot(&columns[j], &residual) / norms[j];
        let Some(best) = (0..columns.len())
            .filter(|j| !free[*j] && norms[*j] > 0.0)
            .max_by(|a, b| gain(*a).total_cmp(&gain(*b)))
            .filter(|j| gain(*j) > 1e-9 * scale)
        else {
            break;
        };
        free[best] = true;
        loop {
            let chosen: Vec<usize> = (0..columns.len()).filter(|j| free[*j]).collect();
            let solved = solve(columns, &chosen, wanted);
            // How far to go from the last solution until the first coefficient meets zero.
            let step = chosen
                .iter()
                .zip(&solved)
                .filter(|(_, s)| **s <= 0.0)
                .map(|(j, s)| x[*j] / (x[*j] - s))
                .fold(f64::INFINITY, f64::min);
            if step.is_infinite() {
                chosen.iter().zip(&solved).for_each(|(j, s)| x[*j] = *s);
                break;
            }
            let step = if step.is_nan() { 0.0 } else { step };
            for (j, s) in chosen.iter().zip(&solved) {
                x[*j] += step * (s - x[*j]);
                if *s <= 0.0 && x[*j] <= 1e-12 * scale / norms[*j] {
                    x[*j] = 0.0;
                    free[*j] = false;
                }
            }
            if free.iter().all(|free| !free) {
                break;
            }
        }
    }
    x
}

/// Least squares with the chosen columns, by modified Gram-Schmidt. A column
/// that depends on earlier ones gets zero.
fn solve(columns: &[Vec<f64>], chosen: &[usize], wanted: &[f64]) -> Vec<f64> {
    let n = chosen.len();
    let mut basis: Vec<Vec<f64>> = Vec::with_capacity(n);
    let mut r = vec![vec![0.0; n]; n];
    let mut rest = wanted.to_vec();
    let mut coordinates = vec![0.0; n];
    for (k, column) in chosen.iter().enumerate() {
        let mut q = columns[*column].clone();
        let before = dot(&q, &q).sqrt();
        // Twice is enough to be orthogonal to working precision.
        for _ in 0..2 {
            for (i, earlier) in basis.iter().enumerate() {
                let along = dot(earlier, &q);
                r[i][k] += along;
                subtract(&mut q, earlier, along);
            }
        }
        let norm = dot(&q, &q).sqrt();
        if norm > 1e-12 * before {
            r[k][k] = norm;
            q.iter_mut().for_each(|v| *v /= norm);
        } else {
            q.fill(0.0);
        }
        coordinates[k] = dot(&q, &rest);
        subtract(&mut rest, &q, coordinates[k]);
        basis.push(q);
    }
    let mut x = vec![0.0; n];
    for k in (0..n).rev() {
        if r[k][k] > 0.0 {
            let known: f64 = (k + 1..n).map(|j| r[k][j] * x[j]).sum();
            x[k] = (coordinates[k] - known) / r[k][k];
        }
    }
    x
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn subtract(from: &mut [f64], what: &[f64], times: f64) {
    for (from, what) in from.iter_mut().zip(what) {
        *from -= times * what;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_line_goes_through_its_points() {
        let line = Line::through([(1.0, 3.0), (2.0, 5.0), (4.0, 9.0)].into_iter()).unwrap();
        assert!((line.intercept - 1.0).abs() < 1e-12 && (line.slope - 2.0).abs() < 1e-12);
        assert_eq!(Line::through([(1.0, 3.0), (1.0, 4.0)].into_iter()), None);
    }

    #[test]
    fn a_negative_coefficient_becomes_zero() {
        // Without the bound: 2 and -1.
        let columns = [vec![1.0, 0.0, 1.0], vec![0.0, 1.0, 1.0]];
        let x = non_negative(&columns, &[2.0, -1.0, 1.0]);
        assert!((x[0] - 1.5).abs() < 1e-12 && x[1] == 0.0, "{x:?}");
    }

    proptest! {
        /// At the optimum no column with a coefficient of zero would gain by a
        /// positive one, and the others are orthogonal to the residual.
        #[test]
        fn is_optimal(
            columns in prop::collection::vec(prop::collection::vec(-1f64..1.0, 12), 1..8),
            wanted in prop::collection::vec(-1f64..1.0, 12),
        ) {
            let x = non_negative(&columns, &wanted);
            let mut residual = wanted.clone();
            columns.iter().zip(&x).for_each(|(c, x)| subtract(&mut residual, c, *x));
            for (column, x) in columns.iter().zip(&x) {
                let gain = dot(column, &residual);
                prop_assert!(*x >= 0.0 && gain < 1e-6, "{gain}");
                prop_assert!(*x == 0.0 || gain.abs() < 1e-6, "{x} {gain}");
            }
        }
    }
}
