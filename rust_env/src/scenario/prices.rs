//! Prices of liquidity, delay and splits.

use super::read::UniqueMap;
use crate::units::Cents;
use serde::{Deserialize, Serialize};

/// Prices of liquidity, delay and splits; rates are fractions.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct CostConfig {
    /// Charge per tick as a fraction of the overdraft.
    pub overdraft_rate: f64,
    /// Marginal prices of deeper overdrafts.
    pub overdraft_tiers: Vec<OverdraftTier>,
    /// Charge in cents per unsettled payment and tick.
    pub delay_penalty_per_tick: Cents,
    /// Charge per tick as a fraction of the unsettled value.
    pub delay_rate: f64,
    /// Multiplier of both delay prices by priority; 1 if absent.
    pub priority_multipliers: UniqueMap<i64, f64>,
    /// Multiplier of both delay prices for overdue payments.
    pub overdue_multiplier: f64,
    /// Charge in cents, once, when a payment becomes overdue.
    pub deadline_penalty: Cents,
    /// Charge in cents per additional part of a split.
    pub split_fee: Cents,
    /// Charge in cents per payment that is unsettled at the end of a day.
    pub eod_penalty: Cents,
    /// Charge as a fraction of the value unsettled or borrowed overnight.
    pub eod_rate: f64,
    /// Charge per tick as a fraction of the collateral.
    pub collateral_rate: f64,
    /// The collateral that `collateral_rate` is charged on.
    pub collateral_charged: CollateralCharged,
    /// Charge per day as a fraction of the committed pool.
    pub liquidity_rate: f64,
    /// Whether delay is charged in the central queue, too.
    pub delay_in_central_queue: bool,
    /// Whether the last tick charges delay on payments that the close settles with loans.
    pub delay_at_close: bool,
}

/// The collateral that is charged.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum CollateralCharged {
    /// All posted collateral.
    #[default]
    Posted,
    /// The collateral that backs the overdraft beyond the credit limit.
    ///
    /// It is measured after a tick's payments have settled and before deferred receipts are credited.
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

/// The marginal price of an overdraft above a threshold.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct OverdraftTier {
    /// Threshold in cents.
    pub above: Cents,
    /// Charge per tick as a fraction of the overdraft above the threshold.
    pub rate: f64,
}
