//! Content of saved states, and reasons to reject them.

use super::state::Progress;
use crate::bank::Bank;
use crate::rng::Stream;
use crate::units::{PaymentId, Tick};
use thiserror::Error;

/// Format and version of saved states.
pub(super) const FORMAT: &[u8; 8] = b"PAYSIM05";

/// Reason to reject a saved state.
#[derive(Clone, Copy, Debug, Error, PartialEq)]
#[expect(missing_docs, reason = "the messages explain the fields")]
pub enum RestoreError {
    /// The bytes are too short or begin with another format or version.
    #[error("not a saved state of this version of the engine: {length} bytes, must begin with {}", FORMAT.escape_ascii())]
    NotAState { length: usize },
    /// The state belongs to another scenario, payments file or network.
    #[error("saved in another scenario: fingerprint {found:016x}, must be {expected:016x}")]
    OtherScenario { found: u64, expected: u64 },
    /// The state belongs to a decision process with other learners, decisions or step limit.
    #[error("saved under another decision process: learners, decides and max_episode_steps must be the same")]
    OtherProcess,
    /// No run of the scenario reaches the state.
    #[error("not a state of this scenario, although the checksum matches: impossible {part}")]
    Impossible { part: &'static str },
    /// Bytes changed or are missing.
    #[error("damaged: the state's checksum does not match its bytes")]
    Damaged,
}

/// All mutable state of a system.
pub(crate) type State = (Tick, Progress, Vec<Bank>, PaymentId, Vec<Stream>, Vec<Stream>);

/// Whether the bytes begin with the current format and version.
pub(crate) fn has_current_format(bytes: &[u8]) -> bool {
    bytes.starts_with(FORMAT)
}
