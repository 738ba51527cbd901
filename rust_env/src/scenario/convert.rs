//! Conversion of ids and numbers of a valid scenario to engine types.

use super::config::Scenario;
use crate::units::{BankId, RailId, bank_at};
use std::collections::HashMap;

/// Bank ids by their names.
pub(crate) fn banks_by_id(scenario: &Scenario) -> HashMap<&str, BankId> {
    scenario.agents.iter().enumerate().map(|(index, agent)| (agent.id.as_str(), bank_at(index))).collect()
}

/// The rail with this id, or the first rail for `None`.
///
/// The scenario must be valid.
pub(crate) fn rail(scenario: &Scenario, id: Option<&str>) -> RailId {
    let index = id.and_then(|id| scenario.rails.iter().position(|rail| rail.id == id));
    RailId(u8::try_from(index.unwrap_or_default()).unwrap_or_default())
}

/// A validated priority as `u8`.
pub(crate) fn priority_of(priority: i64) -> u8 {
    u8::try_from(priority).unwrap_or(u8::MAX)
}

/// A validated number as `u32`; negative numbers become 0.
pub(crate) fn clamp_u32(value: i64) -> u32 {
    u32::try_from(value.max(0)).unwrap_or(u32::MAX)
}
