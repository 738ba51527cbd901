//! The interface between a system and players that observe it.

use crate::units::BankId;

/// Decides for a bank of a system `S` from its full observation.
///
/// Generic, so that players can be defined above the system.
pub trait Player<S>: Send + Sync {
    /// Bank that it decides for.
    fn bank(&self) -> BankId;

    /// Hash of everything that determines its decisions.
    fn fingerprint(&self) -> u64;

    /// Decides about the pool at an opening, else about payments.
    fn play(&self, system: &mut S);
}
