//! The configuration of a payment system.

use super::defaults::{five, half, one, two, whole, yes};
use super::events::EventConfig;
use super::prices::CostConfig;
use super::rails::{RailConfig, default_rails};
use super::read::{MapVisitor, UniqueMap};
use crate::payment::RtgsPriority;
use crate::units::{BankId, Cents, RailId, bank_at};
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use std::collections::HashMap;
use std::fmt;
use std::marker::PhantomData;

/// A payment system and its days.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// Purpose of the scenario and source of its numbers.
    #[serde(default)]
    pub description: String,
    /// Ticks in a day, 1 to 1000.
    pub ticks_per_day: i64,
    /// Days in an episode, 1 to 10,000.
    #[serde(default = "one")]
    pub num_days: i64,
    /// Seed of all random streams.
    #[serde(default)]
    pub seed: u64,
    /// The banks, 2 to 1000.
    pub agents: Vec<AgentConfig>,
    /// The settlement rails, 1 to 8; the first is the default of payments.
    #[serde(default = "default_rails")]
    pub rails: Vec<RailConfig>,
    /// Prices of liquidity, delay and splits.
    #[serde(default)]
    pub costs: CostConfig,
    /// Payments known in advance.
    #[serde(default)]
    pub initial_transactions: Vec<TransactionConfig>,
    /// Events scheduled at given ticks.
    #[serde(default)]
    pub events: Vec<EventConfig>,
    /// Path of a payments file, whose payments the caller passes.
    pub payments_file: Option<String>,
    /// Start of the day, `HH:MM`; converts the file's times into ticks.
    pub opening_time: Option<String>,
    /// End of the day, `HH:MM`.
    pub closing_time: Option<String>,
    /// Increase of a payment's priority near its deadline; none if absent.
    pub priority_escalation: Option<EscalationConfig>,
    /// Treatment of payments that are unsettled at the end of a day.
    #[serde(default)]
    pub end_of_day: EndOfDay,
    /// Treatment of balances between two days.
    #[serde(default)]
    pub overnight: Overnight,
}

/// A bank.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct AgentConfig {
    /// Unique, `^[A-Z0-9_]+$`.
    pub id: String,
    /// Opening balance in cents.
    pub balance: Cents,
    /// Intraday credit limit in cents.
    #[serde(default)]
    pub credit_limit: Cents,
    /// Value of the collateral pledged for further credit, in cents.
    #[serde(default)]
    pub collateral: Cents,
    /// Haircut: the share of the collateral value that gives no credit.
    #[serde(default)]
    pub collateral_haircut: f64,
    /// Liquidity in cents that the bank can commit at the start of a day.
    #[serde(default)]
    pub liquidity_pool: Cents,
    /// Share of the pool that the bank commits, unless a learner decides it.
    #[serde(default = "whole")]
    pub liquidity_share: f64,
    /// Limits on net payments in a day.
    #[serde(default)]
    pub limits: LimitConfig,
    /// The bank's own payment orders; none if absent.
    pub arrival_config: Option<ArrivalConfig>,
    /// The policy that decides its releases.
    #[serde(default)]
    pub policy: PolicyConfig,
}

/// Limits on the daily payments of a bank net of its receipts.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct LimitConfig {
    /// Limit per receiving bank, in cents.
    pub bilateral: UniqueMap<String, Cents>,
    /// Limit over all banks, in cents.
    pub multilateral: Option<Cents>,
}

/// Increase of a payment's priority near its deadline.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct EscalationConfig {
    /// Number of ticks before the deadline at which the increase begins.
    pub ticks: i64,
    /// Increase at the deadline, reached linearly; priorities are capped at 10.
    pub boost: i64,
}

/// A bank's random demand.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct ArrivalConfig {
    /// Id of the bank itself, if given.
    pub agent_id: Option<String>,
    /// Expected number of payments per tick (Poisson).
    pub rate_per_tick: f64,
    /// Distribution of the amounts.
    pub distribution_type: DistributionType,
    /// Mean amount in cents.
    pub amount_mean: Cents,
    /// Standard deviation of the amount in cents.
    ///
    /// Ignored for exponential amounts, where it equals the mean.
    pub amount_std_dev: Option<Cents>,
    /// Relative frequency of each receiver; uniform over the other banks if absent.
    pub counterparty_weights: Option<UniqueMap<String, f64>>,
    /// Windows of the day with another arrival rate.
    #[serde(default)]
    pub time_windows: Vec<TimeWindow>,
    /// Minimum and maximum ticks to the deadline; the end of the day if absent.
    pub deadline_range: Option<[i64; 2]>,
    /// Priority, or relative frequency of each priority.
    #[serde(default)]
    pub priority: PriorityConfig,
    /// Whether the payments may be split.
    #[serde(default = "yes")]
    pub divisible: bool,
    /// Id of the rail of the payments; the first one if absent.
    pub rail: Option<String>,
    /// Class of the payments in the rail's queue; by priority if absent.
    pub rtgs_priority: Option<RtgsPriority>,
}

/// Distribution of the amounts.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum DistributionType {
    /// Normal truncated at zero; mean and standard deviation are those after truncation.
    Normal,
    /// Lognormal; mean and standard deviation are those of the amount.
    Lognormal,
    /// Uniform, between one cent and twice the mean without a standard deviation.
    Uniform,
    /// Exponential; its standard deviation equals its mean.
    Exponential,
}

/// A window of every day with another arrival rate.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct TimeWindow {
    /// First tick of the day in the window.
    pub start_tick: i64,
    /// First tick of the day after the window.
    pub end_tick: i64,
    /// Factor on `rate_per_tick`.
    pub multiplier: f64,
}

/// A fixed priority or a distribution of priorities.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum PriorityConfig {
    /// The priority of every payment.
    Fixed(i64),
    /// Relative frequency of each priority.
    Weights(UniqueMap<i64, f64>),
}

/// The policy that decides the releases of a bank.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub enum PolicyConfig {
    /// A learner, whose decisions come from outside the engine.
    Learner {},
    /// Releases every payment on arrival.
    ReleaseAll {},
    /// Releases a payment `margin` ticks before its deadline.
    HoldUntilDeadline {
        /// Ticks before the deadline.
        #[serde(default)]
        margin: i64,
    },
    /// Releases, in queue order, due payments and those that leave `buffer` cents of liquidity.
    LiquidityAware {
        /// Liquidity reserve in cents.
        #[serde(default)]
        buffer: Cents,
    },
    /// Releases every payment; splits those above both `threshold` and the liquidity.
    SplitLarge {
        /// Number of parts of a split.
        #[serde(default = "two")]
        parts: i64,
        /// Largest amount that is never split, in cents.
        #[serde(default)]
        threshold: Cents,
    },
    /// Releases each payment with a fixed probability in each tick.
    Random {
        /// Probability of a release.
        #[serde(default = "half")]
        release_probability: f64,
    },
    /// Releases payments in descending order of delay cost while the balance lasts.
    ///
    /// It overdraws only for a payment whose delay costs more per tick than the overdraft.
    Myopic {},
    /// A trained network; the caller reads its file and passes the network.
    Network {
        /// Path of the network file.
        weights: String,
        /// Whether the network takes its most probable action instead of sampling one.
        #[serde(default = "yes")]
        deterministic: bool,
    },
}

/// A payment known in advance.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct TransactionConfig {
    /// Id of the paying bank.
    pub sender: String,
    /// Id of the receiving bank.
    pub receiver: String,
    /// Amount in cents.
    pub amount: Cents,
    /// Tick of the episode at which the payment arrives.
    pub arrival_tick: i64,
    /// Last tick of the episode at which settlement is on time.
    pub deadline_tick: i64,
    /// 0 to 10, 10 most urgent.
    #[serde(default = "five")]
    pub priority: i64,
    /// Whether it may be split.
    #[serde(default = "yes")]
    pub divisible: bool,
    /// Id of its rail; the first one if absent.
    pub rail: Option<String>,
    /// Its class in the rail's queue; by its priority if absent.
    pub rtgs_priority: Option<RtgsPriority>,
}

/// Treatment of payments that are unsettled at the end of a day.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum EndOfDay {
    /// They incur a penalty and stay queued; their deadlines stay the same.
    #[default]
    Carry,
    /// They incur a penalty and are cancelled.
    Drop,
    /// They incur a penalty and settle; an overnight loan covers missing liquidity.
    Borrow,
}

/// Treatment of balances between two days.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Overnight {
    /// They carry over, less overnight loans.
    #[default]
    Carry,
    /// They return to their opening values.
    Reset,
}

impl Scenario {
    /// Ticks in an episode.
    pub(crate) fn episode_ticks(&self) -> i64 {
        self.ticks_per_day * self.num_days
    }
}

impl Default for PolicyConfig {
    fn default() -> Self {
        Self::ReleaseAll {}
    }
}

impl Default for PriorityConfig {
    fn default() -> Self {
        Self::Fixed(five())
    }
}

impl<'de> Deserialize<'de> for PriorityConfig {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(PriorityVisitor)
    }
}

struct PriorityVisitor;

impl<'de> Visitor<'de> for PriorityVisitor {
    type Value = PriorityConfig;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an integer between 0 and 10, or a mapping of such integers to weights")
    }

    fn visit_i64<E>(self, value: i64) -> Result<Self::Value, E> {
        Ok(PriorityConfig::Fixed(value))
    }

    fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<Self::Value, E> {
        let value = i64::try_from(value).map_err(|_| E::custom(format!("{value} is not a priority")))?;
        Ok(PriorityConfig::Fixed(value))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
        MapVisitor(PhantomData).visit_map(map).map(PriorityConfig::Weights)
    }
}

/// Bank ids by their names.
pub(crate) fn banks_by_id(scenario: &Scenario) -> HashMap<&str, BankId> {
    scenario.agents.iter().enumerate().map(|(index, agent)| (agent.id.as_str(), bank_at(index))).collect()
}

/// The rail with this id, or the first rail for `None`.
///
/// The scenario must be valid.
pub(crate) fn rail(scenario: &Scenario, id: Option<&str>) -> RailId {
    let index = id.and_then(|id| scenario.rails.iter().position(|rail| rail.id == id));
    RailId(u8::try_from(index.unwrap_or_default()).unwrap_or_default())
}

/// A validated priority as `u8`.
pub(crate) fn priority_of(priority: i64) -> u8 {
    u8::try_from(priority).unwrap_or(u8::MAX)
}

/// A validated number as `u32`; negative numbers become 0.
pub(crate) fn clamp_u32(value: i64) -> u32 {
    u32::try_from(value.max(0)).unwrap_or(u32::MAX)
}
