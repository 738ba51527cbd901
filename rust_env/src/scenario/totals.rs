//! Upper bounds of the money totals of an episode.

use super::checks::{Checked, MAX_PARTS, conflict};
use super::config::{AgentConfig, DistributionType, EndOfDay, Scenario};
use super::events::EventConfig;
use crate::error::ScenarioError;

/// Upper limit of money totals in cents: half of the range of 64 bits.
pub(crate) const MAX_TOTAL: i128 = 4_600_000_000_000_000_000;
const TOTAL_LIMIT: f64 = MAX_TOTAL as f64;
/// Maximum expected number of arrivals of all banks in a tick.
const MAX_ARRIVALS_PER_TICK: f64 = 1_000_000.0;
/// Safety factor between the mean of a random total and its upper bound.
const SLACK: f64 = 100.0;

/// Upper bound of the number and value of an episode's payments.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Load {
    /// Number of payments.
    pub count: f64,
    /// Value in cents.
    pub value: f64,
}

/// Upper bounds of an episode in cents.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    /// Balances, credit, collateral and pools of all banks.
    pub money: f64,
    /// Costs of all banks.
    pub cost: f64,
    /// Bounds of the costs by their causes.
    pub prices: WorstPrices,
}

/// Upper bounds of an episode's costs in cents.
#[derive(Clone, Copy, Debug)]
pub(crate) struct WorstPrices {
    /// Costs without payments.
    fixed: f64,
    /// Costs of a payment, apart from those of its value.
    per_payment: f64,
    /// Costs of a cent of payments.
    per_cent: f64,
    /// Costs of a cent of an overdraft.
    per_cent_overdrawn: f64,
}

impl Scenario {
    /// Rejects a scenario whose totals could exceed 64 bits.
    pub(super) fn validate_totals(&self) -> Checked {
        self.validate_load(Load::default())
    }

    /// Rejects a scenario whose totals with `replayed` payments could exceed 64 bits.
    pub(crate) fn validate_load(&self, replayed: Load) -> Checked {
        let arrivals: f64 = self.busiest_rates().sum();
        if arrivals > MAX_ARRIVALS_PER_TICK {
            let allowed = format!(
                "must be at most {MAX_ARRIVALS_PER_TICK} expected payments in the busiest tick of all banks: lower \
                 rate_per_tick or the multipliers of time_windows and events"
            );
            return conflict("rate_per_tick", arrivals, allowed);
        }
        let load = self.load(replayed);
        below_limit("value of all payments", load.value)?;
        let bounds = self.bounds(replayed);
        below_limit("balances, credit, collateral and pools of all banks", bounds.money)?;
        below_limit("costs", bounds.cost)
    }

    /// Upper bounds of an episode with `replayed` payments.
    pub(crate) fn bounds(&self, replayed: Load) -> Bounds {
        let prices = self.worst_prices();
        Bounds { money: self.max_money(), cost: prices.fixed + prices.increase(self.load(replayed), 0.0), prices }
    }

    fn load(&self, replayed: Load) -> Load {
        let ticks = self.episode_ticks() as f64;
        let Load { mut count, mut value } = replayed;
        for transaction in &self.initial_transactions {
            count += 1.0;
            value += transaction.amount.0 as f64;
        }
        for event in &self.events {
            if let EventConfig::Payment(payment) = event {
                let occurrences = event.occurrences(self.episode_ticks()) as f64;
                count += occurrences;
                value += occurrences * payment.amount.0 as f64;
            }
        }
        for agent in &self.agents {
            let Some(arrivals) = &agent.arrival_config else { continue };
            let mean = (ticks * self.busiest_rate(agent)).max(1.0);
            let deviation =
                arrivals.amount_std_dev.filter(|_| arrivals.distribution_type != DistributionType::Exponential);
            let spread = deviation.map_or(0.0, |deviation| deviation.0 as f64);
            count += mean * SLACK;
            value += mean * (arrivals.amount_mean.0 as f64 + spread) * SLACK;
        }
        Load { count, value }
    }

    /// Each bank's expected number of arrivals in its busiest tick.
    pub(crate) fn busiest_rates(&self) -> impl Iterator<Item = f64> {
        self.agents.iter().map(|agent| self.busiest_rate(agent))
    }

    /// A bank's arrival rate under the largest multipliers of windows and events.
    fn busiest_rate(&self, agent: &AgentConfig) -> f64 {
        let Some(arrivals) = &agent.arrival_config else { return 0.0 };
        let window = arrivals.time_windows.iter().fold(1.0_f64, |max, window| max.max(window.multiplier));
        let surge = self.events.iter().fold(1.0_f64, |max, event| match event {
            EventConfig::ArrivalRate(change) if change.bank.as_ref().is_none_or(|bank| *bank == agent.id) => {
                max.max(change.multiplier)
            }
            _ => max,
        });
        arrivals.rate_per_tick * window * surge
    }

    fn max_money(&self) -> f64 {
        let banks: f64 = self.agents.iter().map(|agent| (agent.balance + agent.liquidity_pool).0 as f64).sum();
        let transfers: f64 = self.events.iter().map(|event| self.transferred(event)).sum();
        banks + transfers + self.max_credit() + self.max_collateral()
    }

    fn transferred(&self, event: &EventConfig) -> f64 {
        match event {
            EventConfig::Transfer(transfer) => {
                event.occurrences(self.episode_ticks()) as f64 * transfer.amount.0 as f64
            }
            _ => 0.0,
        }
    }

    fn max_credit(&self) -> f64 {
        let opening = self.agents.iter().map(|agent| agent.credit_limit.0 as f64);
        let changes = self.events.iter().map(|event| match event {
            EventConfig::Credit(change) => change.credit_limit.0 as f64,
            _ => 0.0,
        });
        opening.chain(changes).sum()
    }

    fn max_collateral(&self) -> f64 {
        let opening = self.agents.iter().map(|agent| agent.collateral.0 as f64);
        let changes = self.events.iter().map(|event| match event {
            EventConfig::Collateral(change) => change.collateral.0 as f64,
            _ => 0.0,
        });
        opening.chain(changes).sum()
    }

    fn worst_prices(&self) -> WorstPrices {
        let (costs, ticks, days) = (&self.costs, self.episode_ticks() as f64, self.num_days as f64);
        let overdraft_rate = costs.overdraft_tiers.iter().fold(costs.overdraft_rate, |max, tier| max.max(tier.rate));
        let multiplier = costs.priority_multipliers.values().fold(1.0_f64, |max, factor| max.max(*factor));
        let delay = ticks * multiplier * costs.overdue_multiplier;
        let per_part = delay * costs.delay_penalty_per_tick.0 as f64
            + (costs.deadline_penalty.0 as f64 + costs.split_fee.0 as f64)
            + days * costs.eod_penalty.0 as f64;
        let per_cent_overdrawn = ticks * overdraft_rate;
        // The repayment of overnight loans and of a committed pool can take a balance below the credit limit.
        let loans = if self.end_of_day == EndOfDay::Borrow { per_cent_overdrawn } else { 0.0 };
        let pools: f64 = self.agents.iter().map(|agent| agent.liquidity_pool.0 as f64).sum();
        let collateral = ticks * self.max_collateral() * costs.collateral_rate;
        // Beside its splits, a bank can cut one payment per tick to release a share of its queue.
        let cuts = ticks * self.agents.len() as f64 * per_part;
        let overdrafts = (self.max_credit() + self.max_collateral() + pools) * per_cent_overdrawn;
        WorstPrices {
            fixed: cuts + overdrafts + collateral + days * pools * costs.liquidity_rate,
            per_payment: f64::from(MAX_PARTS) * per_part,
            per_cent: delay * costs.delay_rate + loans + days * costs.eod_rate,
            per_cent_overdrawn,
        }
    }
}

impl WorstPrices {
    /// Upper bound of the costs of further payments and of a further overdraft.
    pub(crate) fn increase(&self, load: Load, overdrawn: f64) -> f64 {
        load.count * self.per_payment + load.value * self.per_cent + overdrawn * self.per_cent_overdrawn
    }
}

fn below_limit(path: &str, value: f64) -> Checked {
    if value < TOTAL_LIMIT {
        return Ok(());
    }
    Err(ScenarioError::MayOverflow { path: path.to_owned(), value, limit: TOTAL_LIMIT })
}
