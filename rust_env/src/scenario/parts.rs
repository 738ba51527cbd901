//! Rules within one part of a scenario, which need no other part.

use super::checks::{Checked, MAX_PARTS, NOT_ITSELF, as_json, conflict, in_range, money};
use super::config::{
    AgentConfig, ArrivalConfig, DistributionType, PolicyConfig, PriorityConfig, TimeWindow, TransactionConfig,
};
use super::events::{EventConfig, PaymentEvent, TransferEvent};
use super::prices::CostConfig;
use super::rails::{LsmConfig, QueueDiscipline, RailConfig, SettlementType};
use super::read::read_json;
use crate::error::ScenarioError;
use crate::units::{Cents, MAX_MONEY};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fmt::Display;

/// Maximum standard deviation of normal amounts, in means.
///
/// A half-normal, the limit of truncation at the peak, has 0.7555.
const MAX_NORMAL_DEVIATION: f64 = 0.755;

/// Maximum ticks in a day, and in an episode.
///
/// A scenario lowers both; a part alone can only be held against them.
pub(super) const MAX_TICKS: Ticks = Ticks { per_day: 1000, episode: 10_000_000 };

/// Lengths that bound the ticks of a part.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ticks {
    pub(super) per_day: i64,
    pub(super) episode: i64,
}

/// A part of a scenario that can be validated alone.
pub(super) trait Part: DeserializeOwned + Serialize {
    /// Rejects values that contradict each other; `path` is that of the part.
    fn validate(&self, path: &str, ticks: Ticks) -> Checked;
}

/// Parses and validates one part of a scenario.
///
/// # Errors
/// [`ScenarioError`] with the path of the field within the part.
pub fn validate_part(kind: &str, json: &str) -> Checked {
    match kind {
        "agent" => alone::<AgentConfig>(json),
        "arrival_config" => alone::<ArrivalConfig>(json),
        "costs" => alone::<CostConfig>(json),
        "event" => alone::<EventConfig>(json),
        "rail" => alone::<RailConfig>(json),
        "time_window" => alone::<TimeWindow>(json),
        "transaction" => alone::<TransactionConfig>(json),
        _ => conflict("kind", format!("{kind:?}"), "must be a part of a scenario"),
    }
}

fn alone<T: Part>(json: &str) -> Checked {
    read_json::<T>(json, "value")?.validate("", MAX_TICKS).map_err(ScenarioError::within)
}

impl Part for RailConfig {
    fn validate(&self, path: &str, ticks: Ticks) -> Checked {
        let cycle = format!("{path}.cycle_ticks");
        match (self.settlement_type, self.cycle_ticks) {
            (SettlementType::Immediate, None) => Ok(()),
            (SettlementType::Immediate, Some(ticks)) => {
                conflict(&cycle, ticks, "must be absent: only a deferred_net rail has cycles")
            }
            (SettlementType::DeferredNet, None) => conflict(&cycle, "null", "is required for a deferred_net rail"),
            (SettlementType::DeferredNet, Some(length)) => in_range(&cycle, length, 1, ticks.per_day, " (ticks)"),
        }?;
        if self.settlement_type == SettlementType::DeferredNet && self.lsm != LsmConfig::default() {
            let allowed = "must be all off: a deferred_net rail settles everything together";
            return conflict(&format!("{path}.lsm"), as_json(&self.lsm), allowed);
        }
        if self.settlement_type == SettlementType::DeferredNet && self.queue_discipline != QueueDiscipline::Fifo {
            let allowed = "must be fifo: a deferred_net rail settles everything together";
            return conflict(&format!("{path}.queue_discipline"), as_json(&self.queue_discipline), allowed);
        }
        Ok(())
    }
}

impl Part for AgentConfig {
    fn validate(&self, path: &str, ticks: Ticks) -> Checked {
        money(&format!("{path}.balance"), self.balance, 0)?;
        money(&format!("{path}.credit_limit"), self.credit_limit, 0)?;
        money(&format!("{path}.collateral"), self.collateral, 0)?;
        in_range(&format!("{path}.collateral_haircut"), self.collateral_haircut, 0.0, 1.0, "")?;
        money(&format!("{path}.liquidity_pool"), self.liquidity_pool, 0)?;
        in_range(&format!("{path}.liquidity_share"), self.liquidity_share, 0.0, 1.0, "")?;
        for (id, limit) in self.limits.bilateral.iter() {
            let path = format!("{path}.limits.bilateral.{id}");
            if *id == self.id {
                return conflict(&path, limit.0, NOT_ITSELF);
            }
            money(&path, *limit, 0)?;
        }
        if let Some(limit) = self.limits.multilateral {
            money(&format!("{path}.limits.multilateral"), limit, 0)?;
        }
        self.policy.validate(&format!("{path}.policy"))?;
        match &self.arrival_config {
            Some(arrivals) => self.validate_arrivals(&format!("{path}.arrival_config"), arrivals, ticks),
            None => Ok(()),
        }
    }
}

impl AgentConfig {
    fn validate_arrivals(&self, path: &str, arrivals: &ArrivalConfig, ticks: Ticks) -> Checked {
        if let Some(id) = arrivals.agent_id.as_ref().filter(|id| **id != self.id) {
            let allowed = format!("must be the id of its own bank, {:?}", self.id);
            return conflict(&format!("{path}.agent_id"), format!("{id:?}"), allowed);
        }
        if let Some(weight) = arrivals.counterparty_weights.as_ref().and_then(|weights| weights.get(&self.id)) {
            return conflict(&format!("{path}.counterparty_weights.{}", self.id), weight, NOT_ITSELF);
        }
        arrivals.validate(path, ticks)
    }
}

impl Part for ArrivalConfig {
    fn validate(&self, path: &str, ticks: Ticks) -> Checked {
        let (rate_path, rate) = (format!("{path}.rate_per_tick"), self.rate_per_tick);
        if rate <= 0.0 {
            return conflict(&rate_path, rate, "must be above 0 and at most 1000");
        }
        in_range(&rate_path, rate, 0.0, 1000.0, "")?;
        validate_amounts(path, self)?;
        if let Some(weights) = &self.counterparty_weights {
            validate_weights(&format!("{path}.counterparty_weights"), weights.iter())?;
        }
        validate_windows(&format!("{path}.time_windows"), &self.time_windows, ticks)?;
        if let Some([low, high]) = self.deadline_range {
            in_range(&format!("{path}.deadline_range[0]"), low, 0, 1_000_000, " (ticks)")?;
            in_range(&format!("{path}.deadline_range[1]"), high, low, 1_000_000, " (ticks)")?;
        }
        validate_priority(&format!("{path}.priority"), &self.priority)
    }
}

impl Part for TimeWindow {
    fn validate(&self, path: &str, ticks: Ticks) -> Checked {
        in_range(&format!("{path}.start_tick"), self.start_tick, 0, ticks.per_day - 1, " (ticks)")?;
        in_range(&format!("{path}.end_tick"), self.end_tick, self.start_tick + 1, ticks.per_day, " (ticks)")?;
        in_range(&format!("{path}.multiplier"), self.multiplier, 0.0, 1000.0, "")
    }
}

impl Part for TransactionConfig {
    fn validate(&self, path: &str, ticks: Ticks) -> Checked {
        different_parties(path, &self.sender, &self.receiver)?;
        money(&format!("{path}.amount"), self.amount, 1)?;
        let last = ticks.episode - 1;
        in_range(&format!("{path}.arrival_tick"), self.arrival_tick, 0, last, " (ticks)")?;
        let (arrival, deadline) = (self.arrival_tick, self.deadline_tick);
        in_range(&format!("{path}.deadline_tick"), deadline, arrival, i64::from(u32::MAX), " (ticks)")?;
        in_range(&format!("{path}.priority"), self.priority, 0, 10, "")
    }
}

impl Part for EventConfig {
    fn validate(&self, path: &str, ticks: Ticks) -> Checked {
        self.validate_schedule(path, ticks.episode - 1)?;
        match self {
            Self::Payment(payment) => payment.validate(path),
            Self::Transfer(transfer) => transfer.validate(path),
            Self::ArrivalRate(change) => in_range(&format!("{path}.multiplier"), change.multiplier, 0.0, 1000.0, ""),
            Self::Credit(change) => money(&format!("{path}.credit_limit"), change.credit_limit, 0),
            Self::Collateral(change) => money(&format!("{path}.collateral"), change.collateral, 0),
            Self::Outage(outage) => in_range(&format!("{path}.ticks"), outage.ticks, 1, 10_000_000, " (ticks)"),
            Self::EarlyClose(_) => Ok(()),
        }
    }
}

impl EventConfig {
    fn validate_schedule(&self, path: &str, last: i64) -> Checked {
        let (tick, every, until) = self.schedule();
        in_range(&format!("{path}.tick"), tick, 0, last, " (ticks)")?;
        if let Some(every) = every {
            in_range(&format!("{path}.every_ticks"), every, 1, 10_000_000, " (ticks)")?;
        }
        match (every, until) {
            (_, None) => Ok(()),
            (None, Some(until)) => conflict(&format!("{path}.until_tick"), until, "must be absent without every_ticks"),
            (Some(_), Some(until)) => in_range(&format!("{path}.until_tick"), until, tick, last, " (ticks)"),
        }
    }
}

impl PaymentEvent {
    fn validate(&self, path: &str) -> Checked {
        different_parties(path, &self.sender, &self.receiver)?;
        money(&format!("{path}.amount"), self.amount, 1)?;
        if let Some(ticks) = self.deadline_ticks {
            in_range(&format!("{path}.deadline_ticks"), ticks, 0, 1_000_000, " (ticks)")?;
        }
        in_range(&format!("{path}.priority"), self.priority, 0, 10, "")
    }
}

impl TransferEvent {
    fn validate(&self, path: &str) -> Checked {
        money(&format!("{path}.amount"), self.amount, 1)?;
        match (&self.sender, &self.receiver) {
            (None, None) => {
                let allowed = "a transfer must name a sender, a receiver or both";
                conflict(&format!("{path}.sender"), "null", allowed)
            }
            (Some(sender), Some(receiver)) => different_parties(path, sender, receiver),
            _ => Ok(()),
        }
    }
}

impl Part for CostConfig {
    fn validate(&self, path: &str, _: Ticks) -> Checked {
        for (name, rate) in [
            ("overdraft_rate", self.overdraft_rate),
            ("delay_rate", self.delay_rate),
            ("eod_rate", self.eod_rate),
            ("collateral_rate", self.collateral_rate),
            ("liquidity_rate", self.liquidity_rate),
        ] {
            in_range(&format!("{path}.{name}"), rate, 0.0, 1.0, "")?;
        }
        in_range(&format!("{path}.overdue_multiplier"), self.overdue_multiplier, 1.0, 1000.0, "")?;
        for (name, fee) in [
            ("delay_penalty_per_tick", self.delay_penalty_per_tick),
            ("deadline_penalty", self.deadline_penalty),
            ("split_fee", self.split_fee),
            ("eod_penalty", self.eod_penalty),
        ] {
            money(&format!("{path}.{name}"), fee, 0)?;
        }
        for (priority, factor) in self.priority_multipliers.iter() {
            in_range(&format!("{path}.priority_multipliers.{priority} (priority)"), *priority, 0, 10, "")?;
            in_range(&format!("{path}.priority_multipliers.{priority}"), *factor, 0.0, 1000.0, "")?;
        }
        let mut lowest = 1;
        for (index, tier) in self.overdraft_tiers.iter().enumerate() {
            money(&format!("{path}.overdraft_tiers[{index}].above"), tier.above, lowest)?;
            in_range(&format!("{path}.overdraft_tiers[{index}].rate"), tier.rate, 0.0, 1.0, "")?;
            lowest = tier.above.0 + 1;
        }
        Ok(())
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
        money(&path, deviation, 1)?;
    }
    match (arrivals.distribution_type, arrivals.amount_std_dev) {
        (DistributionType::Normal | DistributionType::Lognormal, None) => {
            let allowed = format!("is required for normal and lognormal amounts: between 1 and {MAX_MONEY} (cents)");
            conflict(&path, "null", allowed)
        }
        (DistributionType::Normal, Some(deviation)) => {
            deviation_at_most(&path, deviation, arrivals.amount_mean.0 as f64 * MAX_NORMAL_DEVIATION, "normal")
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

fn validate_windows(path: &str, windows: &[TimeWindow], ticks: Ticks) -> Checked {
    for (index, window) in windows.iter().enumerate() {
        let path = format!("{path}[{index}]");
        window.validate(&path, ticks)?;
        let overlaps = |other: &&TimeWindow| other.start_tick < window.end_tick && window.start_tick < other.end_tick;
        if let Some(other) = windows[..index].iter().find(overlaps) {
            let value = format!("{}..{}", window.start_tick, window.end_tick);
            let allowed = format!("must not overlap the window {}..{}", other.start_tick, other.end_tick);
            return conflict(&path, value, allowed);
        }
    }
    Ok(())
}

fn different_parties(path: &str, sender: &str, receiver: &str) -> Checked {
    if sender == receiver {
        return conflict(&format!("{path}.receiver"), format!("{receiver:?}"), NOT_ITSELF);
    }
    Ok(())
}
