//! Speed of steps, days and saved states: `cargo bench --bench tick`.
//!
//! A step plays random legal decisions and writes observations and masks.

#![allow(clippy::unwrap_used, missing_docs)]

#[path = "../tests/network_builder/mod.rs"]
mod network_builder;
#[path = "../tests/stepped_fleet/mod.rs"]
mod stepped_fleet;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use paysim_engine::events::EventLog;
use paysim_engine::rng::{Purpose, Stream, stream};
use paysim_engine::scenario::Scenario;
use paysim_engine::setup::{Files, Setup};
use paysim_engine::system::System;
use paysim_engine::units::BankId;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};
use stepped_fleet::SteppedFleet;

const ROWS: usize = 1024;
const TWO_BANK: &str = include_str!("../tests/scenarios/two_bank.json");
const FIVE_BANK: &str = include_str!("../tests/scenarios/five_bank.json");

fn setup_of(scenario: &Value, files: Files) -> Setup {
    Setup::with_files(&Scenario::from_json(&scenario.to_string()).unwrap(), files).unwrap()
}

/// A bundled scenario and its first bank, the learner.
fn bundled(text: &str) -> (Value, String) {
    let scenario: Value = serde_json::from_str(text).unwrap();
    let learner = scenario["agents"][0]["id"].as_str().unwrap().to_owned();
    (scenario, learner)
}

/// Time of these days of all rows, with restarts but without the random draws.
fn play_days(fleet: &mut SteppedFleet, rng: &mut Stream, days: u64) -> Duration {
    let mut actions = vec![0; ROWS * fleet.fleet.process.layout.heads()];
    let mut spent = Duration::ZERO;
    for _ in 0..days * u64::from(1 + fleet.fleet.setup.episode_ticks) {
        fleet.draw_legal_actions(rng, &mut actions);
        let start = Instant::now();
        fleet.step(black_box(&actions)).unwrap();
        spent += start.elapsed();
    }
    spent
}

/// Steps of a fleet; an element is a tick of one system.
fn step(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("step");
    let mut measure = |name: &str, scenario: &Value, learner: &str, threads: usize, files: Files| {
        let setup = setup_of(scenario, files);
        group.throughput(Throughput::Elements(ROWS as u64 * u64::from(setup.episode_ticks)));
        let mut fleet = SteppedFleet::of(setup, ROWS, threads, &json!({"learners": [learner]}));
        let mut rng = stream(0, 0, BankId(0), Purpose::Policy);
        group.bench_function(name, |bencher| bencher.iter_custom(|days| play_days(&mut fleet, &mut rng, days)));
    };
    for (name, text) in [("two_bank", TWO_BANK), ("five_bank", FIVE_BANK)] {
        let (scenario, learner) = bundled(text);
        for (threads, suffix) in [(1, "1 thread"), (2, "2 threads")] {
            measure(&format!("{name}, {suffix}"), &scenario, &learner, threads, Files::default());
        }
    }
    let (mut scenario, learner) = bundled(TWO_BANK);
    scenario["agents"][1]["policy"] = json!({"type": "network", "weights": "b.safetensors"});
    let networks = BTreeMap::from([("BANK_B".to_owned(), network_builder::random_network(&[64, 64]))]);
    let files = Files { networks, ..Files::default() };
    measure("two_bank, 1 thread, BANK_B a network of 64 and 64", &scenario, &learner, 1, files);
    group.finish();
}

/// The first and the two-hundredth day of an episode, which must cost the same.
fn day(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("day");
    let (mut scenario, _) = bundled(FIVE_BANK);
    scenario["num_days"] = json!(200);
    // Every day starts with the same balances and empty queues.
    (scenario["overnight"], scenario["end_of_day"]) = (json!("reset"), json!("drop"));
    let setup = Arc::new(setup_of(&scenario, Files::default()));
    let system = || setup.system(&[], EventLog::default());
    // Days differ in their payments, so a sample has several episodes.
    let mut day_starts = [Vec::new(), Vec::new()];
    for episode in 0..64 {
        let mut played = system();
        played.reset(0, episode);
        for (states, number) in day_starts.iter_mut().zip([1, 200]) {
            while played.ledger.now.0 < (number - 1) * setup.ticks_per_day {
                played.tick().unwrap();
            }
            states.push(played.save());
        }
    }
    group.throughput(Throughput::Elements(day_starts[0].len() as u64));
    for (number, states) in [1, 200].into_iter().zip(&day_starts) {
        let begun = || states.iter().map(|state| restored(system(), state)).collect::<Vec<_>>();
        let play = |mut systems: Vec<System>| {
            for system in &mut systems {
                (0..setup.ticks_per_day).for_each(|_| _ = system.tick().unwrap());
            }
            systems
        };
        group.bench_function(format!("number {number}"), |bencher| {
            bencher.iter_batched(begun, play, BatchSize::LargeInput);
        });
    }
    group.finish();
}

fn restored(mut system: System, state: &[u8]) -> System {
    system.restore(state).unwrap();
    system
}

/// 200 banks with 10,000 payments a day and scarce liquidity.
fn large(criterion: &mut Criterion) {
    const BANKS: u32 = 200;
    const TICKS: u32 = 100;
    let bank = |index| {
        json!({
            "id": format!("BANK_{index}"), "balance": 1_000_000, "credit_limit": 1_000_000,
            "arrival_config": {
                "rate_per_tick": 10_000.0 / f64::from(BANKS * TICKS), "distribution_type": "lognormal",
                "amount_mean": 1_000_000, "amount_std_dev": 1_500_000, "deadline_range": [4, 32],
                "priority": {"2": 1, "5": 1, "8": 1}
            }
        })
    };
    let scenario = json!({
        "ticks_per_day": TICKS, "agents": (0..BANKS).map(bank).collect::<Vec<_>>(), "end_of_day": "borrow",
        "costs": {"overdraft_rate": 0.000_01, "delay_rate": 0.000_005, "delay_penalty_per_tick": 200},
        "rails": [{
            "id": "RTGS", "queue_discipline": "fifo_bypass",
            "lsm": {"entry_offset": true, "bilateral": true, "multilateral": true}
        }]
    });
    let mut system = setup_of(&scenario, Files::default()).system(&[], EventLog::default());
    let mut group = criterion.benchmark_group("day of 200 banks and 10,000 payments");
    group.sample_size(10).throughput(Throughput::Elements(1));
    let mut episode = 0;
    group.bench_function("lsm", |bencher| {
        bencher.iter(|| {
            system.reset(0, episode);
            episode += 1;
            (0..TICKS).map(|_| system.tick().unwrap().settlements).sum::<u32>()
        });
    });
    group.finish();
}

/// Saving and restoring the state of a system in the middle of a day.
fn state(criterion: &mut Criterion) {
    let (scenario, _) = bundled(FIVE_BANK);
    let mut system = setup_of(&scenario, Files::default()).system(&[], EventLog::default());
    (0..system.setup.ticks_per_day / 2).for_each(|_| _ = system.tick().unwrap());
    let saved = system.save();
    let mut group = criterion.benchmark_group("state of five_bank at noon");
    group.throughput(Throughput::Bytes(saved.len() as u64));
    group.bench_function("save", |bencher| bencher.iter(|| black_box(&system).save()));
    group.bench_function("restore", |bencher| bencher.iter(|| system.restore(black_box(&saved)).unwrap()));
    group.finish();
}

criterion_group!(benches, step, day, large, state);
criterion_main!(benches);
