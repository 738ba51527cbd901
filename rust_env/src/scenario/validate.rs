//! Everything about a scenario that its types cannot say.

use super::{
    AgentConfig, ArrivalConfig, CostConfig, DistributionType, EndOfDay, PolicyConfig, PriorityConfig, Scenario,
    TimeWindow, TransactionConfig,
};
use crate::amounts::WIDEST_NORMAL;
use crate::error::ScenarioError;
use crate::units::{Cents, MAX_MONEY};
use std::collections::HashSet;
use std::fmt::Display;

type Checked = Result<(), ScenarioError>;

/// Money totals of an episode must stay below this many cents (half of what 64 bits hold).
const TOTAL_LIMIT: f64 = 4.6e18;
/// How many times its mean a random total may reach before the engine gives up on it.
const SLACK: f64 = 100.0;
/// Parts that a payment can be split into, at most.
pub(crate) const MOST_PARTS: u8 = 100;

impl Scenario {
    /// Checks everything that its types cannot say.
    ///
    /// # Errors
    /// [`ScenarioError`] with the path of the field, its value and what is allowed.
    pub fn validate(&self) -> Checked {
        in_range("ticks_per_day", self.ticks_per_day, 1, 1000, "")?;
        in_range("num_days", self.num_days, 1, 10_000, "")?;
        in_range("agents", self.agents.len(), 2, 1000, " (banks)")?;
        in_range("rails", self.rails.len(), 1, 1, " (rails)")?;
        self.validate_ids()?;
        for (index, agent) in self.agents.iter().enumerate() {
            self.validate_agent(&format!("agents[{index}]"), agent)?;
        }
        validate_costs(&self.costs)?;
        for (index, transaction) in self.initial_transactions.iter().enumerate() {
            self.validate_transaction(&format!("initial_transactions[{index}]"), transaction)?;
        }
        self.validate_totals()
    }

    fn validate_ids(&self) -> Checked {
        unique_ids("agents", self.agents.iter().map(|agent| agent.id.as_str()))?;
        unique_ids("rails", self.rails.iter().map(|rail| rail.id.as_str()))
    }

    fn known_bank(&self, path: &str, id: &str) -> Checked {
        if self.agents.iter().any(|agent| agent.id == id) {
            return Ok(());
        }
        let known = list(self.agents.iter().map(|agent| agent.id.as_str()));
        Err(ScenarioError::UnknownId { path: path.to_owned(), value: id.to_owned(), known })
    }

    fn validate_agent(&self, path: &str, agent: &AgentConfig) -> Checked {
        money(&format!("{path}.balance"), agent.balance, 0)?;
        money(&format!("{path}.credit_limit"), agent.credit_limit, 0)?;
        agent.policy.validate(&format!("{path}.policy"))?;
        match &agent.arrival_config {
            Some(arrivals) => self.validate_arrivals(&format!("{path}.arrival_config"), agent, arrivals),
            None => Ok(()),
        }
    }

    fn validate_arrivals(&self, path: &str, agent: &AgentConfig, arrivals: &ArrivalConfig) -> Checked {
        if let Some(id) = arrivals.agent_id.as_ref().filter(|id| **id != agent.id) {
            let allowed = format!("must be the id of the bank it stands under, {:?}", agent.id);
            return conflict(&format!("{path}.agent_id"), format!("{id:?}"), allowed);
        }
        if arrivals.rate_per_tick <= 0.0 {
            return conflict(
                &format!("{path}.rate_per_tick"),
                arrivals.rate_per_tick,
                "must be above 0 and at most 1000",
            );
        }
        in_range(&format!("{path}.rate_per_tick"), arrivals.rate_per_tick, 0.0, 1000.0, "")?;
        validate_amounts(path, arrivals)?;
        self.validate_counterparties(&format!("{path}.counterparty_weights"), agent, arrivals)?;
        self.validate_windows(&format!("{path}.time_windows"), &arrivals.time_windows)?;
        if let Some([low, high]) = arrivals.deadline_range {
            in_range(&format!("{path}.deadline_range[0]"), low, 0, 1_000_000, " (ticks)")?;
            in_range(&format!("{path}.deadline_range[1]"), high, low, 1_000_000, " (ticks)")?;
        }
        validate_priority(&format!("{path}.priority"), &arrivals.priority)
    }

    fn validate_counterparties(&self, path: &str, agent: &AgentConfig, arrivals: &ArrivalConfig) -> Checked {
        let Some(weights) = &arrivals.counterparty_weights else { return Ok(()) };
        for (id, weight) in weights.iter() {
            self.known_bank(&format!("{path}.{id}"), id)?;
            if *id == agent.id {
                return conflict(&format!("{path}.{id}"), weight, "a bank cannot pay itself; must be another bank");
            }
        }
        validate_weights(path, weights.iter())
    }

    fn validate_windows(&self, path: &str, windows: &[TimeWindow]) -> Checked {
        for (index, window) in windows.iter().enumerate() {
            let path = format!("{path}[{index}]");
            in_range(&format!("{path}.start_tick"), window.start_tick, 0, self.ticks_per_day - 1, " (ticks)")?;
            in_range(
                &format!("{path}.end_tick"),
                window.end_tick,
                window.start_tick + 1,
                self.ticks_per_day,
                " (ticks)",
            )?;
            in_range(&format!("{path}.multiplier"), window.multiplier, 0.0, 1000.0, "")?;
            let overlaps =
                |other: &&TimeWindow| other.start_tick < window.end_tick && window.start_tick < other.end_tick;
            if let Some(other) = windows[..index].iter().find(overlaps) {
                let value = format!("{}..{}", window.start_tick, window.end_tick);
                let allowed = format!("must not overlap the window {}..{}", other.start_tick, other.end_tick);
                return conflict(&path, value, allowed);
            }
        }
        Ok(())
    }

    fn validate_transaction(&self, path: &str, transaction: &TransactionConfig) -> Checked {
        self.known_bank(&format!("{path}.sender"), &transaction.sender)?;
        self.known_bank(&format!("{path}.receiver"), &transaction.receiver)?;
        if transaction.sender == transaction.receiver {
            let value = format!("{:?}", transaction.receiver);
            return conflict(&format!("{path}.receiver"), value, "a bank cannot pay itself; must be another bank");
        }
        money(&format!("{path}.amount"), transaction.amount, 1)?;
        let last = self.ticks_per_day * self.num_days - 1;
        in_range(&format!("{path}.arrival_tick"), transaction.arrival_tick, 0, last, " (ticks)")?;
        let latest = i64::from(u32::MAX);
        in_range(
            &format!("{path}.deadline_tick"),
            transaction.deadline_tick,
            transaction.arrival_tick,
            latest,
            " (ticks)",
        )?;
        in_range(&format!("{path}.priority"), transaction.priority, 0, 10, "")?;
        match transaction.rail.as_ref().filter(|id| self.rails.iter().all(|rail| rail.id != **id)) {
            None => Ok(()),
            Some(id) => {
                let known = list(self.rails.iter().map(|rail| rail.id.as_str()));
                Err(ScenarioError::UnknownId { path: format!("{path}.rail"), value: id.clone(), known })
            }
        }
    }

    /// Refuses a scenario whose totals could outgrow 64 bits, with a generous margin for chance.
    fn validate_totals(&self) -> Checked {
        let ticks = (self.ticks_per_day * self.num_days) as f64;
        let (mut count, mut value) = (0.0, 0.0);
        for transaction in &self.initial_transactions {
            count += 1.0;
            value += transaction.amount.0 as f64;
        }
        for arrivals in self.agents.iter().filter_map(|agent| agent.arrival_config.as_ref()) {
            let busiest = arrivals.time_windows.iter().fold(1.0_f64, |most, window| most.max(window.multiplier));
            let mean = (ticks * arrivals.rate_per_tick * busiest).max(1.0);
            let spread = arrivals.amount_std_dev.map_or(0.0, |deviation| deviation.0 as f64);
            count += mean * SLACK;
            value += mean * (arrivals.amount_mean.0 as f64 + spread) * SLACK;
        }
        below_limit("value of all payments", value)?;
        below_limit("costs", self.worst_case_cost(ticks, count, value))
    }

    fn worst_case_cost(&self, ticks: f64, count: f64, value: f64) -> f64 {
        let costs = &self.costs;
        let parts = count * MOST_PARTS as f64;
        let credit: f64 = self.agents.iter().map(|agent| agent.credit_limit.0 as f64).sum();
        // Repaying overnight loans may take a bank below its limit, by all that it has ever borrowed.
        let loans = if self.end_of_day == EndOfDay::Borrow { value } else { 0.0 };
        let overdraft_rate = costs.overdraft_tiers.iter().fold(costs.overdraft_rate, |most, tier| most.max(tier.rate));
        let multiplier = costs.priority_multipliers.values().fold(1.0_f64, |most, factor| most.max(*factor));
        let delay = parts * costs.delay_penalty_per_tick.0 as f64 + value * costs.delay_rate;
        let once = parts * (costs.deadline_penalty.0 as f64 + costs.split_fee.0 as f64);
        let daily = parts * costs.eod_penalty.0 as f64 + value * costs.eod_rate;
        ticks * ((credit + loans) * overdraft_rate + delay * multiplier * costs.overdue_multiplier)
            + once
            + daily * self.num_days as f64
    }
}

impl PolicyConfig {
    /// Checks the parameters of a policy that stands at `path`.
    pub(crate) fn validate(&self, path: &str) -> Checked {
        match self {
            Self::Learner {} | Self::ReleaseAll {} => Ok(()),
            Self::HoldUntilDeadline { margin } => {
                in_range(&format!("{path}.margin"), *margin, 0, 1_000_000, " (ticks)")
            }
            Self::LiquidityAware { buffer } => money(&format!("{path}.buffer"), *buffer, 0),
            Self::SplitLarge { parts, threshold } => {
                in_range(&format!("{path}.parts"), *parts, 2, i64::from(MOST_PARTS), "")?;
                money(&format!("{path}.threshold"), *threshold, 0)
            }
            Self::Random { release_probability } => {
                in_range(&format!("{path}.release_probability"), *release_probability, 0.0, 1.0, "")
            }
        }
    }
}

fn validate_amounts(path: &str, arrivals: &ArrivalConfig) -> Checked {
    money(&format!("{path}.amount_mean"), arrivals.amount_mean, 1)?;
    let path = format!("{path}.amount_std_dev");
    if let Some(deviation) = arrivals.amount_std_dev {
        money(&path, deviation, 0)?;
    }
    match (arrivals.distribution_type, arrivals.amount_std_dev) {
        (DistributionType::Normal | DistributionType::Lognormal, None) => {
            let allowed = format!("is required for normal and lognormal amounts: between 0 and {MAX_MONEY} (cents)");
            conflict(&path, "null", allowed)
        }
        (DistributionType::Normal, Some(deviation)) => {
            at_most(&path, deviation, arrivals.amount_mean.0 as f64 * WIDEST_NORMAL, "normal")
        }
        (DistributionType::Exponential, Some(deviation)) => {
            conflict(&path, deviation.0, "must be absent: the standard deviation of an exponential amount is its mean")
        }
        (DistributionType::Uniform, Some(deviation)) => {
            at_most(&path, deviation, (arrivals.amount_mean.0 - 1) as f64 / 3.0_f64.sqrt(), "uniform")
        }
        _ => Ok(()),
    }
}

fn at_most(path: &str, deviation: Cents, most: f64, kind: &str) -> Checked {
    if deviation.0 as f64 <= most {
        return Ok(());
    }
    let allowed =
        format!("must be at most {:.0}, or {kind} amounts would fall below zero; or use lognormal", most.floor());
    conflict(path, deviation.0, allowed)
}

fn validate_priority(path: &str, priority: &PriorityConfig) -> Checked {
    match priority {
        PriorityConfig::Fixed(priority) => in_range(path, *priority, 0, 10, ""),
        PriorityConfig::Weights(weights) => {
            for priority in weights.keys() {
                in_range(&format!("{path}.{priority}"), *priority, 0, 10, "")?;
            }
            validate_weights(path, weights.iter())
        }
    }
}

fn validate_weights<'a, K: Display + 'a>(path: &str, weights: impl Iterator<Item = (&'a K, &'a f64)>) -> Checked {
    let mut sum = 0.0;
    for (key, weight) in weights {
        in_range(&format!("{path}.{key}"), *weight, 0.0, 1e9, "")?;
        sum += weight;
    }
    if sum > 0.0 { Ok(()) } else { conflict(path, sum, "the weights must sum to more than 0") }
}

fn validate_costs(costs: &CostConfig) -> Checked {
    in_range("costs.overdraft_rate", costs.overdraft_rate, 0.0, 1.0, "")?;
    in_range("costs.delay_rate", costs.delay_rate, 0.0, 1.0, "")?;
    in_range("costs.eod_rate", costs.eod_rate, 0.0, 1.0, "")?;
    in_range("costs.overdue_multiplier", costs.overdue_multiplier, 1.0, 1000.0, "")?;
    money("costs.delay_penalty_per_tick", costs.delay_penalty_per_tick, 0)?;
    money("costs.deadline_penalty", costs.deadline_penalty, 0)?;
    money("costs.split_fee", costs.split_fee, 0)?;
    money("costs.eod_penalty", costs.eod_penalty, 0)?;
    for (priority, factor) in costs.priority_multipliers.iter() {
        in_range(&format!("costs.priority_multipliers.{priority} (priority)"), *priority, 0, 10, "")?;
        in_range(&format!("costs.priority_multipliers.{priority}"), *factor, 0.0, 1000.0, "")?;
    }
    let mut lowest = 1;
    for (index, tier) in costs.overdraft_tiers.iter().enumerate() {
        money(&format!("costs.overdraft_tiers[{index}].above"), tier.above, lowest)?;
        in_range(&format!("costs.overdraft_tiers[{index}].rate"), tier.rate, 0.0, 1.0, "")?;
        lowest = tier.above.0 + 1;
    }
    Ok(())
}

fn unique_ids<'a>(path: &str, ids: impl Iterator<Item = &'a str>) -> Checked {
    let mut seen = HashSet::new();
    for (index, id) in ids.enumerate() {
        let path = format!("{path}[{index}].id");
        let allowed = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_';
        if id.is_empty() || id.len() > 64 || !id.bytes().all(allowed) {
            return Err(ScenarioError::BadId { path, value: id.to_owned() });
        }
        if !seen.insert(id) {
            return Err(ScenarioError::Duplicate { path, value: id.to_owned() });
        }
    }
    Ok(())
}

fn money(path: &str, value: Cents, low: i64) -> Checked {
    in_range(path, value.0, low, MAX_MONEY, " (cents)")
}

/// Refuses a number outside `low..=high`.
pub(crate) fn in_range<T: PartialOrd + Display>(path: &str, value: T, low: T, high: T, unit: &'static str) -> Checked {
    if value >= low && value <= high {
        return Ok(());
    }
    Err(ScenarioError::OutOfRange {
        path: path.to_owned(),
        value: value.to_string(),
        low: low.to_string(),
        high: high.to_string(),
        unit,
    })
}

fn conflict(path: &str, value: impl Display, allowed: impl Into<String>) -> Checked {
    Err(ScenarioError::Conflict { path: path.to_owned(), value: value.to_string(), allowed: allowed.into() })
}

fn below_limit(path: &str, value: f64) -> Checked {
    if value < TOTAL_LIMIT {
        return Ok(());
    }
    Err(ScenarioError::MayOverflow { path: path.to_owned(), value, limit: TOTAL_LIMIT })
}

fn list<'a>(ids: impl Iterator<Item = &'a str>) -> String {
    const SHOWN: usize = 20;
    let ids: Vec<&str> = ids.collect();
    let more = if ids.len() > SHOWN { ", ..." } else { "" };
    format!("{}{more}", ids[..ids.len().min(SHOWN)].join(", "))
}
