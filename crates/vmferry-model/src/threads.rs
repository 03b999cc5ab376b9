//! Work shared out among threads.

use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

/// Computes `count` answers with so many threads; they come back in order,
/// whoever computed them. `None` where a thread panicked before it handed its
/// answers over.
pub(crate) fn in_parallel<T: Send>(
    threads: NonZeroUsize,
    count: usize,
    answer: impl Fn(usize) -> T + Sync,
) -> Vec<Option<T>> {
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
    let mut answers: Vec<Option<T>> = Vec::new();
    answers.resize_with(count, || None);
    let workers = threads.get().min(count.max(1));
    thread::scope(|scope| {
        let others: Vec<_> = (1..workers).map(|_| scope.spawn(work)).collect();
        let mine = work();
        let theirs = others.into_iter().filter_map(|other| other.join().ok());
        for (number, answer) in theirs.flatten().chain(mine) {
            answers[number] = Some(answer);
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
            let answers = in_parallel(threads, 100, |n| n * n);
            let squares: Vec<Option<usize>> = (0..100).map(|n| Some(n * n)).collect();
            assert_eq!(answers, squares);
            assert!(in_parallel(threads, 0, |n| n).is_empty());
        }
    }
}
