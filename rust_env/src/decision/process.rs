//! Configuration of the decision process, and its rewards.

use super::layout::{ActionMode, Decides, Layout, SHARES};
use crate::bank::Bank;
use crate::error::ScenarioError;
use crate::hash::fingerprint;
use crate::scenario::{MAX_PARTS, conflict, in_range, read_json};
use crate::system_setup::SystemSetup;
use crate::units::{BankId, Cents};
use serde::{Deserialize, Serialize};

/// Maximum number of shares of the pool to choose from.
const MAX_POOL_SHARES: usize = 101;

/// Configuration of the decision process.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct DecisionConfig {
    /// Ids of the learners.
    pub learners: Vec<String>,
    /// Number of slots, 1 to 64.
    #[serde(default = "default_slots")]
    pub slots: usize,
    /// Numbers of parts of the available splits, 2 to 100, ascending.
    #[serde(default = "default_split_parts")]
    pub split_parts: Vec<u8>,
    /// Number of pool shares to choose from, 2 to 101; 21 in `fraction` mode.
    #[serde(default = "default_pool_shares")]
    pub pool_shares: usize,
    /// Type of the actions about payments.
    #[serde(default)]
    pub action_mode: ActionMode,
    /// What a learner decides; the policy of the bank decides the rest.
    #[serde(default)]
    pub decides: Decides,
    /// Banks whose costs make the reward.
    #[serde(default)]
    pub reward: RewardScope,
    /// Weight of the system's costs in a blended reward, 0 to 1.
    #[serde(default = "default_blend")]
    pub reward_blend: f64,
    /// Cents per unit of reward; default: a basis point of the amount scale.
    pub reward_scale: Option<f64>,
    /// Whether an illegal action is an error; else it acts as hold.
    #[serde(default)]
    pub strict: bool,
    /// Number of steps after which an episode is truncated.
    pub max_episode_steps: Option<u32>,
}

impl DecisionConfig {
    /// Default configuration with one learner.
    pub fn of(learner: &str) -> Self {
        Self {
            learners: vec![learner.to_owned()],
            slots: default_slots(),
            split_parts: default_split_parts(),
            pool_shares: default_pool_shares(),
            action_mode: ActionMode::default(),
            decides: Decides::default(),
            reward: RewardScope::default(),
            reward_blend: default_blend(),
            reward_scale: None,
            strict: false,
            max_episode_steps: None,
        }
    }

    /// Components of an action; `commits_pools`: whether one may commit a pool.
    pub fn layout(&self, commits_pools: bool) -> Layout {
        let pool_shares = commits_pools.then_some(self.pool_shares);
        Layout::new(self.action_mode, self.decides, self.slots, self.split_parts.len(), pool_shares)
    }

    /// Validates everything that does not depend on the scenario.
    ///
    /// # Errors
    /// [`ScenarioError`] with the path of the field, its value and what is allowed.
    pub fn validate(&self) -> Result<(), ScenarioError> {
        in_range("slots", self.slots, 1, 64, "")?;
        in_range("split_parts", self.split_parts.len(), 0, 16, " (entries)")?;
        let mut lowest = 2;
        for (index, parts) in self.split_parts.iter().enumerate() {
            in_range(&format!("split_parts[{index}]"), *parts, lowest, MAX_PARTS, "")?;
            lowest = parts + 1;
        }
        in_range("pool_shares", self.pool_shares, 2, MAX_POOL_SHARES, "")?;
        if self.action_mode == ActionMode::Fraction && self.pool_shares != SHARES {
            return conflict("pool_shares", self.pool_shares, format!("must be {SHARES} in the fraction mode"));
        }
        in_range("reward_blend", self.reward_blend, 0.0, 1.0, "")?;
        if let Some(scale) = self.reward_scale {
            in_range("reward_scale", scale, 1e-6, 1e15, " (cents)")?;
        }
        if let Some(steps) = self.max_episode_steps {
            in_range("max_episode_steps", steps, 1, u32::MAX, "")?;
        }
        Ok(())
    }
}

/// Banks whose costs make the reward.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RewardScope {
    /// The learner.
    #[default]
    Own,
    /// All banks.
    System,
    /// A weighted mean of both.
    Blend,
}

/// The compiled decision process.
pub struct Process {
    /// The learners.
    pub learners: Vec<BankId>,
    /// Number of slots.
    pub slots: usize,
    /// Numbers of parts of the available splits.
    pub split_parts: Vec<u8>,
    /// Type of the actions about payments.
    pub action_mode: ActionMode,
    /// What a learner decides.
    pub decides: Decides,
    /// Components of an action.
    pub layout: Layout,
    /// Whether every day starts with a step that commits the pools.
    pub has_opening: bool,
    /// Banks whose costs make the reward, and the weight of a blend.
    pub reward: (RewardScope, f64),
    /// Cents per unit of reward, by learner.
    pub reward_scales: Vec<f64>,
    /// Whether an illegal action is an error.
    pub strict: bool,
    /// Number of steps after which an episode is truncated.
    pub max_episode_steps: Option<u32>,
}

impl Process {
    /// Parses, validates and compiles a configuration.
    ///
    /// # Errors
    /// [`ScenarioError`] with the path of the field, its value and what is allowed.
    pub fn from_json(json: &str, setup: &SystemSetup) -> Result<Self, ScenarioError> {
        Self::new(&read_json(json, "decision")?, setup)
    }

    /// Validates and compiles a configuration.
    ///
    /// # Errors
    /// [`ScenarioError`] with the path of the field, its value and what is allowed.
    pub fn new(config: &DecisionConfig, setup: &SystemSetup) -> Result<Self, ScenarioError> {
        in_range("learners", config.learners.len(), 1, setup.banks.len(), " (banks)")?;
        config.validate()?;
        let learners = find_learners(config, setup)?;
        let scale = |learner: &BankId| setup.banks[learner.index()].amount_scale.0 as f64 * 1e-4;
        let has_pool = learners.iter().any(|learner| setup.banks[learner.index()].pool > Cents::ZERO);
        if config.decides == Decides::Pool && !has_pool {
            let allowed =
                format!("must be another value, because no learner ({}) has a pool", config.learners.join(", "));
            return conflict("decides", "pool", allowed);
        }
        Ok(Self {
            layout: config.layout(has_pool),
            reward_scales: learners
                .iter()
                .map(|learner| config.reward_scale.unwrap_or_else(|| scale(learner)))
                .collect(),
            has_opening: config.decides.includes_pool() && has_pool,
            learners,
            slots: config.slots,
            split_parts: config.split_parts.clone(),
            action_mode: config.action_mode,
            decides: config.decides,
            reward: (config.reward, config.reward_blend),
            strict: config.strict,
            max_episode_steps: config.max_episode_steps,
        })
    }

    /// Hash of learners, decisions and step limit, which a saved state depends on.
    pub fn fingerprint(&self) -> u64 {
        let identity = postcard::to_stdvec(&(&self.learners, self.decides, self.max_episode_steps));
        fingerprint([identity.unwrap_or_default().as_slice()])
    }

    /// Banks whose decisions about payments come from outside.
    pub fn payment_learners(&self) -> &[BankId] {
        if self.decides.includes_payments() { &self.learners } else { &[] }
    }
}

/// Reward of the last step: its negative costs in units of `scale` cents.
pub fn reward(banks: &[Bank], learner: BankId, (scope, blend): (RewardScope, f64), scale: f64) -> f64 {
    let cost = |bank: &Bank| bank.tick_costs.iter().copied().sum::<Cents>().0 as f64;
    let own = cost(&banks[learner.index()]);
    let cost = match scope {
        RewardScope::Own => own,
        RewardScope::System => banks.iter().map(cost).sum(),
        RewardScope::Blend => (1.0 - blend) * own + blend * banks.iter().map(cost).sum::<f64>(),
    };
    // Avoids a reward of -0.
    0.0 - cost / scale
}

fn find_learners(config: &DecisionConfig, setup: &SystemSetup) -> Result<Vec<BankId>, ScenarioError> {
    let mut learners = Vec::with_capacity(config.learners.len());
    for (index, id) in config.learners.iter().enumerate() {
        let path = format!("learners[{index}]");
        let Some(bank) = setup.bank(id) else {
            let known = setup.banks.iter().map(|bank| bank.id.as_str()).collect::<Vec<_>>().join(", ");
            return Err(ScenarioError::UnknownId { path, value: id.clone(), known });
        };
        if learners.contains(&bank) {
            return Err(ScenarioError::Duplicate { path, value: id.clone() });
        }
        learners.push(bank);
    }
    Ok(learners)
}

fn default_slots() -> usize {
    8
}

fn default_split_parts() -> Vec<u8> {
    vec![2, 4]
}

fn default_pool_shares() -> usize {
    SHARES
}

fn default_blend() -> f64 {
    0.5
}
