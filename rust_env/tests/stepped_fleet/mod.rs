//! A fleet with the output buffers of a step.

#![allow(dead_code, reason = "some test files draw no actions")]

use paysim_engine::costs::COMPONENTS;
use paysim_engine::decision::Process;
use paysim_engine::error::FleetError;
use paysim_engine::fleet::{Fleet, Pool, StepOutput};
use paysim_engine::rng::Stream;
use paysim_engine::scenario::Scenario;
use paysim_engine::setup::Setup;
use rand::RngExt;
use serde_json::Value;
use std::sync::Arc;

pub struct SteppedFleet {
    pub fleet: Fleet,
    pool: Pool,
    pub observations: Vec<f32>,
    pub rewards: Vec<f64>,
    pub terminated: Vec<bool>,
    pub truncated: Vec<bool>,
    pub costs: Vec<i64>,
    pub masks: Vec<bool>,
    pub illegal: Vec<i64>,
}

impl SteppedFleet {
    /// A fleet whose rows have the seeds 0, 1, ...
    pub fn new(scenario: &Scenario, rows: usize, threads: usize, decision: &Value) -> Self {
        Self::of(Setup::new(scenario).unwrap(), rows, threads, decision)
    }

    /// A fleet of a scenario that may need files, with the same seeds.
    pub fn of(setup: Setup, rows: usize, threads: usize, decision: &Value) -> Self {
        let setup = Arc::new(setup);
        let process = Arc::new(Process::from_json(&decision.to_string(), &setup).unwrap());
        let learners = rows * process.learners.len();
        let mut new = Self {
            observations: vec![f32::NAN; learners * process.observation_size()],
            rewards: vec![f64::NAN; learners],
            terminated: vec![false; rows],
            truncated: vec![true; rows],
            costs: vec![-1; learners * COMPONENTS.len()],
            masks: vec![false; learners * process.layout.mask_size()],
            illegal: vec![-1; learners],
            fleet: Fleet::new(setup, process, rows),
            pool: Pool::new(threads, rows),
        };
        for row in 0..rows {
            new.fleet.reset(row, Some(row as u64)).unwrap();
        }
        new.observe();
        new
    }

    pub fn observe(&mut self) {
        self.fleet.observe(&mut self.observations, &mut self.masks);
    }

    pub fn step(&mut self, actions: &[i64]) -> Result<(), FleetError> {
        let out = StepOutput {
            observations: &mut self.observations,
            rewards: &mut self.rewards,
            terminated: &mut self.terminated,
            truncated: &mut self.truncated,
            costs: &mut self.costs,
            masks: &mut self.masks,
            illegal: &mut self.illegal,
        };
        self.fleet.step(actions, out, &self.pool)
    }

    /// Random legal actions.
    pub fn legal_actions(&self, rng: &mut Stream) -> Vec<i64> {
        let mut actions = vec![0; self.rewards.len() * self.fleet.process.layout.heads()];
        self.draw_legal_actions(rng, &mut actions);
        actions
    }

    /// Writes random legal actions.
    pub fn draw_legal_actions(&self, rng: &mut Stream, actions: &mut [i64]) {
        let layout = &self.fleet.process.layout;
        let masks = self.masks.chunks(layout.mask_size()).flat_map(|mask| layout.split(mask));
        for (action, flags) in actions.iter_mut().zip(masks) {
            *action = draw(flags, rng);
        }
    }
}

/// Index of a random true flag.
pub fn draw(flags: &[bool], rng: &mut Stream) -> i64 {
    let legal = flags.iter().filter(|flag| **flag).count();
    let drawn = if legal == 1 { 0 } else { rng.random_range(0..legal) };
    let index = (0..flags.len()).filter(|index| flags[*index]).nth(drawn).unwrap();
    i64::try_from(index).unwrap()
}
