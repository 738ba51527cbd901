//! Speed of gross settlement with long queues: `cargo bench --bench settlement`.

#![allow(clippy::unwrap_used, missing_docs)]

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use paysim_engine::events::EventLog;
use paysim_engine::scenario::Scenario;
use paysim_engine::setup::Setup;
use serde_json::{Value, json};
use std::sync::Arc;

const BANKS: usize = 100;
const PAYMENTS: usize = 10_000;

/// Payments at tick 0, of which some settle gross and most need offsets.
fn random_payments() -> Vec<Value> {
    let mut state = 7_u64;
    let mut draw = |below: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % below
    };
    let pay = |_| {
        let (sender, offset) = (draw(BANKS), 1 + draw(BANKS - 1));
        payment(sender, (sender + offset) % BANKS, 1 + draw(1_000_000))
    };
    (0..PAYMENTS).map(pay).collect()
}

/// Pairs of payments between one bank and all others in turn.
fn hub_payments() -> Vec<Value> {
    let spoke = |index: usize| 1 + index % (BANKS - 1);
    (0..PAYMENTS / 2).flat_map(|index| [payment(0, spoke(index), 1), payment(spoke(index), 0, 1)]).collect()
}

fn payment(sender: usize, receiver: usize, amount: usize) -> Value {
    let (sender, receiver) = (format!("B{sender}"), format!("B{receiver}"));
    json!({"sender": sender, "receiver": receiver, "amount": amount, "arrival_tick": 0, "deadline_tick": 0})
}

fn scenario(discipline: &str, lsm: bool, balance: i64, payments: &[Value]) -> Scenario {
    let agents: Vec<Value> = (0..BANKS).map(|bank| json!({"id": format!("B{bank}"), "balance": balance})).collect();
    let text = json!({
        "ticks_per_day": 2, "agents": agents, "initial_transactions": payments,
        "rails": [{
            "id": "RTGS", "queue_discipline": discipline,
            "lsm": {"entry_offset": lsm, "bilateral": lsm, "multilateral": lsm}
        }]
    });
    Scenario::from_json(&text.to_string()).unwrap()
}

fn settle(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("tick with 10,000 queued payments of 100 banks");
    group.sample_size(10);
    let (random, hub) = (random_payments(), hub_payments());
    for (name, discipline, lsm, balance) in [
        ("fifo, hub, lsm", "fifo", true, 0),
        ("fifo_bypass, hub, lsm", "fifo_bypass", true, 0),
        ("fifo, poor, lsm", "fifo", true, 100_000),
        ("fifo, rich, lsm", "fifo", true, 10_000_000),
        ("fifo_bypass, poor, lsm", "fifo_bypass", true, 100_000),
        ("fifo_bypass, rich, lsm", "fifo_bypass", true, 10_000_000),
        ("fifo, poor, gross only", "fifo", false, 100_000),
        ("fifo_bypass, poor, gross only", "fifo_bypass", false, 100_000),
    ] {
        let payments = if name.contains("hub") { &hub } else { &random };
        let setup = Arc::new(Setup::new(&scenario(discipline, lsm, balance, payments)).unwrap());
        group.bench_function(name, |bencher| {
            let begun = || {
                let mut system = setup.system(&[], EventLog::default());
                system.begin_tick().unwrap();
                system
            };
            bencher.iter_batched(
                begun,
                |mut system| system.finish_tick().unwrap().settlements,
                BatchSize::PerIteration,
            );
        });
    }
    group.finish();
}

criterion_group!(benches, settle);
criterion_main!(benches);
