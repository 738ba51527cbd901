//! Validation of a scenario beyond the types of its fields.

use super::checker::Checker;
use super::checks::{Checked, MAX_PARTS, NOT_ITSELF, as_json, conflict, in_range, money, time_of_day};
use super::config::{
    AgentConfig, ArrivalConfig, DistributionType, PolicyConfig, PriorityConfig, Scenario, TimeWindow, TransactionConfig,
};
use super::prices::CostConfig;
use super::rails::{LsmConfig, QueueDiscipline, RailConfig, SettlementType};
use super::read::read_json;
use crate::error::ScenarioError;
use crate::units::{Cents, MAX_MONEY};
use std::collections::HashSet;
use std::fmt::Display;

/// Maximum standard deviation of normal amounts, in means.
///
/// A half-normal, the limit of truncation at the peak, has 0.7555.
const MAX_NORMAL_DEVIATION: f64 = 0.755;
/// Maximum number of rails.
const MAX_RAILS: usize = 8;

impl Scenario {
    /// Parses and validates a scenario.
    ///
    /// # Errors
    /// [`ScenarioError`] with the path of the field, its value and what is allowed.
    pub fn from_json(json: &str) -> Result<Self, ScenarioError> {
        let scenario: Self = read_json(json, "scenario")?;
        scenario.validate()?;
        Ok(scenario)
    }

    /// Validates everything beyond the types of the fields.
    ///
    /// # Errors
    /// [`ScenarioError`] with the path of the field, its value and what is allowed.
    pub fn validate(&self) -> Checked {
        Checker { scenario: self, banks: self.agents.iter().map(|agent| agent.id.as_str()).collect() }.validate()
    }
}

impl Checker<'_> {
    fn validate(&self) -> Checked {
        in_range("ticks_per_day", self.ticks_per_day, 1, 1000, "")?;
        in_range("num_days", self.num_days, 1, 10_000, "")?;
        in_range("agents", self.agents.len(), 2, 1000, " (banks)")?;
        in_range("rails", self.rails.len(), 1, MAX_RAILS, " (rails)")?;
        self.validate_ids()?;
        self.validate_day()?;
        for (index, rail) in self.rails.iter().enumerate() {
            self.validate_rail(&format!("rails[{index}]"), rail)?;
        }
        for (index, agent) in self.agents.iter().enumerate() {
            self.validate_agent(&format!("agents[{index}]"), agent)?;
        }
        validate_costs(&self.costs)?;
        for (index, transaction) in self.initial_transactions.iter().enumerate() {
            self.validate_transaction(&format!("initial_transactions[{index}]"), transaction)?;
        }
        self.validate_events()?;
        self.validate_totals()
    }

    fn validate_day(&self) -> Checked {
        let opening = time_of_day("opening_time", self.opening_time.as_deref())?;
        let closing = time_of_day("closing_time", self.closing_time.as_deref())?;
        match (opening, closing, &self.closing_time) {
            (Some(_), None, _) => conflict("closing_time", "null", "is required beside opening_time"),
            (None, Some(_), _) => conflict("opening_time", "null", "is required beside closing_time"),
            (Some(opening), Some(closing), Some(text)) if closing <= opening => {
                conflict("closing_time", format!("{text:?}"), "must be later than opening_time")
            }
            _ => Ok(()),
        }?;
        if self.payments_file.as_ref().is_some_and(String::is_empty) {
            return conflict("payments_file", "\"\"", "must be the path of a CSV or Parquet file");
        }
        if let Some(escalation) = &self.priority_escalation {
            in_range("priority_escalation.ticks", escalation.ticks, 1, 1_000_000, " (ticks)")?;
            in_range("priority_escalation.boost", escalation.boost, 1, 10, "")?;
        }
        Ok(())
    }

    fn validate_rail(&self, path: &str, rail: &RailConfig) -> Checked {
        let cycle = format!("{path}.cycle_ticks");
        match (rail.settlement_type, rail.cycle_ticks) {
            (SettlementType::Immediate, None) => Ok(()),
            (SettlementType::Immediate, Some(ticks)) => {
                conflict(&cycle, ticks, "must be absent: only a deferred_net rail has cycles")
            }
            (SettlementType::DeferredNet, None) => conflict(&cycle, "null", "is required for a deferred_net rail"),
            (SettlementType::DeferredNet, Some(ticks)) => in_range(&cycle, ticks, 1, self.ticks_per_day, " (ticks)"),
        }?;
        if rail.settlement_type == SettlementType::DeferredNet && rail.lsm != LsmConfig::default() {
            let allowed = "must be all off: a deferred_net rail settles everything together";
            return conflict(&format!("{path}.lsm"), as_json(&rail.lsm), allowed);
        }
        if rail.settlement_type == SettlementType::DeferredNet && rail.queue_discipline != QueueDiscipline::Fifo {
            let allowed = "must be fifo: a deferred_net rail settles everything together";
            return conflict(&format!("{path}.queue_discipline"), as_json(&rail.queue_discipline), allowed);
        }
        Ok(())
    }

    fn validate_ids(&self) -> Checked {
        unique_ids("agents", self.agents.iter().map(|agent| agent.id.as_str()))?;
        unique_ids("rails", self.rails.iter().map(|rail| rail.id.as_str()))
    }

    fn validate_agent(&self, path: &str, agent: &AgentConfig) -> Checked {
        money(&format!("{path}.balance"), agent.balance, 0)?;
        money(&format!("{path}.credit_limit"), agent.credit_limit, 0)?;
        money(&format!("{path}.collateral"), agent.collateral, 0)?;
        in_range(&format!("{path}.collateral_haircut"), agent.collateral_haircut, 0.0, 1.0, "")?;
        money(&format!("{path}.liquidity_pool"), agent.liquidity_pool, 0)?;
        in_range(&format!("{path}.liquidity_share"), agent.liquidity_share, 0.0, 1.0, "")?;
        self.validate_limits(&format!("{path}.limits"), agent)?;
        agent.policy.validate(&format!("{path}.policy"))?;
        match &agent.arrival_config {
            Some(arrivals) => self.validate_arrivals(&format!("{path}.arrival_config"), agent, arrivals),
            None => Ok(()),
        }
    }

    fn validate_limits(&self, path: &str, agent: &AgentConfig) -> Checked {
        for (id, limit) in agent.limits.bilateral.iter() {
            let path = format!("{path}.bilateral.{id}");
            self.known_bank(&path, id)?;
            if *id == agent.id {
                return conflict(&path, limit.0, NOT_ITSELF);
            }
            money(&path, *limit, 0)?;
        }
        agent.limits.multilateral.map_or(Ok(()), |limit| money(&format!("{path}.multilateral"), limit, 0))
    }

    fn validate_arrivals(&self, path: &str, agent: &AgentConfig, arrivals: &ArrivalConfig) -> Checked {
        if let Some(id) = arrivals.agent_id.as_ref().filter(|id| **id != agent.id) {
            let allowed = format!("must be the id of its own bank, {:?}", agent.id);
            return conflict(&format!("{path}.agent_id"), format!("{id:?}"), allowed);
        }
        let (rate_path, rate) = (format!("{path}.rate_per_tick"), arrivals.rate_per_tick);
        if rate <= 0.0 {
            return conflict(&rate_path, rate, "must be above 0 and at most 1000");
        }
        in_range(&rate_path, rate, 0.0, 1000.0, "")?;
        validate_amounts(path, arrivals)?;
        self.validate_counterparties(&format!("{path}.counterparty_weights"), agent, arrivals)?;
        self.validate_windows(&format!("{path}.time_windows"), &arrivals.time_windows)?;
        if let Some([low, high]) = arrivals.deadline_range {
            in_range(&format!("{path}.deadline_range[0]"), low, 0, 1_000_000, " (ticks)")?;
            in_range(&format!("{path}.deadline_range[1]"), high, low, 1_000_000, " (ticks)")?;
        }
        self.known_rail(path, arrivals.rail.as_deref())?;
        validate_priority(&format!("{path}.priority"), &arrivals.priority)
    }

    fn validate_counterparties(&self, path: &str, agent: &AgentConfig, arrivals: &ArrivalConfig) -> Checked {
        let Some(weights) = &arrivals.counterparty_weights else { return Ok(()) };
        for (id, weight) in weights.iter() {
            self.known_bank(&format!("{path}.{id}"), id)?;
            if *id == agent.id {
                return conflict(&format!("{path}.{id}"), weight, NOT_ITSELF);
            }
        }
        validate_weights(path, weights.iter())
    }

    fn validate_windows(&self, path: &str, windows: &[TimeWindow]) -> Checked {
        for (index, window) in windows.iter().enumerate() {
            let path = format!("{path}[{index}]");
            in_range(&format!("{path}.start_tick"), window.start_tick, 0, self.ticks_per_day - 1, " (ticks)")?;
            let first = window.start_tick + 1;
            in_range(&format!("{path}.end_tick"), window.end_tick, first, self.ticks_per_day, " (ticks)")?;
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
        self.validate_parties(path, &transaction.sender, &transaction.receiver)?;
        money(&format!("{path}.amount"), transaction.amount, 1)?;
        let last = self.episode_ticks() - 1;
        in_range(&format!("{path}.arrival_tick"), transaction.arrival_tick, 0, last, " (ticks)")?;
        let (arrival, deadline) = (transaction.arrival_tick, transaction.deadline_tick);
        in_range(&format!("{path}.deadline_tick"), deadline, arrival, i64::from(u32::MAX), " (ticks)")?;
        in_range(&format!("{path}.priority"), transaction.priority, 0, 10, "")?;
        self.known_rail(path, transaction.rail.as_deref())
    }
}

impl PolicyConfig {
    /// Validates the parameters of the policy at `path`.
    pub(crate) fn validate(&self, path: &str) -> Checked {
        match self {
            Self::Learner {} | Self::ReleaseAll {} | Self::Myopic {} => Ok(()),
            Self::HoldUntilDeadline { margin } => {
                in_range(&format!("{path}.margin"), *margin, 0, 1_000_000, " (ticks)")
            }
            Self::LiquidityAware { buffer } => money(&format!("{path}.buffer"), *buffer, 0),
            Self::SplitLarge { parts, threshold } => {
                in_range(&format!("{path}.parts"), *parts, 2, i64::from(MAX_PARTS), "")?;
                money(&format!("{path}.threshold"), *threshold, 0)
            }
            Self::Random { release_probability } => {
                in_range(&format!("{path}.release_probability"), *release_probability, 0.0, 1.0, "")
            }
            Self::Network { weights, .. } if weights.is_empty() => {
                conflict(&format!("{path}.weights"), "\"\"", "must be the path of a safetensors file")
            }
            Self::Network { .. } => Ok(()),
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
            deviation_at_most(&path, deviation, arrivals.amount_mean.0 as f64 * MAX_NORMAL_DEVIATION, "normal")
        }
        (DistributionType::Exponential, Some(deviation)) => {
            conflict(&path, deviation.0, "must be absent: the standard deviation of an exponential amount is its mean")
        }
        (DistributionType::Uniform, Some(deviation)) => {
            deviation_at_most(&path, deviation, (arrivals.amount_mean.0 - 1) as f64 / 3.0_f64.sqrt(), "uniform")
        }
        _ => Ok(()),
    }
}

fn deviation_at_most(path: &str, deviation: Cents, max: f64, distribution: &str) -> Checked {
    if deviation.0 as f64 <= max {
        return Ok(());
    }
    let allowed = format!(
        "must be at most {:.0} for {distribution} amounts, which must not be negative; or use lognormal",
        max.floor()
    );
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
    in_range("costs.collateral_rate", costs.collateral_rate, 0.0, 1.0, "")?;
    in_range("costs.liquidity_rate", costs.liquidity_rate, 0.0, 1.0, "")?;
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
