//! The events of a run, recorded only on request; training never records them.

mod event;
mod log;
mod of_payments;
mod schema;

pub use event::{EVENT_SCHEMA_VERSION, Event, HoldReason, Mechanism, Obstacle};
pub use log::EventLog;
pub use schema::{EventKey, EventType};
