//! Rules of the engine that the Python packages use.

use super::errors::to_python;
use crate::fleet::{self, URGENCIES};
use crate::scenario::{self, Scenario};
use crate::units::Tick;
use pyo3::prelude::*;

/// The urgency class, one of `URGENCIES`, of an unsettled payment at a tick.
#[pyfunction]
pub fn urgency_class(is_overdue: bool, deadline_tick: u32, tick: u32) -> &'static str {
    URGENCIES[fleet::urgency_class(is_overdue, Tick(deadline_tick), Tick(tick))]
}

/// Each bank's expected number of arrivals in its busiest tick.
#[pyfunction]
pub fn busiest_rates(scenario_json: &str) -> PyResult<Vec<f64>> {
    let scenario = Scenario::from_json(scenario_json).map_err(to_python)?;
    Ok(scenario.busiest_rates().collect())
}

/// The number of occurrences in an episode of each scheduled event.
#[pyfunction]
pub fn event_occurrences(scenario_json: &str) -> PyResult<Vec<i64>> {
    let scenario = Scenario::from_json(scenario_json).map_err(to_python)?;
    Ok(scenario.events.iter().map(|event| event.occurrences(scenario.episode_ticks())).collect())
}

/// Minutes after midnight of a time HH:MM, or `None` for any other value.
#[pyfunction]
pub fn minutes_of_day(value: &Bound<'_, PyAny>) -> Option<u32> {
    scenario::minutes_of_day(value.extract().ok()?)
}
