//! What can be refused, and why. Every variant carries the offending value.

use thiserror::Error;

/// A scenario, or a setting of the decision process, that the engine refuses.
#[derive(Clone, Debug, Error, PartialEq)]
pub enum ScenarioError {
    /// Not JSON, a value of the wrong type, a missing key or an unknown one.
    #[error("{path}: {problem}")]
    Malformed {
        /// Where, e.g. `agents[0].balance`.
        path: String,
        /// What the parser found and what it expected.
        problem: String,
    },
    /// A number outside its range.
    #[error("{path} = {value}: must be between {low} and {high}{unit}")]
    OutOfRange {
        /// Where.
        path: String,
        /// The number.
        value: String,
        /// Smallest allowed.
        low: String,
        /// Largest allowed.
        high: String,
        /// ` (cents)`, ` (ticks)` or nothing.
        unit: &'static str,
    },
    /// An id that is not of the allowed form.
    #[error("{path} = {value:?}: must match ^[A-Z0-9_]+$ and have at most 64 characters")]
    BadId {
        /// Where.
        path: String,
        /// The id.
        value: String,
    },
    /// An id that names nothing in this scenario.
    #[error("{path} = {value:?}: must be one of {known}")]
    UnknownId {
        /// Where.
        path: String,
        /// The id.
        value: String,
        /// The ids there are.
        known: String,
    },
    /// An id that stands twice.
    #[error("{path} = {value:?}: stands twice; every id must be unique")]
    Duplicate {
        /// Where the second one stands.
        path: String,
        /// The id.
        value: String,
    },
    /// A value that contradicts another one.
    #[error("{path} = {value}: {allowed}")]
    Conflict {
        /// Where.
        path: String,
        /// The value.
        value: String,
        /// What would be allowed, given the other one.
        allowed: String,
    },
    /// Money that may outgrow 64 bits before the episode is over.
    #[error(
        "{path} = {value:.3e} cents at worst over the whole episode: must stay below {limit:.3e}; \
         lower the amounts, prices, rates or days"
    )]
    MayOverflow {
        /// Which total.
        path: String,
        /// Its upper bound in cents.
        value: f64,
        /// The limit in cents.
        limit: f64,
    },
}

impl ScenarioError {
    /// The same error in a part of the scenario that stands under `prefix`.
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

/// An action that is not defined where it was taken.
#[derive(Clone, Debug, Error, PartialEq)]
pub enum ActionError {
    /// The batch has not one action per slot, learner and environment.
    #[error("got {got} actions: must be {expected}, one for each slot of each learner of each environment")]
    WrongLength {
        /// How many there are.
        got: usize,
        /// How many there must be.
        expected: usize,
    },
    /// A number that is no action.
    #[error("environment {env}, bank {bank}, slot {slot}: action {value} must be between 0 and {highest}")]
    OutOfRange {
        /// Row of the fleet.
        env: usize,
        /// Id of the bank.
        bank: String,
        /// Place in the queue.
        slot: usize,
        /// The action.
        value: i64,
        /// The largest action there is.
        highest: i64,
    },
    /// An action that the mask forbids, in strict mode.
    #[error("environment {env}, bank {bank}, slot {slot}: action {value} is masked: {reason}")]
    Masked {
        /// Row of the fleet.
        env: usize,
        /// Id of the bank.
        bank: String,
        /// Place in the queue.
        slot: usize,
        /// The action.
        value: i64,
        /// Why the mask forbids it.
        reason: &'static str,
    },
    /// A scripted policy wants a split that the slots do not offer.
    #[error("environment {env}, bank {bank}: a split into {parts} parts is not among split_parts {offered:?}")]
    NotOffered {
        /// Row of the fleet.
        env: usize,
        /// Id of the bank.
        bank: String,
        /// Parts wanted.
        parts: u8,
        /// Parts offered.
        offered: Vec<u8>,
    },
}

/// A tick that cannot be played.
#[derive(Clone, Debug, Error, PartialEq)]
pub enum TickError {
    /// The last day has ended.
    #[error("the episode is over after {ticks} ticks; reset it to go on")]
    EpisodeOver {
        /// Length of the episode.
        ticks: u32,
    },
    /// A cost no longer fits 64 bits of cents.
    #[error("{component} cost of bank {bank} exceeds 64 bits of cents at tick {tick}")]
    CostOverflow {
        /// Id of the bank.
        bank: String,
        /// Name of the cost component.
        component: &'static str,
        /// When.
        tick: u32,
    },
}

/// A step of a fleet that was refused (nothing has changed) or broke off.
#[derive(Clone, Debug, Error, PartialEq)]
pub enum FleetError {
    /// An action was refused; no environment has moved.
    #[error(transparent)]
    Action(#[from] ActionError),
    /// An environment could not go on.
    #[error("environment {env}: {source}")]
    Tick {
        /// Row of the fleet.
        env: usize,
        /// Why.
        source: TickError,
    },
}
