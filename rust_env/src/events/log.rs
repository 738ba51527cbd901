//! The log of events.

use super::event::Event;

/// Keeps events if it was told to.
#[derive(Clone, Debug, Default)]
pub struct EventLog {
    events: Option<Vec<Event>>,
}

impl EventLog {
    /// A log that keeps events.
    #[must_use]
    pub fn recording() -> Self {
        Self { events: Some(Vec::new()) }
    }

    /// Keeps `event`, which is not even made otherwise.
    pub fn record(&mut self, event: impl FnOnce() -> Event) {
        if let Some(events) = &mut self.events {
            events.push(event());
        }
    }

    /// Whether it keeps events.
    #[must_use]
    pub fn is_recording(&self) -> bool {
        self.events.is_some()
    }

    /// Hands over what has been kept.
    pub fn take(&mut self) -> Vec<Event> {
        self.events.as_mut().map(std::mem::take).unwrap_or_default()
    }
}
