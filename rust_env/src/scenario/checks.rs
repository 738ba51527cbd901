//! Checks of single values, and their errors.

use crate::error::ScenarioError;
use crate::units::{Cents, MAX_MONEY};
use std::fmt::Display;

pub(super) type Checked = Result<(), ScenarioError>;

/// Parts that a payment can be split into, at most.
pub(crate) const MOST_PARTS: u8 = 100;
pub(super) const NOT_ITSELF: &str = "a bank cannot pay itself; must be another bank";

/// Refuses an amount outside `low..=MAX_MONEY`.
pub(super) fn money(path: &str, value: Cents, low: i64) -> Checked {
    in_range(path, value.0, low, MAX_MONEY, " (cents)")
}

/// Refuses a number outside `low..=high`.
pub(crate) fn in_range<T: PartialOrd + Display>(path: &str, value: T, low: T, high: T, unit: &'static str) -> Checked {
    if value >= low && value <= high {
        return Ok(());
    }
    Err(ScenarioError::OutOfRange {
        path: path.to_owned(),
        value: value.to_string(),
        low: low.to_string(),
        high: high.to_string(),
        unit,
    })
}

/// Refuses a value that contradicts another one.
pub(crate) fn conflict<T>(path: &str, value: impl Display, allowed: impl Into<String>) -> Result<T, ScenarioError> {
    Err(ScenarioError::Conflict { path: path.to_owned(), value: value.to_string(), allowed: allowed.into() })
}

/// A value as the scenario writes it.
pub(super) fn as_json(value: &impl serde::Serialize) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

pub(super) fn list<'a>(ids: impl Iterator<Item = &'a str>) -> String {
    const SHOWN: usize = 20;
    let ids: Vec<&str> = ids.collect();
    let more = if ids.len() > SHOWN { ", ..." } else { "" };
    format!("{}{more}", ids[..ids.len().min(SHOWN)].join(", "))
}
