//! Speed of a tick with observations and masks, under random legal decisions, on one thread; and of a
//! day, early and late in an episode.

#![allow(clippy::unwrap_used, clippy::cast_possible_wrap, missing_docs)]

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use paysim_engine::costs::COMPONENTS;
use paysim_engine::decision::Process;
use paysim_engine::events::EventLog;
use paysim_engine::fleet::{Fleet, Pool, StepOutput};
use paysim_engine::scenario::Scenario;
use paysim_engine::setup::Setup;
use paysim_engine::system::System;
use serde_json::{Value, json};
use std::hint::black_box;
use std::sync::Arc;

const ROWS: usize = 1024;

/// `banks` banks that send each other one payment a tick each.
fn scenario(banks: usize) -> String {
    let agents: Vec<String> = (0..banks)
        .map(|index| {
            format!(
                r#"{{"id": "BANK_{index}", "balance": 500000000, "credit_limit": 1500000000, "arrival_config": {{
                "rate_per_tick": 1, "distribution_type": "lognormal", "amount_mean": 250000000,
                "amount_std_dev": 400000000, "deadline_range": [4, 24], "priority": {{"3": 3, "8": 1}}}}}}"#
            )
        })
        .collect();
    format!(
        r#"{{"ticks_per_day": 48, "agents": [{}], "costs": {{"overdraft_rate": 0.00001, "delay_rate": 0.000005, "delay_penalty_per_tick": 1000}}}}"#,
        agents.join(",")
    )
}

fn step(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("step");
    group.throughput(Throughput::Elements(ROWS as u64));
    for banks in [2, 5] {
        let setup = Arc::new(Setup::new(&Scenario::from_json(&scenario(banks)).unwrap()).unwrap());
        let process = Arc::new(Process::from_json(r#"{"learners": ["BANK_0"]}"#, &setup).unwrap());
        let mut fleet = Fleet::new(setup, Arc::clone(&process), ROWS);
        for row in 0..ROWS {
            fleet.reset(row, Some(row as u64)).unwrap();
        }
        let pool = Pool::new(1, ROWS);
        let mut observations = vec![0.0; ROWS * process.observation_size()];
        let mut masks = vec![false; ROWS * process.mask_size()];
        fleet.observe(&mut observations, &mut masks);
        let (mut rewards, mut costs, mut illegal) = (vec![0.0; ROWS], vec![0; ROWS * COMPONENTS.len()], vec![0; ROWS]);
        let (mut terminated, mut truncated) = (vec![false; ROWS], vec![false; ROWS]);
        let mut actions = vec![0; ROWS * process.slots];
        let mut dice = 1_u64;
        group.bench_function(format!("{banks} banks"), |bencher| {
            bencher.iter(|| {
                for (action, legal) in actions.iter_mut().zip(masks.chunks_exact(process.choices())) {
                    // A linear congruential generator: cheap enough not to be what is measured.
                    dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                    let wanted = (dice >> 62) as usize;
                    *action = if legal[wanted] { wanted as i64 } else { 0 };
                }
                let out = StepOutput {
                    observations: &mut observations,
                    rewards: &mut rewards,
                    terminated: &mut terminated,
                    truncated: &mut truncated,
                    costs: &mut costs,
                    masks: &mut masks,
                    illegal: &mut illegal,
                };
                fleet.step(black_box(&actions), out, &pool).unwrap();
            });
        });
    }
    group.finish();
}

/// The first day of an episode and its two-hundredth, from the same scenario: what has been played must not matter.
fn day(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("day");
    let mut config: Value = serde_json::from_str(&scenario(5)).unwrap();
    config["num_days"] = json!(200);
    // Every day starts with the same money and empty queues.
    (config["overnight"], config["end_of_day"]) = (json!("reset"), json!("drop"));
    let setup = Arc::new(Setup::new(&Scenario::from_json(&config.to_string()).unwrap()).unwrap());
    let mut system = System::new(Arc::clone(&setup), &[], EventLog::default());
    for day in [1, 200] {
        while system.ledger.now.0 < (day - 1) * setup.ticks_per_day {
            system.tick().unwrap();
        }
        let morning = system.save();
        let begun = || {
            let mut system = System::new(Arc::clone(&setup), &[], EventLog::default());
            system.restore(&morning).unwrap();
            system
        };
        group.bench_function(format!("number {day}"), |bencher| {
            bencher.iter_batched(
                begun,
                |mut system| (0..setup.ticks_per_day).for_each(|_| _ = system.tick().unwrap()),
                BatchSize::SmallInput,
            );
        });
    }
    group.finish();
}

criterion_group!(benches, step, day);
criterion_main!(benches);
