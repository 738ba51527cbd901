//! Values that one thread uses at a time.

use pyo3::PyResult;
use pyo3::exceptions::PyRuntimeError;
use std::sync::{Mutex, MutexGuard, TryLockError};

/// A value for one thread at a time; a second one gets an error.
///
/// Methods release the GIL, so that another thread can call one meanwhile.
pub struct Exclusive<T> {
    value: Mutex<T>,
    name: &'static str,
}

impl<T> Exclusive<T> {
    /// Wraps a value; errors call it `name`.
    pub fn new(name: &'static str, value: T) -> Self {
        Self { value: Mutex::new(value), name }
    }

    /// The value, unless another call uses it.
    ///
    /// # Errors
    /// `RuntimeError` if it is in use.
    pub fn lock(&self) -> PyResult<MutexGuard<'_, T>> {
        match self.value.try_lock() {
            Ok(value) => Ok(value),
            // Panics are caught before they pass a guard, and `Health` remembers them.
            Err(TryLockError::Poisoned(poisoned)) => Ok(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => Err(PyRuntimeError::new_err(format!(
                "this {} is in use by another thread: give each thread its own, or let one thread at a time use it",
                self.name
            ))),
        }
    }
}
