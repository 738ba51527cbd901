//! The decision process: what a learner sees, what it can do, what it is told.

pub mod action;
pub mod observation;
pub mod reward;

use crate::error::ScenarioError;
use crate::scenario::{MOST_PARTS, in_range, read_json};
use crate::setup::Setup;
use crate::units::BankId;
use reward::RewardScope;
use serde::{Deserialize, Serialize};

/// Settings of the decision process, as people write them.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct DecisionConfig {
    /// Ids of the banks that decide from outside.
    pub learners: Vec<String>,
    /// Payments of the internal queue that a learner decides about, 1 to 64.
    #[serde(default = "default_slots")]
    pub slots: usize,
    /// Splits on offer: numbers of parts, each 2 to 100, ascending.
    #[serde(default = "default_split_parts")]
    pub split_parts: Vec<u8>,
    /// Whose costs make the reward.
    #[serde(default)]
    pub reward: RewardScope,
    /// Weight of the whole system's costs in a blended reward, 0 to 1.
    #[serde(default = "default_blend")]
    pub reward_blend: f64,
    /// Cents to one unit of reward; a basis point of the bank's amount scale if absent.
    #[serde(default)]
    pub reward_scale: Option<f64>,
    /// Whether a masked action is an error; else it acts as hold.
    #[serde(default)]
    pub strict: bool,
    /// Truncates an episode after this many steps.
    #[serde(default)]
    pub max_episode_steps: Option<u32>,
}

/// Settings of the decision process, ready for use.
pub struct Process {
    /// The banks that decide from outside.
    pub learners: Vec<BankId>,
    /// Payments of the internal queue that a learner decides about.
    pub slots: usize,
    /// Splits on offer.
    pub split_parts: Vec<u8>,
    /// Whose costs make the reward, and the weight of the system's costs in a blend.
    pub reward: (RewardScope, f64),
    /// Cents to one unit of reward, by learner.
    pub reward_scales: Vec<f64>,
    /// Whether a masked action is an error.
    pub strict: bool,
    /// Truncates an episode after this many steps.
    pub max_episode_steps: Option<u32>,
}

impl Process {
    /// Reads and checks settings for a scenario.
    ///
    /// # Errors
    /// [`ScenarioError`] with the path of the field, its value and what is allowed.
    pub fn from_json(json: &str, setup: &Setup) -> Result<Self, ScenarioError> {
        Self::new(&read_json(json, "decision")?, setup)
    }

    /// Checks settings for a scenario.
    ///
    /// # Errors
    /// [`ScenarioError`] with the path of the field, its value and what is allowed.
    pub fn new(config: &DecisionConfig, setup: &Setup) -> Result<Self, ScenarioError> {
        in_range("learners", config.learners.len(), 1, setup.banks.len(), " (banks)")?;
        in_range("slots", config.slots, 1, 64, "")?;
        in_range("split_parts", config.split_parts.len(), 0, 16, " (entries)")?;
        let mut lowest = 2;
        for (index, parts) in config.split_parts.iter().enumerate() {
            in_range(&format!("split_parts[{index}]"), *parts, lowest, MOST_PARTS, "")?;
            lowest = parts + 1;
        }
        in_range("reward_blend", config.reward_blend, 0.0, 1.0, "")?;
        if let Some(scale) = config.reward_scale {
            in_range("reward_scale", scale, 1e-6, 1e15, " (cents)")?;
        }
        if let Some(steps) = config.max_episode_steps {
            in_range("max_episode_steps", steps, 1, u32::MAX, "")?;
        }
        let learners = find_learners(config, setup)?;
        let scale = |learner: &BankId| setup.banks[learner.index()].amount_scale.0 as f64 * 1e-4;
        Ok(Self {
            reward_scales: learners
                .iter()
                .map(|learner| config.reward_scale.unwrap_or_else(|| scale(learner)))
                .collect(),
            learners,
            slots: config.slots,
            split_parts: config.split_parts.clone(),
            reward: (config.reward, config.reward_blend),
            strict: config.strict,
            max_episode_steps: config.max_episode_steps,
        })
    }

    /// Actions on offer in every slot: hold, release and each split.
    #[must_use]
    pub fn actions_per_slot(&self) -> usize {
        2 + self.split_parts.len()
    }

    /// Length of a learner's mask.
    #[must_use]
    pub fn mask_size(&self) -> usize {
        self.slots * self.actions_per_slot()
    }

    /// Length of a learner's observation.
    #[must_use]
    pub fn observation_size(&self) -> usize {
        observation::FIELDS.len() + self.slots * observation::SLOT_FIELDS.len()
    }
}

fn find_learners(config: &DecisionConfig, setup: &Setup) -> Result<Vec<BankId>, ScenarioError> {
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
