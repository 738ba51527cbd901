//! What a scenario lets happen at given ticks.

use super::validate::{Checked, Checker, conflict, in_range, money};
use super::{five, yes};
use crate::payment::RtgsPriority;
use crate::units::{Cents, Tick};
use serde::{Deserialize, Serialize};

/// Occurrences of all events in an episode, at most.
const MOST_OCCURRENCES: i64 = 1_000_000;

/// Something that happens at given ticks, before that tick's payments arrive.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum EventConfig {
    /// A payment order.
    Payment(PaymentEvent),
    /// Money moves outside the queues.
    Transfer(TransferEvent),
    /// Customers bring more or fewer orders.
    ArrivalRate(ArrivalRateEvent),
    /// A bank's credit limit changes.
    Credit(CreditEvent),
    /// A bank's collateral changes.
    Collateral(CollateralEvent),
    /// A bank can release nothing for a while.
    Outage(OutageEvent),
    /// The day ends with this tick.
    EarlyClose(EarlyCloseEvent),
}

/// Makes an event's struct: its own fields, and when it happens.
macro_rules! event {
    ($(#[$doc:meta])* $name:ident { $($body:tt)* }) => {
        $(#[$doc])*
        #[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
        #[serde(deny_unknown_fields)]
        pub struct $name {
            /// Tick of the episode at which it happens, for the first time if it repeats.
            pub tick: i64,
            /// Ticks from one time to the next; it happens once if absent.
            #[serde(default)]
            pub every_ticks: Option<i64>,
            /// Last tick at which it may happen again; the end of the episode if absent.
            #[serde(default)]
            pub until_tick: Option<i64>,
            $($body)*
        }
    };
}

event! {
    /// A payment order reaches its bank.
    PaymentEvent {
        /// Id of the paying bank.
        pub sender: String,
        /// Id of the receiving bank.
        pub receiver: String,
        /// Cents.
        pub amount: Cents,
        /// Ticks to its deadline; the end of that day if absent.
        #[serde(default)]
        pub deadline_ticks: Option<i64>,
        /// 0 to 10, 10 most urgent.
        #[serde(default = "five")]
        pub priority: i64,
        /// Whether it may be split.
        #[serde(default = "yes")]
        pub divisible: bool,
        /// Id of its rail; the first one if absent.
        #[serde(default)]
        pub rail: Option<String>,
        /// Its class in the rail's queue; by its priority if absent.
        #[serde(default)]
        pub rtgs_priority: Option<RtgsPriority>,
    }
}

event! {
    /// Money moves from one account to another, or into or out of the system, outside the queues.
    ///
    /// It takes what the sender's liquidity allows.
    TransferEvent {
        /// Id of the bank that gives; the money comes from outside if absent.
        #[serde(default)]
        pub sender: Option<String>,
        /// Id of the bank that gets; the money leaves the system if absent.
        #[serde(default)]
        pub receiver: Option<String>,
        /// Cents.
        pub amount: Cents,
    }
}

event! {
    /// From now on customers bring this many times the usual number of orders.
    ArrivalRateEvent {
        /// Id of their bank; all banks if absent.
        #[serde(default)]
        pub bank: Option<String>,
        /// Factor on `rate_per_tick`, in place of an earlier one.
        pub multiplier: f64,
    }
}

event! {
    /// A bank's credit limit changes.
    CreditEvent {
        /// Id of the bank.
        pub bank: String,
        /// The new limit in cents.
        pub credit_limit: Cents,
    }
}

event! {
    /// The value of a bank's pledged assets changes.
    CollateralEvent {
        /// Id of the bank.
        pub bank: String,
        /// The new value in cents.
        pub collateral: Cents,
    }
}

event! {
    /// A bank can release nothing; what it has released still settles.
    OutageEvent {
        /// Id of the bank.
        pub bank: String,
        /// For how many ticks, this one included.
        pub ticks: i64,
    }
}

event! {
    /// The day ends with this tick; the rest of its ticks are left out.
    ///
    /// Customers bring nothing in them, neither sampled nor replayed payments. A payment that the
    /// scenario names for one of them comes when the next day opens, its deadline as much later, if
    /// there is a next day.
    EarlyCloseEvent {}
}

impl EventConfig {
    /// First tick, period and last tick.
    fn schedule(&self) -> (i64, Option<i64>, Option<i64>) {
        match self {
            Self::Payment(event) => (event.tick, event.every_ticks, event.until_tick),
            Self::Transfer(event) => (event.tick, event.every_ticks, event.until_tick),
            Self::ArrivalRate(event) => (event.tick, event.every_ticks, event.until_tick),
            Self::Credit(event) => (event.tick, event.every_ticks, event.until_tick),
            Self::Collateral(event) => (event.tick, event.every_ticks, event.until_tick),
            Self::Outage(event) => (event.tick, event.every_ticks, event.until_tick),
            Self::EarlyClose(event) => (event.tick, event.every_ticks, event.until_tick),
        }
    }

    /// The ticks of an episode of `episode_ticks` at which it happens.
    pub(crate) fn ticks(&self, episode_ticks: i64) -> impl Iterator<Item = Tick> + use<> {
        let (first, every, last) = self.schedule();
        let end = match every {
            Some(_) => last.unwrap_or(episode_ticks - 1).min(episode_ticks - 1),
            None => first,
        };
        let step = usize::try_from(every.unwrap_or(1)).unwrap_or(1).max(1);
        (first..=end).step_by(step).map(|tick| Tick(u32::try_from(tick).unwrap_or_default()))
    }

    /// How often it happens in an episode of `episode_ticks`.
    pub(crate) fn occurrences(&self, episode_ticks: i64) -> i64 {
        i64::try_from(self.ticks(episode_ticks).count()).unwrap_or(i64::MAX)
    }
}

impl Checker<'_> {
    /// Checks the events.
    pub(super) fn validate_events(&self) -> Checked {
        let mut occurrences = 0;
        for (index, event) in self.events.iter().enumerate() {
            let path = format!("events[{index}]");
            self.validate_schedule(&path, event)?;
            self.validate_event(&path, event)?;
            occurrences += event.occurrences(self.episode_ticks());
            let allowed = format!("all events together must not happen more than {MOST_OCCURRENCES} times");
            if occurrences > MOST_OCCURRENCES {
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
            (None, Some(until)) => {
                conflict(&format!("{path}.until_tick"), until, "must be absent, as there is no every_ticks")
            }
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
