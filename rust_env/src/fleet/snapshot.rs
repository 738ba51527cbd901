//! Unscaled snapshot of a learner's state in cents, for display.

use crate::costs::Costs;
use crate::payment::{Nearness, Payment};
use crate::system::System;
use crate::units::{BankId, Cents, Tick};

/// Urgency classes of unsettled payments.
pub const URGENCIES: [&str; 4] = ["overdue", "due", "soon", "later"];

/// Index in [`URGENCIES`] of a queued payment.
pub fn urgency_class(is_overdue: bool, deadline: Tick, now: Tick) -> usize {
    if is_overdue { 0 } else { 1 + Nearness::of(deadline, now) as usize }
}

/// Unscaled snapshot of a learner's state.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BankSnapshot {
    /// The learner.
    pub bank: BankId,
    /// Current tick of the episode.
    pub tick: u32,
    /// Current day, from 0.
    pub day: u32,
    /// Number of days of the episode.
    pub num_days: u32,
    /// Number of ticks of a day.
    pub ticks_per_day: u32,
    /// Whether the next step commits the pool.
    pub is_opening: bool,
    /// Account balance.
    pub balance: Cents,
    /// Balance plus unused credit.
    pub liquidity: Cents,
    /// Maximum overdraft.
    pub limit: Cents,
    /// Liquidity pool outside the system.
    pub pool: Cents,
    /// Part of the pool that is committed today.
    pub pool_committed: Cents,
    /// Internal queue.
    pub internal: QueueSnapshot,
    /// Central queues.
    pub central: QueueSnapshot,
    /// Value received today.
    pub received_today: Cents,
    /// Value paid today.
    pub paid_today: Cents,
    /// Costs since the start of the day.
    pub costs_today: Costs,
    /// Costs since the start of the episode.
    pub costs: Costs,
}

/// Totals of a queue by urgency class, as in [`URGENCIES`].
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct QueueSnapshot {
    /// Number of payments.
    pub counts: [i64; URGENCIES.len()],
    /// Value of the payments.
    pub values: [Cents; URGENCIES.len()],
}

impl BankSnapshot {
    /// Takes the snapshot of `learner`.
    pub fn of(system: &System, learner: BankId) -> Self {
        let ledger = &system.ledger;
        let bank = &ledger.banks[learner.index()];
        let queue = |payments: &mut dyn Iterator<Item = &Payment>| {
            let mut queue = QueueSnapshot::default();
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
