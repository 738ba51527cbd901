//! Tests of banks with networks: decisions worked out by hand, and allocations.

#![allow(clippy::unwrap_used, missing_docs)]

mod counting_allocator;
mod network_builder;

use counting_allocator::allocations;
use network_builder::{build_network, slot_decision};
use paysim_engine::decision::observation::fields;
use paysim_engine::events::{Event, EventLog};
use paysim_engine::players::network::Network;
use paysim_engine::scenario::Scenario;
use paysim_engine::setup::{Files, Setup};
use paysim_engine::system::System;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;

/// A network without hidden layers, with these biases of the outputs.
///
/// A weight is a tuple of output, column name and value.
fn linear(decision: &Value, masked: bool, biases: &[f32], weights: &[(usize, &str, f32)]) -> Arc<Network> {
    let slots = usize::try_from(decision["slots"].as_u64().unwrap()).unwrap();
    let names: Vec<String> = fields(slots).map(|(name, _)| name).collect();
    let mut rows = vec![0.0_f32; biases.len() * names.len()];
    for (output, column, weight) in weights {
        let column = names.iter().position(|name| name == column).unwrap();
        rows[output * names.len() + column] = *weight;
    }
    build_network(decision, masked, "relu", &[(rows, biases.to_vec())])
}

/// A system whose bank A has the network as its policy.
fn system_with(mut scenario: Value, network: Arc<Network>) -> System {
    scenario["agents"][0]["policy"] = json!({"type": "network", "weights": "a.safetensors"});
    let scenario = Scenario::from_json(&scenario.to_string()).unwrap();
    let files = Files { networks: BTreeMap::from([("A".to_owned(), network)]), ..Files::default() };
    Setup::with_files(&scenario, files).unwrap().system(&[], EventLog::recording())
}

fn pay(amount: i64, arrival: i64, divisible: bool) -> Value {
    json!({
        "sender": "A", "receiver": "B", "amount": amount, "arrival_tick": arrival, "deadline_tick": 3,
        "divisible": divisible
    })
}

fn three_payments() -> Value {
    json!({
        "ticks_per_day": 4,
        "agents": [{"id": "A", "balance": 1_000}, {"id": "B", "balance": 0}],
        "initial_transactions": [pay(100, 0, false), pay(400, 0, true), pay(200, 1, false)]
    })
}

/// Tick and amount of every settlement.
fn settled(system: &mut System) -> Vec<(u32, i64)> {
    while !system.is_over() {
        system.tick().unwrap();
    }
    let mut now = 0;
    let amount = |event: Event| match event {
        Event::Tick { tick } => {
            now = tick.0;
            None
        }
        Event::Settlement { amount, .. } => Some((now, amount.0)),
        _ => None,
    };
    system.ledger.events.take().into_iter().filter_map(amount).collect()
}

#[test]
fn a_network_releases_by_its_weights() {
    // One slot: release exceeds hold after a quarter of the day, so one payment settles in each tick from 1.
    let network = linear(&slot_decision(1, &[]), false, &[0.2, 0.0], &[(1, "time_of_day", 1.0)]);
    let mut system = system_with(three_payments(), network);
    assert_eq!(settled(&mut system), [(1, 100), (2, 400), (3, 200)]);
}

#[test]
fn the_first_of_equal_outputs_is_chosen() {
    let mut system = system_with(three_payments(), linear(&slot_decision(3, &[]), false, &[0.5; 6], &[]));
    assert_eq!(settled(&mut system), []);
}

#[test]
fn an_illegal_choice_holds_without_a_mask_and_is_excluded_with_one() {
    // Two slots that prefer a split, then a release. The first payment is indivisible.
    let biases = [0.0, 1.0, 2.0, 0.0, 1.0, 2.0];
    let unmasked = linear(&slot_decision(2, &[2]), false, &biases, &[]);
    assert_eq!(settled(&mut system_with(three_payments(), unmasked)), [(0, 200), (0, 200)]);
    let masked = linear(&slot_decision(2, &[2]), true, &biases, &[]);
    assert_eq!(settled(&mut system_with(three_payments(), masked)), [(0, 100), (0, 200), (0, 200), (1, 200)]);
}

#[test]
fn parts_that_a_network_does_not_decide_follow_a_rule() {
    let mut scenario = three_payments();
    scenario["agents"][0] = json!({"id": "A", "balance": 0, "liquidity_pool": 1_000, "liquidity_share": 0.25});
    // Every payment is released, and the third of five shares of the pool is half of it.
    let (slots, pool) = ([0.0, 1.0, 0.0, 0.0, 1.0, 0.0], [0.0, 0.0, 1.0, 0.0, 0.0]);
    let both = [&slots[..], &pool].concat();
    for (decides, pool_shares, biases, committed, settles) in [
        ("both", json!(5), &both[..], 500, vec![(0, 100), (0, 400)]),
        ("both", json!(null), &slots[..], 250, vec![(0, 100)]),
        ("pool", json!(5), &pool[..], 500, vec![(0, 100), (0, 400)]),
        ("payments", json!(null), &slots[..], 250, vec![(0, 100)]),
    ] {
        let mut decision = slot_decision(2, &[2]);
        (decision["decides"], decision["pool_shares"]) = (json!(decides), pool_shares);
        let mut system = system_with(scenario.clone(), linear(&decision, false, biases, &[]));
        system.tick().unwrap();
        assert_eq!(system.ledger.banks[0].committed.0, committed, "{decision}");
        assert_eq!(settled(&mut system), settles, "{decision}");
    }
    let mut holds = slot_decision(2, &[2]);
    holds["decides"] = json!("payments");
    let mut system = system_with(scenario, linear(&holds, false, &[1.0, 0.0, 0.0, 1.0, 0.0, 0.0], &[]));
    assert_eq!(settled(&mut system), []);
}

#[test]
fn a_network_observes_the_cost_of_an_opening() {
    let mut scenario = three_payments();
    scenario["agents"][0] = json!({"id": "A", "balance": 0, "liquidity_pool": 1_000});
    scenario["costs"] = json!({"liquidity_rate": 0.1});
    // Releases only if the pool has cost something today.
    let network = linear(&slot_decision(2, &[]), false, &[0.0, -0.01, 0.0, -0.01], &[(1, "cost_today", 1.0)]);
    for has_opening_step in [false, true] {
        let mut system = system_with(scenario.clone(), Arc::clone(&network));
        system.begin_day().unwrap();
        system.decide_pool(paysim_engine::units::BankId(0), paysim_engine::units::Rate::from_fraction(1.0));
        if has_opening_step {
            system.finish_opening().unwrap();
        }
        assert_eq!(settled(&mut system)[0], (0, 100), "{has_opening_step}");
    }
}

#[test]
fn a_tick_does_not_allocate_once_buffers_have_grown() {
    let arrivals = json!({
        "rate_per_tick": 3.0, "distribution_type": "exponential", "amount_mean": 100, "deadline_range": [1, 6]
    });
    let bank = |id: &str| json!({"id": id, "balance": 1_000, "credit_limit": 500, "arrival_config": arrivals});
    let scenario = json!({"ticks_per_day": 24, "agents": [bank("A"), bank("B")]});
    let weights = [(1, "slot_0_amount", 1.0), (2, "balance", -1.0), (4, "time_of_day", 2.0)];
    let network = linear(&slot_decision(2, &[2]), true, &[0.1, 0.0, 0.0, 0.5, 0.0, 0.0], &weights);
    let mut system = system_with(scenario, network);
    system.ledger.events = EventLog::default();
    let mut count = 0;
    for episode in 0..40 {
        // Each episode is played twice, so that every queue has its maximum length before.
        system.reset(1, episode % 20);
        let before = allocations();
        while !system.is_over() {
            system.tick().unwrap();
        }
        count = if episode < 20 { 0 } else { count + allocations() - before };
    }
    assert_eq!(count, 0);
}
