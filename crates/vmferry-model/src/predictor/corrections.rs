//! Multiplicative corrections per guest and per route, from earlier outcomes.
//!
//! A normal model of the logarithms of measured over forecast, in two levels:
//! routes differ from each other, guests on a route differ from the route, and
//! moves of a guest from each other. Every level is shrunk towards the one
//! above it by what is known of the noise (the best linear unbiased predictor;
//! Robinson 1991), so that with few moves a correction stays near 1.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Quantity;

/// Weight of what earlier moves of a guest told, from move to move: the last
/// ten count.
const GUEST_MEMORY: f64 = 0.9;
/// The same for a route.
const ROUTE_MEMORY: f64 = 0.98;
/// The noise is believed as if so many moves had told it.
const PRIOR_MOVES: f64 = 4.0;
/// No error counts for more: a factor of about 4.5 either way.
const MOST: f64 = 1.5;
/// A route is known by moves of different guests; as if their spread took so
/// many moves of one to average out.
const ROUTE_MOVES: f64 = 3.0;

/// How much the logarithms of measured over forecast are believed to differ.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Spread {
    /// From move to move of one guest.
    pub(crate) noise: f64,
    /// From guest to guest.
    pub(crate) guests: f64,
}

/// Repeats of one migration differ by 1-2 % in time and as much in traffic,
/// downtimes by tens of percent (QEMU 10, TCG). How far guests differ depends
/// on the model; these ranges hardly shrink what three moves agree on.
pub(crate) const fn believed(quantity: Quantity) -> Spread {
    match quantity {
        Quantity::TotalTime | Quantity::Transferred => Spread {
            noise: 0.03,
            guests: 0.2,
        },
        Quantity::Downtime => Spread {
            noise: 0.2,
            guests: 0.3,
        },
    }
}

/// Errors of one guest on one route, or of one route.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Cell {
    /// Moves, old ones counting less.
    weight: f64,
    /// Mean of ln(measured / forecast).
    mean: f64,
    /// Moves, all counting one.
    moves: u32,
}

impl Cell {
    fn after(self, error: f64, memory: f64) -> Self {
        let weight = memory * self.weight + 1.0;
        Self {
            weight,
            mean: self.mean + (error - self.mean) / weight,
            moves: self.moves + 1,
        }
    }
}

/// What a correction is to be made for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Who<'a> {
    /// The guest's identity.
    pub guest: Option<&'a str>,
    /// The route's.
    pub route: Option<&'a str>,
}

/// A correction and what it rests on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Correction {
    /// Factor for what the model says; above 0.
    pub factor: f64,
    /// Earlier moves of the guest behind it.
    pub guest_moves: u32,
    /// Earlier moves over the route behind it.
    pub route_moves: u32,
}

impl Correction {
    /// None.
    pub const NONE: Self = Self {
        factor: 1.0,
        guest_moves: 0,
        route_moves: 0,
    };
}

/// What earlier errors of one quantity taught. A value: it can be stored and
/// read again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Corrections {
    noise: f64,
    guest_spread: f64,
    routes: BTreeMap<String, Cell>,
    /// By guest, then by route.
    guests: BTreeMap<String, BTreeMap<String, Cell>>,
    /// Squared deviations of moves from their guest's mean, and their number.
    squares: f64,
    freedom: f64,
}

impl Corrections {
    /// Nothing learned yet of a quantity.
    pub fn new(quantity: Quantity) -> Self {
        let Spread { noise, guests } = believed(quantity);
        Self {
            noise,
            guest_spread: guests,
            routes: BTreeMap::new(),
            guests: BTreeMap::new(),
            squares: 0.0,
            freedom: 0.0,
        }
    }

    /// After another move, whose uncorrected forecast was wrong by `error` =
    /// ln(measured / forecast). An error that is no number is passed over.
    #[must_use]
    pub fn after(mut self, who: Who<'_>, error: f64) -> Self {
        if !error.is_finite() {
            return self;
        }
        let error = error.clamp(-MOST, MOST);
        let route = who.route.unwrap_or_default();
        let on_route = self.routes.entry(route.to_owned()).or_default();
        *on_route = on_route.after(error, ROUTE_MEMORY);
        if let Some(guest) = who.guest {
            let cells = self.guests.entry(guest.to_owned()).or_default();
            let cell = cells.entry(route.to_owned()).or_default();
            if cell.weight > 0.0 {
                let off = (error - cell.mean).powi(2) * cell.weight / (cell.weight + 1.0);
                // A guest that changed is no noise.
                self.squares += off.min(9.0 * self.noise * self.noise);
                self.freedom += 1.0;
            }
            *cell = cell.after(error, GUEST_MEMORY);
        }
        self
    }

    /// A guest has changed: what it taught before counts no more, and its mean
    /// error over the moves since is `mean`.
    #[must_use]
    pub fn changed(mut self, guest: &str, mean: f64, moves: u32) -> Self {
        if let Some(cells) = self.guests.get_mut(guest) {
            for cell in cells.values_mut() {
                *cell = Cell {
                    weight: f64::from(moves),
                    mean: mean.clamp(-MOST, MOST),
                    moves,
                };
            }
        }
        self
    }

    /// Variance between moves of one guest.
    fn variance(&self) -> f64 {
        let believed = PRIOR_MOVES * self.noise * self.noise;
        (believed + self.squares) / (PRIOR_MOVES + self.freedom)
    }

    /// What to multiply a forecast with.
    pub fn correction(&self, who: Who<'_>) -> Correction {
        let name = who.route.unwrap_or_default();
        let spread = self.guest_spread * self.guest_spread;
        let ratio = self.variance() / spread;
        let route = self.routes.get(name).copied().unwrap_or_default();
        let on_route = self.shrunk(name);
        let cells = who.guest.and_then(|guest| self.guests.get(guest));
        // What the guest showed on other routes, against these; all of it where
        // the route to come is unknown, for it may be any of them.
        let of_route = |other: &str| who.route.map_or(0.0, |_| self.shrunk(other));
        let elsewhere = cells
            .into_iter()
            .flatten()
            .filter(|(other, _)| *other != name);
        let (weight, sum) = elsewhere.fold((0.0, 0.0), |(weight, sum), (other, cell)| {
            let own = cell.mean - of_route(other);
            (weight + cell.weight, sum + cell.weight * own)
        });
        let before = on_route + sum / (weight + ratio).max(f64::MIN_POSITIVE);
        let cell = cells
            .and_then(|cells| cells.get(name))
            .copied()
            .unwrap_or_default();
        let told = cell.weight / (cell.weight + ratio);
        let log = told * cell.mean + (1.0 - told) * before;
        Correction {
            factor: log.exp(),
            guest_moves: cells.map_or(0, |cells| cells.values().map(|c| c.moves).sum()),
            route_moves: route.moves,
        }
    }

    /// A route's mean error, drawn towards none.
    fn shrunk(&self, route: &str) -> f64 {
        self.routes.get(route).map_or(0.0, |cell| {
            cell.mean * cell.weight / (cell.weight + ROUTE_MOVES)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const DB: Who<'_> = Who {
        guest: Some("db"),
        route: Some("a-b"),
    };

    fn taught(who: Who<'_>, errors: &[f64]) -> Corrections {
        let start = Corrections::new(Quantity::TotalTime);
        errors
            .iter()
            .fold(start, |state, error| state.after(who, *error))
    }

    #[test]
    fn three_moves_that_agree_are_believed_and_one_is_doubted() {
        let off = 1.2f64.ln();
        let factor = |moves: usize| taught(DB, &vec![off; moves]).correction(DB).factor;
        assert_eq!(factor(0), 1.0);
        assert!(factor(1) > 1.15 && factor(1) < 1.2, "{}", factor(1));
        assert!((factor(3) / 1.2 - 1.0).abs() < 0.01, "{}", factor(3));
        // Another guest on the same route learns of the route only.
        let stranger = Who {
            guest: Some("web"),
            ..DB
        };
        let of_route = taught(DB, &[off; 3]).correction(stranger);
        assert!((1.05..1.12).contains(&of_route.factor), "{of_route:?}");
        assert_eq!((of_route.guest_moves, of_route.route_moves), (0, 3));
        // And elsewhere nothing is known of either.
        let nobody = Who {
            guest: Some("web"),
            route: Some("b-c"),
        };
        assert_eq!(taught(DB, &[off; 3]).correction(nobody).factor, 1.0);
    }

    #[test]
    fn a_guest_takes_its_ways_to_another_route() {
        let mut state = Corrections::new(Quantity::TotalTime);
        for k in 0..10 {
            for guest in ["web", "mail", "file"] {
                state = state.after(
                    Who {
                        guest: Some(guest),
                        ..DB
                    },
                    0.02 * (k % 2) as f64,
                );
            }
        }
        for _ in 0..5 {
            state = state.after(DB, 0.2);
        }
        let there = Who {
            route: Some("b-c"),
            ..DB
        };
        let factor = state.correction(there).factor;
        assert!((1.1..1.2).contains(&factor), "{factor}");
    }

    #[test]
    fn a_guest_is_known_where_its_route_is_not() {
        let somewhere = Who { route: None, ..DB };
        let factor = taught(DB, &[0.2; 3]).correction(somewhere).factor;
        assert!((factor.ln() - 0.2).abs() < 0.01, "{factor}");
    }

    #[test]
    fn after_a_change_only_what_came_later_counts() {
        let state = taught(DB, &[0.0; 20]).changed("db", 0.3, 4);
        assert!((state.correction(DB).factor - 0.3f64.exp()).abs() < 0.02);
    }

    #[test]
    fn is_stored_and_read_again() {
        let state = taught(DB, &[0.1, 0.2]);
        let text = serde_json::to_string(&state).unwrap();
        assert_eq!(serde_json::from_str::<Corrections>(&text).unwrap(), state);
    }

    proptest! {
        #[test]
        fn perfect_forecasts_are_not_corrected(guests in prop::collection::vec((0usize..4, 0usize..3), 0..40)) {
            let names = ["a", "b", "c", "d"];
            let mut state = Corrections::new(Quantity::Downtime);
            for (guest, route) in guests {
                let who = Who { guest: names.get(guest).copied(), route: names.get(route).copied() };
                state = state.after(who, 0.0);
            }
            for guest in names {
                let who = Who { guest: Some(guest), route: Some("a") };
                prop_assert_eq!(state.correction(who).factor, 1.0);
            }
        }

        /// The same error again and again is approached, never passed.
        #[test]
        fn corrections_never_overshoot(error in -1f64..1.0, moves in 1usize..30) {
            let shorter = taught(DB, &vec![error; moves]).correction(DB).factor.ln();
            let longer = taught(DB, &vec![error; moves + 1]).correction(DB).factor.ln();
            prop_assert!(shorter.abs() <= error.abs() + 1e-12);
            prop_assert!((error - longer).abs() <= (error - shorter).abs() + 1e-12);
        }
    }
}
