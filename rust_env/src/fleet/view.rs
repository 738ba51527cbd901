//! What a learner has before it, in whole cents: for people to look at, where an observation is scaled.

use crate::costs::Costs;
use crate::payment::{Nearness, Payment};
use crate::system::System;
use crate::units::{BankId, Cents, Tick};

/// How urgent a queued payment is; every one is in one of these.
pub const URGENCIES: [&str; 4] = ["overdue", "due", "soon", "later"];

/// Index in [`URGENCIES`] of a queued payment.
#[must_use]
pub fn urgency_class(is_overdue: bool, deadline: Tick, now: Tick) -> usize {
    if is_overdue { 0 } else { 1 + Nearness::of(deadline, now) as usize }
}

/// What a learner has before it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct View {
    /// The learner.
    pub bank: BankId,
    /// The tick to be played next, counted from the start of the episode.
    pub tick: u32,
    /// The day, from 0.
    pub day: u32,
    /// Days of the episode.
    pub num_days: u32,
    /// Ticks of a day.
    pub ticks_per_day: u32,
    /// Whether the next step commits the pool.
    pub is_opening: bool,
    /// Account balance.
    pub balance: Cents,
    /// Balance and unused credit.
    pub liquidity: Cents,
    /// How far the balance may fall below zero.
    pub limit: Cents,
    /// Liquidity outside the system.
    pub pool: Cents,
    /// What of it is committed today.
    pub pool_committed: Cents,
    /// Payments that are not released.
    pub internal: QueueView,
    /// Payments that are released and wait for settlement.
    pub central: QueueView,
    /// Value received today.
    pub received_today: Cents,
    /// Value paid today.
    pub paid_today: Cents,
    /// Costs since the start of the day.
    pub costs_today: Costs,
    /// Costs since the start of the episode.
    pub costs: Costs,
}

/// A queue by urgency, as in [`URGENCIES`].
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct QueueView {
    /// Payments.
    pub counts: [i64; URGENCIES.len()],
    /// Their value.
    pub values: [Cents; URGENCIES.len()],
}

impl View {
    /// What `learner` has before it now.
    #[must_use]
    pub fn of(system: &System, learner: BankId) -> Self {
        let ledger = &system.ledger;
        let bank = &ledger.banks[learner.index()];
        let queue = |payments: &mut dyn Iterator<Item = &Payment>| {
            let mut queue = QueueView::default();
            for payment in payments {
                let class = urgency_class(payment.is_overdue, payment.deadline, ledger.now);
                queue.counts[class] += 1;
                queue.values[class] += payment.amount;
            }
            queue
        };
        Self {
            bank: learner,
            tick: ledger.now.0,
            day: system.day(),
            num_days: system.setup.num_days,
            ticks_per_day: system.setup.ticks_per_day,
            is_opening: system.is_opening(),
            balance: bank.balance,
            liquidity: bank.liquidity(),
            limit: bank.credit(),
            pool: system.setup.banks[learner.index()].pool,
            pool_committed: bank.committed,
            internal: queue(&mut bank.internal.iter()),
            central: queue(&mut bank.queued()),
            received_today: bank.received_today,
            paid_today: bank.paid_today,
            costs_today: bank.costs_today(),
            costs: bank.costs,
        }
    }
}
