//! Ridge regression through triangles of orthogonal decompositions.

use nalgebra::{DMatrix, DVector};

/// Rows `[x | y]` reduced to the triangle R of their QR decomposition. It holds
/// all that least squares needs of them, and triangles of parts join to the
/// triangle of the whole: that makes leaving a part out cheap.
#[derive(Clone, Debug)]
pub(super) struct Triangle(DMatrix<f64>);

impl Triangle {
    /// Of rows given one after another, each `width` long.
    pub(super) fn of(rows: &[f64], width: usize) -> Self {
        let count = rows.len() / width;
        // Rows of zeros change nothing, and make the triangle square.
        let mut matrix = DMatrix::zeros(count.max(width), width);
        for (i, row) in rows.chunks_exact(width).enumerate() {
            for (j, value) in row.iter().enumerate() {
                matrix[(i, j)] = *value;
            }
        }
        Self(matrix.qr().unpack_r())
    }

    /// Of the rows of all parts together.
    pub(super) fn joined<'a>(parts: impl Iterator<Item = &'a Self>, width: usize) -> Self {
        let mut rows = Vec::new();
        for part in parts {
            for i in 0..width {
                rows.extend(part.0.row(i).iter());
            }
        }
        Self::of(&rows, width)
    }

    /// The coefficients that minimise the squares plus the penalties' sum of
    /// `penalty[j] beta[j]^2`, each penalty above 0.
    pub(super) fn ridge(&self, penalties: &[f64]) -> DVector<f64> {
        let count = penalties.len();
        let width = count + 1;
        let mut rows: Vec<f64> = Vec::with_capacity((width + count) * width);
        for i in 0..width {
            rows.extend(self.0.row(i).iter());
        }
        for (j, penalty) in penalties.iter().enumerate() {
            rows.extend((0..width).map(|k| if k == j { penalty.sqrt() } else { 0.0 }));
        }
        let joined = Self::of(&rows, width).0;
        let (triangle, wanted) = (
            joined.view((0, 0), (count, count)),
            joined.view((0, count), (count, 1)),
        );
        // Penalties above 0 leave no zero on the diagonal.
        triangle
            .solve_upper_triangular(&wanted)
            .map_or_else(|| DVector::zeros(count), |found| found.column(0).into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn dot(a: &[f64], b: &[f64]) -> f64 {
        a.iter().zip(b).map(|(a, b)| a * b).sum()
    }

    proptest! {
        /// At the optimum the gradient is zero: X'(y - X beta) = penalty beta.
        #[test]
        fn is_optimal(
            rows in prop::collection::vec(prop::collection::vec(-2f64..2.0, 4), 1..20),
            penalty in 0.01f64..100.0,
            cut in 0usize..20,
        ) {
            let flat: Vec<f64> = rows.concat();
            let cut = cut.min(rows.len()) * 4;
            let parts = [Triangle::of(&flat[..cut], 4), Triangle::of(&flat[cut..], 4)];
            let found = Triangle::joined(parts.iter(), 4).ridge(&[penalty; 3]);
            let beta = found.as_slice();
            for (j, coefficient) in beta.iter().enumerate() {
                let pull: f64 = rows.iter().map(|r| r[j] * (r[3] - dot(&r[..3], beta))).sum();
                prop_assert!((pull - penalty * coefficient).abs() < 1e-8, "{pull}");
            }
        }
    }
}
