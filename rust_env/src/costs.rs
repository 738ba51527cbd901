//! Prices: one pure function for each cost component.
//!
//! Charges that accrue are exact, in 10^-12 cents; one-time charges are in cents.

use crate::payment::Payment;
use crate::scenario::{CollateralCharged, CostConfig};
use crate::units::{Cents, Rate};

/// Cost component.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Component {
    /// Liquidity committed from a pool.
    Liquidity,
    /// Intraday overdraft.
    Overdraft,
    /// Pledged collateral.
    Collateral,
    /// Delay of unsettled payments.
    Delay,
    /// Missed deadlines.
    Deadline,
    /// Fees for splits.
    Split,
    /// Payments unsettled at the end of a day.
    EndOfDay,
}

/// Names of the components, in the order of every cost array.
pub const COMPONENTS: [&str; 7] = ["liquidity", "overdraft", "collateral", "delay", "deadline", "split", "end_of_day"];

/// Costs in cents, by component.
pub type Costs = [Cents; COMPONENTS.len()];

/// Number of priorities, 0 to 10.
const PRIORITIES: usize = 11;

/// Prices of a scenario.
#[derive(Clone, Debug)]
pub struct Prices {
    /// Tiers of the overdraft: (lower bound, marginal rate), ascending.
    overdraft: Vec<(Cents, Rate)>,
    /// Prices of a tick of delay, by overdue and priority.
    delay: [[DelayPrice; PRIORITIES]; 2],
    /// Whether payments in the central queue are charged for delay.
    pub delay_in_central_queue: bool,
    /// Whether payments settled by overnight loans are charged for the last tick's delay.
    pub delay_at_close: bool,
    /// Penalty of a missed deadline.
    pub deadline_penalty: Cents,
    /// Fee for each part after the first.
    split_fee: Cents,
    /// Penalty of a payment that is unsettled at the end of a day.
    eod_penalty: Cents,
    /// Rate on the value unsettled, or borrowed, at the end of a day.
    eod_rate: Rate,
    /// Rate per tick on collateral, and which part of it is charged.
    collateral: (Rate, CollateralCharged),
    /// Rate per day on committed liquidity.
    liquidity: Rate,
}

/// Price of a tick of delay.
#[derive(Clone, Copy, Debug, Default)]
struct DelayPrice {
    /// Charge per payment, in 10^-12 cents.
    flat: i128,
    /// Rate on the amount.
    rate: Rate,
}

impl Prices {
    /// Compiles the prices of a valid scenario.
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

    /// Charge for a tick of overdraft; each tier applies its marginal rate.
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

    /// Charge for a tick of a payment's delay.
    pub fn delay(&self, payment: &Payment) -> i128 {
        if payment.is_released && !self.delay_in_central_queue {
            return 0;
        }
        let price = &self.delay[usize::from(payment.is_overdue)][usize::from(payment.priority)];
        price.flat + price.rate.of(payment.amount)
    }

    /// Charge for a tick of collateral: all of it, or the part in use.
    ///
    /// The part in use backs the overdraft beyond the credit limit. `balance` is taken after the tick's settlements
    /// and before deferred receipts land.
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

    /// Whether the rate on collateral is not zero.
    pub fn has_collateral_price(&self) -> bool {
        self.collateral.0 != Rate::default()
    }

    /// Charge for a day of committed liquidity.
    pub fn liquidity(&self, committed: Cents) -> i128 {
        self.liquidity.of(committed)
    }

    /// Fee for a split into `parts`: one for each part after the first.
    pub fn split(&self, parts: u8) -> Cents {
        Cents(self.split_fee.0 * (i64::from(parts) - 1))
    }

    /// Charge at the end of a day for `count` unsettled payments.
    ///
    /// `value` is their value, or the part of it that is borrowed.
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
