//! Settings of the decision process.

use super::reward::RewardScope;
use crate::error::ScenarioError;
use crate::hash::fingerprint;
use crate::scenario::{MAX_PARTS, in_range, read_json};
use crate::system_setup::SystemSetup;
use crate::units::{BankId, Cents};
use serde::{Deserialize, Serialize};

/// Shares on offer in `fraction` mode: 0, 1/20, ..., 1.
pub const SHARES: usize = 21;

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
    /// What an action decides about the payments.
    #[serde(default)]
    pub action_mode: ActionMode,
    /// What a learner decides; the rest follows its bank's scripted policy.
    #[serde(default)]
    pub decides: Decides,
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

impl DecisionConfig {
    /// The defaults, for one learner.
    #[must_use]
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

    /// Checks all that needs no scenario.
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

/// What an action decides about the payments.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ActionMode {
    /// For each of the first payments of the internal queue: hold, release or split.
    #[default]
    Slots,
    /// Which share of the internal queue's value to release, in queue order.
    Fraction,
}

impl ActionMode {
    /// How many numbers an action is made of.
    #[must_use]
    pub fn heads(self, slots: usize) -> usize {
        match self {
            Self::Slots => slots,
            Self::Fraction => 1,
        }
    }

    /// How many values each of them has, with so many splits on offer.
    #[must_use]
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
    /// Its pool at every opening, if it has one, and its payments.
    #[default]
    Both,
    /// Its pool only.
    Pool,
    /// Its payments only.
    Payments,
}

/// Settings of the decision process, ready for use.
pub struct Process {
    /// The banks that decide from outside.
    pub learners: Vec<BankId>,
    /// Payments of the internal queue that a learner decides about.
    pub slots: usize,
    /// Splits on offer.
    pub split_parts: Vec<u8>,
    /// What an action decides about the payments.
    pub action_mode: ActionMode,
    /// What a learner decides.
    pub decides: Decides,
    /// Whether every day begins with a step of its own, in which learners commit their pools.
    pub has_opening: bool,
    /// Whose costs make the reward, and the weight of the system's costs in a blend.
    pub reward: (RewardScope, f64),
    /// Cents to one unit of reward, by learner.
    pub reward_scales: Vec<f64>,
    /// Whether a masked action is an error.
    pub strict: bool,
    /// Truncates an episode after this many steps.
    pub max_episode_steps: Option<u32>,
    /// A mask under which everything holds.
    pub(super) idle_mask: Vec<bool>,
}

impl Process {
    /// Reads and checks settings for a scenario.
    ///
    /// # Errors
    /// [`ScenarioError`] with the path of the field, its value and what is allowed.
    pub fn from_json(json: &str, setup: &SystemSetup) -> Result<Self, ScenarioError> {
        Self::new(&read_json(json, "decision")?, setup)
    }

    /// Checks settings for a scenario.
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

    /// How many numbers an action of a learner is made of: one a slot, or one share.
    #[must_use]
    pub fn heads(&self) -> usize {
        self.action_mode.heads(self.slots)
    }

    /// How many values each of them has: hold, release and each split, or the shares.
    #[must_use]
    pub fn choices(&self) -> usize {
        self.action_mode.choices(self.split_parts.len())
    }

    /// Length of a learner's mask.
    #[must_use]
    pub fn mask_size(&self) -> usize {
        self.heads() * self.choices()
    }

    /// Tells apart who decides what: a state that was saved under one such rule makes no sense under another.
    #[must_use]
    pub fn fingerprint(&self) -> u64 {
        let rule = postcard::to_stdvec(&(&self.learners, self.decides, self.max_episode_steps));
        fingerprint([rule.unwrap_or_default().as_slice()])
    }

    /// The banks whose payments are decided about from outside.
    #[must_use]
    pub fn payment_learners(&self) -> &[BankId] {
        if self.decides == Decides::Pool { &[] } else { &self.learners }
    }
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
