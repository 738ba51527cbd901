//! What a scenario lets happen at given ticks.

use super::defaults::{five, yes};
use crate::payment::RtgsPriority;
use crate::units::{Cents, Tick};
use serde::{Deserialize, Serialize};

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
    pub(super) fn schedule(&self) -> (i64, Option<i64>, Option<i64>) {
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
