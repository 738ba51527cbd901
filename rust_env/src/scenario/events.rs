//! Configuration of scheduled events.

use super::defaults::{five, yes};
use crate::payment::RtgsPriority;
use crate::units::{Cents, Tick};
use serde::{Deserialize, Serialize};

/// An event scheduled at given ticks, before the arrivals of the tick.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum EventConfig {
    /// Arrival of a payment.
    Payment(PaymentEvent),
    /// Transfer of money outside the queues.
    Transfer(TransferEvent),
    /// Change of an arrival rate.
    ArrivalRate(ArrivalRateEvent),
    /// Change of a bank's credit limit.
    Credit(CreditEvent),
    /// Change of a bank's collateral.
    Collateral(CollateralEvent),
    /// Outage of a bank.
    Outage(OutageEvent),
    /// Early end of a day.
    EarlyClose(EarlyCloseEvent),
}

/// Defines the struct of an event: its schedule and the given fields.
macro_rules! event {
    ($(#[$doc:meta])* $name:ident { $($body:tt)* }) => {
        $(#[$doc])*
        #[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
        #[serde(deny_unknown_fields)]
        pub struct $name {
            /// Tick of the episode of the first occurrence.
            pub tick: i64,
            /// Period in ticks; the event occurs once if absent.
            pub every_ticks: Option<i64>,
            /// Last tick of a possible occurrence; the end of the episode if absent.
            pub until_tick: Option<i64>,
            $($body)*
        }
    };
}

event! {
    /// Arrival of a payment.
    PaymentEvent {
        /// Id of the paying bank.
        pub sender: String,
        /// Id of the receiving bank.
        pub receiver: String,
        /// Amount in cents.
        pub amount: Cents,
        /// Ticks to its deadline; the end of that day if absent.
        pub deadline_ticks: Option<i64>,
        /// 0 to 10, 10 most urgent.
        #[serde(default = "five")]
        pub priority: i64,
        /// Whether it may be split.
        #[serde(default = "yes")]
        pub divisible: bool,
        /// Id of its rail; the first one if absent.
        pub rail: Option<String>,
        /// Its class in the rail's queue; by its priority if absent.
        pub rtgs_priority: Option<RtgsPriority>,
    }
}

event! {
    /// Transfer of money between accounts, or into or out of the system.
    ///
    /// It bypasses the queues and is capped at the sender's liquidity.
    TransferEvent {
        /// Id of the paying bank; the money comes from outside if absent.
        pub sender: Option<String>,
        /// Id of the receiving bank; the money leaves the system if absent.
        pub receiver: Option<String>,
        /// Amount in cents.
        pub amount: Cents,
    }
}

event! {
    /// Change of the arrival rate from this tick on.
    ArrivalRateEvent {
        /// Id of the bank; all banks if absent.
        pub bank: Option<String>,
        /// Multiplier of `rate_per_tick`; it replaces that of earlier events.
        pub multiplier: f64,
    }
}

event! {
    /// Change of a bank's credit limit.
    CreditEvent {
        /// Id of the bank.
        pub bank: String,
        /// The new limit in cents.
        pub credit_limit: Cents,
    }
}

event! {
    /// Change of the value of a bank's collateral.
    CollateralEvent {
        /// Id of the bank.
        pub bank: String,
        /// The new value in cents.
        pub collateral: Cents,
    }
}

event! {
    /// Outage of a bank: it cannot release payments; released ones still settle.
    OutageEvent {
        /// Id of the bank.
        pub bank: String,
        /// Length in ticks, including this one.
        pub ticks: i64,
    }
}

event! {
    /// Early end of a day, after this tick.
    ///
    /// The remaining ticks are skipped, without sampled or replayed arrivals. Payments that the scenario lists for
    /// them arrive at the start of the next day, if there is one, with deadlines postponed by as much.
    EarlyCloseEvent {}
}

impl EventConfig {
    /// First tick, period and last tick of its occurrences.
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

    /// The ticks at which it occurs in an episode of `episode_ticks`.
    pub(crate) fn ticks(&self, episode_ticks: i64) -> impl Iterator<Item = Tick> + use<> {
        let (first, every, last) = self.schedule();
        let end = match every {
            Some(_) => last.unwrap_or(episode_ticks - 1).min(episode_ticks - 1),
            None => first,
        };
        let step = usize::try_from(every.unwrap_or(1)).unwrap_or(1).max(1);
        (first..=end).step_by(step).map(|tick| Tick(u32::try_from(tick).unwrap_or_default()))
    }

    /// Number of occurrences in an episode of `episode_ticks`.
    pub(crate) fn occurrences(&self, episode_ticks: i64) -> i64 {
        i64::try_from(self.ticks(episode_ticks).count()).unwrap_or(i64::MAX)
    }
}
