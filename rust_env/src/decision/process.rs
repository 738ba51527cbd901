//! Configuration of the decision process, and its rewards.

use crate::bank::Bank;
use crate::error::ScenarioError;
use crate::hash::fingerprint;
use crate::scenario::{MAX_PARTS, in_range, read_json};
use crate::system_setup::SystemSetup;
use crate::units::{BankId, Cents};
use serde::{Deserialize, Serialize};

/// Number of choices in `fraction` mode: 0, 1/20, ..., 1.
pub const SHARES: usize = 21;

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
            action_mode: ActionMode::default(),
            decides: Decides::default(),
            reward: RewardScope::default(),
            reward_blend: default_blend(),
            reward_scale: None,
            strict: false,
            max_episode_steps: None,
        }
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

/// Type of the actions about payments.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ActionMode {
    /// A choice for each slot: hold, release or split.
    #[default]
    Slots,
    /// The share of the internal queue's value to release, in queue order.
    Fraction,
}

impl ActionMode {
    /// Number of components of an action.
    pub fn heads(self, slots: usize) -> usize {
        match self {
            Self::Slots => slots,
            Self::Fraction => 1,
        }
    }

    /// Number of choices per component, with this number of splits.
    pub fn choices(self, splits: usize) -> usize {
        match self {
            Self::Slots => 2 + splits,
            Self::Fraction => SHARES,
        }
    }
}

/// What a learner decides.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Decides {
    /// Pool commitments and payments.
    #[default]
    Both,
    /// Pool commitments only.
    Pool,
    /// Payments only.
    Payments,
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
    /// A mask that allows only holding.
    pub(super) idle_mask: Vec<bool>,
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
        let (heads, choices) =
            (config.action_mode.heads(config.slots), config.action_mode.choices(config.split_parts.len()));
        Ok(Self {
            idle_mask: (0..heads * choices).map(|flag| flag % choices == 0).collect(),
            reward_scales: learners
                .iter()
                .map(|learner| config.reward_scale.unwrap_or_else(|| scale(learner)))
                .collect(),
            has_opening: config.decides != Decides::Payments
                && learners.iter().any(|learner| setup.banks[learner.index()].pool > Cents::ZERO),
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

    /// Number of components of an action: one per slot, or one share.
    pub fn heads(&self) -> usize {
        self.action_mode.heads(self.slots)
    }

    /// Number of choices per component.
    pub fn choices(&self) -> usize {
        self.action_mode.choices(self.split_parts.len())
    }

    /// Length of a learner's action mask.
    pub fn mask_size(&self) -> usize {
        self.heads() * self.choices()
    }

    /// Hash of learners, decisions and step limit, which a saved state depends on.
    pub fn fingerprint(&self) -> u64 {
        let identity = postcard::to_stdvec(&(&self.learners, self.decides, self.max_episode_steps));
        fingerprint([identity.unwrap_or_default().as_slice()])
    }

    /// Banks whose decisions about payments come from outside.
    pub fn payment_learners(&self) -> &[BankId] {
        if self.decides == Decides::Pool { &[] } else { &self.learners }
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

fn default_blend() -> f64 {
    0.5
}
