//! What an episode may come to at worst: money is refused before it could outgrow 64 bits.

use super::checks::{Checked, MOST_PARTS, conflict};
use super::config::{AgentConfig, EndOfDay, Scenario};
use super::events::EventConfig;
use crate::error::ScenarioError;

/// Money totals of an episode must stay below this many cents (half of what 64 bits hold).
const TOTAL_LIMIT: f64 = 4.6e18;
/// Payments that all banks together may expect in a tick, at most.
const MOST_A_TICK: f64 = 1_000_000.0;
/// How many times its mean a random total may reach before the engine gives up on it.
const SLACK: f64 = 100.0;

/// Number and value of an episode's payments at worst.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Load {
    /// How many.
    pub count: f64,
    /// Cents.
    pub value: f64,
}

impl Scenario {
    /// Refuses a scenario whose totals could outgrow 64 bits, with a generous margin for chance.
    pub(super) fn validate_totals(&self) -> Checked {
        self.validate_load(Load::default())
    }

    /// The same with `replayed` payments beside those that the scenario names.
    pub(crate) fn validate_load(&self, replayed: Load) -> Checked {
        let a_tick: f64 = self.agents.iter().map(|agent| self.busiest_rate(agent)).sum();
        if a_tick > MOST_A_TICK {
            let allowed = format!(
                "must be at most {MOST_A_TICK} payments a tick at the busiest, all banks together: lower \
                 rate_per_tick or the multipliers of time_windows and events"
            );
            return conflict("rate_per_tick", a_tick, allowed);
        }
        let load = self.load(replayed);
        below_limit("value of all payments", load.value)?;
        below_limit("balances, credit, collateral and pools of all banks", self.most_money())?;
        below_limit("costs", self.worst_case_cost(load))
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
            let spread = arrivals.amount_std_dev.map_or(0.0, |deviation| deviation.0 as f64);
            count += mean * SLACK;
            value += mean * (arrivals.amount_mean.0 as f64 + spread) * SLACK;
        }
        Load { count, value }
    }

    /// Payments that a bank's customers bring in its busiest tick, on average.
    fn busiest_rate(&self, agent: &AgentConfig) -> f64 {
        let Some(arrivals) = &agent.arrival_config else { return 0.0 };
        let window = arrivals.time_windows.iter().fold(1.0_f64, |most, window| most.max(window.multiplier));
        let surge = self.events.iter().fold(1.0_f64, |most, event| match event {
            EventConfig::ArrivalRate(change) if change.bank.as_ref().is_none_or(|bank| *bank == agent.id) => {
                most.max(change.multiplier)
            }
            _ => most,
        });
        arrivals.rate_per_tick * window * surge
    }

    /// Balances, pools, and all credit that the banks ever have.
    fn most_money(&self) -> f64 {
        let banks: f64 = self.agents.iter().map(|agent| (agent.balance + agent.liquidity_pool).0 as f64).sum();
        let transfers: f64 = self.events.iter().map(|event| self.transferred(event)).sum();
        banks + transfers + self.most_credit() + self.most_collateral()
    }

    fn transferred(&self, event: &EventConfig) -> f64 {
        match event {
            EventConfig::Transfer(transfer) => {
                event.occurrences(self.episode_ticks()) as f64 * transfer.amount.0 as f64
            }
            _ => 0.0,
        }
    }

    fn most_credit(&self) -> f64 {
        let opening = self.agents.iter().map(|agent| agent.credit_limit.0 as f64);
        let changes = self.events.iter().map(|event| match event {
            EventConfig::Credit(change) => change.credit_limit.0 as f64,
            _ => 0.0,
        });
        opening.chain(changes).sum()
    }

    fn most_collateral(&self) -> f64 {
        let opening = self.agents.iter().map(|agent| agent.collateral.0 as f64);
        let changes = self.events.iter().map(|event| match event {
            EventConfig::Collateral(change) => change.collateral.0 as f64,
            _ => 0.0,
        });
        opening.chain(changes).sum()
    }

    fn worst_case_cost(&self, load: Load) -> f64 {
        let (costs, ticks) = (&self.costs, self.episode_ticks() as f64);
        // Beside its splits, a bank may cut one payment a tick to pay a share of its queue.
        let parts = load.count * f64::from(MOST_PARTS) + ticks * self.agents.len() as f64;
        let pools: f64 = self.agents.iter().map(|agent| agent.liquidity_pool.0 as f64).sum();
        // Overnight loans that fall due may take a bank below its limit, by all that it has ever
        // borrowed, and a pool that is taken back by what it had committed.
        let loans = if self.end_of_day == EndOfDay::Borrow { load.value } else { 0.0 };
        let overdraft = self.most_credit() + self.most_collateral() + pools + loans;
        let overdraft_rate = costs.overdraft_tiers.iter().fold(costs.overdraft_rate, |most, tier| most.max(tier.rate));
        let multiplier = costs.priority_multipliers.values().fold(1.0_f64, |most, factor| most.max(*factor));
        let delay = parts * costs.delay_penalty_per_tick.0 as f64 + load.value * costs.delay_rate;
        let once = parts * (costs.deadline_penalty.0 as f64 + costs.split_fee.0 as f64);
        let daily = parts * costs.eod_penalty.0 as f64 + load.value * costs.eod_rate + pools * costs.liquidity_rate;
        let collateral = self.most_collateral() * costs.collateral_rate;
        ticks * (overdraft * overdraft_rate + collateral + delay * multiplier * costs.overdue_multiplier)
            + once
            + daily * self.num_days as f64
    }
}

fn below_limit(path: &str, value: f64) -> Checked {
    if value < TOTAL_LIMIT {
        return Ok(());
    }
    Err(ScenarioError::MayOverflow { path: path.to_owned(), value, limit: TOTAL_LIMIT })
}
