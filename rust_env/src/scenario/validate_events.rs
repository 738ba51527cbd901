//! Validation of scheduled events.

use super::checker::Checker;
use super::checks::{Checked, conflict};
use super::events::EventConfig;
use super::parts::{Part, Ticks};

/// Maximum number of occurrences of all events in an episode.
const MAX_OCCURRENCES: i64 = 1_000_000;

impl Checker<'_> {
    /// Validates all scheduled events.
    pub(super) fn validate_events(&self, ticks: Ticks) -> Checked {
        let mut occurrences = 0;
        for (index, event) in self.events.iter().enumerate() {
            let path = format!("events[{index}]");
            self.validate_parties(&path, event)?;
            event.validate(&path, ticks)?;
            occurrences += event.occurrences(self.episode_ticks());
            let allowed = format!("all events together must not occur more than {MAX_OCCURRENCES} times");
            if occurrences > MAX_OCCURRENCES {
                return conflict(&path, format!("occurrence {occurrences}"), allowed);
            }
        }
        Ok(())
    }

    /// Rejects unknown banks and rails of an event.
    fn validate_parties(&self, path: &str, event: &EventConfig) -> Checked {
        let bank = |key: &str, id: &str| self.known_bank(&format!("{path}.{key}"), id);
        let bank_if_any = |key: &str, id: &Option<String>| id.as_ref().map_or(Ok(()), |id| bank(key, id));
        match event {
            EventConfig::Payment(payment) => {
                self.known_parties(path, &payment.sender, &payment.receiver)?;
                self.known_rail(path, payment.rail.as_deref())
            }
            EventConfig::Transfer(transfer) => {
                bank_if_any("sender", &transfer.sender)?;
                bank_if_any("receiver", &transfer.receiver)
            }
            EventConfig::ArrivalRate(change) => bank_if_any("bank", &change.bank),
            EventConfig::Credit(change) => bank("bank", &change.bank),
            EventConfig::Collateral(change) => bank("bank", &change.bank),
            EventConfig::Outage(outage) => bank("bank", &outage.bank),
            EventConfig::EarlyClose(_) => Ok(()),
        }
    }
}
