//! Policies that decide for a bank inside the engine.

mod player;
mod scripted;

pub use player::Player;
pub use scripted::{PolicyContext, ScriptedPolicy, scripted};
