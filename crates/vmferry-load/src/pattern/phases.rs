//! Phases in turn, again and again.

use std::time::Duration;

use super::Run;
use crate::clock::{self, Nanos};
use crate::tally::Tally;

/// Patterns and how long each lasts.
pub(crate) struct Phases {
    phases: Vec<(Duration, Box<dyn Run>)>,
}

impl Phases {
    pub(crate) fn new(phases: Vec<(Duration, Box<dyn Run>)>) -> Self {
        Self { phases }
    }
}

impl Run for Phases {
    fn run(&mut self, until: Option<Nanos>, tally: &Tally) {
        loop {
            for (time, phase) in &mut self.phases {
                let now = clock::now();
                if until.is_some_and(|until| now >= until) {
                    return;
                }
                let end = now + clock::nanos(*time);
                phase.run(Some(until.map_or(end, |until| end.min(until))), tally);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::rc::Rc;

    use super::*;

    struct Note(u64, Rc<RefCell<Vec<u64>>>);

    impl Run for Note {
        fn run(&mut self, until: Option<Nanos>, _: &Tally) {
            self.1.borrow_mut().push(self.0);
            clock::sleep_until(until.unwrap_or(0));
        }
    }

    #[test]
    fn phases_take_turns() {
        let notes = Rc::new(RefCell::new(Vec::new()));
        let phase = |name| {
            let note: Box<dyn Run> = Box::new(Note(name, Rc::clone(&notes)));
            (Duration::from_millis(1), note)
        };
        let mut phases = Phases::new(vec![phase(1), phase(2), phase(3)]);
        while notes.borrow().len() < 7 {
            phases.run(
                Some(clock::now() + 4 * clock::MILLISECOND),
                &Tally::default(),
            );
            notes.borrow_mut().push(0);
        }
        for run in notes.borrow().split(|note| *note == 0) {
            let turns = (0..run.len() as u64).map(|turn| turn % 3 + 1);
            assert!(run.iter().copied().eq(turns), "{notes:?}");
        }
    }
}
