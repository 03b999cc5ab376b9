//! Time moved so that sampled dirt flows evenly.

/// Share of the mean amount that is taken to flow at all times.
const TRICKLE: f64 = 0.05;

/// A clock on which the recorded dirt flows evenly.
///
/// Each page of a sample stands for many, so a pass of 50 ms finds a handful of them, more or fewer
/// by a quarter than the pages they stand for would show. QEMU switches over at the first pass that
/// finds little enough, so that noise would end replays too early. Instants of the replay are
/// therefore moved to where as much was written before them as the mean of the time around says:
/// the less time the more pages were seen written, at most 0.2 s to either side. Which pages are
/// written in which order stays as recorded.
#[derive(Clone, Debug)]
pub(super) struct EvenTime<'a> {
    /// Instants of the looks, seconds.
    looks: &'a [f64],
    /// Pages written before each look, as recorded.
    recorded: Vec<f64>,
    /// The same, evened out.
    even: Vec<f64>,
}

impl<'a> EvenTime<'a> {
    /// `amounts` are the pages written in each interval; `even_over` seconds to either side are
    /// evened out.
    pub(super) fn new(looks: &'a [f64], amounts: &[f64], even_over: f64) -> Self {
        let window = looks[looks.len() - 1];
        // A trickle keeps time going where nothing is written.
        let trickle = (TRICKLE * amounts.iter().sum::<f64>() / window).max(1.0);
        let total = amounts.iter().sum::<f64>() + trickle * window;
        let cumulated = |each: &dyn Fn(usize) -> f64| {
            let mut sum = 0.0;
            let mut all = Vec::with_capacity(looks.len());
            all.push(0.0);
            for k in 0..amounts.len() {
                sum += each(k);
                all.push(sum);
            }
            all
        };
        let recorded = cumulated(&|k| amounts[k] + trickle * (looks[k + 1] - looks[k]));
        // The window comes round again, so what precedes its begin is its end.
        let before = |instant: f64| {
            let rounds = (instant / window).floor();
            rounds * total + read(looks, &recorded, instant - rounds * window)
        };
        let half = even_over.min(window / 2.0);
        let mut even = cumulated(&|k| {
            let (start, end) = (looks[k], looks[k + 1]);
            if half <= 0.0 {
                return before(end) - before(start);
            }
            let middle = start.midpoint(end);
            (before(middle + half) - before(middle - half)) / (2.0 * half) * (end - start)
        });
        let sum = even[even.len() - 1];
        even.iter_mut().for_each(|pages| *pages *= total / sum);
        Self {
            looks,
            recorded,
            even,
        }
    }

    /// The recorded instant at which as much was written as evenly by `instant`.
    pub(super) fn recorded_at(&self, instant: f64) -> f64 {
        let window = self.looks[self.looks.len() - 1];
        if instant <= 0.0 || instant >= window {
            return instant;
        }
        read(
            &self.recorded,
            self.looks,
            read(self.looks, &self.even, instant),
        )
    }
}

/// The piecewise linear function through the points given, whose `x` never fall.
fn read(x: &[f64], y: &[f64], at: f64) -> f64 {
    let next = x.partition_point(|x| *x <= at).clamp(1, x.len() - 1);
    let (x0, x1) = (x[next - 1], x[next]);
    let part = if x1 > x0 {
        ((at - x0) / (x1 - x0)).clamp(0.0, 1.0)
    } else {
        1.0
    };
    y[next - 1] + part * (y[next] - y[next - 1])
}
