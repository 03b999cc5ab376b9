//! Work shared out among threads.

use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use super::SweepError;

/// Computes `count` answers with so many threads; they come back in order,
/// whoever computed them.
pub(super) fn in_parallel<T: Send>(
    threads: NonZeroUsize,
    count: usize,
    answer: impl Fn(usize) -> Result<T, SweepError> + Sync,
) -> Vec<Result<T, SweepError>> {
    let next = AtomicUsize::new(0);
    let work = || {
        let mut done = Vec::new();
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= count {
                return done;
            }
            done.push((number, answer(number)));
        }
    };
    let mut answers: Vec<Result<T, SweepError>> = Vec::new();
    answers.resize_with(count, || Err(SweepError::Thread));
    let workers = threads.get().min(count.max(1));
    thread::scope(|scope| {
        let others: Vec<_> = (1..workers).map(|_| scope.spawn(work)).collect();
        let mine = work();
        let theirs = others.into_iter().filter_map(|other| other.join().ok());
        for (number, answer) in theirs.flatten().chain(mine) {
            answers[number] = answer;
        }
    });
    answers
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_come_in_order() {
        for threads in [1, 2, 7] {
            let threads = NonZeroUsize::new(threads).unwrap();
            let answers = in_parallel(threads, 100, |n| match n {
                50 => Err(SweepError::Thread),
                n => Ok(n * n),
            });
            for (n, answer) in answers.into_iter().enumerate() {
                assert_eq!(answer.ok(), (n != 50).then_some(n * n));
            }
            assert!(in_parallel(threads, 0, Ok).is_empty());
        }
    }
}
