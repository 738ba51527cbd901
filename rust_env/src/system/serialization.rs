//! Serialisation of a system's state.
//!
//! Layout: 8 bytes of format and version, 8 bytes of fingerprint, 8 bytes of checksum, then the state in postcard
//! format.

use super::saved_state::{FORMAT, RestoreError, State, has_current_format};
use super::state::System;
use super::validation::validate;
use crate::bank::Bank;
use crate::hash::fingerprint;
use crate::rng::{Purpose, copy_stream};
use crate::units::{BankId, bank_at};

/// Length of the header in bytes.
const HEADER: usize = 24;

impl System {
    /// Serialises the state, without recorded events.
    pub fn save(&self) -> Vec<u8> {
        let Self { ledger, progress, demand_streams, policy_streams, .. } = self;
        let state = (ledger.now, progress, &ledger.banks, ledger.next_id, demand_streams, policy_streams);
        // Serialising plain data to memory cannot fail.
        let state = postcard::to_stdvec(&state).unwrap_or_default();
        let mut bytes = Vec::with_capacity(HEADER + state.len());
        bytes.extend_from_slice(FORMAT);
        bytes.extend_from_slice(&self.fingerprint().to_le_bytes());
        bytes.extend_from_slice(&fingerprint([state.as_slice()]).to_le_bytes());
        bytes.extend_from_slice(&state);
        bytes
    }

    /// Restores a saved state; the system continues exactly as the saved one.
    ///
    /// # Errors
    /// [`RestoreError`] if the bytes are not a state of this scenario; the system is unchanged then.
    pub fn restore(&mut self, bytes: &[u8]) -> Result<(), RestoreError> {
        let state = self.parse_state(bytes)?;
        self.load_state(state);
        Ok(())
    }

    /// Redraws everything random that the bank `known_by` cannot know.
    ///
    /// For planners that must not know the future: replaces the random streams of demand and policies, and the
    /// payments that other banks received in this tick by sampling. The new streams depend on `copy_seed`, seed,
    /// episode and tick. Scheduled events, initial transactions, replayed payments and later episodes stay the same.
    pub fn reseed(&mut self, copy_seed: u64, known_by: BankId) {
        let (episode, now) = (self.seed_and_episode(), self.ledger.now);
        let fresh =
            |purpose: Purpose| (0..).map(bank_at).map(move |bank| copy_stream(copy_seed, episode, now, bank, purpose));
        self.demand_streams.iter_mut().zip(fresh(Purpose::Demand)).for_each(|(stream, fresh)| *stream = fresh);
        self.policy_streams.iter_mut().zip(fresh(Purpose::Policy)).for_each(|(stream, fresh)| *stream = fresh);
        let others = (0..self.ledger.banks.len()).filter(|bank| *bank != known_by.index());
        others.for_each(|bank| self.resample_orders(bank));
    }

    /// Hash of the scenario, its payments and its players.
    fn fingerprint(&self) -> u64 {
        let players: Vec<u8> = self.players.iter().flat_map(|player| player.fingerprint().to_le_bytes()).collect();
        fingerprint([&self.setup.fingerprint.to_le_bytes(), players.as_slice()])
    }

    /// Parses a saved state of this scenario.
    pub(crate) fn parse_state(&self, bytes: &[u8]) -> Result<State, RestoreError> {
        let word = |start: usize| bytes.get(start..start + 8).and_then(|word| word.try_into().ok());
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
        let (state, rest): (State, _) = postcard::take_from_bytes(state).map_err(|_| RestoreError::Damaged)?;
        if !rest.is_empty() {
            return Err(RestoreError::Damaged);
        }
        let tracked = |banks: &[Bank]| banks.iter().map(|bank| bank.bilateral.len()).collect::<Vec<_>>();
        if tracked(&state.2) != tracked(&self.ledger.banks) {
            return Err(RestoreError::OtherProcess);
        }
        validate(&self.setup, &state)?;
        Ok(state)
    }

    /// Replaces the state by a parsed one.
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
