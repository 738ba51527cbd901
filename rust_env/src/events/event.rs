//! One thing that happened in a system.

use crate::units::{BankId, Cents, PaymentId, RailId, Tick};
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

/// What keeps a released payment from settling.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Obstacle {
    /// Its bank's balance and credit.
    Liquidity,
    /// What its bank may pay all others today.
    MultilateralLimit,
    /// What its bank may pay its receiver today.
    BilateralLimit,
    /// A payment before it in the same queue.
    Behind,
    /// The cycle of its deferred net rail, which has yet to end or is not covered.
    Cycle,
}

/// Why a payment stays in its internal queue.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum HoldReason {
    /// Its bank wants it so.
    Decision,
    /// Its bank can release nothing.
    Outage,
}

/// One thing that happened.
///
/// Who adds up all events of an episode from its first one has every balance, every queue, and, from
/// [`Event::Cost`] alone, every cost at the end of each tick.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Event {
    /// A day begins.
    Day {
        /// Which, from 0.
        day: u32,
        /// Its first tick.
        tick: Tick,
    },
    /// A bank's account opens for a day.
    Opening {
        /// The bank.
        bank: BankId,
        /// Balance at the last close; on the first day the opening balance.
        closing_balance: Cents,
        /// Overnight loan that is paid back.
        loan_repaid: Cents,
        /// Opening balance; what differs from the close less the loan is the overnight reset.
        balance: Cents,
        /// How far the balance may fall below zero.
        credit_limit: Cents,
        /// Value of its pledged assets.
        collateral: Cents,
        /// What they add to its credit.
        collateral_credit: Cents,
    },
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
        /// Its priority with what it has gained near its deadline.
        urgency: u8,
        /// Whether it may be split.
        divisible: bool,
        /// Its rail.
        rail: RailId,
    },
    /// A payment gains urgency, and with it perhaps a better place in its internal queue.
    Urgency {
        /// The payment.
        payment: PaymentId,
        /// Paying bank.
        bank: BankId,
        /// Its priority with what it has gained near its deadline.
        urgency: u8,
    },
    /// A payment stays in its internal queue for this tick.
    Hold {
        /// The payment.
        payment: PaymentId,
        /// Paying bank.
        bank: BankId,
        /// Receiving bank.
        receiver: BankId,
        /// Cents.
        amount: Cents,
        /// Last tick on time.
        deadline_tick: Tick,
        /// Why.
        reason: HoldReason,
    },
    /// A bank sends a payment to settlement.
    Release {
        /// The payment.
        payment: PaymentId,
        /// The payment it is a part of.
        parent: Option<PaymentId>,
        /// Paying bank.
        bank: BankId,
        /// Receiving bank.
        receiver: BankId,
        /// Cents.
        amount: Cents,
        /// Last tick on time.
        deadline_tick: Tick,
        /// Its rail.
        rail: RailId,
    },
    /// A bank replaces a payment by parts.
    Split {
        /// The payment.
        payment: PaymentId,
        /// Paying bank.
        bank: BankId,
        /// Its cents.
        amount: Cents,
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
        /// Cents that stay.
        rest: Cents,
        /// Cents.
        fee: Cents,
    },
    /// A released payment has not settled in its tick, and waits in the central queue.
    Queued {
        /// The payment.
        payment: PaymentId,
        /// The payment it is a part of.
        parent: Option<PaymentId>,
        /// Paying bank.
        bank: BankId,
        /// Receiving bank.
        receiver: BankId,
        /// Cents.
        amount: Cents,
        /// Last tick on time.
        deadline_tick: Tick,
        /// Its rail.
        rail: RailId,
        /// Its place in its bank's queue on that rail, from 0.
        place: u32,
        /// What keeps it from settling.
        reason: Obstacle,
    },
    /// The first payment of a bank's central queue waits on, because its bank's means or limits do not cover it.
    LimitHit {
        /// The payment.
        payment: PaymentId,
        /// Paying bank.
        bank: BankId,
        /// Receiving bank.
        receiver: BankId,
        /// Cents.
        amount: Cents,
        /// Its rail.
        rail: RailId,
        /// What keeps it from settling.
        reason: Obstacle,
        /// Cents that this allows.
        available: Cents,
    },
    /// A payment is final.
    Settlement {
        /// The payment.
        payment: PaymentId,
        /// The payment it is a part of.
        parent: Option<PaymentId>,
        /// Paying bank.
        sender: BankId,
        /// Receiving bank.
        receiver: BankId,
        /// Cents.
        amount: Cents,
        /// When the order came.
        arrival_tick: Tick,
        /// Last tick on time.
        deadline_tick: Tick,
        /// Its rail.
        rail: RailId,
        /// How.
        mechanism: Mechanism,
    },
    /// Receipts of this tick, deferred by their rail, reach the account of their bank.
    Landing {
        /// The bank.
        bank: BankId,
        /// Cents.
        amount: Cents,
    },
    /// A payment has missed its deadline.
    Overdue {
        /// The payment.
        payment: PaymentId,
        /// Paying bank.
        bank: BankId,
        /// Receiving bank.
        receiver: BankId,
        /// Cents.
        amount: Cents,
        /// Last tick on time.
        deadline_tick: Tick,
        /// What that costs, in cents; part of the bank's [`Event::Cost`].
        penalty: Cents,
    },
    /// A payment is dropped at the end of a day.
    Cancellation {
        /// The payment.
        payment: PaymentId,
        /// The payment it is a part of.
        parent: Option<PaymentId>,
        /// Paying bank.
        bank: BankId,
        /// Receiving bank.
        receiver: BankId,
        /// Cents.
        amount: Cents,
        /// When the order came.
        arrival_tick: Tick,
        /// Last tick on time.
        deadline_tick: Tick,
        /// Its rail.
        rail: RailId,
    },
    /// What a bank is charged for a component of its costs in a tick, or in an opening that is a step of its own.
    Cost {
        /// The bank.
        bank: BankId,
        /// The component's name.
        component: &'static str,
        /// Cents.
        amount: Cents,
    },
    /// The scenario brings a payment, whose arrival follows.
    PaymentEvent {
        /// Paying bank.
        sender: BankId,
        /// Receiving bank.
        receiver: BankId,
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
        /// Cents until now.
        before: Cents,
        /// Cents.
        credit_limit: Cents,
    },
    /// A bank's collateral changes.
    CollateralChange {
        /// The bank.
        bank: BankId,
        /// Cents until now.
        before: Cents,
        /// Cents.
        collateral: Cents,
        /// What it adds to the bank's credit, in cents.
        collateral_credit: Cents,
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
    /// A day is over.
    DayEnd {
        /// Which, from 0.
        day: u32,
    },
}
