//! The class `Network`: a trained network, shared by banks and systems.

use super::errors::detached;
use super::payments::Payments;
use crate::players::{Scratch, network};
use crate::setup::Files;
use numpy::{PyArray2, PyArrayMethods, PyReadonlyArray2, PyUntypedArrayMethods};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use std::collections::BTreeMap;
use std::sync::Arc;

/// An immutable trained network.
#[pyclass(module = "paysim_gym._engine", frozen)]
pub struct Network {
    network: Arc<network::Network>,
}

/// Network by id of its bank.
pub type Networks = BTreeMap<String, Py<Network>>;

#[pymethods]
impl Network {
    #[new]
    fn new(py: Python<'_>, data: &[u8]) -> PyResult<Self> {
        let network = detached(py, || network::Network::from_bytes(data))?;
        Ok(Self { network: Arc::new(network) })
    }

    fn outputs<'py>(
        &self,
        py: Python<'py>,
        observations: PyReadonlyArray2<'py, f32>,
    ) -> PyResult<Bound<'py, PyArray2<f32>>> {
        let [rows, columns] = [observations.shape()[0], observations.shape()[1]];
        let expected = self.network.num_inputs();
        if columns != expected {
            let message = format!("observations have shape ({rows}, {columns}): must be (n, {expected})");
            return Err(PyValueError::new_err(message));
        }
        let outputs = PyArray2::zeros(py, [rows, self.network.num_outputs()], false);
        let mut borrowed = outputs.readwrite();
        let (observations, out) = (observations.as_slice()?, borrowed.as_slice_mut()?);
        let mut scratch = Scratch::default();
        let rows = observations.chunks_exact(expected).zip(out.chunks_exact_mut(self.network.num_outputs()));
        for (observation, out) in rows {
            out.copy_from_slice(self.network.forward(observation, &mut scratch));
        }
        drop(borrowed);
        Ok(outputs)
    }

    fn __copy__(this: Py<Self>) -> Py<Self> {
        this
    }

    fn __deepcopy__(this: Py<Self>, _memo: &Bound<'_, PyAny>) -> Py<Self> {
        this
    }
}

/// The contents of the files of a scenario.
pub fn files(payments: Option<&Payments>, networks: Option<Networks>) -> Files {
    let share = |(bank, network): (String, Py<Network>)| (bank, Arc::clone(&network.get().network));
    Files {
        replay: payments.map(Payments::share),
        networks: networks.unwrap_or_default().into_iter().map(share).collect(),
    }
}
