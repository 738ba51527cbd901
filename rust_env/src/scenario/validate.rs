//! Validation of a scenario beyond the types of its fields.

use super::checker::Checker;
use super::checks::{Checked, conflict, in_range, time_of_day};
use super::config::{AgentConfig, Scenario};
use super::parts::{Part, Ticks};
use super::read::read_json;
use crate::error::ScenarioError;
use std::collections::HashSet;

/// Maximum number of rails.
const MAX_RAILS: usize = 8;

impl Scenario {
    /// Parses and validates a scenario.
    ///
    /// # Errors
    /// [`ScenarioError`] with the path of the field, its value and what is allowed.
    pub fn from_json(json: &str) -> Result<Self, ScenarioError> {
        let scenario: Self = read_json(json, "scenario")?;
        scenario.validate()?;
        Ok(scenario)
    }

    /// Validates everything beyond the types of the fields.
    ///
    /// # Errors
    /// [`ScenarioError`] with the path of the field, its value and what is allowed.
    pub fn validate(&self) -> Checked {
        Checker { scenario: self, banks: self.agents.iter().map(|agent| agent.id.as_str()).collect() }.validate()
    }
}

impl Checker<'_> {
    fn validate(&self) -> Checked {
        in_range("ticks_per_day", self.ticks_per_day, 1, 1000, "")?;
        in_range("num_days", self.num_days, 1, 10_000, "")?;
        in_range("agents", self.agents.len(), 2, 1000, " (banks)")?;
        in_range("rails", self.rails.len(), 1, MAX_RAILS, " (rails)")?;
        self.validate_ids()?;
        self.validate_day()?;
        let ticks = Ticks { per_day: self.ticks_per_day, episode: self.episode_ticks() };
        for (index, rail) in self.rails.iter().enumerate() {
            rail.validate(&format!("rails[{index}]"), ticks)?;
        }
        for (index, agent) in self.agents.iter().enumerate() {
            let path = format!("agents[{index}]");
            self.validate_references(&path, agent)?;
            agent.validate(&path, ticks)?;
        }
        self.costs.validate("costs", ticks)?;
        for (index, transaction) in self.initial_transactions.iter().enumerate() {
            let path = format!("initial_transactions[{index}]");
            self.known_parties(&path, &transaction.sender, &transaction.receiver)?;
            transaction.validate(&path, ticks)?;
            self.known_rail(&path, transaction.rail.as_deref())?;
        }
        self.validate_events(ticks)?;
        self.validate_totals()
    }

    fn validate_day(&self) -> Checked {
        let opening = time_of_day("opening_time", self.opening_time.as_deref())?;
        let closing = time_of_day("closing_time", self.closing_time.as_deref())?;
        match (opening, closing, &self.closing_time) {
            (Some(_), None, _) => conflict("closing_time", "null", "is required beside opening_time"),
            (None, Some(_), _) => conflict("opening_time", "null", "is required beside closing_time"),
            (Some(opening), Some(closing), Some(text)) if closing <= opening => {
                conflict("closing_time", format!("{text:?}"), "must be later than opening_time")
            }
            _ => Ok(()),
        }?;
        if self.payments_file.as_ref().is_some_and(String::is_empty) {
            return conflict("payments_file", "\"\"", "must be the path of a CSV or Parquet file");
        }
        if let Some(escalation) = &self.priority_escalation {
            in_range("priority_escalation.ticks", escalation.ticks, 1, 1_000_000, " (ticks)")?;
            in_range("priority_escalation.boost", escalation.boost, 1, 10, "")?;
        }
        Ok(())
    }

    fn validate_ids(&self) -> Checked {
        unique_ids("agents", self.agents.iter().map(|agent| agent.id.as_str()))?;
        unique_ids("rails", self.rails.iter().map(|rail| rail.id.as_str()))
    }

    /// Rejects unknown banks and rails of an agent.
    fn validate_references(&self, path: &str, agent: &AgentConfig) -> Checked {
        for id in agent.limits.bilateral.keys() {
            self.known_bank(&format!("{path}.limits.bilateral.{id}"), id)?;
        }
        let Some(arrivals) = &agent.arrival_config else { return Ok(()) };
        for id in arrivals.counterparty_weights.iter().flat_map(|weights| weights.keys()) {
            self.known_bank(&format!("{path}.arrival_config.counterparty_weights.{id}"), id)?;
        }
        self.known_rail(&format!("{path}.arrival_config"), arrivals.rail.as_deref())
    }
}

fn unique_ids<'a>(path: &str, ids: impl Iterator<Item = &'a str>) -> Checked {
    let mut seen = HashSet::new();
    for (index, id) in ids.enumerate() {
        let path = format!("{path}[{index}].id");
        let allowed = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_';
        if id.is_empty() || id.len() > 64 || !id.bytes().all(allowed) {
            return Err(ScenarioError::BadId { path, value: id.to_owned() });
        }
        if !seen.insert(id) {
            return Err(ScenarioError::Duplicate { path, value: id.to_owned() });
        }
    }
    Ok(())
}
