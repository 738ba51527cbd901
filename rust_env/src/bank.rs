//! A bank: its account, its credit, its two queues, what it has paid in costs.

use crate::costs::{COMPONENTS, Component, Costs};
use crate::payment::{Book, Slot};
use crate::policy::Decision;
use crate::scenario::QueueDiscipline;
use crate::setup::BankSetup;
use crate::units::{Accrual, Cents, Tick};
use std::cmp::Reverse;
use std::collections::VecDeque;

/// Ticks that [`Bank::received_recently`] looks back.
pub const RECENT_TICKS: usize = 4;
/// The current tick and the recent ones.
const RING: usize = RECENT_TICKS + 1;

/// A bank of a running system.
#[derive(Clone, Debug, Default)]
pub struct Bank {
    /// Account balance; below zero it is overdrawn.
    pub balance: Cents,
    /// How far the balance may fall below zero.
    pub credit_limit: Cents,
    /// Overnight loan of central-bank money, repaid when the next day opens.
    pub loan: Cents,
    /// Payments not released, by priority, deadline and arrival.
    pub internal: Vec<Slot>,
    /// Payments released and waiting for liquidity, next first.
    pub central: VecDeque<Slot>,
    /// Value of the central queue.
    pub central_value: Cents,
    /// Number of payments that wait in other banks' central queues for this bank.
    pub incoming_count: u32,
    /// Their value.
    pub incoming_value: Cents,
    /// What to do with the internal queue, payment by payment; missing ones are held.
    pub decisions: Vec<Decision>,
    /// Net receipts from each other bank today; kept for learners only, else empty.
    pub bilateral: Vec<Cents>,
    /// Costs of this tick.
    pub tick_costs: Costs,
    /// Costs since the start of the episode.
    pub costs: Costs,
    /// All costs of today.
    pub cost_today: Cents,
    /// What it has done since the start of the episode.
    pub statistics: Statistics,
    /// Value received today.
    pub received_today: Cents,
    /// Value paid today.
    pub paid_today: Cents,
    /// No payment becomes overdue before this tick.
    pub next_deadline: Tick,
    /// One tick of delay of all its unsettled payments, in 10^-12 cents.
    pub delay_charge: i128,
    received: [Cents; RING],
    day_opening: Cents,
    overdraft: Accrual,
    delay: Accrual,
    end_of_day: Accrual,
}

/// What a bank has done since the start of an episode. Parts of a split count as payments.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Statistics {
    /// Orders that came.
    pub arrived_count: i64,
    /// Their value.
    pub arrived_value: Cents,
    /// Payments sent and settled.
    pub settled_count: i64,
    /// Their value.
    pub settled_value: Cents,
    /// Part of it that settled with an overnight loan, when a day closed.
    pub lent_value: Cents,
    /// Payments cancelled at the end of a day.
    pub dropped_count: i64,
    /// Extra parts made by splits.
    pub split_count: i64,
    /// Value times ticks from arrival to settlement or cancellation.
    pub delay_value: i128,
    /// Deepest fall of a day's closing-of-tick balances below that day's opening.
    pub liquidity_used: Cents,
}

impl Bank {
    /// Back to the opening of the episode; keeps the memory of its queues.
    pub fn open_episode(&mut self, setup: &BankSetup, tracked_counterparties: usize) {
        let (mut internal, mut central, mut decisions, mut bilateral) = (
            std::mem::take(&mut self.internal),
            std::mem::take(&mut self.central),
            std::mem::take(&mut self.decisions),
            std::mem::take(&mut self.bilateral),
        );
        internal.clear();
        central.clear();
        decisions.clear();
        bilateral.clear();
        bilateral.resize(tracked_counterparties, Cents::ZERO);
        *self = Self {
            balance: setup.balance,
            credit_limit: setup.credit_limit,
            day_opening: setup.balance,
            next_deadline: Tick(u32::MAX),
            internal,
            central,
            decisions,
            bilateral,
            ..Self::default()
        };
    }

    /// A new day: what is counted by day starts again.
    pub fn open_day(&mut self) {
        self.day_opening = self.balance;
        self.received_today = Cents::ZERO;
        self.paid_today = Cents::ZERO;
        self.cost_today = Cents::ZERO;
        self.received = [Cents::ZERO; RING];
        self.bilateral.fill(Cents::ZERO);
    }

    /// A new tick: what is counted by tick starts again.
    pub fn open_tick(&mut self, now: Tick) {
        self.tick_costs = Costs::default();
        self.received[now.0 as usize % RING] = Cents::ZERO;
    }

    /// What it can pay now: balance and unused credit.
    #[must_use]
    pub fn liquidity(&self) -> Cents {
        self.balance + self.credit_limit
    }

    /// What it could pay beyond all that it has already released.
    #[must_use]
    pub fn uncommitted_liquidity(&self) -> Cents {
        self.liquidity() - self.central_value
    }

    /// What a payment that it releases now could use.
    ///
    /// Where nothing may pass a blocked payment, all that waits comes first; where it may, what waits
    /// is blocked, and leaves everything to what can be paid.
    #[must_use]
    pub fn free_liquidity(&self, discipline: QueueDiscipline) -> Cents {
        match discipline {
            QueueDiscipline::Fifo | QueueDiscipline::Priority => self.uncommitted_liquidity(),
            QueueDiscipline::FifoBypass => self.liquidity(),
        }
    }

    /// Value received in the last `ticks` ticks before `now`, at most [`RECENT_TICKS`].
    #[must_use]
    pub fn received_recently(&self, now: Tick, ticks: usize) -> Cents {
        (1..=ticks.min(RECENT_TICKS)).map(|back| self.received[(now.0 as usize + RING - back) % RING]).sum()
    }

    /// Adds to the account what `counterparty` paid.
    pub fn receive(&mut self, amount: Cents, counterparty: usize, now: Tick) {
        self.balance += amount;
        self.received_today += amount;
        self.received[now.0 as usize % RING] += amount;
        if let Some(position) = self.bilateral.get_mut(counterparty) {
            *position += amount;
        }
    }

    /// Takes from the account what goes to `counterparty`.
    pub fn pay(&mut self, amount: Cents, counterparty: usize) {
        self.balance -= amount;
        self.paid_today += amount;
        if let Some(position) = self.bilateral.get_mut(counterparty) {
            *position -= amount;
        }
    }

    /// Puts a payment into the internal queue: by priority, then deadline, then arrival.
    pub fn queue(&mut self, slot: Slot, book: &Book) {
        let rank = |slot: Slot| {
            let payment = book.get(slot);
            (Reverse(payment.priority), payment.deadline, payment.id)
        };
        let own = rank(slot);
        let place = self.internal.partition_point(|other| rank(*other) < own);
        self.internal.insert(place, slot);
    }

    /// Charges whole cents.
    pub fn charge(&mut self, component: Component, amount: Cents) {
        self.tick_costs[component as usize] += amount;
    }

    /// Charges an exact amount that accrues; the component's name if it exceeds 64 bits of cents.
    ///
    /// # Errors
    /// The name of the component.
    pub fn accrue(&mut self, component: Component, charge: i128) -> Result<(), &'static str> {
        let accrual = match component {
            Component::Overdraft => &mut self.overdraft,
            Component::EndOfDay => &mut self.end_of_day,
            _ => &mut self.delay,
        };
        let amount = accrual.charge(charge).ok_or(COMPONENTS[component as usize])?;
        self.charge(component, amount);
        Ok(())
    }

    /// Closes a tick's books.
    pub fn close_tick(&mut self) {
        for (total, cost) in self.costs.iter_mut().zip(self.tick_costs) {
            *total += cost;
            self.cost_today += cost;
        }
    }

    /// Notes how far the balance has fallen below the day's opening.
    pub fn note_liquidity_use(&mut self) {
        let used = &mut self.statistics.liquidity_used;
        *used = (*used).max(self.day_opening - self.balance);
    }
}
