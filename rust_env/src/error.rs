//! Errors of the engine; every variant carries the offending value.
//!
//! `env` is a row of the fleet, `bank` the id of a bank, and `slot` a component of its action.

#![expect(missing_docs, reason = "the messages explain the fields")]

use thiserror::Error;

/// An invalid scenario or setting of the decision process.
#[derive(Clone, Debug, Error, PartialEq)]
pub enum ScenarioError {
    /// Invalid JSON, or a wrong type, missing key or unknown key at `path`.
    #[error("{path}: {problem}")]
    Malformed { path: String, problem: String },
    /// A number outside its range; `unit` is empty or like ` (cents)`.
    #[error("{path} = {value}: must be between {low} and {high}{unit}")]
    OutOfRange { path: String, value: String, low: String, high: String, unit: &'static str },
    /// An id of the wrong form.
    #[error("{path} = {value:?}: must match ^[A-Z0-9_]+$ and have at most 64 characters")]
    BadId { path: String, value: String },
    /// An id that the scenario does not define.
    #[error("{path} = {value:?}: must be one of {known}")]
    UnknownId { path: String, value: String, known: String },
    /// An id that occurs twice.
    #[error("{path} = {value:?}: duplicate id; every id must be unique")]
    Duplicate { path: String, value: String },
    /// A value that conflicts with another one.
    #[error("{path} = {value}: {allowed}")]
    Conflict { path: String, value: String, allowed: String },
    /// A total of money that could exceed 64 bits during the episode.
    #[error(
        "{path} = {value:.3e} cents at worst over the whole episode: must stay below {limit:.3e}; \
         lower the amounts, prices, rates or days"
    )]
    MayOverflow { path: String, value: f64, limit: f64 },
}

impl ScenarioError {
    /// Prepends `prefix` to the path.
    #[must_use]
    pub fn under(mut self, prefix: &str) -> Self {
        self.path_mut().insert_str(0, prefix);
        self
    }

    /// The error with a path that begins within a part; `.balance` becomes `balance`.
    #[must_use]
    pub fn within(mut self) -> Self {
        let path = self.path_mut();
        *path = path.trim_start_matches('.').to_owned();
        self
    }

    fn path_mut(&mut self) -> &mut String {
        match self {
            Self::Malformed { path, .. }
            | Self::OutOfRange { path, .. }
            | Self::BadId { path, .. }
            | Self::UnknownId { path, .. }
            | Self::Duplicate { path, .. }
            | Self::Conflict { path, .. }
            | Self::MayOverflow { path, .. } => path,
        }
    }
}

/// An invalid action.
#[derive(Clone, Debug, Error, PartialEq)]
pub enum ActionError {
    /// A batch of the wrong length.
    #[error("got {got} actions: must be {expected}, one for each component of each learner of each environment")]
    WrongLength { got: usize, expected: usize },
    /// A number outside the action space.
    #[error("environment {env}, bank {bank}, {component}: action {value} must be between 0 and {highest}")]
    OutOfRange { env: usize, bank: String, component: String, value: i64, highest: i64 },
    /// A masked action, in strict mode.
    #[error("environment {env}, bank {bank}, {component}: action {value} is masked: {reason}")]
    Masked { env: usize, bank: String, component: String, value: i64, reason: &'static str },
    /// A scripted policy's split into a number of parts that the action space lacks.
    #[error("environment {env}, bank {bank}: a split into {parts} parts is not among split_parts {offered:?}")]
    NotOffered { env: usize, bank: String, parts: u8, offered: Vec<u8> },
}

/// A failed tick.
#[derive(Clone, Debug, Error, PartialEq)]
pub enum TickError {
    /// The episode is over.
    #[error("the episode is over after {ticks} ticks; call reset to start a new one")]
    EpisodeOver { ticks: u32 },
    /// A cost that exceeds 64 bits of cents.
    #[error("{component} cost of bank {bank} exceeds 64 bits of cents at tick {tick}")]
    CostOverflow { bank: String, component: &'static str, tick: u32 },
}

/// A failed step of a fleet.
#[derive(Clone, Debug, Error, PartialEq)]
pub enum FleetError {
    /// An invalid action; no environment has changed.
    #[error(transparent)]
    Action(#[from] ActionError),
    /// A failed tick of one environment.
    #[error("environment {env}: {source}")]
    Tick { env: usize, source: TickError },
}
