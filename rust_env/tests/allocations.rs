//! A step of a fleet allocates no memory once its buffers have grown.

#![allow(clippy::unwrap_used, missing_docs)]

mod counting_allocator;
mod network_builder;
mod stepped_fleet;

use counting_allocator::{allocations, allocations_in_pools};
use paysim_engine::rng::{Purpose, stream};
use paysim_engine::scenario::Scenario;
use paysim_engine::setup::{Files, Setup};
use paysim_engine::units::BankId;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use stepped_fleet::SteppedFleet;

const TWO_BANK: &str = include_str!("scenarios/two_bank.json");
const FIVE_BANK: &str = include_str!("scenarios/five_bank.json");

/// Plays random legal decisions from the same start; returns the allocations of the steps.
fn play(fleet: &mut SteppedFleet, steps: usize) -> u64 {
    let mut rng = stream(7, 0, BankId(0), Purpose::Policy);
    for row in 0..fleet.fleet.num_envs() {
        fleet.fleet.reset(row, Some(row as u64)).unwrap();
    }
    fleet.observe();
    let mut count = 0;
    for _ in 0..steps {
        let actions = fleet.legal_actions(&mut rng);
        let before = allocations();
        fleet.step(&actions).unwrap();
        count += allocations() - before;
    }
    count
}

/// Plays the same steps twice, so that every queue has its maximum length before.
fn allocations_of_second_run(mut fleet: SteppedFleet, steps: usize) -> u64 {
    assert!(play(&mut fleet, steps) > 0, "the first run must allocate");
    play(&mut fleet, steps)
}

fn fleet(scenario: &str, threads: usize, rows: usize, decision: &Value) -> SteppedFleet {
    SteppedFleet::new(&Scenario::from_json(scenario).unwrap(), rows, threads, decision)
}

/// A scenario with random demand, a rail with offsets, a net rail and events.
fn rich() -> Value {
    let arrivals = |others: Value, rail: &str, divisible: bool| {
        json!({
            "rate_per_tick": 1.5, "distribution_type": "lognormal", "amount_mean": 1_000, "amount_std_dev": 1_500,
            "counterparty_weights": others, "deadline_range": [1, 9], "priority": {"3": 3, "8": 1}, "rail": rail,
            "divisible": divisible, "time_windows": [{"start_tick": 0, "end_tick": 8, "multiplier": 2}]
        })
    };
    let bank = |id: &str, policy: Value, arrivals: Value| {
        json!({
            "id": id, "balance": 1_000, "credit_limit": 800, "collateral": 400, "collateral_haircut": 0.25,
            "arrival_config": arrivals, "policy": policy
        })
    };
    let mut banks = [
        bank("A", json!({"type": "learner"}), arrivals(json!({"B": 2, "C": 1}), "RTGS", true)),
        bank("B", json!({"type": "learner"}), arrivals(json!({"A": 1, "D": 1}), "RTGS", false)),
        bank("C", json!({"type": "liquidity_aware", "buffer": 100}), arrivals(json!({"A": 1, "E": 1}), "RTGS", true)),
        bank("D", json!({"type": "split_large", "parts": 3, "threshold": 500}), arrivals(json!({"F": 1}), "NET", true)),
        bank("E", json!({"type": "random", "release_probability": 0.5}), arrivals(json!({"A": 1}), "RTGS", true)),
        bank("F", json!({"type": "hold_until_deadline", "margin": 2}), arrivals(json!({"B": 1}), "NET", true)),
        bank("G", json!({"type": "myopic"}), arrivals(json!({"C": 1, "F": 1}), "RTGS", true)),
    ];
    banks[0]["liquidity_pool"] = json!(2_000);
    banks[2]["limits"] = json!({"bilateral": {"A": 900}, "multilateral": 4_000});
    json!({
        "ticks_per_day": 24, "num_days": 2, "agents": banks, "end_of_day": "carry",
        "priority_escalation": {"ticks": 3, "boost": 4},
        "rails": [
            {
                "id": "RTGS", "queue_discipline": "priority", "deferred_crediting": true,
                "lsm": {"entry_offset": true, "bilateral": true, "multilateral": true}
            },
            {"id": "NET", "settlement_type": "deferred_net", "cycle_ticks": 4}
        ],
        "costs": {
            "overdraft_rate": 0.0001, "delay_penalty_per_tick": 10, "delay_rate": 0.00001, "split_fee": 50,
            "priority_multipliers": {"7": 2.5}, "overdue_multiplier": 3, "deadline_penalty": 1_000,
            "eod_penalty": 2_000, "eod_rate": 0.001, "collateral_rate": 0.00002, "liquidity_rate": 0.0003
        },
        "events": [
            {
                "type": "payment", "tick": 2, "every_ticks": 24, "until_tick": 40, "sender": "A", "receiver": "B",
                "amount": 300, "deadline_ticks": 3
            },
            {"type": "arrival_rate", "tick": 12, "every_ticks": 24, "until_tick": 40, "bank": "A", "multiplier": 2.0},
            {"type": "credit", "tick": 5, "bank": "A", "credit_limit": 500},
            {"type": "outage", "tick": 7, "every_ticks": 24, "until_tick": 40, "bank": "C", "ticks": 3},
            {"type": "early_close", "tick": 46}
        ]
    })
}

#[test]
fn a_step_of_two_banks_does_not_allocate() {
    assert_eq!(allocations_of_second_run(fleet(TWO_BANK, 1, 64, &json!({"learners": ["BANK_A"]})), 160), 0);
}

#[test]
fn a_step_of_five_banks_does_not_allocate() {
    assert_eq!(allocations_of_second_run(fleet(FIVE_BANK, 1, 64, &json!({"learners": ["CORE_A"]})), 160), 0);
}

#[test]
fn a_step_with_offsets_cycles_events_and_openings_does_not_allocate() {
    let decision = json!({"learners": ["A", "B"], "max_episode_steps": 45, "reward": "blend"});
    assert_eq!(allocations_of_second_run(fleet(&rich().to_string(), 1, 16, &decision), 150), 0);
}

#[test]
fn a_step_with_fraction_actions_does_not_allocate() {
    for end in ["carry", "drop", "borrow"] {
        let mut scenario = rich();
        (scenario["end_of_day"], scenario["overnight"]) = (json!(end), json!("reset"));
        scenario["rails"][0]["queue_discipline"] = json!("fifo_bypass");
        let decision = json!({"learners": ["B", "A"], "action_mode": "fraction", "strict": true});
        assert_eq!(allocations_of_second_run(fleet(&scenario.to_string(), 1, 16, &decision), 150), 0, "{end}");
    }
}

#[test]
fn a_step_against_a_network_does_not_allocate() {
    let mut scenario: Value = serde_json::from_str(TWO_BANK).unwrap();
    scenario["agents"][1]["policy"] = json!({"type": "network", "weights": "b.safetensors", "deterministic": false});
    let networks = BTreeMap::from([("BANK_B".to_owned(), network_builder::random_network(&[16, 16]))]);
    let scenario = Scenario::from_json(&scenario.to_string()).unwrap();
    let setup = Setup::with_files(&scenario, Files { networks, ..Files::default() }).unwrap();
    assert_eq!(allocations_of_second_run(SteppedFleet::of(setup, 16, 1, &json!({"learners": ["BANK_A"]})), 160), 0);
}

#[test]
fn threads_of_a_pool_do_not_allocate_and_scheduling_rarely_does() {
    let steps = 630;
    let mut fleet = fleet(FIVE_BANK, 2, 128, &json!({"learners": ["CORE_A"]}));
    play(&mut fleet, steps);
    // The buffers of a thread grow when it steals a row with longer queues than it has had, so a run may be repeated.
    let is_without_allocation = (0..5).any(|_| {
        let before = allocations_in_pools();
        let count = play(&mut fleet, steps);
        // The injector queue of Rayon allocates one block per 63 jobs.
        assert!(count <= 1 + steps as u64 / 63, "{count}");
        allocations_in_pools() == before
    });
    assert!(is_without_allocation);
}
