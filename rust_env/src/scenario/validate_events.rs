//! Validation of scheduled events.

use super::checker::Checker;
use super::checks::{Checked, conflict, in_range, money};
use super::events::{EventConfig, PaymentEvent, TransferEvent};

/// Maximum number of occurrences of all events in an episode.
const MAX_OCCURRENCES: i64 = 1_000_000;

impl Checker<'_> {
    /// Validates all scheduled events.
    pub(super) fn validate_events(&self) -> Checked {
        let mut occurrences = 0;
        for (index, event) in self.events.iter().enumerate() {
            let path = format!("events[{index}]");
            self.validate_schedule(&path, event)?;
            self.validate_event(&path, event)?;
            occurrences += event.occurrences(self.episode_ticks());
            let allowed = format!("all events together must not occur more than {MAX_OCCURRENCES} times");
            if occurrences > MAX_OCCURRENCES {
                return conflict(&path, format!("occurrence {occurrences}"), allowed);
            }
        }
        Ok(())
    }

    fn validate_schedule(&self, path: &str, event: &EventConfig) -> Checked {
        let (tick, every, until) = event.schedule();
        let last = self.episode_ticks() - 1;
        in_range(&format!("{path}.tick"), tick, 0, last, " (ticks)")?;
        if let Some(every) = every {
            in_range(&format!("{path}.every_ticks"), every, 1, 10_000_000, " (ticks)")?;
        }
        match (every, until) {
            (_, None) => Ok(()),
            (None, Some(until)) => conflict(&format!("{path}.until_tick"), until, "must be absent without every_ticks"),
            (Some(_), Some(until)) => in_range(&format!("{path}.until_tick"), until, tick, last, " (ticks)"),
        }
    }

    fn validate_event(&self, path: &str, event: &EventConfig) -> Checked {
        match event {
            EventConfig::Payment(payment) => self.validate_payment_event(path, payment),
            EventConfig::Transfer(transfer) => self.validate_transfer(path, transfer),
            EventConfig::ArrivalRate(change) => {
                if let Some(bank) = &change.bank {
                    self.known_bank(&format!("{path}.bank"), bank)?;
                }
                in_range(&format!("{path}.multiplier"), change.multiplier, 0.0, 1000.0, "")
            }
            EventConfig::Credit(change) => {
                self.known_bank(&format!("{path}.bank"), &change.bank)?;
                money(&format!("{path}.credit_limit"), change.credit_limit, 0)
            }
            EventConfig::Collateral(change) => {
                self.known_bank(&format!("{path}.bank"), &change.bank)?;
                money(&format!("{path}.collateral"), change.collateral, 0)
            }
            EventConfig::Outage(outage) => {
                self.known_bank(&format!("{path}.bank"), &outage.bank)?;
                in_range(&format!("{path}.ticks"), outage.ticks, 1, 10_000_000, " (ticks)")
            }
            EventConfig::EarlyClose(_) => Ok(()),
        }
    }

    fn validate_payment_event(&self, path: &str, payment: &PaymentEvent) -> Checked {
        self.validate_parties(path, &payment.sender, &payment.receiver)?;
        money(&format!("{path}.amount"), payment.amount, 1)?;
        if let Some(ticks) = payment.deadline_ticks {
            in_range(&format!("{path}.deadline_ticks"), ticks, 0, 1_000_000, " (ticks)")?;
        }
        in_range(&format!("{path}.priority"), payment.priority, 0, 10, "")?;
        self.known_rail(path, payment.rail.as_deref())
    }

    fn validate_transfer(&self, path: &str, transfer: &TransferEvent) -> Checked {
        money(&format!("{path}.amount"), transfer.amount, 1)?;
        match (&transfer.sender, &transfer.receiver) {
            (None, None) => {
                let allowed = "a transfer must name a sender, a receiver or both";
                conflict(&format!("{path}.sender"), "null", allowed)
            }
            (Some(sender), Some(receiver)) => self.validate_parties(path, sender, receiver),
            (Some(sender), None) => self.known_bank(&format!("{path}.sender"), sender),
            (None, Some(receiver)) => self.known_bank(&format!("{path}.receiver"), receiver),
        }
    }
}
