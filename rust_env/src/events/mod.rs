//! The events of a run, recorded only on request; training never records them.

mod event;
mod schema;

pub use event::{EVENT_SCHEMA_VERSION, Event, HoldReason, Mechanism, Obstacle};
pub use schema::{EventKey, EventType};

/// Log of events; keeps none unless it is recording.
#[derive(Clone, Debug, Default)]
pub struct EventLog {
    events: Vec<Event>,
    kept: Kept,
}

/// The events that a log keeps.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
enum Kept {
    #[default]
    None,
    Outcomes,
    All,
}

impl EventLog {
    /// Creates a log that keeps events.
    pub fn recording() -> Self {
        Self { events: Vec::new(), kept: Kept::All }
    }

    /// Creates a log that keeps only the events behind the outcome of a tick.
    pub fn outcomes() -> Self {
        Self { events: Vec::new(), kept: Kept::Outcomes }
    }

    /// Keeps all events from now on.
    pub fn keep_all(&mut self) {
        self.kept = Kept::All;
    }

    /// Appends an event if the log keeps it; else `event` may not be called.
    pub fn record(&mut self, event: impl FnOnce() -> Event) {
        if self.kept == Kept::None {
            return;
        }
        let event = event();
        if self.kept == Kept::All || event.is_outcome() {
            self.events.push(event);
        }
    }

    /// Whether the log keeps all events.
    pub fn is_recording(&self) -> bool {
        self.kept == Kept::All
    }

    /// Number of events.
    pub fn len(&self) -> usize {
        self.events.len()
    }

    /// Whether the log has no events.
    pub fn is_empty(&self) -> bool {
        self.events.is_empty()
    }

    /// The events after the first `count`.
    pub fn after(&self, count: usize) -> &[Event] {
        self.events.get(count..).unwrap_or_default()
    }

    /// Removes and returns all events.
    pub fn take(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.events)
    }
}
