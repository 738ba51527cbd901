//! A bank: its account, its credit, its two queues, what it has paid in costs.

use crate::costs::{COMPONENTS, Component, Costs, Prices};
use crate::payment::{Decision, Payment};
use crate::system_setup::{BankSetup, Escalation};
use crate::units::{Accrual, Cents, PaymentId, Rate, Tick};
use serde::{Deserialize, Serialize};
use smallvec::SmallVec;
use std::cmp::Reverse;
use std::collections::VecDeque;

/// Ticks that [`Bank::received_recently`] looks back.
pub const RECENT_TICKS: usize = 4;

/// A bank of a running system.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub struct Bank {
    // What every tick needs comes first, so that it lies close together.
    /// One tick of delay of all its unsettled payments, in 10^-12 cents.
    pub delay_charge: i128,
    /// What it has done since the start of the episode.
    pub statistics: Statistics,
    /// Account balance; below zero it is overdrawn.
    pub balance: Cents,
    /// How far the balance may fall below zero.
    pub credit_limit: Cents,
    /// What its pledged assets add to that.
    pub collateral_credit: Cents,
    /// Its multilateral limit, if it has one.
    pub multilateral_limit: Option<Cents>,
    /// Value of the central queues.
    pub central_value: Cents,
    /// No payment in them is smaller. No part of the state: how near it comes depends on whether events are recorded.
    #[serde(skip)]
    pub central_floor: Cents,
    /// Value received today.
    pub received_today: Cents,
    /// Value paid today.
    pub paid_today: Cents,
    /// Value received in this tick and in the recent ones, the latest first.
    received: [Cents; RECENT_TICKS + 1],
    day_opening: Cents,
    /// Costs of this tick, or of this opening where that is a step of its own.
    pub tick_costs: Costs,
    /// Costs since the start of the episode, those of a step that has begun included.
    pub costs: Costs,
    /// The sum of today's.
    pub cost_today: Cents,
    accruals: [Accrual; COMPONENTS.len()],
    /// Payments not released, by urgency, deadline and arrival.
    pub internal: Vec<Payment>,
    /// Payments released and waiting for settlement, next first, by rail.
    pub central: SmallVec<[VecDeque<Payment>; 1]>,
    /// What to do with the internal queue, payment by payment; missing ones are held.
    pub decisions: Vec<Decision>,
    /// Net receipts from each other bank today; kept for banks that are observed and for banks with bilateral limits, else empty.
    pub bilateral: SmallVec<[Cents; 2]>,
    /// Value of the payments that wait in other banks' central queues for this bank, where the rail shows it.
    pub incoming_value: Cents,
    /// How many times the usual number of orders its customers bring.
    pub arrival_factor: f64,
    /// The number of those that wait for this bank.
    pub incoming_count: u32,
    /// No payment becomes overdue before this tick.
    pub next_deadline: Tick,
    /// It can release nothing before this tick.
    pub outage_until: Tick,
    is_step_over: bool,
    /// Value of its pledged assets.
    pub collateral: Cents,
    /// What it has committed of its pool today.
    pub committed: Cents,
    /// What a learner wants to commit, until the pools are paid in.
    pub pool_decision: Option<Rate>,
    /// Receipts of this tick that have yet to land.
    pub deferred: Cents,
    /// Those that have landed; they cannot be used before the next tick, not even at the day's close.
    pub landed: Cents,
    /// Overnight loan of central-bank money, repaid when the next day opens.
    pub loan: Cents,
    /// What its costs were when the day began.
    opening_costs: Costs,
    /// Payments unsettled at the last close of a day.
    pub unsettled_count: u32,
    /// Their value.
    pub unsettled_value: Cents,
    /// How many payments at the head of each queue belong to an ended cycle of a deferred net rail.
    pub in_ended_cycle: SmallVec<[u32; 4]>,
}

/// What a bank has done since the start of an episode. Parts of a split count as payments.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Serialize)]
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
    pub fn open_episode(&mut self, setup: &BankSetup, rails: usize, tracked_counterparties: usize) {
        let (mut internal, mut central, mut in_ended_cycle, mut decisions, mut bilateral) = (
            std::mem::take(&mut self.internal),
            std::mem::take(&mut self.central),
            std::mem::take(&mut self.in_ended_cycle),
            std::mem::take(&mut self.decisions),
            std::mem::take(&mut self.bilateral),
        );
        internal.clear();
        central.iter_mut().for_each(VecDeque::clear);
        central.resize_with(rails, VecDeque::new);
        in_ended_cycle.clear();
        in_ended_cycle.resize(rails, 0);
        decisions.clear();
        bilateral.clear();
        bilateral.resize(tracked_counterparties, Cents::ZERO);
        *self = Self {
            balance: setup.balance,
            credit_limit: setup.credit_limit,
            collateral: setup.collateral,
            collateral_credit: setup.haircut.complement().share_of(setup.collateral),
            multilateral_limit: setup.limits.multilateral,
            arrival_factor: 1.0,
            day_opening: setup.balance,
            next_deadline: Tick(u32::MAX),
            central_floor: Cents(i64::MAX),
            internal,
            central,
            in_ended_cycle,
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
        self.opening_costs = self.costs;
        self.cost_today = Cents::ZERO;
        self.received.fill(Cents::ZERO);
        self.bilateral.fill(Cents::ZERO);
    }

    /// A new step: its costs start from nothing, unless it has begun already.
    pub fn begin_step(&mut self) {
        if self.is_step_over {
            self.tick_costs = Costs::default();
            self.is_step_over = false;
        }
    }

    /// A new tick: what is counted by tick starts again.
    pub fn open_tick(&mut self) {
        self.begin_step();
        self.landed = Cents::ZERO;
    }

    /// How far below zero its balance may fall: credit limit, and credit on its collateral.
    #[must_use]
    pub fn credit(&self) -> Cents {
        self.credit_limit + self.collateral_credit
    }

    /// What its account can pay now: balance and unused credit.
    #[must_use]
    pub fn liquidity(&self) -> Cents {
        self.balance + self.credit()
    }

    /// How much more it may pay all banks today, if that is limited.
    #[must_use]
    pub fn multilateral_headroom(&self) -> Option<Cents> {
        self.multilateral_limit.map(|limit| limit + self.received_today - self.paid_today)
    }

    /// The largest payment that it can make now: liquidity, within its multilateral limit.
    #[must_use]
    pub fn capacity(&self) -> Cents {
        self.multilateral_headroom().map_or(self.liquidity(), |headroom| headroom.min(self.liquidity()))
    }

    /// What it could pay beyond all that it has already released.
    #[must_use]
    pub fn uncommitted_liquidity(&self) -> Cents {
        self.capacity() - self.central_value
    }

    /// Whether it can release nothing now.
    #[must_use]
    pub fn is_out(&self, now: Tick) -> bool {
        now < self.outage_until
    }

    /// Pays the committed share of its pool into the account.
    pub fn commit(&mut self, amount: Cents) {
        self.committed = amount;
        self.balance += amount;
        self.day_opening += amount;
    }

    /// The payments of its central queues, rail after rail.
    pub fn queued(&self) -> impl Iterator<Item = &Payment> {
        self.central.iter().flatten()
    }

    /// Value received in the last `ticks` ticks that are over, at most [`RECENT_TICKS`].
    #[must_use]
    pub fn received_recently(&self, ticks: usize) -> Cents {
        self.received[1..].iter().take(ticks).copied().sum()
    }

    /// Adds to the account what `counterparty` paid; where receipts are deferred, only once they land.
    pub fn receive(&mut self, amount: Cents, is_deferred: bool, counterparty: usize) {
        if is_deferred {
            self.deferred += amount;
        } else {
            self.balance += amount;
        }
        self.received_today += amount;
        self.received[0] += amount;
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

    /// Lets deferred receipts land.
    pub fn land(&mut self) {
        let landed = std::mem::take(&mut self.deferred);
        self.balance += landed;
        self.landed += landed;
    }

    /// What it must borrow to settle `value` at a day's close: receipts that were deferred do not count.
    #[must_use]
    pub fn shortfall(&self, value: Cents) -> Cents {
        (value - (self.balance - self.landed).max(Cents::ZERO)).max(Cents::ZERO)
    }

    /// Its payments that have not settled, internal queue first.
    pub fn unsettled(&self) -> impl Iterator<Item = &Payment> {
        self.internal.iter().chain(self.queued())
    }

    /// Puts a payment into the internal queue: by urgency, then deadline, then arrival.
    pub fn queue(&mut self, payment: Payment) {
        let place = self.internal.partition_point(|other| rank(other) < rank(&payment));
        self.internal.insert(place, payment);
    }

    /// Gives the payments of the internal queue what urgency they have gained, and puts them in order.
    pub fn escalate(&mut self, escalation: Escalation, now: Tick) {
        let mut has_changed = false;
        for payment in &mut self.internal {
            let urgency = escalation.urgency(payment.priority, payment.deadline, now);
            has_changed |= urgency != payment.urgency;
            payment.urgency = urgency;
        }
        if has_changed {
            self.internal.sort_unstable_by_key(rank);
        }
    }

    /// From now on the payment's delay is charged, at its present price.
    pub fn start_delay_charge(&mut self, payment: &Payment, prices: &Prices) {
        self.delay_charge += prices.delay(payment);
        if !payment.is_overdue {
            self.next_deadline = self.next_deadline.min(payment.deadline);
        }
    }

    /// The payment's delay is no longer charged at its present price.
    pub fn stop_delay_charge(&mut self, payment: &Payment, prices: &Prices) {
        self.delay_charge -= prices.delay(payment);
    }

    /// Charges whole cents.
    pub fn charge(&mut self, component: Component, amount: Cents) {
        self.tick_costs[component as usize] += amount;
        self.costs[component as usize] += amount;
        self.cost_today += amount;
    }

    /// Charges an exact amount that accrues; the component's name if it exceeds 64 bits of cents.
    ///
    /// # Errors
    /// The name of the component.
    pub fn accrue(&mut self, component: Component, charge: i128) -> Result<(), &'static str> {
        if charge == 0 {
            return Ok(());
        }
        let amount = self.accruals[component as usize].charge(charge).ok_or(COMPONENTS[component as usize])?;
        self.charge(component, amount);
        Ok(())
    }

    /// The tick is over.
    pub fn close_tick(&mut self) {
        self.received.rotate_right(1);
        self.received[0] = Cents::ZERO;
        self.end_step();
    }

    /// The costs of this step are complete.
    pub fn end_step(&mut self) {
        self.is_step_over = true;
    }

    /// Costs since the start of the episode, without those of a step that has begun.
    #[must_use]
    pub fn closed_costs(&self) -> Costs {
        if self.is_step_over { self.costs } else { difference(&self.costs, &self.tick_costs) }
    }

    /// Costs of today, by component.
    #[must_use]
    pub fn costs_today(&self) -> Costs {
        difference(&self.costs, &self.opening_costs)
    }

    /// Notes how long a payment of its own has waited that waits no more.
    pub fn add_delay_value(&mut self, payment: &Payment, now: Tick) {
        let ticks = i128::from(now.0 - payment.arrival.0);
        self.statistics.delay_value += ticks * i128::from(payment.amount.0);
    }

    /// Notes how far the balance has fallen below the day's opening.
    pub fn update_liquidity_used(&mut self) {
        let used = &mut self.statistics.liquidity_used;
        *used = (*used).max(self.day_opening - self.balance);
    }
}

fn difference(costs: &Costs, less: &Costs) -> Costs {
    std::array::from_fn(|component| costs[component] - less[component])
}

/// Place of a payment in an internal queue.
fn rank(payment: &Payment) -> (Reverse<u8>, Tick, PaymentId) {
    (Reverse(payment.urgency), payment.deadline, payment.id)
}
