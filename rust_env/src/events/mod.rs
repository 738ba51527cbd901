//! What happened, for people. Recorded only when asked for; training never does.

mod event;
mod log;
mod of_payments;

pub use event::{Event, HoldReason, Mechanism, Obstacle};
pub use log::EventLog;
