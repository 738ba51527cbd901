//! Errors of the engine; every variant carries the offending value.

use thiserror::Error;

/// An invalid scenario or setting of the decision process.
#[derive(Clone, Debug, Error, PartialEq)]
pub enum ScenarioError {
    /// Invalid JSON, a wrong type, a missing key or an unknown key.
    #[error("{path}: {problem}")]
    Malformed {
        /// Path of the field, e.g. `agents[0].balance`.
        path: String,
        /// What the parser found and what it expected.
        problem: String,
    },
    /// A number outside its range.
    #[error("{path} = {value}: must be between {low} and {high}{unit}")]
    OutOfRange {
        /// Path of the field.
        path: String,
        /// The number.
        value: String,
        /// Minimum.
        low: String,
        /// Maximum.
        high: String,
        /// ` (cents)`, ` (ticks)` or nothing.
        unit: &'static str,
    },
    /// An id of the wrong form.
    #[error("{path} = {value:?}: must match ^[A-Z0-9_]+$ and have at most 64 characters")]
    BadId {
        /// Path of the field.
        path: String,
        /// The id.
        value: String,
    },
    /// An id that the scenario does not define.
    #[error("{path} = {value:?}: must be one of {known}")]
    UnknownId {
        /// Path of the field.
        path: String,
        /// The id.
        value: String,
        /// The ids that the scenario defines.
        known: String,
    },
    /// An id that occurs twice.
    #[error("{path} = {value:?}: duplicate id; every id must be unique")]
    Duplicate {
        /// Path of the second occurrence.
        path: String,
        /// The id.
        value: String,
    },
    /// A value that conflicts with another one.
    #[error("{path} = {value}: {allowed}")]
    Conflict {
        /// Path of the field.
        path: String,
        /// The value.
        value: String,
        /// What is allowed, given the other value.
        allowed: String,
    },
    /// A total of money that could exceed 64 bits during the episode.
    #[error(
        "{path} = {value:.3e} cents at worst over the whole episode: must stay below {limit:.3e}; \
         lower the amounts, prices, rates or days"
    )]
    MayOverflow {
        /// Name of the total.
        path: String,
        /// Its upper bound in cents.
        value: f64,
        /// The limit in cents.
        limit: f64,
    },
}

impl ScenarioError {
    /// Prepends `prefix` to the path.
    #[must_use]
    pub fn under(mut self, prefix: &str) -> Self {
        match &mut self {
            Self::Malformed { path, .. }
            | Self::OutOfRange { path, .. }
            | Self::BadId { path, .. }
            | Self::UnknownId { path, .. }
            | Self::Duplicate { path, .. }
            | Self::Conflict { path, .. }
            | Self::MayOverflow { path, .. } => path.insert_str(0, prefix),
        }
        self
    }
}

/// An invalid action.
#[derive(Clone, Debug, Error, PartialEq)]
pub enum ActionError {
    /// A batch of the wrong length.
    #[error("got {got} actions: must be {expected}, one for each slot of each learner of each environment")]
    WrongLength {
        /// Number of actions given.
        got: usize,
        /// Number of actions required.
        expected: usize,
    },
    /// A number outside the action space.
    #[error("environment {env}, bank {bank}, slot {slot}: action {value} must be between 0 and {highest}")]
    OutOfRange {
        /// Row of the fleet.
        env: usize,
        /// Id of the bank.
        bank: String,
        /// Slot of the internal queue.
        slot: usize,
        /// The action.
        value: i64,
        /// The largest valid action.
        highest: i64,
    },
    /// A masked action, in strict mode.
    #[error("environment {env}, bank {bank}, slot {slot}: action {value} is masked: {reason}")]
    Masked {
        /// Row of the fleet.
        env: usize,
        /// Id of the bank.
        bank: String,
        /// Slot of the internal queue.
        slot: usize,
        /// The action.
        value: i64,
        /// Why it is masked.
        reason: &'static str,
    },
    /// A scripted policy's split into a number of parts that the action space lacks.
    #[error("environment {env}, bank {bank}: a split into {parts} parts is not among split_parts {offered:?}")]
    NotOffered {
        /// Row of the fleet.
        env: usize,
        /// Id of the bank.
        bank: String,
        /// Number of parts of the split.
        parts: u8,
        /// Numbers of parts in the action space.
        offered: Vec<u8>,
    },
}

/// A failed tick.
#[derive(Clone, Debug, Error, PartialEq)]
pub enum TickError {
    /// The episode is over.
    #[error("the episode is over after {ticks} ticks; call reset to start a new one")]
    EpisodeOver {
        /// Length of the episode in ticks.
        ticks: u32,
    },
    /// A cost that exceeds 64 bits of cents.
    #[error("{component} cost of bank {bank} exceeds 64 bits of cents at tick {tick}")]
    CostOverflow {
        /// Id of the bank.
        bank: String,
        /// Name of the cost component.
        component: &'static str,
        /// Tick of the episode.
        tick: u32,
    },
}

/// A failed step of a fleet.
#[derive(Clone, Debug, Error, PartialEq)]
pub enum FleetError {
    /// An invalid action; no environment has changed.
    #[error(transparent)]
    Action(#[from] ActionError),
    /// A failed tick of one environment.
    #[error("environment {env}: {source}")]
    Tick {
        /// Row of the fleet.
        env: usize,
        /// The error of the tick.
        source: TickError,
    },
}
