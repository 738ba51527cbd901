//! Checks of references to banks and rails.

use super::checks::{Checked, list};
use super::config::Scenario;
use crate::error::ScenarioError;
use std::collections::HashSet;
use std::ops::Deref;

/// A scenario under validation, with the set of its bank ids.
pub(super) struct Checker<'a> {
    pub(super) scenario: &'a Scenario,
    pub(super) banks: HashSet<&'a str>,
}

impl Deref for Checker<'_> {
    type Target = Scenario;
    fn deref(&self) -> &Scenario {
        self.scenario
    }
}

impl Checker<'_> {
    /// Rejects an id that is not the id of a bank.
    pub(super) fn known_bank(&self, path: &str, id: &str) -> Checked {
        if self.banks.contains(id) {
            return Ok(());
        }
        let known = list(self.agents.iter().map(|agent| agent.id.as_str()));
        Err(ScenarioError::UnknownId { path: path.to_owned(), value: id.to_owned(), known })
    }

    /// Rejects an unknown `rail` of the object at `path`.
    pub(super) fn known_rail(&self, path: &str, rail: Option<&str>) -> Checked {
        match rail.filter(|id| self.rails.iter().all(|rail| rail.id != **id)) {
            None => Ok(()),
            Some(id) => {
                let known = list(self.rails.iter().map(|rail| rail.id.as_str()));
                Err(ScenarioError::UnknownId { path: format!("{path}.rail"), value: id.to_owned(), known })
            }
        }
    }

    /// Rejects unknown parties of the payment at `path`.
    pub(super) fn known_parties(&self, path: &str, sender: &str, receiver: &str) -> Checked {
        self.known_bank(&format!("{path}.sender"), sender)?;
        self.known_bank(&format!("{path}.receiver"), receiver)
    }
}
