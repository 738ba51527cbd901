//! The class `Payments`: recorded payments, shared by the systems that replay them.

use super::errors::{detached, to_python};
use crate::replay::{PaymentRecord, Replay};
use crate::scenario::Scenario;
use numpy::{PyReadonlyArray1, PyUntypedArrayMethods};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use std::sync::Arc;

type Column<'py> = PyReadonlyArray1<'py, i64>;

/// The recorded payments of a file, by day.
#[pyclass(module = "paysim_gym._engine", frozen)]
pub struct Payments {
    replay: Arc<Replay>,
}

#[pymethods]
impl Payments {
    #[new]
    #[expect(clippy::too_many_arguments, reason = "one array per column")]
    fn new(
        py: Python<'_>,
        scenario_json: &str,
        day: Column<'_>,
        tick: Column<'_>,
        sender: Column<'_>,
        receiver: Column<'_>,
        amount: Column<'_>,
        deadline: Column<'_>,
        priority: Column<'_>,
        divisible: PyReadonlyArray1<'_, bool>,
    ) -> PyResult<Self> {
        let columns = [&day, &tick, &sender, &receiver, &amount, &deadline, &priority];
        if columns.iter().any(|column| column.len() != day.len()) || divisible.len() != day.len() {
            return Err(PyValueError::new_err("payments: all columns must have the same length"));
        }
        let scenario = Scenario::from_json(scenario_json).map_err(to_python)?;
        let (day, tick, sender, receiver) =
            (day.as_slice()?, tick.as_slice()?, sender.as_slice()?, receiver.as_slice()?);
        let (amount, deadline, priority) = (amount.as_slice()?, deadline.as_slice()?, priority.as_slice()?);
        let divisible = divisible.as_slice()?;
        let record = |index: usize| PaymentRecord {
            day: day[index],
            tick: tick[index],
            sender: sender[index],
            receiver: receiver[index],
            amount: amount[index],
            deadline: deadline[index],
            priority: priority[index],
            divisible: divisible[index],
        };
        let replay = detached(py, || Replay::new(&scenario, (0..day.len()).map(record)))?;
        Ok(Self { replay: Arc::new(replay) })
    }

    #[getter]
    fn num_days(&self) -> usize {
        self.replay.num_days()
    }

    fn __copy__(this: Py<Self>) -> Py<Self> {
        this
    }

    fn __deepcopy__(this: Py<Self>, _memo: &Bound<'_, PyAny>) -> Py<Self> {
        this
    }

    fn __len__(&self) -> usize {
        self.replay.orders().len()
    }
}

impl Payments {
    /// A shared reference to the payments.
    pub fn share(&self) -> Arc<Replay> {
        Arc::clone(&self.replay)
    }
}
