//! A copy that must not know the future: the past stays, and what is certain; chance starts anew.

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

/// A brings random orders, B scheduled ones and those of a file, C releases at random.
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

/// A system that has played so many ticks, of episode 4 of seed 3.
fn played(ticks: u32) -> System {
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
        copy.reseed(seed);
    }
    copy
}

/// What is still to come: sender, receiver, amount and deadline of every order, and C's releases by tick.
#[derive(Debug, PartialEq)]
struct Future {
    orders: Vec<(BankId, BankId, Cents, Tick)>,
    releases: Vec<usize>,
}

impl Future {
    fn orders_of(&self, banks: &[u16]) -> Vec<(BankId, BankId, Cents, Tick)> {
        self.orders.iter().filter(|order| banks.contains(&order.0.0)).copied().collect()
    }
}

fn future(mut system: System) -> Future {
    let mut future = Future { orders: Vec::new(), releases: Vec::new() };
    system.ledger.events.take();
    while !system.is_over() {
        system.tick().unwrap();
        let events = system.ledger.events.take();
        future.orders.extend(events.iter().filter_map(|event| match event {
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
fn chance_starts_anew_and_all_else_stays() {
    // Before the first order, within the first day, at its last tick, at the second one's first.
    for ticks in [0, 3, 9, 10] {
        let original = played(ticks);
        let own = future(copy(&original, None));
        let [one, again, two, three] = [1, 1, 2, 3].map(|seed| future(copy(&original, Some(seed))));
        assert_eq!(one, again);
        // The seed of the episode itself, 3, is no key to it.
        for other in [&one, &two, &three] {
            assert_ne!(own.orders_of(&[0]), other.orders_of(&[0]));
            assert_ne!(own.releases, other.releases);
            // Scheduled, replayed and repeating payments come as they would have.
            assert_eq!(own.orders_of(&[1, 2]), other.orders_of(&[1, 2]));
        }
        assert_ne!(one.orders_of(&[0]), two.orders_of(&[0]));
        assert_ne!(one.releases, two.releases);
        assert!(own.orders_of(&[0]).len() > 15 && own.orders_of(&[1, 2]).len() > 35);
    }
}

#[test]
fn what_has_happened_stays() {
    let mut original = played(3);
    original.begin_tick().unwrap();
    let reseeded = copy(&original, Some(1));
    for bank in 0..3 {
        let payments = |system: &System| system.ledger.banks[bank].unsettled().copied().collect::<Vec<Payment>>();
        assert_eq!(payments(&reseeded), payments(&original));
        let account = |system: &System| (system.ledger.banks[bank].balance, system.ledger.banks[bank].costs);
        assert_eq!(account(&reseeded), account(&original));
    }
    assert_eq!(reseeded.seed_and_episode(), (3, 4));
    assert_eq!(reseeded.ledger.now, original.ledger.now);
}

#[test]
fn the_same_seed_draws_other_numbers_in_another_tick() {
    // Between two ticks nothing else has changed for A's customers: 3 orders a tick, of any amount.
    let first = |ticks: u32| future(copy(&played(ticks), Some(5))).orders_of(&[0])[0].2;
    let amounts: HashSet<i64> = (0..8).map(|ticks| first(ticks).0).collect();
    assert!(amounts.len() >= 7, "{amounts:?}");
}

#[test]
fn a_reseeded_copy_is_saved_with_its_new_future() {
    let mut copied = copy(&played(3), Some(8));
    while !copied.is_over() {
        let saved = copied.save();
        let mut fresh = copy(&copied, None);
        assert!(fresh.save() == saved);
        assert_eq!(fresh.tick(), copied.tick());
        assert!(fresh.save() == copied.save());
    }
}

#[test]
fn the_next_episode_is_that_of_the_same_sequence_as_ever() {
    let mut sampled = scenario();
    sampled.as_object_mut().unwrap().remove("payments_file");
    let sampled = Scenario::from_json(&sampled.to_string()).unwrap();
    let decision = json!({"learners": ["B"], "slots": 1});
    let mut fleet = SteppedFleet::new(&sampled, 2, 1, &decision);
    let saved = fleet.fleet.save(1);
    fleet.fleet.restore(0, &saved).unwrap();
    fleet.fleet.reseed(0, 77);
    let play = |fleet: &mut SteppedFleet| {
        fleet.step(&[0, 0]).unwrap();
        (fleet.fleet.save(0), fleet.fleet.save(1))
    };
    for _ in 0..20 {
        let (reseeded, own) = play(&mut fleet);
        assert!(reseeded != own);
    }
    assert_eq!(fleet.terminated, [true, true]);
    // This step starts the next episode; from here on both rows are the same again.
    for _ in 0..30 {
        let (reseeded, own) = play(&mut fleet);
        assert!(reseeded == own);
    }
    assert_eq!(fleet.fleet.seeds_and_episodes().collect::<Vec<_>>(), [(1, 2), (1, 2)]);
}
