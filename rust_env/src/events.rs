//! What happened, for people. Recorded only when asked for; training never does.

use crate::payment::Payment;
use crate::units::{BankId, Cents, PaymentId, Tick};
use serde::Serialize;

/// How a payment came to settle.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Mechanism {
    /// By itself, against its sender's liquidity.
    Gross,
    /// As a newcomer against its receiver's queued payments, or as one of these.
    EntryOffset,
    /// Together with payments between the same two banks.
    Bilateral,
    /// Together with payments between several banks.
    Multilateral,
    /// In a cycle of a deferred net rail.
    Net,
    /// With an overnight loan, when the day closed.
    Close,
}

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Event {
    /// A tick begins.
    Tick {
        /// Which.
        tick: Tick,
    },
    /// A customer's order reaches its bank.
    Arrival {
        /// The payment.
        payment: PaymentId,
        /// Paying bank.
        sender: BankId,
        /// Receiving bank.
        receiver: BankId,
        /// Cents.
        amount: Cents,
        /// Last tick on time.
        deadline_tick: Tick,
        /// 0 to 10.
        priority: u8,
    },
    /// A bank sends a payment to settlement.
    Release {
        /// The payment.
        payment: PaymentId,
        /// The payment it is a part of.
        parent: Option<PaymentId>,
        /// Paying bank.
        bank: BankId,
    },
    /// A bank replaces a payment by parts.
    Split {
        /// The payment.
        payment: PaymentId,
        /// Paying bank.
        bank: BankId,
        /// How many parts.
        parts: u8,
        /// Cents.
        fee: Cents,
    },
    /// A bank releases a part of a payment; the rest stays in its internal queue.
    Cut {
        /// The payment.
        payment: PaymentId,
        /// Paying bank.
        bank: BankId,
        /// The part's cents.
        amount: Cents,
        /// Cents.
        fee: Cents,
    },
    /// A payment is final.
    Settlement {
        /// The payment.
        payment: PaymentId,
        /// Paying bank.
        sender: BankId,
        /// Receiving bank.
        receiver: BankId,
        /// Cents.
        amount: Cents,
        /// How.
        mechanism: Mechanism,
    },
    /// A payment has missed its deadline.
    Overdue {
        /// The payment.
        payment: PaymentId,
        /// Paying bank.
        bank: BankId,
    },
    /// A payment is dropped at the end of a day.
    Cancellation {
        /// The payment.
        payment: PaymentId,
        /// Paying bank.
        bank: BankId,
        /// Cents.
        amount: Cents,
    },
    /// A day ends with payments unsettled.
    EndOfDay {
        /// Paying bank.
        bank: BankId,
        /// How many payments.
        unsettled_count: u32,
        /// Their value in cents.
        unsettled_value: Cents,
        /// Overnight loan in cents.
        borrowed: Cents,
    },
    /// A bank commits liquidity from its pool.
    PoolCommitment {
        /// The bank.
        bank: BankId,
        /// Cents.
        amount: Cents,
    },
    /// A day's close takes back what a bank had committed.
    PoolReturn {
        /// The bank.
        bank: BankId,
        /// Cents.
        amount: Cents,
    },
    /// Money moves outside the queues; from or to outside where there is no bank.
    Transfer {
        /// Who gives.
        sender: Option<BankId>,
        /// Who gets.
        receiver: Option<BankId>,
        /// Cents that the scenario asked for.
        asked: Cents,
        /// Cents that moved: what the sender's liquidity allowed.
        amount: Cents,
    },
    /// Customers bring more or fewer orders.
    ArrivalRate {
        /// Their bank; all if none.
        bank: Option<BankId>,
        /// Factor on the usual number.
        multiplier: f64,
    },
    /// A bank's credit limit changes.
    CreditChange {
        /// The bank.
        bank: BankId,
        /// Cents.
        credit_limit: Cents,
    },
    /// A bank's collateral changes.
    CollateralChange {
        /// The bank.
        bank: BankId,
        /// Cents.
        collateral: Cents,
    },
    /// A bank can release nothing for a while.
    Outage {
        /// The bank.
        bank: BankId,
        /// First tick at which it can release again.
        until_tick: Tick,
    },
    /// The day ends with this tick.
    EarlyClose,
}

impl Event {
    /// The arrival of `payment`.
    #[must_use]
    pub fn arrival(payment: &Payment) -> Self {
        Self::Arrival {
            payment: payment.id,
            sender: payment.sender,
            receiver: payment.receiver,
            amount: payment.amount,
            deadline_tick: payment.deadline,
            priority: payment.priority,
        }
    }
}

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
