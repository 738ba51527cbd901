//! The decision process: what a learner sees, what it can do, what it is told.

pub mod action;
pub mod observation;
mod process;
pub mod reward;

pub use process::{ActionMode, Decides, DecisionConfig, Process, SHARES};
