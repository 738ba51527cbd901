//! Reseeded copies: the past and scheduled payments stay, random draws change.

#![allow(clippy::unwrap_used, missing_docs)]

mod stepped_fleet;

use paysim_engine::events::{Event, EventLog};
use paysim_engine::payment::Payment;
use paysim_engine::replay::{PaymentRecord, Replay};
use paysim_engine::scenario::Scenario;
use paysim_engine::setup::{Files, Setup};
use paysim_engine::system::System;
use paysim_engine::units::{BankId, Cents, Tick};
use serde_json::{Value, json};
use std::collections::HashSet;
use std::sync::Arc;
use stepped_fleet::SteppedFleet;

/// The bank whose knowledge stays in a reseeded copy.
const LEARNER: BankId = BankId(1);

/// A has random arrivals, B scheduled and replayed ones; C releases at random.
fn scenario() -> Value {
    let arrivals = json!({"rate_per_tick": 3, "distribution_type": "exponential", "amount_mean": 1_000});
    let schedule = |tick: i64| {
        let payment = |sender: &str, amount: i64| json!({"sender": sender, "receiver": "A", "amount": amount, "arrival_tick": tick, "deadline_tick": 40});
        [payment("B", 500 + tick), payment("C", 700), payment("C", 800)]
    };
    json!({
        "ticks_per_day": 10, "num_days": 2, "payments_file": "file.csv",
        "agents": [
            {"id": "A", "balance": 90_000, "arrival_config": arrivals},
            {"id": "B", "balance": 90_000},
            {"id": "C", "balance": 90_000, "policy": {"type": "random", "release_probability": 0.3}}
        ],
        "initial_transactions": (0..20).flat_map(schedule).collect::<Vec<Value>>(),
        "events": [{"type": "payment", "sender": "B", "receiver": "C", "amount": 9, "tick": 1, "every_ticks": 4}],
        "costs": {"delay_penalty_per_tick": 2}
    })
}

fn setup() -> Arc<Setup> {
    let scenario = Scenario::from_json(&scenario().to_string()).unwrap();
    let record = |tick: i64| PaymentRecord {
        day: tick % 3,
        tick,
        sender: 1,
        receiver: 2,
        amount: 40 + tick,
        deadline: -1,
        priority: 5,
        divisible: true,
    };
    let replay = Replay::new(&scenario, (0..10).map(record)).unwrap();
    let files = Files { replay: Some(Arc::new(replay)), ..Files::default() };
    Arc::new(Setup::with_files(&scenario, files).unwrap())
}

/// A system after this many ticks of episode 4 with seed 3.
fn system_after(ticks: u32) -> System {
    let mut system = setup().system(&[], EventLog::recording());
    system.reset(3, 4);
    for _ in 0..ticks {
        system.tick().unwrap();
    }
    system
}

fn copy(original: &System, seed: Option<u64>) -> System {
    let mut copy = setup().system(&[], EventLog::recording());
    copy.restore(&original.save()).unwrap();
    if let Some(seed) = seed {
        copy.reseed(seed, LEARNER);
    }
    copy
}

/// The arrivals to come, and C's number of releases by tick.
///
/// An arrival is a tuple of sender, receiver, amount and deadline.
#[derive(Debug, PartialEq)]
struct Future {
    arrivals: Vec<(BankId, BankId, Cents, Tick)>,
    releases: Vec<usize>,
}

impl Future {
    fn arrivals_of(&self, banks: &[u16]) -> Vec<(BankId, BankId, Cents, Tick)> {
        self.arrivals.iter().filter(|arrival| banks.contains(&arrival.0.0)).copied().collect()
    }
}

fn future(mut system: System) -> Future {
    let mut future = Future { arrivals: Vec::new(), releases: Vec::new() };
    system.ledger.events.take();
    while !system.is_over() {
        system.tick().unwrap();
        let events = system.ledger.events.take();
        future.arrivals.extend(events.iter().filter_map(|event| match event {
            Event::Arrival { sender, receiver, amount, deadline_tick, .. } => {
                Some((*sender, *receiver, *amount, *deadline_tick))
            }
            _ => None,
        }));
        let is_release = |event: &&Event| matches!(event, Event::Release { sender: BankId(2), .. });
        future.releases.push(events.iter().filter(is_release).count());
    }
    future
}

#[test]
fn reseeding_changes_random_draws_and_keeps_scheduled_payments() {
    // Before the first arrival, within the first day, at its last tick and at the first tick of the second day.
    for ticks in [0, 3, 9, 10] {
        let original = system_after(ticks);
        let unchanged = future(copy(&original, None));
        let [one, again, two, three] = [1, 1, 2, 3].map(|seed| future(copy(&original, Some(seed))));
        assert_eq!(one, again);
        // Seed 3 is the seed of the episode; as a copy seed it gives another future.
        for other in [&one, &two, &three] {
            assert_ne!(unchanged.arrivals_of(&[0]), other.arrivals_of(&[0]));
            assert_ne!(unchanged.releases, other.releases);
            // Scheduled, replayed and periodic payments are unchanged.
            assert_eq!(unchanged.arrivals_of(&[1, 2]), other.arrivals_of(&[1, 2]));
        }
        assert_ne!(one.arrivals_of(&[0]), two.arrivals_of(&[0]));
        assert_ne!(one.releases, two.releases);
        assert!(unchanged.arrivals_of(&[0]).len() > 15 && unchanged.arrivals_of(&[1, 2]).len() > 35);
    }
}

#[test]
fn reseeding_keeps_the_past() {
    let mut original = system_after(3);
    original.begin_tick().unwrap();
    let reseeded = copy(&original, Some(1));
    for bank in 0..3 {
        // A's sampled payments of this tick are redrawn.
        let is_known = |payment: &&Payment| bank > 0 || payment.arrival < Tick(3);
        let payments =
            |system: &System| system.ledger.banks[bank].unsettled().filter(is_known).copied().collect::<Vec<Payment>>();
        assert_eq!(payments(&reseeded), payments(&original));
        let account = |system: &System| (system.ledger.banks[bank].balance, system.ledger.banks[bank].costs);
        assert_eq!(account(&reseeded), account(&original));
    }
    assert_eq!(reseeded.seed_and_episode(), (3, 4));
    assert_eq!(reseeded.ledger.now, original.ledger.now);
}

#[test]
fn the_same_copy_seed_gives_other_draws_in_another_tick() {
    // A's arrivals have the same distribution in every tick, so only the draws differ.
    let first = |ticks: u32| future(copy(&system_after(ticks), Some(5))).arrivals_of(&[0])[0].2;
    let amounts: HashSet<i64> = (0..8).map(|ticks| first(ticks).0).collect();
    assert!(amounts.len() >= 7, "{amounts:?}");
}

#[test]
fn a_saved_reseeded_copy_keeps_its_future() {
    let mut copied = copy(&system_after(3), Some(8));
    while !copied.is_over() {
        let saved = copied.save();
        let mut fresh = copy(&copied, None);
        assert!(fresh.save() == saved);
        assert_eq!(fresh.tick(), copied.tick());
        assert!(fresh.save() == copied.save());
    }
}

#[test]
fn reseeding_does_not_change_the_next_episode() {
    let mut sampled = scenario();
    sampled.as_object_mut().unwrap().remove("payments_file");
    let sampled = Scenario::from_json(&sampled.to_string()).unwrap();
    let decision = json!({"learners": ["B"], "slots": 1});
    let mut fleet = SteppedFleet::new(&sampled, 2, 1, &decision);
    let saved = fleet.fleet.save(1);
    fleet.fleet.restore(0, &saved).unwrap();
    fleet.fleet.reseed(0, 77, LEARNER);
    let play = |fleet: &mut SteppedFleet| {
        fleet.step(&[0, 0]).unwrap();
        (fleet.fleet.save(0), fleet.fleet.save(1))
    };
    for _ in 0..20 {
        let (reseeded, original) = play(&mut fleet);
        assert!(reseeded != original);
    }
    assert_eq!(fleet.terminated, [true, true]);
    // The next step starts the next episode, from which on both rows are equal again.
    for _ in 0..30 {
        let (reseeded, original) = play(&mut fleet);
        assert!(reseeded == original);
    }
    assert_eq!(fleet.fleet.seeds_and_episodes().collect::<Vec<_>>(), [(1, 2), (1, 2)]);
}

/// A, B and C have random arrivals from tick 2 on.
fn sampled_system(ticks: u32) -> System {
    let bank = |id: &str| {
        let windows = json!([{"start_tick": 0, "end_tick": 2, "multiplier": 0}]);
        json!({
            "id": id, "balance": 0, "liquidity_pool": 10, "arrival_config": {
                "rate_per_tick": 3, "distribution_type": "exponential", "amount_mean": 1_000, "deadline_range": [0, 5],
                "priority": {"2": 1, "7": 1}, "time_windows": windows
            }
        })
    };
    let schedule = |tick: i64| {
        ["A", "B", "C", "D"].map(|sender| {
            let receiver = if sender == "A" { "D" } else { "A" };
            json!({"sender": sender, "receiver": receiver, "amount": 50, "arrival_tick": tick, "deadline_tick": 40})
        })
    };
    let scenario = json!({
        "ticks_per_day": 10, "agents": [bank("A"), bank("B"), bank("C"), {"id": "D", "balance": 0}],
        "initial_transactions": (0..10).flat_map(schedule).collect::<Vec<Value>>(),
        "costs": {"delay_penalty_per_tick": 2, "priority_multipliers": {"7": 3}}
    });
    let setup = Setup::new(&Scenario::from_json(&scenario.to_string()).unwrap()).unwrap();
    let mut system = setup.system(&[0, 1, 2, 3].map(BankId), EventLog::default());
    for _ in 0..ticks {
        system.tick().unwrap();
    }
    system
}

fn unsettled(system: &System, bank: usize) -> Vec<Payment> {
    system.ledger.banks[bank].unsettled().copied().collect()
}

/// Copies of a system for the learner B, by copy seed.
fn redrawn(ticks: u32, original: &System, seed: u64) -> System {
    let mut copy = sampled_system(ticks);
    copy.restore(&original.save()).unwrap();
    copy.reseed(seed, LEARNER);
    copy
}

#[test]
fn other_banks_receive_other_sampled_payments_in_the_present_tick() {
    const SEEDS: u64 = 400;
    let mut original = sampled_system(5);
    original.begin_tick().unwrap();
    let is_present = |payment: &&Payment| payment.arrival == Tick(5) && payment.deadline != Tick(40);
    let present = |system: &System, bank: usize| {
        unsettled(system, bank).iter().filter(is_present).map(|payment| payment.amount).collect::<Vec<Cents>>()
    };
    let (mut amounts, mut count) = (HashSet::new(), 0);
    for seed in 0..SEEDS {
        let copy = redrawn(5, &original, seed);
        // The learner keeps its queue; all banks keep older and scheduled payments.
        assert_eq!(unsettled(&copy, 1), unsettled(&original, 1));
        for bank in 0..4 {
            let kept = |system: &System| {
                let payments = unsettled(system, bank);
                payments.into_iter().filter(|payment| !is_present(&payment)).collect::<Vec<Payment>>()
            };
            assert_eq!(kept(&copy), kept(&original));
        }
        for bank in [0, 2] {
            let drawn = present(&copy, bank);
            count += drawn.len();
            amounts.insert(drawn);
            let (bank, before) = (&copy.ledger.banks[bank], &original.ledger.banks[bank]);
            let arrived: Cents = bank.unsettled().map(|payment| payment.amount).sum::<Cents>() - bank.central_value;
            let arrived_before = before.unsettled().map(|payment| payment.amount).sum::<Cents>() - before.central_value;
            let grown = bank.statistics.arrived_value - before.statistics.arrived_value;
            assert_eq!(arrived - arrived_before, grown);
        }
        // A state is accepted only if its counters agree with its queues.
        sampled_system(0).restore(&copy.save()).unwrap();
    }
    // No two draws are equal, and their mean number is 3 with a standard error of 0.061.
    assert!(amounts.len() as u64 > 2 * SEEDS * 9 / 10, "{}", amounts.len());
    let mean = count as f64 / (2 * SEEDS) as f64;
    assert!((mean - 3.0).abs() < 0.3, "{mean}");
}

#[test]
fn nothing_is_redrawn_in_a_tick_without_sampled_payments() {
    // Tick 1 has rate 0; before it nothing has arrived in the tick, and at an opening nothing at all.
    for (ticks, begins) in [(1, true), (1, false), (0, false)] {
        let mut original = sampled_system(ticks);
        original.begin_day().unwrap();
        if begins {
            original.begin_tick().unwrap();
        }
        let copy = redrawn(ticks, &original, 3);
        for bank in 0..4 {
            assert_eq!(unsettled(&copy, bank), unsettled(&original, bank));
        }
        assert_eq!(copy.is_opening(), original.is_opening());
    }
}

#[test]
fn a_redrawn_present_tick_equals_the_golden_one() {
    let mut original = sampled_system(5);
    original.begin_tick().unwrap();
    let copy = redrawn(5, &original, 1);
    let first = unsettled(&original, 0).iter().map(|payment| payment.id).max().unwrap();
    let present = |bank: usize| {
        let payments = unsettled(&copy, bank);
        let new = payments.into_iter().filter(|payment| payment.id > first && payment.arrival == Tick(5));
        new.map(|payment| (payment.amount.0, payment.deadline.0, payment.priority)).collect::<Vec<_>>()
    };
    assert_eq!(present(0), []);
    assert_eq!(present(2), [(817, 8, 7), (1905, 5, 2)]);
}

#[test]
fn a_second_redraw_replaces_the_first() {
    let mut original = sampled_system(5);
    original.begin_tick().unwrap();
    let once = redrawn(5, &original, 8);
    let twice = redrawn(5, &redrawn(5, &original, 4), 8);
    for bank in 0..4 {
        let payments = |system: &System| {
            unsettled(system, bank).iter().map(|payment| (payment.amount, payment.deadline)).collect::<Vec<_>>()
        };
        assert_eq!(payments(&twice), payments(&once));
        assert_eq!(twice.ledger.banks[bank].statistics, once.ledger.banks[bank].statistics);
        assert_eq!(twice.ledger.banks[bank].delay_charge, once.ledger.banks[bank].delay_charge);
    }
}
