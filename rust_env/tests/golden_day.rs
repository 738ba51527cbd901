//! Compares the event log of a run with `golden_day.jsonl`.
//!
//! Any change of physics or random draws shows as a changed line. `UPDATE_GOLDEN=1 cargo test --test golden_day`
//! updates the file.

#![allow(clippy::unwrap_used, missing_docs)]

use paysim_engine::events::EventLog;
use paysim_engine::scenario::Scenario;
use paysim_engine::setup::Setup;
use serde_json::json;
use std::path::Path;

#[test]
fn the_run_equals_the_golden_file() {
    let arrivals = json!({
        "rate_per_tick": 1, "distribution_type": "lognormal", "amount_mean": 10_000, "amount_std_dev": 15_000,
        "deadline_range": [1, 4], "priority": {"3": 3, "8": 1}
    });
    let scenario = json!({
        "ticks_per_day": 10, "num_days": 2, "seed": 42, "end_of_day": "carry",
        "agents": [
            {"id": "A", "balance": 5_000, "credit_limit": 20_000, "arrival_config": arrivals, "policy": {"type": "liquidity_aware", "buffer": 4_000}},
            {"id": "B", "balance": 5_000, "credit_limit": 10_000, "arrival_config": arrivals, "policy": {"type": "split_large", "parts": 3}},
            {"id": "C", "balance": 0, "credit_limit": 8_000, "arrival_config": arrivals, "policy": {"type": "random", "release_probability": 0.6}}
        ],
        "costs": {
            "overdraft_rate": 0.0001, "delay_penalty_per_tick": 5, "delay_rate": 0.0002, "priority_multipliers": {"8": 3},
            "overdue_multiplier": 3, "deadline_penalty": 100, "split_fee": 10, "eod_penalty": 300
        }
    });
    let scenario = Scenario::from_json(&scenario.to_string()).unwrap();
    let mut system = Setup::new(&scenario).unwrap().system(&[], EventLog::recording());
    let mut lines = Vec::new();
    while !system.is_over() {
        let outcome = system.tick().unwrap();
        lines.extend(system.ledger.events.take().iter().map(|event| serde_json::to_string(event).unwrap()));
        let balances: Vec<i64> = system.ledger.banks.iter().map(|bank| bank.balance.0).collect();
        let costs: Vec<i64> = outcome.costs.iter().map(|cost| cost.0).collect();
        lines.push(json!({"balances": balances, "costs": costs, "queue_depth": outcome.queue_depth}).to_string());
    }
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden_day.jsonl");
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&file, lines.join("\n") + "\n").unwrap();
    }
    let golden = std::fs::read_to_string(&file).unwrap();
    for (number, (line, expected)) in lines.iter().zip(golden.lines()).enumerate() {
        assert_eq!(line, expected, "line {}", number + 1);
    }
    assert_eq!(lines.len(), golden.lines().count());
}
