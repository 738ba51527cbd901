//! Invalid scenarios are rejected with path, value and allowed range.

#![allow(clippy::unwrap_used, missing_docs)]

use paysim_engine::scenario::Scenario;
use serde_json::{Value, json};

fn valid_scenario() -> Value {
    json!({
        "ticks_per_day": 10,
        "agents": [
            {"id": "A", "balance": 100, "arrival_config": {"rate_per_tick": 1, "distribution_type": "normal", "amount_mean": 10, "amount_std_dev": 1}},
            {"id": "B", "balance": 100}
        ],
        "initial_transactions": [{"sender": "A", "receiver": "B", "amount": 5, "arrival_tick": 0, "deadline_tick": 3}]
    })
}

/// The error of a valid scenario with `value` at the JSON pointer.
fn error_with(pointer: &str, value: Value) -> String {
    let mut scenario = valid_scenario();
    let (parent, key) = pointer.rsplit_once('/').unwrap();
    match scenario.pointer_mut(parent).unwrap() {
        Value::Array(items) => items[key.parse::<usize>().unwrap()] = value,
        parent => parent[key] = value,
    }
    Scenario::from_json(&scenario.to_string()).unwrap_err().to_string()
}

#[test]
fn a_valid_scenario_survives_a_round_trip() {
    let scenario = Scenario::from_json(&valid_scenario().to_string()).unwrap();
    let again = Scenario::from_json(&serde_json::to_string(&scenario).unwrap()).unwrap();
    assert_eq!(scenario, again);
}

/// JSON pointer, invalid value and parts of its error message.
type Case<'a> = (&'a str, Value, &'a [&'a str]);

fn check(cases: Vec<Case>) {
    for (pointer, value, parts) in cases {
        let message = error_with(pointer, value.clone());
        for part in parts {
            assert!(message.contains(part), "{pointer} = {value}: {message:?} does not contain {part:?}");
        }
    }
}

#[test]
fn errors_of_days_name_path_value_and_allowed_range() {
    check(vec![
        ("/ticks_per_day", json!(0), &["ticks_per_day = 0", "between 1 and 1000"]),
        ("/ticks_per_day", json!(1001), &["ticks_per_day = 1001", "between 1 and 1000"]),
        ("/num_days", json!(0), &["num_days = 0", "between 1 and 10000"]),
        ("/seed", json!(-1), &["seed", "-1", "between 0 and"]),
        ("/tick_per_day", json!(5), &["tick_per_day", "unknown field", "ticks_per_day"]),
        ("/end_of_day", json!("forget"), &["end_of_day", "forget", "carry"]),
    ]);
}

#[test]
fn errors_of_banks_name_path_value_and_allowed_range() {
    check(vec![
        ("/agents", json!([{"id": "A", "balance": 1}]), &["agents = 1", "between 2 and 1000"]),
        ("/agents/1/id", json!("b"), &["agents[1].id", "\"b\"", "^[A-Z0-9_]+$"]),
        ("/agents/1/id", json!("A"), &["agents[1].id", "\"A\"", "unique"]),
        ("/agents/1/balance", json!(1.5), &["agents[1].balance", "1.5", "an integer"]),
        ("/agents/1/balance", json!(100.0), &["agents[1].balance", "100.0", "an integer"]),
        ("/agents/1/balance", json!(true), &["agents[1].balance", "true", "an integer"]),
        ("/agents/1/balance", json!("100"), &["agents[1].balance", "\"100\"", "an integer"]),
        ("/agents/1/balance", json!(-1), &["agents[1].balance = -1", "between 0 and 1000000000000000", "cents"]),
        (
            "/agents/1/balance",
            json!(1_000_000_000_000_000_000_i64),
            &["agents[1].balance", "between 0 and 1000000000000000"],
        ),
        ("/agents/1/credit_limit", json!(-5), &["agents[1].credit_limit = -5", "between 0"]),
        ("/agents/1/colour", json!("red"), &["agents[1].colour", "unknown field", "credit_limit"]),
        (
            "/agents/1/policy",
            json!({"type": "release_everything"}),
            &["agents[1].policy", "release_everything", "release_all"],
        ),
        ("/agents/1/policy", json!({"type": "release_all", "buffer": 1}), &["agents[1].policy", "buffer"]),
        (
            "/agents/1/policy",
            json!({"type": "random", "release_probability": 1.5}),
            &["agents[1].policy.release_probability = 1.5", "between 0 and 1"],
        ),
        (
            "/agents/1/policy",
            json!({"type": "split_large", "parts": 1}),
            &["agents[1].policy.parts = 1", "between 2 and 100"],
        ),
        (
            "/agents/1/policy",
            json!({"type": "liquidity_aware", "buffer": -1}),
            &["agents[1].policy.buffer = -1", "between 0"],
        ),
    ]);
}

#[test]
fn errors_of_amounts_and_rates_name_path_value_and_allowed_range() {
    check(vec![
        ("/agents/0/arrival_config/agent_id", json!("B"), &["agents[0].arrival_config.agent_id", "\"B\"", "\"A\""]),
        (
            "/agents/0/arrival_config/rate_per_tick",
            json!(0),
            &["agents[0].arrival_config.rate_per_tick = 0", "above 0"],
        ),
        (
            "/agents/0/arrival_config/rate_per_tick",
            json!(1001),
            &["agents[0].arrival_config.rate_per_tick = 1001", "1000"],
        ),
        (
            "/agents/0/arrival_config/distribution_type",
            json!("pareto"),
            &["agents[0].arrival_config.distribution_type", "pareto", "lognormal"],
        ),
        ("/agents/0/arrival_config/amount_mean", json!(0), &["agents[0].arrival_config.amount_mean = 0", "between 1"]),
        (
            "/agents/0/arrival_config/amount_mean",
            json!(10.5),
            &["agents[0].arrival_config.amount_mean", "10.5", "an integer"],
        ),
        (
            "/agents/0/arrival_config/amount_std_dev",
            Value::Null,
            &["agents[0].arrival_config.amount_std_dev = null", "required for normal"],
        ),
        (
            "/agents/0/arrival_config/amount_std_dev",
            json!(8),
            &["agents[0].arrival_config.amount_std_dev = 8", "at most 7"],
        ),
        (
            "/agents/0/arrival_config",
            json!({"rate_per_tick": 1, "distribution_type": "uniform", "amount_mean": 2, "amount_std_dev": 1}),
            &["agents[0].arrival_config.amount_std_dev = 1", "at most 0"],
        ),
    ]);
}

#[test]
fn errors_of_parties_and_times_of_arrivals_name_path_value_and_allowed_range() {
    check(vec![
        (
            "/agents/0/arrival_config/counterparty_weights",
            json!({"Z": 1}),
            &["agents[0].arrival_config.counterparty_weights.Z", "A, B"],
        ),
        (
            "/agents/0/arrival_config/counterparty_weights",
            json!({"A": 1}),
            &["agents[0].arrival_config.counterparty_weights.A", "cannot pay itself"],
        ),
        (
            "/agents/0/arrival_config/counterparty_weights",
            json!({"B": 0}),
            &["agents[0].arrival_config.counterparty_weights", "more than 0"],
        ),
        (
            "/agents/0/arrival_config/deadline_range",
            json!([5, 2]),
            &["agents[0].arrival_config.deadline_range[1] = 2", "between 5"],
        ),
        (
            "/agents/0/arrival_config/priority",
            json!(11),
            &["agents[0].arrival_config.priority = 11", "between 0 and 10"],
        ),
        (
            "/agents/0/arrival_config/priority",
            json!({"11": 1}),
            &["agents[0].arrival_config.priority.11", "between 0 and 10"],
        ),
        (
            "/agents/0/arrival_config/time_windows",
            json!([{"start_tick": 0, "end_tick": 11, "multiplier": 1}]),
            &["time_windows[0].end_tick = 11", "between 1 and 10"],
        ),
        (
            "/agents/0/arrival_config/time_windows",
            json!([{"start_tick": 0, "end_tick": 5, "multiplier": 1}, {"start_tick": 4, "end_tick": 6, "multiplier": 1}]),
            &["time_windows[1] = 4..6", "overlap", "0..5"],
        ),
    ]);
}

#[test]
fn errors_of_initial_transactions_name_path_value_and_allowed_range() {
    check(vec![
        ("/initial_transactions/0/sender", json!("Z"), &["initial_transactions[0].sender", "\"Z\"", "A, B"]),
        (
            "/initial_transactions/0/receiver",
            json!("A"),
            &["initial_transactions[0].receiver", "\"A\"", "another bank"],
        ),
        ("/initial_transactions/0/amount", json!(0), &["initial_transactions[0].amount = 0", "between 1"]),
        (
            "/initial_transactions/0/arrival_tick",
            json!(10),
            &["initial_transactions[0].arrival_tick = 10", "between 0 and 9"],
        ),
        (
            "/initial_transactions/0/deadline_tick",
            json!(-1),
            &["initial_transactions[0].deadline_tick = -1", "between 0"],
        ),
        ("/initial_transactions/0/rail", json!("ACH"), &["initial_transactions[0].rail", "\"ACH\"", "RTGS"]),
    ]);
}

#[test]
fn errors_of_rails_and_costs_name_path_value_and_allowed_range() {
    check(vec![
        ("/rails", json!([]), &["rails = 0", "between 1 and 8"]),
        (
            "/rails",
            json!([{"id": "RTGS", "queue_discipline": "lifo"}]),
            &["rails[0].queue_discipline", "lifo", "fifo_bypass"],
        ),
        ("/costs", json!({"overdraft_rate": 1.5}), &["costs.overdraft_rate = 1.5", "between 0 and 1"]),
        ("/costs", json!({"delay_penalty_per_tick": 1.5}), &["costs.delay_penalty_per_tick", "1.5", "an integer"]),
        ("/costs", json!({"overdue_multiplier": 0.5}), &["costs.overdue_multiplier = 0.5", "between 1"]),
        ("/costs", json!({"priority_multipliers": {"12": 2}}), &["costs.priority_multipliers.12", "between 0 and 10"]),
        (
            "/costs",
            json!({"overdraft_tiers": [{"above": 5, "rate": 0.1}, {"above": 5, "rate": 0.2}]}),
            &["costs.overdraft_tiers[1].above = 5", "between 6"],
        ),
        (
            "/costs",
            json!({"delay_penalty_per_tick": 1_000_000_000_000_000_i64, "overdue_multiplier": 1000}),
            &["costs", "must stay below"],
        ),
    ]);
}

#[test]
fn totals_that_could_overflow_are_rejected() {
    let arrivals =
        json!({"rate_per_tick": 100, "distribution_type": "exponential", "amount_mean": 1_000_000_000_000_000_i64});
    let message = error_with("/agents/0/arrival_config", arrivals);
    assert!(message.contains("value of all payments") && message.contains("must stay below"), "{message}");
    let message = error_with("/initial_transactions/0/amount", json!(1_000_000_000_000_000_000_i64));
    assert!(message.contains("initial_transactions[0].amount = 1000000000000000000"), "{message}");
    let message = error_with("/agents/1/balance", json!(1e30));
    assert!(message.contains("agents[1].balance") && message.contains("an integer"), "{message}");
}

#[test]
fn upper_bounds_include_split_parts_and_overnight_loans() {
    let largest = 1_000_000_000_000_000_i64;
    let payments = |amount: i64, count: usize| {
        vec![json!({"sender": "A", "receiver": "B", "amount": amount, "arrival_tick": 0, "deadline_tick": 0}); count]
    };
    let scenario = |costs: Value, payments: Vec<Value>, end_of_day: &str| {
        json!({
            "ticks_per_day": 20, "num_days": 2, "end_of_day": end_of_day, "costs": costs, "initial_transactions": payments,
            "agents": [{"id": "A", "balance": 0}, {"id": "B", "balance": 0}]
        })
        .to_string()
    };
    let check_rejected = |text: String| {
        let message = Scenario::from_json(&text).unwrap_err().to_string();
        assert!(message.contains("costs") && message.contains("must stay below"), "{message}");
    };
    check_rejected(scenario(json!({"split_fee": largest}), payments(1_000, 200), "carry"));
    check_rejected(scenario(json!({"overdraft_rate": 1.0}), payments(largest, 1_000), "borrow"));
    Scenario::from_json(&scenario(json!({"overdraft_rate": 1.0}), payments(largest, 1_000), "carry")).unwrap();
}

#[test]
fn null_is_absent_for_a_field_with_a_default_only() {
    let mut scenario = valid_scenario();
    let expected = Scenario::from_json(&scenario.to_string()).unwrap();
    for key in ["num_days", "seed", "rails", "costs", "events", "payments_file", "end_of_day"] {
        scenario[key] = Value::Null;
    }
    scenario["agents"][0]["arrival_config"]["time_windows"] = Value::Null;
    scenario["agents"][1]["policy"] = Value::Null;
    assert_eq!(Scenario::from_json(&scenario.to_string()).unwrap(), expected);
    check(vec![
        ("/agents/0/balance", Value::Null, &["agents[0]", "missing field `balance`"]),
        ("/surprise", Value::Null, &["surprise: null"]),
        ("/agents/0/arrival_config/counterparty_weights", json!({"B": null}), &["counterparty_weights.B: null"]),
    ]);
}

#[test]
fn text_that_is_not_a_scenario_is_rejected() {
    for (text, part) in
        [("", "EOF"), ("[]", "scenario"), ("{}", "missing field `ticks_per_day`"), ("{\"ticks_per_day\": 1} x", "")]
    {
        let message = Scenario::from_json(text).unwrap_err().to_string();
        assert!(message.contains(part), "{text:?}: {message}");
    }
    let duplicate = valid_scenario().to_string().replacen("{", "{\"ticks_per_day\": 3, ", 1);
    let message = Scenario::from_json(&duplicate).unwrap_err().to_string();
    assert!(message.contains("duplicate key ticks_per_day"), "{message}");
    let weights = r#""amount_mean":10,"counterparty_weights":{"B":1,"B":2}"#;
    let duplicate = valid_scenario().to_string().replace("\"amount_mean\":10", weights);
    let message = Scenario::from_json(&duplicate).unwrap_err().to_string();
    assert!(message.contains("duplicate key B"), "{message}");
}
