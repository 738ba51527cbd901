//! The events of a run, recorded only on request; training never records them.

mod event;
mod schema;

pub use event::{EVENT_SCHEMA_VERSION, Event, HoldReason, Mechanism, Obstacle};
pub use schema::{EventKey, EventType};

/// Log of events; keeps none unless it is recording.
#[derive(Clone, Debug, Default)]
pub struct EventLog {
    events: Option<Vec<Event>>,
}

impl EventLog {
    /// Creates a log that keeps events.
    pub fn recording() -> Self {
        Self { events: Some(Vec::new()) }
    }

    /// Appends an event if the log is recording; else `event` is not called.
    pub fn record(&mut self, event: impl FnOnce() -> Event) {
        if let Some(events) = &mut self.events {
            events.push(event());
        }
    }

    /// Whether the log keeps events.
    pub fn is_recording(&self) -> bool {
        self.events.is_some()
    }

    /// Removes and returns all events.
    pub fn take(&mut self) -> Vec<Event> {
        self.events.as_mut().map(std::mem::take).unwrap_or_default()
    }
}
