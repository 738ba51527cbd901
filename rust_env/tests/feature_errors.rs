//! Invalid rails, limits, collateral, pools, events and files are rejected.

#![allow(clippy::unwrap_used, missing_docs)]

use paysim_engine::replay::{PaymentRecord, Replay};
use paysim_engine::scenario::Scenario;
use paysim_engine::setup::{Files, Setup};
use serde_json::{Value, json};
use std::sync::Arc;

fn valid_scenario() -> Value {
    json!({"ticks_per_day": 10, "num_days": 2, "agents": [{"id": "A", "balance": 100}, {"id": "B", "balance": 100}]})
}

/// The error of a valid scenario with these further keys.
fn error_with(keys: &Value) -> String {
    Scenario::from_json(&extended(keys).to_string()).unwrap_err().to_string()
}

fn extended(keys: &Value) -> Value {
    let mut scenario = valid_scenario();
    scenario.as_object_mut().unwrap().extend(keys.as_object().unwrap().clone());
    scenario
}

fn check(cases: Vec<(Value, &[&str])>) {
    for (keys, parts) in cases {
        let message = error_with(&keys);
        for part in parts {
            assert!(message.contains(part), "{keys}: {message:?} does not contain {part:?}");
        }
    }
}

fn rail(keys: Value) -> Value {
    let mut rail = json!({"id": "ACH"});
    rail.as_object_mut().unwrap().extend(keys.as_object().unwrap().clone());
    json!({"rails": [rail]})
}

/// Bank A with these further keys.
fn bank(keys: Value) -> Value {
    let mut bank = json!({"id": "A", "balance": 100});
    bank.as_object_mut().unwrap().extend(keys.as_object().unwrap().clone());
    json!({"agents": [bank, {"id": "B", "balance": 100}]})
}

fn event(kind: &str, keys: Value) -> Value {
    let mut event = json!({"type": kind, "tick": 3});
    event.as_object_mut().unwrap().extend(keys.as_object().unwrap().clone());
    json!({"events": [event]})
}

#[test]
fn invalid_rails_are_rejected() {
    let nine: Vec<Value> = (0..9).map(|index| json!({"id": format!("R{index}")})).collect();
    let net = |keys: Value| {
        let mut both = json!({"settlement_type": "deferred_net", "cycle_ticks": 5});
        both.as_object_mut().unwrap().extend(keys.as_object().unwrap().clone());
        rail(both)
    };
    check(vec![
        (json!({"rails": nine}), &["rails = 9", "between 1 and 8"]),
        (json!({"rails": [{"id": "R"}, {"id": "R"}]}), &["rails[1].id = \"R\"", "unique"]),
        (json!({"rails": [{"id": "r"}]}), &["rails[0].id = \"r\"", "^[A-Z0-9_]+$"]),
        (
            rail(json!({"settlement_type": "deferred_gross"})),
            &["rails[0].settlement_type", "deferred_gross", "deferred_net"],
        ),
        (rail(json!({"cycle_ticks": 5})), &["rails[0].cycle_ticks = 5", "must be absent"]),
        (rail(json!({"settlement_type": "deferred_net"})), &["rails[0].cycle_ticks = null", "required"]),
        (net(json!({"cycle_ticks": 0})), &["rails[0].cycle_ticks = 0", "between 1 and 10"]),
        (net(json!({"cycle_ticks": 11})), &["rails[0].cycle_ticks = 11", "between 1 and 10"]),
        (net(json!({"lsm": {"bilateral": true}})), &["rails[0].lsm", "must be all off"]),
        (net(json!({"queue_discipline": "priority"})), &["rails[0].queue_discipline", "must be fifo"]),
        (rail(json!({"lsm": {"trilateral": true}})), &["rails[0].lsm.trilateral", "unknown field", "multilateral"]),
        (rail(json!({"lsm": {"bilateral": 1}})), &["rails[0].lsm.bilateral", "boolean"]),
    ]);
}

#[test]
fn invalid_limits_collateral_and_pools_are_rejected() {
    check(vec![
        (bank(json!({"limits": {"bilateral": {"A": 5}}})), &["agents[0].limits.bilateral.A = 5", "cannot pay itself"]),
        (bank(json!({"limits": {"bilateral": {"Z": 5}}})), &["agents[0].limits.bilateral.Z", "A, B"]),
        (bank(json!({"limits": {"bilateral": {"B": -1}}})), &["agents[0].limits.bilateral.B = -1", "between 0"]),
        (bank(json!({"limits": {"multilateral": -1}})), &["agents[0].limits.multilateral = -1", "between 0"]),
        (bank(json!({"limits": {"total": 1}})), &["agents[0].limits.total", "unknown field", "multilateral"]),
        (bank(json!({"collateral": -1})), &["agents[0].collateral = -1", "between 0"]),
        (bank(json!({"collateral_haircut": 1.01})), &["agents[0].collateral_haircut = 1.01", "between 0 and 1"]),
        (bank(json!({"collateral_haircut": -0.1})), &["agents[0].collateral_haircut = -0.1", "between 0 and 1"]),
        (bank(json!({"liquidity_pool": -1})), &["agents[0].liquidity_pool = -1", "between 0"]),
        (bank(json!({"liquidity_share": 1.5})), &["agents[0].liquidity_share = 1.5", "between 0 and 1"]),
        (bank(json!({"policy": {"type": "myopic", "buffer": 1}})), &["agents[0].policy", "buffer"]),
        (json!({"costs": {"collateral_rate": 2}}), &["costs.collateral_rate = 2", "between 0 and 1"]),
        (json!({"costs": {"liquidity_rate": -1}}), &["costs.liquidity_rate = -1", "between 0 and 1"]),
        (json!({"costs": {"collateral_charged": "all"}}), &["costs.collateral_charged", "all", "posted", "used"]),
    ]);
}

#[test]
fn invalid_events_are_rejected() {
    let pay = |keys: Value| {
        let mut payment = json!({"sender": "A", "receiver": "B", "amount": 1});
        payment.as_object_mut().unwrap().extend(keys.as_object().unwrap().clone());
        event("payment", payment)
    };
    check(vec![
        (event("strike", json!({})), &["events[0]", "strike", "early_close"]),
        (event("early_close", json!({"tick": 20})), &["events[0].tick = 20", "between 0 and 19"]),
        (event("early_close", json!({"tick": -1})), &["events[0].tick = -1", "between 0 and 19"]),
        (event("early_close", json!({"bank": "A"})), &["events[0]", "bank"]),
        (event("early_close", json!({"every_ticks": 0})), &["events[0].every_ticks = 0", "between 1"]),
        (
            event("early_close", json!({"until_tick": 5})),
            &["events[0].until_tick = 5", "must be absent without every_ticks"],
        ),
        (
            event("early_close", json!({"every_ticks": 1, "until_tick": 2})),
            &["events[0].until_tick = 2", "between 3 and 19"],
        ),
        (
            event("early_close", json!({"every_ticks": 1, "until_tick": 20})),
            &["events[0].until_tick = 20", "between 3 and 19"],
        ),
        (pay(json!({"sender": "Z"})), &["events[0].sender = \"Z\"", "A, B"]),
        (pay(json!({"receiver": "A"})), &["events[0].receiver = \"A\"", "another bank"]),
        (pay(json!({"amount": 0})), &["events[0].amount = 0", "between 1"]),
        (pay(json!({"amount": 1.5})), &["events[0]", "1.5"]),
        (pay(json!({"deadline_ticks": -1})), &["events[0].deadline_ticks = -1", "between 0"]),
        (pay(json!({"priority": 11})), &["events[0].priority = 11", "between 0 and 10"]),
        (pay(json!({"rail": "ACH"})), &["events[0].rail = \"ACH\"", "RTGS"]),
        (pay(json!({"rtgs_priority": "low"})), &["events[0]", "low", "highly_urgent"]),
        (event("transfer", json!({"amount": 1})), &["events[0].sender = null", "a sender, a receiver or both"]),
        (event("transfer", json!({"sender": "Z", "amount": 1})), &["events[0].sender = \"Z\"", "A, B"]),
        (event("transfer", json!({"receiver": "Z", "amount": 1})), &["events[0].receiver = \"Z\"", "A, B"]),
        (
            event("transfer", json!({"sender": "A", "receiver": "A", "amount": 1})),
            &["events[0].receiver", "another bank"],
        ),
        (event("transfer", json!({"sender": "A", "amount": 0})), &["events[0].amount = 0", "between 1"]),
        (event("arrival_rate", json!({"bank": "Z", "multiplier": 1})), &["events[0].bank = \"Z\"", "A, B"]),
        (event("arrival_rate", json!({"multiplier": 1001})), &["events[0].multiplier = 1001", "between 0 and 1000"]),
        (event("arrival_rate", json!({"multiplier": -1})), &["events[0].multiplier = -1", "between 0 and 1000"]),
        (event("credit", json!({"bank": "Z", "credit_limit": 1})), &["events[0].bank = \"Z\"", "A, B"]),
        (event("credit", json!({"bank": "A", "credit_limit": -1})), &["events[0].credit_limit = -1", "between 0"]),
        (event("collateral", json!({"bank": "Z", "collateral": 1})), &["events[0].bank = \"Z\"", "A, B"]),
        (event("collateral", json!({"bank": "A", "collateral": -1})), &["events[0].collateral = -1", "between 0"]),
        (event("outage", json!({"bank": "Z", "ticks": 1})), &["events[0].bank = \"Z\"", "A, B"]),
        (event("outage", json!({"bank": "A", "ticks": 0})), &["events[0].ticks = 0", "between 1"]),
        (event("outage", json!({"bank": "A"})), &["events[0]", "ticks"]),
    ]);
}

#[test]
fn invalid_days_and_escalations_are_rejected() {
    let day = |opening: &str, closing: &str| json!({"opening_time": opening, "closing_time": closing});
    check(vec![
        (day("18:00", "07:00"), &["closing_time = \"07:00\"", "later than opening_time"]),
        (day("07:00", "07:00"), &["closing_time = \"07:00\"", "later than opening_time"]),
        (day("7:00", "18:00"), &["opening_time = \"7:00\"", "HH:MM"]),
        (day("07:60", "18:00"), &["opening_time = \"07:60\"", "HH:MM"]),
        (day("07:00", "24:01"), &["closing_time = \"24:01\"", "HH:MM"]),
        (day("+7:00", "18:00"), &["opening_time = \"+7:00\"", "HH:MM"]),
        (json!({"opening_time": "07:00"}), &["closing_time = null", "required"]),
        (json!({"closing_time": "18:00"}), &["opening_time = null", "required"]),
        (json!({"priority_escalation": {"ticks": 0, "boost": 1}}), &["priority_escalation.ticks = 0", "between 1"]),
        (
            json!({"priority_escalation": {"ticks": 1, "boost": 11}}),
            &["priority_escalation.boost = 11", "between 1 and 10"],
        ),
        (json!({"payments_file": ""}), &["payments_file", "CSV or Parquet"]),
    ]);
}

#[test]
fn a_payments_file_and_its_payments_require_each_other() {
    let record = PaymentRecord {
        day: 0,
        tick: 0,
        sender: 0,
        receiver: 1,
        amount: 5,
        deadline: -1,
        priority: 5,
        divisible: true,
    };
    let without = Scenario::from_json(&valid_scenario().to_string()).unwrap();
    let mut named = valid_scenario();
    named["payments_file"] = json!("days.csv");
    let with = Scenario::from_json(&named.to_string()).unwrap();
    let replay = Arc::new(Replay::new(&with, std::iter::once(record)).unwrap());
    let files = || Files { replay: Some(Arc::clone(&replay)), ..Files::default() };
    let message = |setup: Result<Setup, paysim_engine::error::ScenarioError>| setup.err().unwrap().to_string();
    assert_eq!(
        message(Setup::new(&with)),
        "payments_file = \"days.csv\": the payments of this file must be read and passed with the scenario"
    );
    assert_eq!(
        message(Setup::with_files(&without, files())),
        "payments_file = \"\": must name the file of the payments that were passed with the scenario"
    );
    assert!(Setup::with_files(&with, files()).is_ok() && Setup::new(&without).is_ok());
}

#[test]
fn totals_of_pools_transfers_and_credit_must_fit() {
    let largest = 1_000_000_000_000_000_i64;
    let long = |keys: Value| {
        let mut long = json!({"ticks_per_day": 1_000, "num_days": 10});
        long.as_object_mut().unwrap().extend(keys.as_object().unwrap().clone());
        long
    };
    let every_tick = |mut event: Value| {
        event["events"][0]["every_ticks"] = json!(1);
        long(event)
    };
    let credits: Vec<Value> =
        (0..5_000).map(|_| json!({"type": "credit", "bank": "A", "credit_limit": largest, "tick": 1})).collect();
    let collaterals: Vec<Value> =
        (0..5_000).map(|_| json!({"type": "collateral", "bank": "A", "collateral": largest, "tick": 1})).collect();
    let money = "balances, credit, collateral and pools of all banks = ";
    let mut pool = bank(json!({"liquidity_pool": largest}));
    pool["num_days"] = json!(10_000);
    pool["costs"] = json!({"liquidity_rate": 1.0});
    let mut frequent = every_tick(event("early_close", json!({})));
    let hundred: Vec<Value> = (0..101).map(|_| frequent["events"][0].clone()).collect();
    frequent["events"] = json!(hundred);
    check(vec![
        (every_tick(event("transfer", json!({"receiver": "A", "amount": largest}))), &[money, "must stay below"]),
        (
            every_tick(event("payment", json!({"sender": "A", "receiver": "B", "amount": largest}))),
            &["value of all payments = "],
        ),
        (json!({"events": credits}), &[money]),
        (json!({"events": collaterals}), &[money]),
        (pool, &["costs = ", "must stay below"]),
        (frequent, &["events[100]", "more than 1000000 times"]),
    ]);
}

#[test]
fn too_many_expected_payments_per_tick_are_rejected() {
    let arrivals = json!({
        "rate_per_tick": 1000, "distribution_type": "exponential", "amount_mean": 1,
        "time_windows": [{"start_tick": 0, "end_tick": 1, "multiplier": 500}]
    });
    let mut keys = bank(json!({"arrival_config": arrivals}));
    let accepted = |keys: &Value| Scenario::from_json(&extended(keys).to_string()).unwrap();
    accepted(&keys);
    keys["events"] = json!([{"type": "arrival_rate", "tick": 0, "bank": "A", "multiplier": 3}]);
    check(vec![(keys.clone(), &["rate_per_tick = 1500000", "at most 1000000 expected payments in the busiest tick"])]);
    keys["events"][0]["bank"] = json!("B");
    accepted(&keys);
}
