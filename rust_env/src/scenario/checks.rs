//! Checks of single values.

use crate::error::ScenarioError;
use crate::units::{Cents, MAX_MONEY};
use std::fmt::Display;

pub(super) type Checked = Result<(), ScenarioError>;

/// Maximum number of parts of a split.
pub(crate) const MAX_PARTS: u8 = 100;
pub(crate) const NOT_ITSELF: &str = "a bank cannot pay itself; must be another bank";

/// Rejects an amount outside `low..=MAX_MONEY`.
pub(super) fn money(path: &str, value: Cents, low: i64) -> Checked {
    in_range(path, value.0, low, MAX_MONEY, " (cents)")
}

/// Rejects a number outside `low..=high`.
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

/// Minutes after midnight of a time HH:MM, or `None` if `text` is not one.
///
/// Times are 00:00 to 24:00.
pub fn minutes_of_day(text: &str) -> Option<u32> {
    let &[ten_hours, hours, b':', ten_minutes, minutes] = text.as_bytes() else { return None };
    if ![ten_hours, hours, ten_minutes, minutes].iter().all(u8::is_ascii_digit) {
        return None;
    }
    let number = |tens: u8, ones: u8| u32::from(tens - b'0') * 10 + u32::from(ones - b'0');
    let (hours, minutes) = (number(ten_hours, hours), number(ten_minutes, minutes));
    let total = hours * 60 + minutes;
    (minutes < 60 && total <= 24 * 60).then_some(total)
}

/// Minutes after midnight of the optional time of day at `path`.
pub(super) fn time_of_day(path: &str, text: Option<&str>) -> Result<Option<u32>, ScenarioError> {
    match text.map(|text| (text, minutes_of_day(text))) {
        None => Ok(None),
        Some((_, Some(minutes))) => Ok(Some(minutes)),
        Some((text, None)) => conflict(path, format!("{text:?}"), "must be a time HH:MM between 00:00 and 24:00"),
    }
}

/// The error of a value that conflicts with another one.
pub(crate) fn conflict<T>(path: &str, value: impl Display, allowed: impl Into<String>) -> Result<T, ScenarioError> {
    Err(ScenarioError::Conflict { path: path.to_owned(), value: value.to_string(), allowed: allowed.into() })
}

/// A value in the notation of a scenario.
pub(super) fn as_json(value: &impl serde::Serialize) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

/// Comma-separated ids, at most 20.
pub(super) fn list<'a>(ids: impl Iterator<Item = &'a str>) -> String {
    const MAX_IDS: usize = 20;
    let ids: Vec<&str> = ids.collect();
    let more = if ids.len() > MAX_IDS { ", ..." } else { "" };
    format!("{}{more}", ids[..ids.len().min(MAX_IDS)].join(", "))
}
