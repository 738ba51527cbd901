//! The decision process: observations, actions and rewards.

pub mod action;
mod layout;
pub mod observation;
mod process;

pub use layout::{ActionMode, Decides, Layout, SHARES};
pub use process::{DecisionConfig, Process, RewardScope, reward};
