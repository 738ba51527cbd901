//! Tests of observation columns by hand and by their definitions.

#![allow(clippy::unwrap_used, missing_docs)]

mod network_builder;
mod stepped_fleet;

use network_builder::random_network;
use paysim_engine::decision::observation::fields;
use paysim_engine::rng::{Purpose, stream};
use paysim_engine::scenario::Scenario;
use paysim_engine::setup::{Files, Setup};
use paysim_engine::units::BankId;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use stepped_fleet::SteppedFleet;

fn parse(scenario: &Value) -> Scenario {
    Scenario::from_json(&scenario.to_string()).unwrap()
}

/// Value of a column in the only row of a fleet.
fn column(fleet: &SteppedFleet, name: &str) -> f32 {
    let index = fields(fleet.fleet.process.slots).position(|(column, _)| column == name).unwrap();
    fleet.observations[index]
}

fn pay(amount: i64, arrival: i64, deadline: i64) -> Value {
    json!({"sender": "A", "receiver": "B", "amount": amount, "arrival_tick": arrival, "deadline_tick": deadline})
}

#[test]
fn amounts_are_in_root_mean_square_swings() {
    // A pays 300 and 400 on the first of two days, and 1,000 by an event on both: (9 + 16) x 10,000 / 2 + 1,000,000 is
    // 1,125,000 square cents a day, and their root is 1,061 cents. B receives them, and 700 from outside every day:
    // the root of 1,615,000 is 1,271 cents. C has no payments but 5,000 cents of liquidity.
    let scenario = json!({
        "ticks_per_day": 4, "num_days": 2, "end_of_day": "carry",
        "agents": [{"id": "A", "balance": 10_000}, {"id": "B", "balance": 0}, {"id": "C", "balance": 2_000, "credit_limit": 3_000}],
        "initial_transactions": [pay(300, 0, 3), pay(400, 0, 3)],
        "events": [{"type": "payment", "tick": 1, "every_ticks": 4, "sender": "A", "receiver": "B", "amount": 1_000}, {"type": "transfer", "tick": 2, "every_ticks": 4, "receiver": "B", "amount": 700}],
        "costs": {"delay_penalty_per_tick": 1}
    });
    let fleet = SteppedFleet::new(&parse(&scenario), 1, 1, &json!({"learners": ["A", "C"]}));
    let scales: Vec<i64> = fleet.fleet.setup.banks.iter().map(|bank| bank.amount_scale.0).collect();
    assert_eq!(scales, [1_061, 1_271, 5_000]);
    let scales = &fleet.fleet.process.reward_scales;
    assert!((scales[0] - 0.1061).abs() < 1e-12 && (scales[1] - 0.5).abs() < 1e-12, "{scales:?}");
    let mut fleet = SteppedFleet::new(&parse(&scenario), 1, 1, &json!({"learners": ["A"], "slots": 3}));
    assert!((column(&fleet, "balance") - 10_000.0 / 1_061.0).abs() < 1e-5);
    assert!((column(&fleet, "slot_0_amount") - 300.0 / 1_061.0).abs() < 1e-6);
    // 400 of 1,061 cents are 3,770 basis points.
    assert!((column(&fleet, "slot_1_log_amount") - 3.576_459).abs() < 1e-5);
    assert!(column(&fleet, "slot_2_log_amount").abs() < 1e-9);
    fleet.step(&[0; 3]).unwrap();
    // Two payments cost 2 cents: 2 / 1,061 x 10,000 basis points, a quarter of it per tick.
    assert!((column(&fleet, "cost_today") - f32::log10(1.0 + 2.0 / 1_061.0 * 2_500.0)).abs() < 1e-4);
}

#[test]
fn log_amounts_end_within_their_bound() {
    for others in [0, 1, 1_000] {
        // One payment in many days is many scales.
        let scenario = json!({
            "ticks_per_day": 1, "num_days": 1 + others, "agents": [{"id": "A", "balance": 0}, {"id": "B", "balance": 0}],
            "initial_transactions": [pay(1_000_000_000, 0, 0)]
        });
        let fleet = SteppedFleet::new(&parse(&scenario), 1, 1, &json!({"learners": ["A"]}));
        let scales = ((1 + others) as f32).sqrt();
        let exact = (1.0 + 10_000.0 * scales).log10().min(5.01);
        assert!((column(&fleet, "slot_0_log_amount") - exact).abs() < 1e-5, "{others}");
        assert!((column(&fleet, "slot_0_amount") - scales.min(10.0)).abs() < 1e-5);
    }
}

#[test]
fn flags_of_nearness_are_exclusive() {
    // Payments due at ticks 0 to 6; none is paid.
    let payments: Vec<Value> = (0..7).map(|deadline| pay(100, 0, deadline)).collect();
    let scenario = json!({
        "ticks_per_day": 10, "agents": [{"id": "A", "balance": 10_000}, {"id": "B", "balance": 0}],
        "initial_transactions": payments
    });
    let mut fleet = SteppedFleet::new(&parse(&scenario), 1, 1, &json!({"learners": ["A"], "slots": 8}));
    for tick in 0..10 {
        for slot in 0..7 {
            let left = slot - tick;
            let expected =
                [left < 0, left == 0, left == 1, (2..=4).contains(&left)].map(|flag| f32::from(u8::from(flag)));
            let flags = ["is_overdue", "is_due", "is_due_next", "is_due_soon"];
            let flags = flags.map(|flag| column(&fleet, &format!("slot_{slot}_{flag}")));
            assert_eq!(flags, expected, "tick {tick}, slot {slot}");
        }
        assert_eq!(column(&fleet, "slot_7_is_due").to_bits(), 0);
        fleet.step(&[0; 8]).unwrap();
    }
}

#[test]
fn whole_ticks_are_recovered_from_shares_of_a_day() {
    for ticks_per_day in (1..=1_000_i64).filter(|ticks| *ticks <= 60 || ticks % 89 == 0 || *ticks > 998) {
        // Overdue by one day at most, then due in one day at most.
        let deadlines = [0, ticks_per_day / 2, ticks_per_day - 1];
        let payments: Vec<Value> = deadlines.iter().map(|deadline| pay(100, 0, *deadline)).collect();
        let scenario = json!({
            "ticks_per_day": ticks_per_day, "agents": [{"id": "A", "balance": 0}, {"id": "B", "balance": 0}],
            "initial_transactions": payments
        });
        let mut fleet = SteppedFleet::new(&parse(&scenario), 1, 1, &json!({"learners": ["A"], "slots": 3}));
        let whole = |share: f32| (share * ticks_per_day as f32).round() as i64;
        for tick in 0..ticks_per_day {
            assert_eq!(whole(column(&fleet, "time_of_day")), tick);
            for (slot, deadline) in deadlines.iter().enumerate() {
                let share = column(&fleet, &format!("slot_{slot}_ticks_to_deadline"));
                assert_eq!(whole(share), deadline - tick, "{ticks_per_day} ticks per day");
            }
            fleet.step(&[0; 3]).unwrap();
        }
        assert_eq!(whole(column(&fleet, "time_of_day")), ticks_per_day);
    }
    // The same arithmetic for all numbers of ticks.
    for ticks_per_day in 1..=1_000_i64 {
        for ticks in -ticks_per_day..=ticks_per_day {
            let share = ticks as f32 / ticks_per_day as f32;
            assert_eq!((share * ticks_per_day as f32).round() as i64, ticks, "{ticks} of {ticks_per_day}");
        }
    }
}

#[test]
fn observations_do_not_depend_on_the_reward_scale() {
    let arrivals = json!({
        "rate_per_tick": 2.0, "distribution_type": "exponential", "amount_mean": 1_000, "deadline_range": [1, 6]
    });
    let scenario = json!({
        "ticks_per_day": 12, "num_days": 2,
        "costs": {"overdraft_rate": 0.001, "delay_penalty_per_tick": 7, "liquidity_rate": 0.01, "deadline_penalty": 90},
        "agents": [
            {"id": "A", "balance": 2_000, "credit_limit": 2_000, "liquidity_pool": 9_000, "arrival_config": arrivals},
            {"id": "B", "balance": 2_000, "credit_limit": 2_000, "arrival_config": arrivals,
                "policy": {"type": "network", "weights": "b.safetensors"}},
            {"id": "C", "balance": 2_000, "credit_limit": 2_000, "arrival_config": arrivals}
        ]
    });
    let play = |scale: Value, learners: &[&str]| {
        let networks = BTreeMap::from([("B".to_owned(), random_network(&[16]))]);
        let setup = Setup::with_files(&parse(&scenario), Files { networks, ..Files::default() }).unwrap();
        let mut fleet = SteppedFleet::of(setup, 3, 1, &json!({"learners": learners, "reward_scale": scale}));
        let mut rng = stream(1, 0, BankId(0), Purpose::Policy);
        let (mut bits, mut costs) = (Vec::new(), Vec::new());
        for _ in 0..26 {
            let actions = fleet.legal_actions(&mut rng);
            fleet.step(&actions).unwrap();
            bits.extend(fleet.observations.iter().map(|value| value.to_bits()));
            costs.extend_from_slice(&fleet.costs);
        }
        (bits, costs)
    };
    for learners in [&["A"][..], &["A", "C"]] {
        let default = play(Value::Null, learners);
        assert!(default.1.iter().any(|cost| *cost > 0));
        for scale in [0.01, 1e9] {
            assert!(play(json!(scale), learners) == default, "{scale}");
        }
    }
}
