//! Choosing guests: the paper's numbers, and what must hold of every choice.

use proptest::prelude::*;
use vmferry_core::{Bytes, Joules, Millis};
use vmferry_model::SUFFICIENT_PROBABILITY;
use vmferry_model::choice::{
    ALWAYS_EXACT, ChoiceError, Cores, Demand, Exclusion, MoveCost, Preset, Profile, Proof, Term,
    Terms, Verdict, Weights, Worth, choose, rank,
};
use vmferry_model::schedule::{EnergyModel, LIU2011_ENERGY};

/// `E[J] = 0.512 V[MB] + 20.165` (`liu2011` eq. 17).
fn energy(megabytes: f64) -> Joules {
    match LIU2011_ENERGY {
        EnergyModel::Traffic {
            per_megabyte,
            per_move,
        } => Joules(per_megabyte * megabytes) + per_move,
        EnergyModel::Power(_) => unreachable!("the paper's energy goes by traffic"),
    }
}

fn guest(name: &str, downtime_ms: f64, seconds: f64, megabytes: f64) -> Profile {
    Profile {
        name: name.into(),
        memory: Some(Bytes::from_mib(800)),
        cpu: Some(Cores(0.5)),
        converges_probability: 1.0,
        cost: Some(MoveCost {
            downtime: Millis(downtime_ms),
            total_time: Millis(seconds * 1e3),
            transferred: Bytes((megabytes * 1e6) as u64),
            energy: Some(energy(megabytes)),
        }),
    }
}

#[test]
fn the_papers_saving_of_energy_follows_from_its_saving_of_traffic() {
    // Section 5.4: guests of 800 MB (or MiB), traffic -74.5 %, energy -73.6 %. The
    // guest chosen, TPC-C, sends little more than its memory once (section 5.3).
    for megabytes in [800.0, 838.9] {
        let at_random = megabytes / (1.0 - 0.745);
        let saved = 1.0 - energy(megabytes).0 / energy(at_random).0;
        assert!((saved - 0.736).abs() < 0.0006, "{megabytes} MB: {saved}");
    }
}

#[test]
fn the_cost_is_the_papers_formula() {
    let guests = [
        guest("dbench", 500.0, 20.0, 1600.0),
        guest("linpack", 2000.0, 30.0, 2400.0),
        guest("specweb", 1500.0, 40.0, 3200.0),
        guest("tpc-c", 100.0, 10.0, 850.0),
    ];
    let weights = Preset::Balanced.weights();
    let ranking = rank(&guests, weights).unwrap();
    let names: Vec<&str> = ranking
        .ranked
        .iter()
        .map(|ranked| guests[ranked.index].name.as_str())
        .collect();
    assert_eq!(names, ["tpc-c", "dbench", "linpack", "specweb"]);
    assert_eq!(ranking.scale.downtime, 2000.0);
    assert_eq!(ranking.scale.time, 40e3);
    let best = &ranking.ranked[0];
    let by_hand = 0.25
        * (100.0 / 2000.0
            + 10.0 / 40.0
            + 850.0 / 3200.0
            + (0.512 * 850.0 + 20.165) / (0.512 * 3200.0 + 20.165));
    assert!((best.cost - by_hand).abs() < 1e-12, "{}", best.cost);
    assert!((best.parts.sum() - best.cost).abs() < 1e-12);

    // Guided by it "we always choose a VM running TPC-C" (section 5.4), whatever
    // the weights: it is the least in all four.
    for preset in [
        Preset::Downtime,
        Preset::Time,
        Preset::Traffic,
        Preset::Energy,
    ] {
        let ranking = rank(&guests, preset.weights()).unwrap();
        let choice = choose(&guests, &ranking, Demand::Count(1), None).unwrap();
        assert_eq!(choice.pick.members, [3], "{preset:?}");
        assert_eq!(
            choice.weight_change, None,
            "{preset:?}: nothing beats the least"
        );
    }
}

#[test]
fn what_would_change_the_order() {
    let guests = [
        guest("quick", 900.0, 5.0, 400.0),
        guest("smooth", 100.0, 20.0, 600.0),
    ];
    let weights: Weights = "downtime=0.3,time=0.7".parse().unwrap();
    let ranking = rank(&guests, weights).unwrap();
    let choice = choose(&guests, &ranking, Demand::Count(1), None).unwrap();
    assert_eq!(choice.pick.members, [0]);
    let change = choice.weight_change.unwrap();
    // a + 0.25 (1 - a) = a / 9 + (1 - a)  =>  a = 0.75 / (0.75 + 8/9)
    let level = 0.75 / (0.75 + 8.0 / 9.0);
    assert!((change.to - level).abs() < 1e-12, "{change:?}");
    assert_eq!(change.then, [1]);
    let change = choice.forecast_change.unwrap();
    // The time of smooth has to fall, and is the largest until then: with t of it
    // quick costs 0.3 + 0.7 x 5 s / t, and smooth 0.3/9 + 0.7.
    let to = 0.7 * 5e3 / (0.3 / 9.0 + 0.7 - 0.3);
    assert_eq!(change.term, Term::Time);
    assert!((change.to - to).abs() < 1e-6, "{change:?}");
}

#[test]
fn moving_nothing_is_an_option() {
    let guests = [
        guest("a", 200.0, 10.0, 800.0),
        guest("b", 400.0, 20.0, 900.0),
    ];
    let weights: Weights = "downtime=0.5,time=0.5".parse().unwrap();
    let ranking = rank(&guests, weights).unwrap();
    let worth = |downtime, seconds: f64| Worth {
        downtime_ms: Some(Millis(downtime)),
        total_time_ms: Some(Millis(seconds * 1e3)),
        ..Worth::default()
    };
    let one = |worth| choose(&guests, &ranking, Demand::Count(1), Some(&worth)).unwrap();
    assert_eq!(one(worth(300.0, 10.0)).verdict, Verdict::Move);
    let stays = one(worth(100.0, 10.0));
    assert!(
        matches!(stays.verdict, Verdict::NotWorth { cheapest, staying }
        if cheapest == 0.5 && staying == 0.375)
    );
    assert!(stays.pick.members.is_empty());
    assert_eq!(stays.runner_up.unwrap().members, [0]);

    let three = choose(&guests, &ranking, Demand::Count(3), None).unwrap();
    assert_eq!(three.verdict, Verdict::NotEnough { most: 2.0 });
    let much = choose(
        &guests,
        &ranking,
        Demand::Memory(Bytes::from_mib(1601)),
        None,
    )
    .unwrap();
    assert_eq!(
        much.verdict,
        Verdict::NotEnough {
            most: Bytes::from_mib(1600).0 as f64
        }
    );
    assert!(matches!(
        choose(&guests, &ranking, Demand::Count(1), Some(&Worth::default())),
        Err(ChoiceError::Worth {
            term: Term::Downtime
        })
    ));
    assert!(matches!(
        choose(&guests, &ranking, Demand::Count(0), None),
        Err(ChoiceError::Demand { .. })
    ));
}

#[test]
fn what_is_unknown_is_said() {
    let mut guests = vec![
        guest("a", 200.0, 10.0, 800.0),
        guest("b", 400.0, 20.0, 900.0),
    ];
    guests[0].cost = None;
    let ranking = rank(&guests, Preset::Balanced.weights()).unwrap();
    assert_eq!(ranking.excluded, [(0, Exclusion::CostUnknown)]);
    guests[1].cost.as_mut().unwrap().energy = None;
    assert!(matches!(
        rank(&guests, Preset::Balanced.weights()),
        Err(ChoiceError::NoEnergy { .. })
    ));
    rank(&guests, Preset::Balanced.weights().without_energy()).unwrap();
    guests[1].name = "a".into();
    assert!(matches!(
        rank(&guests, Preset::Balanced.weights()),
        Err(ChoiceError::SameName { .. })
    ));
}

prop_compose! {
    fn any_guest()(
        downtime in 0.0..3000.0f64,
        seconds in 0.1..60.0f64,
        megabytes in 10.0..4000.0f64,
        mib in 128u64..4096,
        cores in 0.0..4.0f64,
        probability in prop_oneof![3 => Just(1.0), 1 => 0.0..1.0f64],
        known in prop::bool::weighted(0.9),
    ) -> Profile {
        let mut guest = guest("", downtime, seconds, megabytes);
        guest.memory = Some(Bytes::from_mib(mib));
        guest.cpu = known.then_some(Cores(cores));
        guest.converges_probability = probability;
        guest
    }
}

fn any_guests(most: usize) -> impl Strategy<Value = Vec<Profile>> {
    prop::collection::vec(any_guest(), 1..=most).prop_map(|mut guests| {
        for (i, guest) in guests.iter_mut().enumerate() {
            guest.name = format!("guest-{i}");
        }
        guests
    })
}

fn any_weights() -> impl Strategy<Value = Weights> {
    prop::array::uniform4(0.01..1.0f64).prop_map(|[downtime, time, traffic, energy]| {
        let sum = downtime + time + traffic + energy;
        Weights::new(Terms {
            downtime: downtime / sum,
            time: time / sum,
            traffic: traffic / sum,
            energy: energy / sum,
        })
        .unwrap()
    })
}

fn any_demand() -> impl Strategy<Value = Demand> {
    prop_oneof![
        (1u32..5).prop_map(Demand::Count),
        (128u64..8192).prop_map(|mib| Demand::Memory(Bytes::from_mib(mib))),
        (0.1..6.0f64).prop_map(|cores| Demand::Cpu(Cores(cores))),
    ]
}

fn names(guests: &[Profile], members: &[usize]) -> Vec<String> {
    members.iter().map(|i| guests[*i].name.clone()).collect()
}

proptest! {
    #[test]
    fn the_order_of_the_guests_does_not_matter(
        (guests, other) in any_guests(12)
            .prop_flat_map(|guests| (Just(guests.clone()), Just(guests).prop_shuffle())),
        weights in any_weights(),
        demand in any_demand(),
    ) {
        let answer = |guests: &[Profile]| {
            let ranking = rank(guests, weights).unwrap();
            let choice = choose(guests, &ranking, demand, None).unwrap();
            let order: Vec<usize> = ranking.ranked.iter().map(|ranked| ranked.index).collect();
            (names(guests, &order), names(guests, &choice.pick.members))
        };
        prop_assert_eq!(answer(&guests), answer(&other));
    }

    #[test]
    fn a_choice_converges_and_meets_its_demand(
        guests in any_guests(30),
        weights in any_weights(),
        demand in any_demand(),
    ) {
        let ranking = rank(&guests, weights).unwrap();
        let may_move = |guest: &Profile| guest.converges_probability >= SUFFICIENT_PROBABILITY;
        for ranked in &ranking.ranked {
            prop_assert!(may_move(&guests[ranked.index]));
        }
        prop_assert_eq!(ranking.ranked.len() + ranking.excluded.len(), guests.len());
        let choice = choose(&guests, &ranking, demand, None).unwrap();
        let freed = |members: &[usize]| -> f64 {
            members.iter().filter_map(|i| demand.freed_by(&guests[*i])).sum()
        };
        match choice.verdict {
            Verdict::Move => {
                prop_assert!(freed(&choice.pick.members) >= demand.amount());
                prop_assert!(choice.pick.members.iter().all(|i| may_move(&guests[*i])));
                if let Some(second) = &choice.runner_up {
                    prop_assert!(second.cost >= choice.pick.cost - 1e-9);
                    prop_assert!(freed(&second.members) >= demand.amount());
                    prop_assert!(second.members != choice.pick.members);
                }
            }
            Verdict::NotEnough { most } => {
                let all: Vec<usize> = ranking.ranked.iter().map(|ranked| ranked.index).collect();
                prop_assert!((freed(&all) - most).abs() < 1e-6 && most < demand.amount());
                prop_assert!(choice.pick.members.is_empty());
            }
            Verdict::NotWorth { .. } => prop_assert!(false, "no worth was given"),
        }
    }

    #[test]
    fn few_guests_are_chosen_as_by_trying_all_sets(
        guests in any_guests(10),
        weights in any_weights(),
        demand in any_demand(),
    ) {
        let ranking = rank(&guests, weights).unwrap();
        prop_assert!(ranking.ranked.len() <= ALWAYS_EXACT);
        let choice = choose(&guests, &ranking, demand, None).unwrap();
        let count = ranking.ranked.len();
        let best = (1..1u32 << count)
            .map(|set| (0..count).filter(move |i| set >> i & 1 == 1).map(|i| &ranking.ranked[i]))
            .filter(|set| {
                let freed: f64 = set
                    .clone()
                    .filter_map(|ranked| demand.freed_by(&guests[ranked.index]))
                    .sum();
                freed >= demand.amount()
            })
            .map(|set| set.map(|ranked| ranked.cost).sum::<f64>())
            .min_by(f64::total_cmp);
        match best {
            Some(best) => {
                prop_assert_eq!(choice.verdict, Verdict::Move);
                prop_assert_eq!(choice.proof, Proof::Exact);
                prop_assert!((choice.pick.cost - best).abs() < 1e-9);
            }
            None => prop_assert!(choice.pick.members.is_empty(), "{:?}", choice.verdict),
        }
    }

    #[test]
    fn the_least_change_of_a_weight_changes_the_order_and_less_does_not(
        guests in any_guests(8),
        weights in any_weights(),
    ) {
        let ranking = rank(&guests, weights).unwrap();
        let choice = choose(&guests, &ranking, Demand::Count(1), None).unwrap();
        prop_assume!(choice.verdict == Verdict::Move);
        let Some(change) = choice.weight_change else { return Ok(()); };
        // The gap to the best with a weight somewhere on the way, the others in proportion.
        let with = |to: f64| {
            let rest = (1.0 - to) / (1.0 - change.from);
            Weights::new(Terms::each(|term| match term == change.term {
                true => to,
                false => weights.of(term) * rest,
            }))
            .unwrap()
        };
        let cost = |weights: Weights, index: usize| {
            let ranking = rank(&guests, weights).unwrap();
            ranking.ranked.iter().find(|ranked| ranked.index == index).unwrap().cost
        };
        let (first, then) = (choice.pick.members[0], change.then[0]);
        let level = with(change.to);
        prop_assert!((cost(level, first) - cost(level, then)).abs() < 1e-6);
        let half_way = rank(&guests, with((change.from + change.to) / 2.0)).unwrap();
        prop_assert!((half_way.ranked[0].cost - cost(half_way.weights, first)).abs() < 1e-9);
    }

    #[test]
    fn the_change_of_the_forecast_makes_the_runner_up_first(
        guests in any_guests(8),
        weights in any_weights(),
    ) {
        let ranking = rank(&guests, weights).unwrap();
        let choice = choose(&guests, &ranking, Demand::Count(1), None).unwrap();
        let (Some(change), Some(second)) = (choice.forecast_change, &choice.runner_up) else {
            return Ok(());
        };
        prop_assert!(change.to <= change.from);
        let mut guests = guests.clone();
        let (first, second) = (choice.pick.members[0], second.members[0]);
        let cost = guests[second].cost.as_mut().unwrap();
        // A hair less, since bytes are whole.
        let to = change.to * (1.0 - 1e-9) - 1.0;
        prop_assume!(to > 0.0);
        match change.term {
            Term::Downtime => cost.downtime = Millis(to),
            Term::Time => cost.total_time = Millis(to),
            Term::Traffic => cost.transferred = Bytes(to as u64),
            Term::Energy => cost.energy = Some(Joules(to)),
        }
        let again = rank(&guests, weights).unwrap();
        let of = |index| again.ranked.iter().find(|r| r.index == index).unwrap().cost;
        prop_assert!(of(second) <= of(first) + 1e-9);
    }
}
