//! The events of a run, recorded only on request; training never records them.

use super::schema::{event_schema, string_enum};
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
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Event {
    /// A day begins.
    Day {
        /// The day, from 0.
        day: u32,
        /// The day's first tick.
        tick: Tick,
    },
    /// A bank's account opens for a day.
    Opening {
        /// The bank.
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
        /// Credit that the collateral adds.
        collateral_credit: Cents,
    },
    /// A bank commits liquidity from its pool.
    PoolCommitment {
        /// The bank.
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
    Urgency {
        /// The payment.
        payment: PaymentId,
        /// Paying bank.
        sender: BankId,
        /// Priority including the escalation near the deadline.
        urgency: u8,
    },
    /// The scenario orders a payment, whose arrival follows.
    PaymentEvent {
        /// Paying bank.
        sender: BankId,
        /// Receiving bank.
        receiver: BankId,
        /// Amount of the payment.
        amount: Cents,
    },
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
        /// The bank.
        bank: BankId,
        /// Credit limit before the change.
        previous_credit_limit: Cents,
        /// New credit limit.
        credit_limit: Cents,
    },
    /// A bank's collateral changes.
    CollateralChange {
        /// The bank.
        bank: BankId,
        /// Collateral before the change.
        previous_collateral: Cents,
        /// New collateral.
        collateral: Cents,
        /// Credit that the collateral adds.
        collateral_credit: Cents,
    },
    /// A bank cannot release payments for some ticks.
    Outage {
        /// The bank.
        bank: BankId,
        /// First tick in which the bank can release again.
        until_tick: Tick,
    },
    /// The day ends with this tick.
    EarlyClose,
    /// A payment order reaches the internal queue of its bank.
    Arrival {
        /// The payment.
        payment: PaymentId,
        /// Paying bank.
        sender: BankId,
        /// Receiving bank.
        receiver: BankId,
        /// Amount of the payment.
        amount: Cents,
        /// Last tick on time.
        deadline_tick: Tick,
        /// Priority, 0 to 10.
        priority: u8,
        /// Priority including the escalation near the deadline.
        urgency: u8,
        /// Whether the payment may be split.
        divisible: bool,
        /// Rail of the payment.
        rail: RailId,
    },
    /// A payment stays in its internal queue for this tick.
    Hold {
        /// The payment.
        payment: PaymentId,
        /// Paying bank.
        sender: BankId,
        /// Receiving bank.
        receiver: BankId,
        /// Amount of the payment.
        amount: Cents,
        /// Last tick on time.
        deadline_tick: Tick,
        /// Why the payment is held.
        reason: HoldReason,
    },
    /// A payment, or a part of one, is released to settlement.
    Release {
        /// The payment.
        payment: PaymentId,
        /// The payment that this one is a part of.
        parent: Option<PaymentId>,
        /// Paying bank.
        sender: BankId,
        /// Receiving bank.
        receiver: BankId,
        /// Amount of the payment.
        amount: Cents,
        /// Last tick on time.
        deadline_tick: Tick,
        /// Rail of the payment.
        rail: RailId,
    },
    /// A payment is replaced by parts, whose releases follow.
    Split {
        /// The payment.
        payment: PaymentId,
        /// Paying bank.
        sender: BankId,
        /// Amount of the payment.
        amount: Cents,
        /// Number of parts.
        parts: u8,
        /// Split fee.
        fee: Cents,
    },
    /// A part of a payment is split off; its release follows.
    Cut {
        /// The payment.
        payment: PaymentId,
        /// Paying bank.
        sender: BankId,
        /// Amount of the part.
        released_amount: Cents,
        /// Amount that stays.
        remaining_amount: Cents,
        /// Split fee.
        fee: Cents,
    },
    /// A payment settles, which is final.
    Settlement {
        /// The payment.
        payment: PaymentId,
        /// The payment that this one is a part of.
        parent: Option<PaymentId>,
        /// Paying bank.
        sender: BankId,
        /// Receiving bank.
        receiver: BankId,
        /// Amount of the payment.
        amount: Cents,
        /// Tick in which the order arrived.
        arrival_tick: Tick,
        /// Last tick on time.
        deadline_tick: Tick,
        /// Rail of the payment.
        rail: RailId,
        /// How the payment settles.
        mechanism: Mechanism,
    },
    /// A released payment has not settled in its tick and joins the central queue.
    Queued {
        /// The payment.
        payment: PaymentId,
        /// The payment that this one is a part of.
        parent: Option<PaymentId>,
        /// Paying bank.
        sender: BankId,
        /// Receiving bank.
        receiver: BankId,
        /// Amount of the payment.
        amount: Cents,
        /// Last tick on time.
        deadline_tick: Tick,
        /// Rail of the payment.
        rail: RailId,
        /// Position in the sender's queue on that rail, from 0.
        position: u32,
        /// Why the payment does not settle.
        reason: Obstacle,
    },
    /// The head of a bank's central queue lacks liquidity or headroom.
    LimitHit {
        /// The payment.
        payment: PaymentId,
        /// Paying bank.
        sender: BankId,
        /// Receiving bank.
        receiver: BankId,
        /// Amount of the payment.
        amount: Cents,
        /// Rail of the payment.
        rail: RailId,
        /// Why the payment does not settle.
        reason: Obstacle,
        /// Amount that would settle.
        available: Cents,
    },
    /// A bank's deferred receipts of this tick are credited to its account.
    Landing {
        /// The bank.
        bank: BankId,
        /// Total credited.
        amount: Cents,
    },
    /// A payment has missed its deadline.
    Overdue {
        /// The payment.
        payment: PaymentId,
        /// Paying bank.
        sender: BankId,
        /// Receiving bank.
        receiver: BankId,
        /// Amount of the payment.
        amount: Cents,
        /// Last tick on time.
        deadline_tick: Tick,
        /// Deadline penalty, which the sender's `cost` event includes.
        penalty: Cents,
    },
    /// A bank ends the day with unsettled payments.
    EndOfDay {
        /// The bank.
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
        /// The payment.
        payment: PaymentId,
        /// The payment that this one is a part of.
        parent: Option<PaymentId>,
        /// Paying bank.
        sender: BankId,
        /// Receiving bank.
        receiver: BankId,
        /// Amount of the payment.
        amount: Cents,
        /// Tick in which the order arrived.
        arrival_tick: Tick,
        /// Last tick on time.
        deadline_tick: Tick,
        /// Rail of the payment.
        rail: RailId,
    },
    /// Committed liquidity returns to the pool at the close of a day.
    PoolReturn {
        /// The bank.
        bank: BankId,
        /// Liquidity returned.
        amount: Cents,
    },
    /// A day is over.
    DayEnd {
        /// The day, from 0.
        day: u32,
    },
    /// A bank is charged a cost component of a tick or opening step.
    Cost {
        /// The bank.
        bank: BankId,
        /// Name of the cost component.
        component: &'static str,
        /// Total charged, including the fees and penalties of earlier events.
        amount: Cents,
    },
}
}
