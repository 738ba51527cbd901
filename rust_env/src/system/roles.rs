//! Who decides for the banks of a system, and whose view is taken.

use crate::policy::{ScriptedPolicy, scripted};
use crate::system_setup::SystemSetup;
use crate::units::{BankId, bank_at};

/// What the banks of a system are to those outside; by bank.
pub struct Roles {
    /// Whether its payments are decided about from outside.
    pub(super) learners: Vec<bool>,
    /// Whether somebody looks at it as a learner would.
    pub(super) observed: Vec<bool>,
    /// The rule that decides for it unless it is a learner.
    pub(super) policies: Vec<Box<dyn ScriptedPolicy>>,
}

impl Roles {
    /// Somebody looks at the banks `observed`, and somebody outside decides about the payments of `learners`.
    #[must_use]
    pub fn new(setup: &SystemSetup, observed: &[BankId], learners: &[BankId]) -> Self {
        let flags = |chosen: &[BankId]| (0..setup.banks.len()).map(|bank| chosen.contains(&bank_at(bank))).collect();
        Self {
            learners: flags(learners),
            observed: flags(observed),
            policies: setup.banks.iter().map(|bank| scripted(&bank.policy)).collect(),
        }
    }
}
