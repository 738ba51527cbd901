//! A system's whole state as bytes, and back.
//!
//! Layout: 8 bytes of mark and version, 8 bytes of the scenario's fingerprint, 8 bytes of checksum, then the state in postcard's format.

use super::state::{Progress, System};
use crate::bank::Bank;
use crate::hash::fingerprint;
use crate::rng::{Purpose, Stream, copy_stream};
use crate::units::{PaymentId, Tick, bank_at};
use thiserror::Error;

const FORMAT: &[u8; 8] = b"PAYSIM04";
const HEADER: usize = 24;

/// Bytes that are no state of this system.
#[derive(Clone, Copy, Debug, Error, PartialEq)]
pub enum RestoreError {
    /// Too short, or not marked as a state of this version.
    #[error("not a saved state of this version of the engine: {length} bytes that must begin with {}", FORMAT.escape_ascii())]
    NotAState {
        /// How many bytes there are.
        length: usize,
    },
    /// The state of another scenario, or with other payments.
    #[error("saved in another scenario: its fingerprint is {found:016x}, must be {expected:016x}")]
    OtherScenario {
        /// Fingerprint of the scenario it was saved in.
        found: u64,
        /// Fingerprint of this one.
        expected: u64,
    },
    /// Saved where other banks were learners, decided about something else or were cut short elsewhere.
    #[error("saved under another decision process: learners, decides and max_episode_steps must be the same")]
    OtherLearners,
    /// Bytes have changed or are missing.
    #[error("damaged: the state's checksum does not fit its bytes")]
    Damaged,
}

/// Everything that changes while a system runs.
pub(crate) type State = (Tick, Progress, Vec<Bank>, PaymentId, Vec<Stream>, Vec<Stream>);

impl System {
    /// The whole state as bytes; recorded events are not part of it.
    #[must_use]
    pub fn save(&self) -> Vec<u8> {
        let Self { ledger, progress, demand_streams, policy_streams, .. } = self;
        let state = (ledger.now, progress, &ledger.banks, ledger.next_id, demand_streams, policy_streams);
        // Plain data in memory: there is nothing that could fail.
        let state = postcard::to_stdvec(&state).unwrap_or_default();
        let mut bytes = Vec::with_capacity(HEADER + state.len());
        bytes.extend_from_slice(FORMAT);
        bytes.extend_from_slice(&self.fingerprint().to_le_bytes());
        bytes.extend_from_slice(&fingerprint([state.as_slice()]).to_le_bytes());
        bytes.extend_from_slice(&state);
        bytes
    }

    /// Takes up a saved state; the system goes on exactly as the one that was saved.
    ///
    /// # Errors
    /// [`RestoreError`] if the bytes are not a state of this scenario; nothing has changed then.
    pub fn restore(&mut self, bytes: &[u8]) -> Result<(), RestoreError> {
        let state = self.parse_state(bytes)?;
        self.load_state(state);
        Ok(())
    }

    /// Draws all that is still random in this episode, demand and policies, from fresh streams of `copy_seed`: what
    /// a planner that does not know the future may play with. The past stays, and so does what the scenario schedules
    /// or a file says; the next episode is that of the same sequence as ever. The same state and seed give the same
    /// future, and the same seed gives another one in another tick or episode.
    pub fn reseed(&mut self, copy_seed: u64) {
        let (played, now) = (self.seed_and_episode(), self.ledger.now);
        let fresh =
            |purpose: Purpose| (0..).map(bank_at).map(move |bank| copy_stream(copy_seed, played, now, bank, purpose));
        self.demand_streams.iter_mut().zip(fresh(Purpose::Demand)).for_each(|(stream, fresh)| *stream = fresh);
        self.policy_streams.iter_mut().zip(fresh(Purpose::Policy)).for_each(|(stream, fresh)| *stream = fresh);
    }

    /// Tells systems apart whose states do not fit each other.
    fn fingerprint(&self) -> u64 {
        let players: Vec<u8> = self.players.iter().flat_map(|player| player.fingerprint().to_le_bytes()).collect();
        fingerprint([&self.setup.fingerprint.to_le_bytes(), players.as_slice()])
    }

    /// Reads a saved state of this scenario.
    pub(crate) fn parse_state(&self, bytes: &[u8]) -> Result<State, RestoreError> {
        let word = |place: usize| bytes.get(place..place + 8).and_then(|word| word.try_into().ok());
        let not_a_state = RestoreError::NotAState { length: bytes.len() };
        let (true, Some(found), Some(checksum)) = (has_current_format(bytes), word(8), word(16)) else {
            return Err(not_a_state);
        };
        let (found, expected) = (u64::from_le_bytes(found), self.fingerprint());
        if found != expected {
            return Err(RestoreError::OtherScenario { found, expected });
        }
        let state = &bytes[HEADER..];
        if u64::from_le_bytes(checksum) != fingerprint([state]) {
            return Err(RestoreError::Damaged);
        }
        let state: State = postcard::from_bytes(state).map_err(|_| RestoreError::Damaged)?;
        let tracked = |banks: &[Bank]| banks.iter().map(|bank| bank.bilateral.len()).collect::<Vec<_>>();
        if tracked(&state.2) != tracked(&self.ledger.banks) {
            return Err(RestoreError::OtherLearners);
        }
        Ok(state)
    }

    /// Goes on from a state that it has read.
    pub(crate) fn load_state(&mut self, state: State) {
        (
            self.ledger.now,
            self.progress,
            self.ledger.banks,
            self.ledger.next_id,
            self.demand_streams,
            self.policy_streams,
        ) = state;
    }
}

/// Whether these bytes begin like a saved state of this version of the engine.
pub(crate) fn has_current_format(bytes: &[u8]) -> bool {
    bytes.starts_with(FORMAT)
}
