//! Conversion of engine errors and panics into Python exceptions.

use crate::error::{self, FleetError, TickError};
use crate::fleet::MemoryError;
use crate::players::NetworkError;
use crate::system::RestoreError;
use pyo3::exceptions::{PyMemoryError, PyOverflowError, PyRuntimeError, PyValueError};
use pyo3::{PyErr, PyResult, Python, create_exception};
use std::panic::{AssertUnwindSafe, catch_unwind};
use thiserror::Error;

create_exception!(paysim_gym._engine, ScenarioError, PyValueError, "An invalid scenario or setting.");
create_exception!(paysim_gym._engine, ActionError, PyValueError, "An invalid action.");
create_exception!(paysim_gym._engine, EpisodeOverError, PyRuntimeError, "The episode is over.");

/// Converts an engine error into a Python exception.
pub fn to_python(error: impl Into<EngineError>) -> PyErr {
    error.into().into()
}

/// An error of the engine.
#[derive(Debug, Error)]
#[error(transparent)]
pub enum EngineError {
    Scenario(#[from] error::ScenarioError),
    Action(#[from] error::ActionError),
    Tick(#[from] error::TickError),
    Fleet(#[from] error::FleetError),
    Restore(#[from] RestoreError),
    Network(#[from] NetworkError),
    Memory(#[from] MemoryError),
}

impl From<EngineError> for PyErr {
    fn from(error: EngineError) -> Self {
        let message = error.to_string();
        match error {
            EngineError::Scenario(_) => ScenarioError::new_err(message),
            EngineError::Action(_) | EngineError::Fleet(FleetError::Action(_)) => ActionError::new_err(message),
            EngineError::Memory(_) => PyMemoryError::new_err(message),
            EngineError::Restore(_) | EngineError::Network(_) => PyValueError::new_err(message),
            EngineError::Tick(source) | EngineError::Fleet(FleetError::Tick { source, .. }) => match source {
                TickError::EpisodeOver { .. } => EpisodeOverError::new_err(message),
                TickError::CostOverflow { .. } => PyOverflowError::new_err(message),
            },
        }
    }
}

/// Runs `work` without the GIL and converts errors and panics into exceptions.
pub fn detached<T: Send, E: Into<EngineError> + Send>(
    py: Python<'_>,
    work: impl FnOnce() -> Result<T, E> + Send,
) -> PyResult<T> {
    match py.detach(|| catch_unwind(AssertUnwindSafe(work))) {
        Ok(result) => result.map_err(to_python),
        Err(panic) => {
            let text =
                panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
            Err(PyRuntimeError::new_err(format!("the engine panicked: {}", text.unwrap_or("no message"))))
        }
    }
}

/// Whether an engine object is consistent.
///
/// A panic or a failed tick leaves its state inconsistent.
#[derive(Default)]
pub struct Health {
    is_broken: bool,
}

impl Health {
    /// Runs `work` as [`detached`] does, unless an earlier call failed midway.
    pub fn guard<T: Send, E: Into<EngineError> + Send>(
        &mut self,
        py: Python<'_>,
        work: impl FnOnce() -> Result<T, E> + Send,
    ) -> PyResult<T> {
        self.check()?;
        let result = detached(py, work);
        self.is_broken = result.as_ref().is_err_and(|error| is_fatal(py, error));
        result
    }

    /// Raises a `RuntimeError` if the state is inconsistent.
    pub fn check(&self) -> PyResult<()> {
        if self.is_broken {
            return Err(PyRuntimeError::new_err(
                "a previous step failed midway and the state is inconsistent; create a new instance",
            ));
        }
        Ok(())
    }
}

/// Whether an error may leave the state inconsistent; rejected input does not.
fn is_fatal(py: Python<'_>, error: &PyErr) -> bool {
    !error.is_instance_of::<PyValueError>(py) && !error.is_instance_of::<EpisodeOverError>(py)
}
