//! Settlement of a payment at its release equals settlement after all releases.
//!
//! A system that records events settles after all releases, so it is the reference.

#![allow(clippy::unwrap_used, missing_docs)]

use paysim_engine::events::EventLog;
use paysim_engine::scenario::Scenario;
use paysim_engine::setup::Setup;
use serde_json::{Value, json};
use std::sync::Arc;

/// Four banks with scarce liquidity on the given rails.
fn setup(rails: &Value) -> Arc<Setup> {
    let policies = [
        json!({"type": "release_all"}),
        json!({"type": "split_large", "parts": 3, "threshold": 4_000}),
        json!({"type": "random", "release_probability": 0.6}),
        json!({"type": "liquidity_aware", "buffer": 1_000}),
    ];
    let agents = policies.iter().zip(["A", "B", "C", "D"]).map(|(policy, id)| {
        json!({
            "id": id, "balance": 6_000, "credit_limit": 6_000, "policy": policy,
            "limits": if id == "B" { json!({"bilateral": {"A": 9_000}, "multilateral": 20_000}) } else { json!({}) },
            "arrival_config": {
                "rate_per_tick": 1.5, "distribution_type": "exponential", "amount_mean": 5_000,
                "deadline_range": [1, 5], "priority": {"2": 1, "9": 1}
            }
        })
    });
    // Last in A's internal queue, first in its central queue.
    let late = |tick: i64| {
        json!({
            "sender": "A", "receiver": "C", "amount": 4_000, "arrival_tick": tick, "deadline_tick": tick + 5, "priority": 0,
            "rtgs_priority": "highly_urgent"
        })
    };
    let scenario = json!({
        "initial_transactions": (0..400).map(late).collect::<Vec<Value>>(), "ticks_per_day": 20, "num_days": 20, "end_of_day": "drop", "rails": rails,
        "agents": agents.collect::<Vec<Value>>(),
        "costs": {"delay_penalty_per_tick": 3, "overdraft_rate": 0.001, "deadline_penalty": 50, "split_fee": 2}
    });
    Arc::new(Setup::new(&Scenario::from_json(&scenario.to_string()).unwrap()).unwrap())
}

#[test]
fn immediate_settlement_equals_settlement_after_all_releases() {
    let lsm = json!({"entry_offset": true, "bilateral": true, "multilateral": true});
    for rails in [
        json!([{"id": "R", "queue_discipline": "fifo"}]),
        json!([{"id": "R", "queue_discipline": "fifo", "lsm": lsm}]),
        json!([{"id": "R", "queue_discipline": "fifo_bypass"}]),
        json!([{"id": "R", "queue_discipline": "fifo_bypass", "lsm": lsm, "deferred_crediting": true}]),
        json!([{"id": "R", "queue_discipline": "priority"}]),
        json!([{"id": "R", "settlement_type": "deferred_net", "cycle_ticks": 3}]),
    ] {
        let setup = setup(&rails);
        let mut reference = setup.system(&[], EventLog::recording());
        let mut immediate = setup.system(&[], EventLog::default());
        let mut settled = 0;
        while !reference.is_over() {
            let (expected, found) = (reference.tick().unwrap(), immediate.tick().unwrap());
            assert_eq!(found, expected, "{rails}");
            settled += found.settlements;
            for (found, expected) in immediate.ledger.banks.iter().zip(&reference.ledger.banks) {
                assert_eq!(found.statistics, expected.statistics, "{rails}");
                assert_eq!((found.balance, found.costs), (expected.balance, expected.costs), "{rails}");
                assert_eq!(found.delay_charge, expected.delay_charge, "{rails}");
            }
        }
        assert!(settled > 50, "{rails}: {settled}");
    }
}
