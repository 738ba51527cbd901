//! Rules of the engine that Python code applies as well.

use crate::fleet::{self, URGENCIES};
use crate::units::Tick;
use pyo3::prelude::*;

/// The urgency class, one of `URGENCIES`, of an unsettled payment at a tick.
#[pyfunction]
pub fn urgency_class(is_overdue: bool, deadline_tick: u32, tick: u32) -> &'static str {
    URGENCIES[fleet::urgency_class(is_overdue, Tick(deadline_tick), Tick(tick))]
}
