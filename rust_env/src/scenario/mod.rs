//! The scenario: everything that defines a payment system and its days, as people write it.
//!
//! The same keys, defaults and ranges as `paysim_gym/scenario.py`. Reading refuses unknown keys and
//! wrong types; [`Scenario::validate`] refuses everything else that the engine could not play.

mod read;
mod validate;

pub use read::UniqueMap;
pub(crate) use read::read_json;
pub(crate) use validate::{MOST_PARTS, in_range};

use crate::error::ScenarioError;
use crate::units::Cents;
use serde::{Deserialize, Serialize};

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
    /// The settlement rails; exactly one.
    #[serde(default = "default_rails")]
    pub rails: Vec<RailConfig>,
    /// What waiting, borrowing and splitting cost.
    #[serde(default)]
    pub costs: CostConfig,
    /// Payments that are known in advance.
    #[serde(default)]
    pub initial_transactions: Vec<TransactionConfig>,
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
    /// The bank's own payment orders; none if absent.
    #[serde(default)]
    pub arrival_config: Option<ArrivalConfig>,
    /// Who decides what it releases.
    #[serde(default)]
    pub policy: PolicyConfig,
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
}

/// A settlement rail.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct RailConfig {
    /// Unique, `^[A-Z0-9_]+$`.
    pub id: String,
    /// How it settles.
    #[serde(default)]
    pub settlement_type: SettlementType,
    /// Who may pay before whom in the central queue.
    #[serde(default)]
    pub queue_discipline: QueueDiscipline,
    /// Whether a bank sees what is queued in its favour.
    #[serde(default = "yes")]
    pub incoming_queue_visible: bool,
}

/// How a rail settles.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum SettlementType {
    /// Gross, as soon as the sender's liquidity allows.
    #[default]
    Immediate,
}

/// Who may pay before whom in a bank's central queue.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum QueueDiscipline {
    /// First in, first out: a blocked head blocks its bank.
    #[default]
    Fifo,
    /// First in, first out, but what can be paid may pass what cannot.
    FifoBypass,
    /// The most urgent first, first in first out among equals: a blocked head blocks its bank.
    Priority,
}

/// Prices.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct CostConfig {
    /// Fraction of the overdrawn balance per tick.
    pub overdraft_rate: f64,
    /// Marginal prices of deeper overdrafts.
    pub overdraft_tiers: Vec<OverdraftTier>,
    /// Cents per unsettled payment per tick.
    pub delay_penalty_per_tick: Cents,
    /// Fraction of the unsettled value per tick.
    pub delay_rate: f64,
    /// Factor on both delay prices by priority; 1 where absent.
    pub priority_multipliers: UniqueMap<i64, f64>,
    /// Factor on both delay prices once a payment is overdue.
    pub overdue_multiplier: f64,
    /// Cents, once, when a payment becomes overdue.
    pub deadline_penalty: Cents,
    /// Cents per extra part of a split.
    pub split_fee: Cents,
    /// Cents per payment that is unsettled when a day ends.
    pub eod_penalty: Cents,
    /// Fraction of the value unsettled (or borrowed) when a day ends.
    pub eod_rate: f64,
    /// Whether waiting in the central queue is charged like waiting in the internal one.
    pub delay_in_central_queue: bool,
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
            delay_in_central_queue: true,
        }
    }
}

/// The price of the part of an overdraft that lies above a depth.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct OverdraftTier {
    /// Depth in cents at which it starts.
    pub above: Cents,
    /// Fraction per tick.
    pub rate: f64,
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
    /// Reads and validates a scenario.
    ///
    /// # Errors
    /// [`ScenarioError`] with the path of the field, its value and what is allowed.
    pub fn from_json(json: &str) -> Result<Self, ScenarioError> {
        let scenario: Self = read_json(json, "scenario")?;
        scenario.validate()?;
        Ok(scenario)
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

fn default_rails() -> Vec<RailConfig> {
    vec![RailConfig {
        id: "RTGS".to_owned(),
        settlement_type: SettlementType::default(),
        queue_discipline: QueueDiscipline::default(),
        incoming_queue_visible: true,
    }]
}

fn one() -> i64 {
    1
}

fn two() -> i64 {
    2
}

fn five() -> i64 {
    5
}

fn half() -> f64 {
    0.5
}

fn yes() -> bool {
    true
}
