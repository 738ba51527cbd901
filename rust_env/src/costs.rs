//! What waiting, borrowing and splitting cost: one pure function a cost.
//!
//! Charges that accrue are exact, in 10^-12 cents; charges that fall due once are whole cents.

use crate::payment::Payment;
use crate::scenario::{CollateralCharged, CostConfig};
use crate::units::{Cents, Rate};

/// The parts a cost is made of.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Component {
    /// Committed liquidity.
    Liquidity,
    /// Intraday overdraft.
    Overdraft,
    /// Pledged collateral.
    Collateral,
    /// Waiting.
    Delay,
    /// Missed deadlines.
    Deadline,
    /// Extra parts.
    Split,
    /// Unsettled at the end of a day.
    EndOfDay,
}

/// The components' names, in the order of every cost array.
pub const COMPONENTS: [&str; 7] = ["liquidity", "overdraft", "collateral", "delay", "deadline", "split", "end_of_day"];

/// Cents by component.
pub type Costs = [Cents; COMPONENTS.len()];

/// All of a bank's costs, with their names.
pub fn named_costs(costs: &Costs) -> impl Iterator<Item = (&'static str, i64)> + '_ {
    COMPONENTS.iter().zip(costs).map(|(name, cost)| (*name, cost.0))
}

/// Priorities run from 0 to 10.
const PRIORITIES: usize = 11;

/// The prices of a scenario, ready to be charged.
#[derive(Clone, Debug)]
pub struct Prices {
    /// (depth, price of the part of an overdraft above it), shallowest first.
    overdraft: Vec<(Cents, Rate)>,
    /// Price of one payment's delay, by overdue and priority.
    delay: [[DelayPrice; PRIORITIES]; 2],
    /// Whether the central queue is charged for delay.
    pub delay_in_central_queue: bool,
    /// Whether what a day's close settles with borrowed money is charged for that tick's delay.
    pub delay_at_close: bool,
    /// Price of a missed deadline.
    deadline_penalty: Cents,
    /// Price of an extra part.
    split_fee: Cents,
    /// Price of a payment that is unsettled when a day ends.
    eod_penalty: Cents,
    /// Price of the value that is unsettled, or borrowed, when a day ends.
    eod_rate: Rate,
    /// Price of a tick of collateral, and which.
    collateral: (Rate, CollateralCharged),
    /// Price of a day of committed liquidity.
    liquidity: Rate,
}

/// What a tick of one payment's delay costs.
#[derive(Clone, Copy, Debug, Default)]
struct DelayPrice {
    /// In 10^-12 cents, whatever the amount.
    flat: i128,
    /// Per cent of the amount.
    rate: Rate,
}

impl Prices {
    /// The prices of a valid scenario.
    #[must_use]
    pub fn new(config: &CostConfig) -> Self {
        let tiers = config.overdraft_tiers.iter().map(|tier| (tier.above, Rate::from_fraction(tier.rate)));
        let mut delay = [[DelayPrice::default(); PRIORITIES]; 2];
        for (prices, overdue) in delay.iter_mut().zip([1.0, config.overdue_multiplier]) {
            for (price, priority) in prices.iter_mut().zip(0..) {
                let factor = overdue * config.priority_multipliers.get(&priority).copied().unwrap_or(1.0);
                price.flat = Rate::from_fraction(factor).of(config.delay_penalty_per_tick);
                price.rate = Rate::from_fraction(factor * config.delay_rate);
            }
        }
        Self {
            overdraft: std::iter::once((Cents::ZERO, Rate::from_fraction(config.overdraft_rate)))
                .chain(tiers)
                .collect(),
            delay,
            delay_in_central_queue: config.delay_in_central_queue,
            delay_at_close: config.delay_at_close,
            deadline_penalty: config.deadline_penalty,
            split_fee: config.split_fee,
            eod_penalty: config.eod_penalty,
            eod_rate: Rate::from_fraction(config.eod_rate),
            collateral: (Rate::from_fraction(config.collateral_rate), config.collateral_charged),
            liquidity: Rate::from_fraction(config.liquidity_rate),
        }
    }

    /// One tick of overdraft: every slice of it at the price of its own tier.
    #[must_use]
    pub fn overdraft(&self, balance: Cents) -> i128 {
        if balance >= Cents::ZERO {
            return 0;
        }
        let depth = -balance;
        if let [(_, rate)] = self.overdraft.as_slice() {
            return rate.of(depth);
        }
        let tops = self.overdraft.iter().skip(1).map(|(above, _)| *above).chain(std::iter::once(depth));
        let slices = self.overdraft.iter().zip(tops);
        slices.map(|((above, rate), top)| rate.of((top.min(depth) - *above).max(Cents::ZERO))).sum()
    }

    /// One tick of a payment's delay.
    #[must_use]
    pub fn delay(&self, payment: &Payment) -> i128 {
        if payment.is_released && !self.delay_in_central_queue {
            return 0;
        }
        let price = &self.delay[usize::from(payment.is_overdue)][usize::from(payment.priority)];
        price.flat + price.rate.of(payment.amount)
    }

    /// One tick of collateral: all that is posted, or what backs the overdraft beyond the credit limit.
    ///
    /// The balance is that when a tick's payments have settled and before deferred receipts land.
    #[must_use]
    pub fn collateral(&self, posted: Cents, balance: Cents, credit_limit: Cents, haircut: Rate) -> i128 {
        let (rate, charged) = self.collateral;
        let charged = match charged {
            CollateralCharged::Posted => posted,
            CollateralCharged::Used => {
                let backed = (-balance - credit_limit).max(Cents::ZERO);
                haircut.complement().base_for(backed).map_or(Cents::ZERO, |needed| needed.min(posted))
            }
        };
        rate.of(charged)
    }

    /// Whether collateral costs anything.
    #[must_use]
    pub fn has_collateral_price(&self) -> bool {
        self.collateral.0 != Rate::default()
    }

    /// A day of committed liquidity.
    #[must_use]
    pub fn liquidity(&self, committed: Cents) -> i128 {
        self.liquidity.of(committed)
    }

    /// A payment becomes overdue.
    #[must_use]
    pub fn deadline(&self) -> Cents {
        self.deadline_penalty
    }

    /// A payment is split into `parts`: a fee for every part but the first.
    #[must_use]
    pub fn split(&self, parts: u8) -> Cents {
        Cents(self.split_fee.0 * (i64::from(parts) - 1))
    }

    /// A day ends with `count` payments unsettled, and `value` of them unsettled or borrowed.
    #[must_use]
    pub fn end_of_day(&self, count: u32, value: Cents) -> i128 {
        i128::from(Rate::ONE) * i128::from(self.eod_penalty.0) * i128::from(count) + self.eod_rate.of(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::OverdraftTier;

    #[test]
    fn each_slice_of_an_overdraft_has_its_own_price() {
        let tier = |above, rate| OverdraftTier { above: Cents(above), rate };
        let config = CostConfig {
            overdraft_rate: 0.01,
            overdraft_tiers: vec![tier(1_000, 0.02), tier(3_000, 0.05)],
            ..CostConfig::default()
        };
        let prices = Prices::new(&config);
        let cents = |balance| prices.overdraft(Cents(balance)) / i128::from(Rate::ONE);
        // 1000 at 1%, then 2000 at 2%, then 1000 at 5%.
        assert_eq!([cents(5), cents(0), cents(-500), cents(-1_000)], [0, 0, 5, 10]);
        assert_eq!([cents(-3_000), cents(-4_000)], [10 + 40, 10 + 40 + 50]);
    }
}
