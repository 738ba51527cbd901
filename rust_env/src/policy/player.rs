//! What a system knows of the players that are more than a rule.

use crate::units::BankId;

/// Decides for a bank of a system `S`, with all in view that the bank may see.
pub trait Player<S>: Send + Sync {
    /// The bank that it plays.
    fn bank(&self) -> BankId;

    /// Tells players apart that would decide differently.
    fn fingerprint(&self) -> u64;

    /// Decides about what is to be decided now: the pool at an opening, else the payments.
    fn play(&self, system: &mut S);
}
