//! Independent systems of one scenario, stepped together.
//!
//! Systems share only the scenario, so the results do not depend on the number of threads. Output goes into slices
//! that the caller owns.

mod memory;
mod pool;
mod snapshot;
mod totals;

pub use memory::{MemoryError, check_memory};
pub use pool::Pool;
pub use snapshot::{BankSnapshot, QueueSnapshot, URGENCIES, urgency_class};
pub use totals::{RATIO_NAMES, TOTAL_NAMES, Totals};

use crate::costs::COMPONENTS;
use crate::decision::{Process, reward};
use crate::error::{ActionError, FleetError, TickError};
use crate::events::EventLog;
use crate::hash::fingerprint;
use crate::payment::Decision;
use crate::policy::ScriptedPolicy;
use crate::setup::Setup;
use crate::system::{RestoreError, System, has_current_format};
use crate::units::BankId;
use std::sync::Arc;

/// Independent systems of one scenario: the rows of the fleet.
pub struct Fleet {
    /// Compiled scenario.
    pub setup: Arc<Setup>,
    /// Decision process.
    pub process: Arc<Process>,
    rows: Vec<Row>,
}

struct Row {
    system: System,
    /// Whether the episode is over, so that the next step resets.
    has_ended: bool,
    steps: u32,
}

/// Output arrays of a step, row-major.
///
/// N rows, L learners, D observation columns, M mask flags.
pub struct StepOutput<'a> {
    /// Observations, N x L x D.
    pub observations: &'a mut [f32],
    /// Rewards, N x L.
    pub rewards: &'a mut [f64],
    /// Whether the episode is over, N.
    pub terminated: &'a mut [bool],
    /// Whether the step limit is reached, N.
    pub truncated: &'a mut [bool],
    /// Costs of the step in cents, N x L x components.
    pub costs: &'a mut [i64],
    /// Action masks, N x L x M.
    pub masks: &'a mut [bool],
    /// Numbers of illegal action components, N x L.
    pub illegal: &'a mut [i64],
}

impl Fleet {
    /// Creates `num_envs` systems; each row needs [`Fleet::reset`] before the first step.
    pub fn new(setup: Arc<Setup>, process: Arc<Process>, num_envs: usize) -> Self {
        let roles = setup.roles(&process.learners, process.payment_learners());
        let row =
            |_| Row { system: setup.system_with(Arc::clone(&roles), EventLog::default()), has_ended: false, steps: 0 };
        let rows = (0..num_envs).map(row).collect();
        Self { setup, process, rows }
    }

    /// Number of systems.
    pub fn num_envs(&self) -> usize {
        self.rows.len()
    }

    /// Resets a row to episode 0 of `seed`, else to its next episode.
    ///
    /// # Errors
    /// [`FleetError::Tick`].
    pub fn reset(&mut self, row: usize, seed: Option<u64>) -> Result<(), FleetError> {
        self.rows[row].restart(&self.process, seed).map_err(|source| FleetError::Tick { env: row, source })
    }

    /// Writes observations (N x L x D) and masks (N x L x M).
    pub fn observe(&self, observations: &mut [f32], masks: &mut [bool]) {
        let (columns, flags) = (self.columns(), self.flags());
        for ((row, out), mask) in
            self.rows.iter().zip(observations.chunks_exact_mut(columns)).zip(masks.chunks_exact_mut(flags))
        {
            row.observe(&self.process, out, mask);
        }
    }

    /// Writes observations (L x D) and masks (L x M) of a row.
    ///
    /// Returns whether its episode is over.
    pub fn observe_row(&self, row: usize, observations: &mut [f32], masks: &mut [bool]) -> bool {
        self.rows[row].observe(&self.process, observations, masks);
        self.rows[row].has_ended
    }

    /// Steps every row by a tick or an opening.
    ///
    /// `actions` has shape N x L x heads. A row whose episode is over resets to its next episode instead: its actions
    /// are ignored, its rewards and costs are zero.
    ///
    /// # Errors
    /// [`FleetError::Action`] if an action is rejected; no row has changed then. [`FleetError::Tick`] if a row fails.
    pub fn step(&mut self, actions: &[i64], out: StepOutput<'_>, pool: &Pool) -> Result<(), FleetError> {
        self.check(actions)?;
        let block = Block { first: 0, rows: &mut self.rows, actions, out, process: &self.process };
        pool.run(|grain| block.step(grain))
    }

    /// Validates all actions before any row steps.
    fn check(&self, actions: &[i64]) -> Result<(), ActionError> {
        let heads = self.process.layout.heads();
        let per_row = self.process.learners.len() * heads;
        let expected = self.rows.len() * per_row;
        if actions.len() != expected {
            return Err(ActionError::WrongLength { got: actions.len(), expected });
        }
        let rows = self.rows.iter().zip(actions.chunks_exact(per_row)).enumerate();
        for (env, (_, actions)) in rows.filter(|(_, (row, _))| !row.has_ended) {
            for (learner, actions) in self.process.learners.iter().zip(actions.chunks_exact(heads)) {
                self.check_range(env, *learner, actions)?;
                if self.process.strict {
                    self.check_mask(env, *learner, actions)?;
                }
            }
        }
        Ok(())
    }

    fn check_range(&self, env: usize, learner: BankId, actions: &[i64]) -> Result<(), ActionError> {
        let nvec = &self.process.layout.nvec;
        // A negative action is a large unsigned number.
        let is_out_of_range = |(action, choices): (&i64, &usize)| action.cast_unsigned() >= *choices as u64;
        let Some(index) = actions.iter().zip(nvec).position(is_out_of_range) else { return Ok(()) };
        let (bank, component) = self.describe(learner, index);
        let highest = i64::try_from(nvec[index]).unwrap_or(i64::MAX) - 1;
        Err(ActionError::OutOfRange { env, bank, component, value: actions[index], highest })
    }

    fn check_mask(&self, env: usize, learner: BankId, actions: &[i64]) -> Result<(), ActionError> {
        match self.process.first_illegal(&self.rows[env].system, learner, actions) {
            Some((index, reason)) => {
                let (bank, component) = self.describe(learner, index);
                Err(ActionError::Masked { env, bank, component, value: actions[index], reason })
            }
            None => Ok(()),
        }
    }

    fn describe(&self, learner: BankId, component: usize) -> (String, String) {
        (self.setup.banks[learner.index()].id.clone(), self.process.layout.name(component))
    }

    /// Writes a scripted policy's actions for every learner (N x L x heads).
    ///
    /// # Errors
    /// [`ActionError::NotOffered`] if a split is not available.
    pub fn scripted_actions(&mut self, policy: &dyn ScriptedPolicy, actions: &mut [i64]) -> Result<(), ActionError> {
        let Self { setup, process, rows } = self;
        let mut decisions: Vec<Decision> = Vec::new();
        let mut out = actions.chunks_exact_mut(process.layout.heads());
        for (env, row) in rows.iter_mut().enumerate() {
            for learner in &process.learners {
                decisions.clear();
                // Unused decisions must not draw from the bank's policy stream.
                if !row.system.is_opening() && process.decides.includes_payments() {
                    row.system.append_scripted_decisions(*learner, policy, &mut decisions);
                }
                let Some(out) = out.next() else { break };
                let bank = &setup.banks[learner.index()];
                process.scripted_action(&row.system, *learner, bank.pool_share, &decisions, out).map_err(|parts| {
                    let offered = process.split_parts.clone();
                    ActionError::NotOffered { env, bank: bank.id.clone(), parts, offered }
                })?;
            }
        }
        Ok(())
    }

    /// Totals since the start of the episode, for every learner of every row.
    pub fn totals(&self) -> impl Iterator<Item = Totals> + '_ {
        self.rows
            .iter()
            .flat_map(|row| self.process.learners.iter().map(|learner| Totals::of(&row.system.ledger, learner.index())))
    }

    /// Unscaled state of every learner of a row.
    pub fn snapshots(&self, row: usize) -> impl Iterator<Item = BankSnapshot> + '_ {
        let system = &self.rows[row].system;
        self.process.learners.iter().map(|learner| BankSnapshot::of(system, *learner))
    }

    /// Current seed and episode of every row.
    pub fn seeds_and_episodes(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        self.rows.iter().map(|row| row.system.seed_and_episode())
    }

    /// Serialises the state of a row.
    pub fn save(&self, row: usize) -> Vec<u8> {
        let row = &self.rows[row];
        let mut bytes = row.system.save();
        bytes.push(u8::from(row.has_ended));
        bytes.extend_from_slice(&row.steps.to_le_bytes());
        bytes.extend_from_slice(&self.process.fingerprint().to_le_bytes());
        let checksum = fingerprint([bytes.as_slice()]);
        bytes.extend_from_slice(&checksum.to_le_bytes());
        bytes
    }

    /// Restores a saved state in a row.
    ///
    /// # Errors
    /// [`RestoreError`] if the bytes are not a state of this scenario; the row is unchanged then.
    pub fn restore(&mut self, row: usize, bytes: &[u8]) -> Result<(), RestoreError> {
        let not_a_state = RestoreError::NotAState { length: bytes.len() };
        let Some((state, checksum)) = bytes.split_last_chunk() else { return Err(not_a_state) };
        let Some((state, process)) = state.split_last_chunk() else { return Err(not_a_state) };
        let Some((state, steps)) = state.split_last_chunk() else { return Err(not_a_state) };
        let Some((has_ended, system)) = state.split_last() else { return Err(not_a_state) };
        if !has_current_format(system) {
            return Err(not_a_state);
        }
        if u64::from_le_bytes(*checksum) != fingerprint([&bytes[..bytes.len() - checksum.len()]]) {
            return Err(RestoreError::Damaged);
        }
        let row = &mut self.rows[row];
        let state = row.system.parse_state(system)?;
        if u64::from_le_bytes(*process) != self.process.fingerprint() {
            return Err(RestoreError::OtherProcess);
        }
        let (steps, setup) = (u32::from_le_bytes(*steps), &self.setup);
        let max_steps = u64::from(setup.episode_ticks) + u64::from(setup.num_days);
        let is_over = state.0.0 >= setup.episode_ticks;
        let is_at_limit = self.process.max_episode_steps.is_some_and(|limit| steps >= limit);
        if *has_ended != u8::from(is_over || is_at_limit) || u64::from(steps) > max_steps {
            return Err(RestoreError::Impossible { part: "end of the episode" });
        }
        row.system.load_state(state);
        (row.has_ended, row.steps) = (*has_ended != 0, steps);
        Ok(())
    }

    /// Redraws what a bank cannot know of a row; see [`System::reseed`].
    pub fn reseed(&mut self, row: usize, copy_seed: u64, known_by: BankId) {
        self.rows[row].system.reseed(copy_seed, known_by);
    }

    fn columns(&self) -> usize {
        self.process.learners.len() * self.process.observation_size()
    }

    fn flags(&self) -> usize {
        self.process.learners.len() * self.process.layout.mask_size()
    }
}

impl Row {
    fn restart(&mut self, process: &Process, seed: Option<u64>) -> Result<(), TickError> {
        let (seed, episode) = match (seed, self.system.seed_and_episode()) {
            (Some(seed), _) => (seed, 0),
            (None, (seed, episode)) => (seed, episode + 1),
        };
        self.system.reset(seed, episode);
        (self.has_ended, self.steps) = (false, 0);
        self.begin_step(process)
    }

    /// Simulates up to the next decisions, about pools or payments.
    fn begin_step(&mut self, process: &Process) -> Result<(), TickError> {
        self.system.begin_day()?;
        if process.has_opening && self.system.is_opening() {
            return Ok(());
        }
        // Decisions follow the arrivals of their tick, so that the observation includes these.
        self.system.begin_tick()
    }

    /// Simulates the rest of the step after the decisions.
    fn finish_step(&mut self) -> Result<(), TickError> {
        if self.system.is_opening() { self.system.finish_opening() } else { self.system.play_tick().map(|_| ()) }
    }

    fn step(&mut self, process: &Process, actions: &[i64], out: StepOutput<'_>) -> Result<(), TickError> {
        (out.terminated[0], out.truncated[0]) = (false, false);
        if self.has_ended {
            out.rewards.fill(0.0);
            out.costs.fill(0);
            out.illegal.fill(0);
            self.restart(process, None)?;
        } else {
            self.decide(process, actions, out.illegal);
            self.finish_step()?;
            self.steps += 1;
            out.terminated[0] = self.system.is_over();
            out.truncated[0] = process.max_episode_steps.is_some_and(|limit| self.steps >= limit);
            self.has_ended = out.terminated[0] || out.truncated[0];
            self.reward(process, out.rewards, out.costs);
            if !out.terminated[0] {
                self.begin_step(process)?;
            }
        }
        self.observe(process, out.observations, out.masks);
        Ok(())
    }

    fn decide(&mut self, process: &Process, actions: &[i64], illegal: &mut [i64]) {
        let heads = process.layout.heads();
        for (index, (learner, illegal)) in process.learners.iter().zip(illegal).enumerate() {
            *illegal = process.apply_actions(&mut self.system, *learner, &actions[index * heads..][..heads]);
        }
    }

    fn reward(&self, process: &Process, rewards: &mut [f64], costs: &mut [i64]) {
        let banks = &self.system.ledger.banks;
        let outputs = rewards.iter_mut().zip(costs.chunks_exact_mut(COMPONENTS.len()));
        for ((learner, scale), (out, costs)) in process.learners.iter().zip(&process.reward_scales).zip(outputs) {
            *out = reward(banks, *learner, process.reward, *scale);
            for (cents, cost) in costs.iter_mut().zip(banks[learner.index()].tick_costs) {
                *cents = cost.0;
            }
        }
    }

    fn observe(&self, process: &Process, observations: &mut [f32], masks: &mut [bool]) {
        let (columns, flags) = (process.observation_size(), process.layout.mask_size());
        for (learner, id) in process.learners.iter().enumerate() {
            process.write_observation(&self.system, learner, &mut observations[learner * columns..][..columns]);
            process.write_mask(&self.system, *id, &mut masks[learner * flags..][..flags]);
        }
    }
}

/// Consecutive rows with their slices of actions and output.
struct Block<'a> {
    first: usize,
    rows: &'a mut [Row],
    actions: &'a [i64],
    out: StepOutput<'a>,
    process: &'a Process,
}

impl<'a> Block<'a> {
    fn step(self, grain: usize) -> Result<(), FleetError> {
        if self.rows.len() <= grain.max(1) {
            return self.step_rows();
        }
        let (left, right) = self.halve();
        let (left, right) = rayon::join(|| left.step(grain), || right.step(grain));
        left.and(right)
    }

    fn halve(self) -> (Self, Self) {
        let half = self.rows.len() / 2;
        let learners = self.process.learners.len();
        let (rows, later_rows) = self.rows.split_at_mut(half);
        let (actions, later_actions) = self.actions.split_at(half * learners * self.process.layout.heads());
        let (out, later_out) = self.out.split_at(half, self.process);
        let left = Self { first: self.first, rows, actions, out, process: self.process };
        let right = Self {
            first: self.first + half,
            rows: later_rows,
            actions: later_actions,
            out: later_out,
            process: self.process,
        };
        (left, right)
    }

    fn step_rows(self) -> Result<(), FleetError> {
        let Self { first, rows, actions, out, process } = self;
        let actions = actions.chunks_exact(process.learners.len() * process.layout.heads());
        for (index, ((row, actions), out)) in rows.iter_mut().zip(actions).zip(out.rows(process)).enumerate() {
            row.step(process, actions, out).map_err(|source| FleetError::Tick { env: first + index, source })?;
        }
        Ok(())
    }
}

impl<'a> StepOutput<'a> {
    fn rows(self, process: &Process) -> impl Iterator<Item = StepOutput<'a>> {
        let learners = process.learners.len();
        let floats = self.observations.chunks_exact_mut(learners * process.observation_size());
        let floats = floats.zip(self.rewards.chunks_exact_mut(learners));
        let ends = self.terminated.chunks_exact_mut(1).zip(self.truncated.chunks_exact_mut(1));
        let cents = self.costs.chunks_exact_mut(learners * COMPONENTS.len());
        let flags = self.masks.chunks_exact_mut(learners * process.layout.mask_size());
        let counts = self.illegal.chunks_exact_mut(learners);
        floats.zip(ends).zip(cents).zip(flags).zip(counts).map(
            |(((((floats, rewards), ends), costs), masks), illegal)| {
                let (observations, (terminated, truncated)) = (floats, ends);
                Self { observations, rewards, terminated, truncated, costs, masks, illegal }
            },
        )
    }

    fn split_at(self, rows: usize, process: &Process) -> (Self, Self) {
        let learners = rows * process.learners.len();
        let (observations, later_observations) = self.observations.split_at_mut(learners * process.observation_size());
        let (rewards, later_rewards) = self.rewards.split_at_mut(learners);
        let (terminated, later_terminated) = self.terminated.split_at_mut(rows);
        let (truncated, later_truncated) = self.truncated.split_at_mut(rows);
        let (costs, later_costs) = self.costs.split_at_mut(learners * COMPONENTS.len());
        let (masks, later_masks) = self.masks.split_at_mut(learners * process.layout.mask_size());
        let (illegal, later_illegal) = self.illegal.split_at_mut(learners);
        (
            Self { observations, rewards, terminated, truncated, costs, masks, illegal },
            Self {
                observations: later_observations,
                rewards: later_rewards,
                terminated: later_terminated,
                truncated: later_truncated,
                costs: later_costs,
                masks: later_masks,
                illegal: later_illegal,
            },
        )
    }
}
