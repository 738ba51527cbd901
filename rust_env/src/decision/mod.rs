//! The decision process: observations, actions and rewards.

pub mod action;
pub mod observation;
mod process;

pub use process::{ActionMode, Decides, DecisionConfig, Process, RewardScope, SHARES, reward};
