//! Rewards.

use crate::bank::Bank;
use crate::units::{BankId, Cents};
use serde::{Deserialize, Serialize};

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
