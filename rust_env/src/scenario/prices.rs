//! What waiting, borrowing and splitting cost.

use super::read::UniqueMap;
use crate::units::Cents;
use serde::{Deserialize, Serialize};

/// Prices.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct CostConfig {
    /// Fraction of the overdrawn balance per tick.
    pub overdraft_rate: f64,
    /// Marginal prices of deeper overdrafts.
    pub overdraft_tiers: Vec<OverdraftTier>,
    /// Cents per unsettled payment per tick.
    pub delay_penalty_per_tick: Cents,
    /// Fraction of the unsettled value per tick.
    pub delay_rate: f64,
    /// Factor on both delay prices by priority; 1 where absent.
    pub priority_multipliers: UniqueMap<i64, f64>,
    /// Factor on both delay prices once a payment is overdue.
    pub overdue_multiplier: f64,
    /// Cents, once, when a payment becomes overdue.
    pub deadline_penalty: Cents,
    /// Cents per extra part of a split.
    pub split_fee: Cents,
    /// Cents per payment that is unsettled when a day ends.
    pub eod_penalty: Cents,
    /// Fraction of the value unsettled (or borrowed) when a day ends.
    pub eod_rate: f64,
    /// Fraction of the collateral per tick.
    pub collateral_rate: f64,
    /// Which collateral that is.
    pub collateral_charged: CollateralCharged,
    /// Fraction of the committed pool, once a day.
    pub liquidity_rate: f64,
    /// Whether waiting in the central queue is charged like waiting in the internal one.
    pub delay_in_central_queue: bool,
    /// Whether a day's last tick charges the delay of what its close then settles with borrowed money.
    pub delay_at_close: bool,
}

/// Which collateral costs money.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum CollateralCharged {
    /// All of it, whatever it is used for.
    #[default]
    Posted,
    /// What backs the part of the overdraft beyond the credit limit, once a tick's payments have
    /// settled and before deferred receipts land.
    Used,
}

impl Default for CostConfig {
    fn default() -> Self {
        Self {
            overdraft_rate: 0.0,
            overdraft_tiers: Vec::new(),
            delay_penalty_per_tick: Cents::ZERO,
            delay_rate: 0.0,
            priority_multipliers: UniqueMap::default(),
            overdue_multiplier: 1.0,
            deadline_penalty: Cents::ZERO,
            split_fee: Cents::ZERO,
            eod_penalty: Cents::ZERO,
            eod_rate: 0.0,
            collateral_rate: 0.0,
            collateral_charged: CollateralCharged::default(),
            liquidity_rate: 0.0,
            delay_in_central_queue: true,
            delay_at_close: true,
        }
    }
}

/// The price of the part of an overdraft that lies above a depth.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct OverdraftTier {
    /// Depth in cents at which it starts.
    pub above: Cents,
    /// Fraction per tick.
    pub rate: f64,
}
