//! Small scenarios and readings for days worked out by hand.

#![allow(dead_code, reason = "each test file uses a part of it")]

use paysim_engine::costs::Component;
use paysim_engine::events::{Event, EventLog, Mechanism};
use paysim_engine::payment::Decision;
use paysim_engine::scenario::Scenario;
use paysim_engine::setup::Setup;
use paysim_engine::system::{System, TickOutcome};
use paysim_engine::units::{BankId, bank_at};
use serde_json::{Value, json};

pub const A: usize = 0;
pub const B: usize = 1;
pub const C: usize = 2;

/// Banks A, B and C; A as given, B and C without balances.
pub fn scenario(ticks: i64, a: Value, payments: Vec<Value>) -> Value {
    let mut bank = json!({"id": "A", "balance": 0});
    bank.as_object_mut().unwrap().extend(a.as_object().unwrap().clone());
    json!({
        "ticks_per_day": ticks, "initial_transactions": payments,
        "agents": [bank, {"id": "B", "balance": 0}, {"id": "C", "balance": 0}]
    })
}

/// The scenario with further or replaced keys.
pub fn with(mut scenario: Value, keys: Value) -> Value {
    scenario.as_object_mut().unwrap().extend(keys.as_object().unwrap().clone());
    scenario
}

/// A payment without a rail that never becomes overdue.
pub fn pay(sender: &str, receiver: &str, amount: i64, arrival: i64) -> Value {
    json!({"sender": sender, "receiver": receiver, "amount": amount, "arrival_tick": arrival, "deadline_tick": 1_000})
}

pub fn system(scenario: &Value) -> System {
    system_with_learners(scenario, &[])
}

pub fn system_with_learners(scenario: &Value, learners: &[usize]) -> System {
    let scenario = Scenario::from_json(&scenario.to_string()).unwrap();
    let learners: Vec<BankId> = learners.iter().map(|bank| bank_at(*bank)).collect();
    Setup::new(&scenario).unwrap().system(&learners, EventLog::recording())
}

pub fn play(system: &mut System, ticks: usize) -> Vec<TickOutcome> {
    (0..ticks).map(|_| system.tick().unwrap()).collect()
}

/// Plays a tick with these decisions of the learner A.
pub fn decide(system: &mut System, decisions: &[Decision]) -> TickOutcome {
    system.begin_tick().unwrap();
    system.decisions_mut(bank_at(A)).extend_from_slice(decisions);
    system.finish_tick().unwrap()
}

/// Number of settled payments in each of the next ticks.
pub fn settlements(system: &mut System, ticks: usize) -> Vec<u32> {
    play(system, ticks).iter().map(|outcome| outcome.settlements).collect()
}

pub fn balances(system: &System) -> Vec<i64> {
    system.ledger.banks.iter().map(|bank| bank.balance.0).collect()
}

pub fn cost(system: &System, bank: usize, component: Component) -> i64 {
    system.ledger.banks[bank].costs[component as usize].0
}

/// Amounts and mechanisms of the settlements since the last call.
pub fn settled(system: &mut System) -> Vec<(i64, Mechanism)> {
    let events = system.ledger.events.take();
    let settled = events.iter().filter_map(|event| match event {
        Event::Settlement { amount, mechanism, .. } => Some((amount.0, *mechanism)),
        _ => None,
    });
    settled.collect()
}

/// Amounts in the internal queue, in order.
pub fn held(system: &System, bank: usize) -> Vec<i64> {
    system.ledger.banks[bank].internal.iter().map(|payment| payment.amount.0).collect()
}

/// Amounts in the central queue of a rail, in order.
pub fn queued(system: &System, bank: usize, rail: usize) -> Vec<i64> {
    system.ledger.banks[bank].central[rail].iter().map(|payment| payment.amount.0).collect()
}
