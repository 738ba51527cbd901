//! The Python extension module `paysim_gym._engine`.

mod errors;
mod exclusive;
mod fleet;
mod network;
mod orchestrator;
mod payments;

use crate::costs::COMPONENTS;
use crate::decision::SHARES;
use crate::decision::observation::fields;
use crate::events::{EVENT_SCHEMA_VERSION, Event, EventKey};
use crate::fleet::URGENCIES;
use crate::payment::SOON_TICKS;
use crate::scenario::{self, Scenario};
use crate::units::Tick;
use errors::{ActionError, EpisodeOverError, ScenarioError, to_python};
use pyo3::panic::PanicException;
use pyo3::prelude::*;
use pyo3::types::PyTuple;

#[pymodule]
fn _engine(module: &Bound<'_, PyModule>) -> PyResult<()> {
    let py = module.py();
    // Shows messages of the level in RUST_LOG on stderr; fails if the process has a logger already.
    let _ = env_logger::try_init();
    module.add("COST_COMPONENTS", PyTuple::new(py, COMPONENTS)?)?;
    module.add("EVENT_SCHEMA_VERSION", EVENT_SCHEMA_VERSION)?;
    module.add("SHARES", SHARES)?;
    module.add("SOON_TICKS", SOON_TICKS)?;
    module.add("URGENCIES", PyTuple::new(py, URGENCIES)?)?;
    module.add("ScenarioError", py.get_type::<ScenarioError>())?;
    module.add("ActionError", py.get_type::<ActionError>())?;
    module.add("EpisodeOverError", py.get_type::<EpisodeOverError>())?;
    module.add("PanicException", py.get_type::<PanicException>())?;
    module.add_function(wrap_pyfunction!(validate_scenario, module)?)?;
    module.add_function(wrap_pyfunction!(validate_part, module)?)?;
    module.add_function(wrap_pyfunction!(observation_fields, module)?)?;
    module.add_function(wrap_pyfunction!(urgency_class, module)?)?;
    module.add_function(wrap_pyfunction!(busiest_rates, module)?)?;
    module.add_function(wrap_pyfunction!(minutes_of_day, module)?)?;
    module.add_function(wrap_pyfunction!(event_occurrences, module)?)?;
    module.add_function(wrap_pyfunction!(event_types, module)?)?;
    module.add_class::<fleet::Fleet>()?;
    module.add_class::<payments::Payments>()?;
    module.add_class::<network::Network>()?;
    module.add_class::<orchestrator::Orchestrator>()
}

/// Validates a scenario and returns it as JSON with all defaults.
#[pyfunction]
fn validate_scenario(scenario_json: &str) -> PyResult<String> {
    let scenario = Scenario::from_json(scenario_json).map_err(to_python)?;
    serde_json::to_string(&scenario).map_err(|error| pyo3::exceptions::PyRuntimeError::new_err(error.to_string()))
}

/// Validates one part of a scenario alone; paths of errors begin within it.
#[pyfunction]
fn validate_part(kind: &str, json: &str) -> PyResult<()> {
    scenario::validate_part(kind, json).map_err(to_python)
}

/// Name, unit, low, high and doc of each column of an observation.
#[pyfunction]
fn observation_fields(slots: usize) -> Vec<(String, &'static str, f32, f32, &'static str)> {
    fields(slots).map(|(name, field)| (name, field.unit, field.low, field.high, field.doc)).collect()
}

/// Name, value type and doc of a key of an event.
type KeyRow = (&'static str, String, &'static str);

/// Name, doc and keys of each event type.
#[pyfunction]
fn event_types() -> Vec<(String, &'static str, Vec<KeyRow>)> {
    let keys = |keys: Vec<EventKey>| keys.into_iter().map(|key| (key.name, key.value, key.doc)).collect();
    Event::types().into_iter().map(|event| (event.name, event.doc, keys(event.keys))).collect()
}

/// The urgency class, one of `URGENCIES`, of an unsettled payment at a tick.
#[pyfunction]
fn urgency_class(is_overdue: bool, deadline_tick: u32, tick: u32) -> &'static str {
    URGENCIES[crate::fleet::urgency_class(is_overdue, Tick(deadline_tick), Tick(tick))]
}

/// Each bank's expected number of arrivals in its busiest tick.
#[pyfunction]
fn busiest_rates(scenario_json: &str) -> PyResult<Vec<f64>> {
    let scenario = Scenario::from_json(scenario_json).map_err(to_python)?;
    Ok(scenario.busiest_rates().collect())
}

/// The number of occurrences in an episode of each scheduled event.
#[pyfunction]
fn event_occurrences(scenario_json: &str) -> PyResult<Vec<i64>> {
    let scenario = Scenario::from_json(scenario_json).map_err(to_python)?;
    Ok(scenario.events.iter().map(|event| event.occurrences(scenario.episode_ticks())).collect())
}

/// Minutes after midnight of a time HH:MM, or `None` for any other value.
#[pyfunction]
fn minutes_of_day(value: &Bound<'_, PyAny>) -> Option<u32> {
    scenario::minutes_of_day(value.extract().ok()?)
}
