//! The events of a run, recorded only on request; training never records them.

use super::schema::{event_schema, string_enum};
use crate::payment::Payment;
use crate::units::{BankId, Cents, PaymentId, RailId, Tick};
use serde::Serialize;

/// Version of the event types, keys and values; raised by every change to them.
pub const EVENT_SCHEMA_VERSION: u32 = 2;

string_enum! {
/// How a payment settles.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Mechanism {
    /// By itself, against its sender's liquidity.
    Gross,
    /// By an offset with queued payments of its receiver, on entry.
    EntryOffset,
    /// Together with payments between the same two banks.
    Bilateral,
    /// Together with payments between several banks.
    Multilateral,
    /// In a cycle of a deferred net rail.
    Net,
    /// With an overnight loan at the close of the day.
    Close,
}
}

string_enum! {
/// Why a released payment does not settle.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Obstacle {
    /// The sender's balance and credit do not cover it.
    Liquidity,
    /// It exceeds the sender's multilateral limit for today.
    MultilateralLimit,
    /// It exceeds the sender's bilateral limit for today.
    BilateralLimit,
    /// Another payment is ahead of it in the queue.
    Behind,
    /// The cycle of its deferred net rail has not ended, or is not covered.
    Cycle,
}
}

string_enum! {
/// Why a payment stays in its internal queue.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum HoldReason {
    /// Its bank decided to hold it.
    Decision,
    /// Its bank has an outage.
    Outage,
}
}

event_schema! {
/// One event of a run.
///
/// The events of an episode, applied in order from the first one, give every balance and every queue at the end
/// of each tick, and [`Event::Cost`] alone gives every cost. `sender` is the paying bank of a payment; `bank` is
/// the bank whose account or operation an event concerns.
#[expect(missing_docs, reason = "COMMON_KEYS documents the keys with one meaning")]
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Event {
    /// A day begins.
    Day {
        day: u32,
        /// The day's first tick.
        tick: Tick,
    },
    /// A bank's account opens for a day.
    Opening {
        bank: BankId,
        /// Balance at the last close; on the first day equal to `balance`.
        closing_balance: Cents,
        /// Overnight loan that is repaid.
        loan_repaid: Cents,
        /// Opening balance; `balance - (closing_balance - loan_repaid)` is the overnight reset.
        balance: Cents,
        /// How far the balance may fall below zero without collateral.
        credit_limit: Cents,
        /// Value of the pledged assets.
        collateral: Cents,
        collateral_credit: Cents,
    },
    /// A bank commits liquidity from its pool.
    PoolCommitment {
        bank: BankId,
        /// Liquidity committed.
        amount: Cents,
    },
    /// A tick begins.
    Tick {
        /// The tick.
        tick: Tick,
    },
    /// The urgency of a payment rises near its deadline.
    Urgency { payment: PaymentId, sender: BankId, urgency: u8 },
    /// The scenario orders a payment, whose arrival follows.
    PaymentEvent { sender: BankId, receiver: BankId, amount: Cents },
    /// Money moves outside the queues.
    Transfer {
        /// Bank that is debited; null is outside the system.
        sender: Option<BankId>,
        /// Bank that is credited; null is outside the system.
        receiver: Option<BankId>,
        /// Amount that the scenario requests.
        requested_amount: Cents,
        /// Amount moved, limited by the sender's liquidity.
        amount: Cents,
    },
    /// The arrival rate of payment orders changes.
    ArrivalRate {
        /// Bank whose customers are concerned; null is every bank.
        bank: Option<BankId>,
        /// Factor on the configured rate.
        multiplier: f64,
    },
    /// A bank's credit limit changes.
    CreditChange {
        bank: BankId,
        /// Credit limit before the change.
        previous_credit_limit: Cents,
        /// New credit limit.
        credit_limit: Cents,
    },
    /// A bank's collateral changes.
    CollateralChange {
        bank: BankId,
        /// Collateral before the change.
        previous_collateral: Cents,
        /// New collateral.
        collateral: Cents,
        collateral_credit: Cents,
    },
    /// A bank cannot release payments for some ticks.
    Outage {
        bank: BankId,
        /// First tick in which the bank can release again.
        until_tick: Tick,
    },
    /// The day ends with this tick.
    EarlyClose,
    /// A payment order reaches the internal queue of its bank.
    Arrival {
        payment: PaymentId, sender: BankId, receiver: BankId, amount: Cents, deadline_tick: Tick,
        /// Priority, 0 to 10.
        priority: u8,
        urgency: u8,
        /// Whether the payment may be split.
        divisible: bool,
        rail: RailId,
    },
    /// A payment stays in its internal queue for this tick.
    Hold {
        payment: PaymentId, sender: BankId, receiver: BankId, amount: Cents, deadline_tick: Tick,
        /// Why the payment is held.
        reason: HoldReason,
    },
    /// A payment, or a part of one, is released to settlement.
    Release {
        payment: PaymentId, parent: Option<PaymentId>, sender: BankId, receiver: BankId, amount: Cents,
        deadline_tick: Tick, rail: RailId,
    },
    /// A payment is replaced by parts, whose releases follow.
    Split {
        payment: PaymentId, sender: BankId, amount: Cents,
        /// Number of parts.
        parts: u8,
        fee: Cents,
    },
    /// A part of a payment is split off; its release follows.
    Cut {
        payment: PaymentId, sender: BankId,
        /// Amount of the part.
        released_amount: Cents,
        /// Amount that stays.
        remaining_amount: Cents,
        fee: Cents,
    },
    /// A payment settles, which is final.
    Settlement {
        payment: PaymentId, parent: Option<PaymentId>, sender: BankId, receiver: BankId, amount: Cents,
        arrival_tick: Tick, deadline_tick: Tick, rail: RailId,
        /// How the payment settles.
        mechanism: Mechanism,
    },
    /// A released payment has not settled in its tick and joins the central queue.
    Queued {
        payment: PaymentId, parent: Option<PaymentId>, sender: BankId, receiver: BankId, amount: Cents,
        deadline_tick: Tick, rail: RailId,
        /// Position in the sender's queue on that rail, from 0.
        position: u32,
        /// Why the payment does not settle.
        reason: Obstacle,
    },
    /// The head of a bank's central queue lacks liquidity or headroom.
    LimitHit {
        payment: PaymentId, sender: BankId, receiver: BankId, amount: Cents, rail: RailId,
        /// Why the payment does not settle.
        reason: Obstacle,
        /// Amount that would settle.
        available: Cents,
    },
    /// A bank's deferred receipts of this tick are credited to its account.
    Landing {
        bank: BankId,
        /// Total credited.
        amount: Cents,
    },
    /// A payment has missed its deadline.
    Overdue {
        payment: PaymentId, sender: BankId, receiver: BankId, amount: Cents, deadline_tick: Tick,
        /// Deadline penalty, which the sender's `cost` event includes.
        penalty: Cents,
    },
    /// A bank ends the day with unsettled payments.
    EndOfDay {
        bank: BankId,
        /// Number of unsettled payments.
        unsettled_count: u32,
        /// Their total value.
        unsettled_value: Cents,
        /// Overnight loan taken.
        borrowed: Cents,
    },
    /// An unsettled payment is cancelled at the end of a day.
    Cancellation {
        payment: PaymentId, parent: Option<PaymentId>, sender: BankId, receiver: BankId, amount: Cents,
        arrival_tick: Tick, deadline_tick: Tick, rail: RailId,
    },
    /// Committed liquidity returns to the pool at the close of a day.
    PoolReturn {
        bank: BankId,
        /// Liquidity returned.
        amount: Cents,
    },
    /// A day is over.
    DayEnd { day: u32 },
    /// A bank is charged a cost component of a tick or opening step.
    Cost {
        bank: BankId,
        /// Name of the cost component.
        component: &'static str,
        /// Total charged, including the fees and penalties of earlier events.
        amount: Cents,
    },
}
}

impl Event {
    /// Whether the outcome of a tick depends on the event.
    pub(super) fn is_outcome(&self) -> bool {
        matches!(
            self,
            Self::Settlement { .. } | Self::Cancellation { .. } | Self::EndOfDay { .. } | Self::PoolReturn { .. }
        )
    }
}

/// Constructors of the events of a payment.
impl Event {
    pub(crate) fn arrival(of: &Payment) -> Self {
        let &Payment { id: payment, sender, receiver, amount, priority, urgency, divisible, rail, .. } = of;
        let deadline_tick = of.deadline;
        Self::Arrival { payment, sender, receiver, amount, deadline_tick, priority, urgency, divisible, rail }
    }

    pub(crate) fn hold(of: &Payment, reason: HoldReason) -> Self {
        let &Payment { id: payment, sender, receiver, amount, deadline: deadline_tick, .. } = of;
        Self::Hold { payment, sender, receiver, amount, deadline_tick, reason }
    }

    pub(crate) fn release(of: &Payment) -> Self {
        let &Payment { id: payment, parent, sender, receiver, amount, deadline: deadline_tick, rail, .. } = of;
        Self::Release { payment, parent, sender, receiver, amount, deadline_tick, rail }
    }

    pub(crate) fn queued(of: &Payment, position: u32, reason: Obstacle) -> Self {
        let &Payment { id: payment, parent, sender, receiver, amount, deadline: deadline_tick, rail, .. } = of;
        Self::Queued { payment, parent, sender, receiver, amount, deadline_tick, rail, position, reason }
    }

    pub(crate) fn limit_hit(of: &Payment, reason: Obstacle, available: Cents) -> Self {
        let &Payment { id: payment, sender, receiver, amount, rail, .. } = of;
        Self::LimitHit { payment, sender, receiver, amount, rail, reason, available }
    }

    pub(crate) fn settlement(of: &Payment, mechanism: Mechanism) -> Self {
        let &Payment { id: payment, parent, sender, receiver, amount, rail, .. } = of;
        let (arrival_tick, deadline_tick) = (of.arrival, of.deadline);
        Self::Settlement { payment, parent, sender, receiver, amount, arrival_tick, deadline_tick, rail, mechanism }
    }

    pub(crate) fn overdue(of: &Payment, penalty: Cents) -> Self {
        let &Payment { id: payment, sender, receiver, amount, deadline: deadline_tick, .. } = of;
        Self::Overdue { payment, sender, receiver, amount, deadline_tick, penalty }
    }

    pub(crate) fn cancellation(of: &Payment) -> Self {
        let &Payment { id: payment, parent, sender, receiver, amount, rail, .. } = of;
        let (arrival_tick, deadline_tick) = (of.arrival, of.deadline);
        Self::Cancellation { payment, parent, sender, receiver, amount, arrival_tick, deadline_tick, rail }
    }
}
