//! Learners, observed banks and policies of a system.

use crate::policy::{ScriptedPolicy, scripted};
use crate::system_setup::SystemSetup;
use crate::units::{BankId, bank_at};

/// Roles of the banks; every field by bank.
pub struct Roles {
    /// Whether decisions about its payments come from outside.
    pub(super) learners: Vec<bool>,
    /// Whether observations of it are written.
    pub(super) observed: Vec<bool>,
    /// Its policy, used unless it is a learner.
    pub(super) policies: Vec<Box<dyn ScriptedPolicy>>,
}

impl Roles {
    /// Assigns the roles and compiles the policies.
    pub fn new(setup: &SystemSetup, observed: &[BankId], learners: &[BankId]) -> Self {
        let flags = |chosen: &[BankId]| (0..setup.banks.len()).map(|bank| chosen.contains(&bank_at(bank))).collect();
        Self {
            learners: flags(learners),
            observed: flags(observed),
            policies: setup.banks.iter().map(|bank| scripted(&bank.policy)).collect(),
        }
    }
}
