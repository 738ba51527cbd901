//! The configuration of a payment system, as serde reads it.

use super::defaults::{five, half, one, two, whole, yes};
use super::events::EventConfig;
use super::prices::CostConfig;
use super::rails::{RailConfig, default_rails};
use super::read::{MapVisitor, UniqueMap};
use crate::payment::RtgsPriority;
use crate::units::Cents;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use std::fmt;
use std::marker::PhantomData;

/// A payment system and its days.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// What it teaches and where its numbers come from.
    #[serde(default)]
    pub description: String,
    /// Ticks in a day, 1 to 1000.
    pub ticks_per_day: i64,
    /// Days in an episode, 1 to 10,000.
    #[serde(default = "one")]
    pub num_days: i64,
    /// Root of the seed tree.
    #[serde(default)]
    pub seed: u64,
    /// The banks, 2 to 1000.
    pub agents: Vec<AgentConfig>,
    /// The settlement rails, 1 to 8; payments that name none go through the first.
    #[serde(default = "default_rails")]
    pub rails: Vec<RailConfig>,
    /// What waiting, borrowing and splitting cost.
    #[serde(default)]
    pub costs: CostConfig,
    /// Payments that are known in advance.
    #[serde(default)]
    pub initial_transactions: Vec<TransactionConfig>,
    /// What happens at given ticks.
    #[serde(default)]
    pub events: Vec<EventConfig>,
    /// A file of real payments, which whoever plays the scenario must read and bring along.
    #[serde(default)]
    pub payments_file: Option<String>,
    /// When a day opens, `HH:MM`; turns the file's times into ticks.
    #[serde(default)]
    pub opening_time: Option<String>,
    /// When a day closes, `HH:MM`.
    #[serde(default)]
    pub closing_time: Option<String>,
    /// How a payment gains priority as its deadline comes near; not at all if absent.
    #[serde(default)]
    pub priority_escalation: Option<EscalationConfig>,
    /// What becomes of payments that are unsettled when a day ends.
    #[serde(default)]
    pub end_of_day: EndOfDay,
    /// What becomes of balances between two days.
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
    /// How far the balance may fall below zero, in cents.
    #[serde(default)]
    pub credit_limit: Cents,
    /// Value of the assets pledged for further credit, in cents.
    #[serde(default)]
    pub collateral: Cents,
    /// Share of that value that gives no credit.
    #[serde(default)]
    pub collateral_haircut: f64,
    /// Money outside the system that the bank may commit at the opening of a day, in cents.
    #[serde(default)]
    pub liquidity_pool: Cents,
    /// Share of the pool that it commits, unless it is a learner that decides so.
    #[serde(default = "whole")]
    pub liquidity_share: f64,
    /// How much more than it receives it may pay in a day.
    #[serde(default)]
    pub limits: LimitConfig,
    /// The bank's own payment orders; none if absent.
    #[serde(default)]
    pub arrival_config: Option<ArrivalConfig>,
    /// Who decides what it releases.
    #[serde(default)]
    pub policy: PolicyConfig,
}

/// How much more than it receives a bank may pay in a day; what would exceed that waits.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct LimitConfig {
    /// To each of these banks, in cents.
    pub bilateral: UniqueMap<String, Cents>,
    /// To all banks together, in cents.
    pub multilateral: Option<Cents>,
}

/// How a payment gains priority as its deadline comes near.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct EscalationConfig {
    /// Ticks before the deadline at which the gain begins.
    pub ticks: i64,
    /// Gain at the deadline; it grows evenly up to there. No priority exceeds 10.
    pub boost: i64,
}

/// A bank's random demand.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct ArrivalConfig {
    /// If given, must be the id of the bank it stands under.
    #[serde(default)]
    pub agent_id: Option<String>,
    /// Mean number of payments a tick (Poisson).
    pub rate_per_tick: f64,
    /// Shape of the amounts.
    pub distribution_type: DistributionType,
    /// Mean amount in cents.
    pub amount_mean: Cents,
    /// Standard deviation of the amount in cents.
    #[serde(default)]
    pub amount_std_dev: Option<Cents>,
    /// Relative frequency of the receivers; all others alike if absent.
    #[serde(default)]
    pub counterparty_weights: Option<UniqueMap<String, f64>>,
    /// Parts of the day with another rate.
    #[serde(default)]
    pub time_windows: Vec<TimeWindow>,
    /// Fewest and most ticks from arrival to deadline; the end of the day if absent.
    #[serde(default)]
    pub deadline_range: Option<[i64; 2]>,
    /// Priority, or how often each occurs.
    #[serde(default)]
    pub priority: PriorityConfig,
    /// Whether the payments may be split.
    #[serde(default = "yes")]
    pub divisible: bool,
    /// Id of their rail; the first one if absent.
    #[serde(default)]
    pub rail: Option<String>,
    /// Their class in the rail's queue; by their priority if absent.
    #[serde(default)]
    pub rtgs_priority: Option<RtgsPriority>,
}

/// Shape of the amounts.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum DistributionType {
    /// Normal, cut off at zero: mean and standard deviation are those of what is left.
    Normal,
    /// Lognormal, with the mean and standard deviation of the amount itself.
    Lognormal,
    /// Uniform: mean +- sqrt(3) standard deviations, or 1 to 2 means less 1.
    Uniform,
    /// Exponential: its standard deviation is its mean.
    Exponential,
}

/// A part of every day in which payments arrive more or less often.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct TimeWindow {
    /// First tick of the day inside.
    pub start_tick: i64,
    /// First tick of the day after it.
    pub end_tick: i64,
    /// Factor on `rate_per_tick`.
    pub multiplier: f64,
}

/// One priority, or weights by priority.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum PriorityConfig {
    /// The same for every payment.
    Fixed(i64),
    /// Relative frequency of each priority.
    Weights(UniqueMap<i64, f64>),
}

/// Who decides what a bank releases.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub enum PolicyConfig {
    /// Decisions from outside.
    Learner {},
    /// Releases everything on arrival.
    ReleaseAll {},
    /// Releases a payment when `margin` ticks or fewer are left to its deadline.
    HoldUntilDeadline {
        /// Ticks before the deadline.
        #[serde(default)]
        margin: i64,
    },
    /// Releases, in queue order, what leaves `buffer` cents of liquidity, and what is due.
    LiquidityAware {
        /// Liquidity to keep, in cents.
        #[serde(default)]
        buffer: Cents,
    },
    /// Releases everything; splits what exceeds both `threshold` and the liquidity.
    SplitLarge {
        /// Parts of a split.
        #[serde(default = "two")]
        parts: i64,
        /// Amounts up to this many cents go whole.
        #[serde(default)]
        threshold: Cents,
    },
    /// Releases each payment with this probability, each tick.
    Random {
        /// Probability of a release.
        #[serde(default = "half")]
        release_probability: f64,
    },
    /// Pays what is costliest to delay first, while the balance lasts; overdraws only for a payment
    /// whose delay costs more a tick than its overdraft.
    Myopic {},
    /// Plays as a trained network does, which whoever plays the scenario must read and bring along.
    Network {
        /// The file of the network.
        weights: String,
        /// Whether it takes its best action, or draws one.
        #[serde(default = "yes")]
        deterministic: bool,
    },
}

/// A payment that is known in advance.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct TransactionConfig {
    /// Id of the paying bank.
    pub sender: String,
    /// Id of the receiving bank.
    pub receiver: String,
    /// Cents.
    pub amount: Cents,
    /// Tick of the episode at which the sender gets the order.
    pub arrival_tick: i64,
    /// Last tick of the episode at which it is on time.
    pub deadline_tick: i64,
    /// 0 to 10, 10 most urgent.
    #[serde(default = "five")]
    pub priority: i64,
    /// Whether it may be split.
    #[serde(default = "yes")]
    pub divisible: bool,
    /// Id of its rail; the first one if absent.
    #[serde(default)]
    pub rail: Option<String>,
    /// Its class in the rail's queue; by its priority if absent.
    #[serde(default)]
    pub rtgs_priority: Option<RtgsPriority>,
}

/// What becomes of payments that are unsettled when a day ends.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum EndOfDay {
    /// Penalty; stays queued, overdue.
    #[default]
    Carry,
    /// Penalty; cancelled.
    Drop,
    /// Penalty; settled, with an overnight loan for what the sender cannot cover.
    Borrow,
}

/// What becomes of balances between two days.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Overnight {
    /// They go on as they are, less overnight loans.
    #[default]
    Carry,
    /// They return to their opening values.
    Reset,
}

impl Scenario {
    /// Ticks in an episode.
    pub(super) fn episode_ticks(&self) -> i64 {
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
