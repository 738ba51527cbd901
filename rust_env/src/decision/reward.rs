//! The reward: minus the costs of a tick.

use crate::bank::Bank;
use crate::units::{BankId, Cents};
use serde::{Deserialize, Serialize};

/// Whose costs make the reward.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RewardScope {
    /// The learner's own.
    #[default]
    Own,
    /// All banks'.
    System,
    /// Both, weighted.
    Blend,
}

/// Minus the costs of the tick just played, in units of `scale` cents.
#[must_use]
pub fn reward(banks: &[Bank], learner: BankId, (scope, blend): (RewardScope, f64), scale: f64) -> f64 {
    let cost = |bank: &Bank| bank.tick_costs.iter().copied().sum::<Cents>().0 as f64;
    let own = cost(&banks[learner.index()]);
    let cost = match scope {
        RewardScope::Own => own,
        RewardScope::System => banks.iter().map(cost).sum(),
        RewardScope::Blend => (1.0 - blend) * own + blend * banks.iter().map(cost).sum::<f64>(),
    };
    // No cost is a reward of 0, not of -0.
    0.0 - cost / scale
}
