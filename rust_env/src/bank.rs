//! State of a bank: account, credit, queues and costs.

use crate::costs::{COMPONENTS, Component, Costs, Prices};
use crate::payment::{Decision, Payment};
use crate::system_setup::{BankSetup, Escalation};
use crate::units::{Accrual, Cents, PaymentId, Rate, Tick};
use serde::{Deserialize, Serialize};
use smallvec::SmallVec;
use std::cmp::Reverse;
use std::collections::VecDeque;

/// Maximum number of ticks of [`Bank::received_recently`].
pub const RECENT_TICKS: usize = 4;

/// State of a bank in a running system.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub struct Bank {
    // Fields that every tick reads come first, so that they share cache lines.
    /// Charge for a tick of delay of all its unsettled payments, in 10^-12 cents.
    pub delay_charge: i128,
    /// Statistics since the start of the episode.
    pub statistics: Statistics,
    /// Account balance; negative in an overdraft.
    pub balance: Cents,
    /// Maximum uncollateralised overdraft.
    pub credit_limit: Cents,
    /// Additional credit on pledged assets.
    pub collateral_credit: Cents,
    /// Maximum net payments per day to all banks, if limited.
    pub multilateral_limit: Option<Cents>,
    /// Value of its central queues.
    pub central_value: Cents,
    /// Lower bound of the amounts in its central queues.
    ///
    /// Not saved: the tightness of the bound depends on whether events are recorded.
    #[serde(skip)]
    pub central_floor: Cents,
    /// Value received today.
    pub received_today: Cents,
    /// Value paid today.
    pub paid_today: Cents,
    /// Value received in this tick and the previous ones, latest first.
    pub(crate) received: [Cents; RECENT_TICKS + 1],
    pub(crate) day_opening: Cents,
    /// Costs of this step: a tick, or an opening.
    pub tick_costs: Costs,
    /// Costs since the start of the episode, including the current step.
    pub costs: Costs,
    /// Sum of today's costs.
    pub cost_today: Cents,
    pub(crate) accruals: [Accrual; COMPONENTS.len()],
    /// Internal queue, by urgency, deadline and arrival.
    pub internal: Vec<Payment>,
    /// Central queues, by rail; the head is next.
    pub central: SmallVec<[VecDeque<Payment>; 1]>,
    /// Decisions about the internal queue, by payment; missing ones hold.
    pub decisions: Vec<Decision>,
    /// Today's net receipts from each other bank.
    ///
    /// Empty unless the bank is observed or has bilateral limits.
    pub bilateral: SmallVec<[Cents; 2]>,
    /// Value of incoming payments in visible central queues.
    pub incoming_value: Cents,
    /// Factor on its arrival rate.
    pub arrival_factor: f64,
    /// Number of incoming payments in visible central queues.
    pub incoming_count: u32,
    /// Lower bound of the next tick at which a payment becomes overdue.
    pub next_deadline: Tick,
    /// First tick after its outage.
    pub outage_until: Tick,
    is_step_over: bool,
    /// Value of its pledged assets.
    pub collateral: Cents,
    /// Liquidity committed from its pool today.
    pub committed: Cents,
    /// Share of the pool that a learner or player commits at this opening.
    pub pool_decision: Option<Rate>,
    /// Receipts of this tick that are not yet credited.
    pub deferred: Cents,
    /// Deferred receipts credited in this tick; usable from the next tick on.
    pub landed: Cents,
    /// Overnight loan, repaid when the next day opens.
    pub loan: Cents,
    /// Costs at the start of the day.
    pub(crate) opening_costs: Costs,
    /// Number of payments unsettled at the last end of day.
    pub unsettled_count: u32,
    /// Value of these payments.
    pub unsettled_value: Cents,
    /// Number of payments of ended cycles at the head of each queue.
    pub in_ended_cycle: SmallVec<[u32; 4]>,
}

/// Statistics of a bank since the start of an episode.
///
/// Parts of a split count as payments.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Serialize)]
pub struct Statistics {
    /// Number of arrived orders.
    pub arrived_count: i64,
    /// Value of arrived orders.
    pub arrived_value: Cents,
    /// Number of settled outgoing payments.
    pub settled_count: i64,
    /// Value of settled outgoing payments.
    pub settled_value: Cents,
    /// Part of `settled_value` that settled at an end of day with overnight loans.
    pub lent_value: Cents,
    /// Number of payments cancelled at an end of day.
    pub dropped_count: i64,
    /// Number of additional parts from splits.
    pub split_count: i64,
    /// Sum of value times ticks from arrival to settlement or cancellation.
    pub delay_value: i128,
    /// Maximum decrease of the balance since the day's opening, at the end of ticks.
    pub liquidity_used: Cents,
}

impl Bank {
    /// Resets to the start of an episode; the queues keep their memory.
    pub fn open_episode(&mut self, setup: &BankSetup, rails: usize, tracked_counterparties: usize) {
        let Self { mut internal, mut central, mut in_ended_cycle, mut decisions, mut bilateral, .. } =
            std::mem::take(self);
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

    /// Starts a day: resets the daily counters.
    pub fn open_day(&mut self) {
        self.day_opening = self.balance;
        self.received_today = Cents::ZERO;
        self.paid_today = Cents::ZERO;
        self.opening_costs = self.costs;
        self.cost_today = Cents::ZERO;
        self.received.fill(Cents::ZERO);
        self.bilateral.fill(Cents::ZERO);
    }

    /// Starts a step: resets its costs, unless the step has started already.
    pub fn begin_step(&mut self) {
        if self.is_step_over {
            self.tick_costs = Costs::default();
            self.is_step_over = false;
        }
    }

    /// Starts a tick: resets the counters of a tick.
    pub fn open_tick(&mut self) {
        self.begin_step();
        self.landed = Cents::ZERO;
    }

    /// Maximum overdraft: credit limit plus credit on collateral.
    pub fn credit(&self) -> Cents {
        self.credit_limit + self.collateral_credit
    }

    /// Liquidity: balance plus unused credit.
    pub fn liquidity(&self) -> Cents {
        self.balance + self.credit()
    }

    /// Remaining net payments to all banks today, if limited.
    pub fn multilateral_headroom(&self) -> Option<Cents> {
        self.multilateral_limit.map(|limit| limit + self.received_today - self.paid_today)
    }

    /// Largest payment that it can make: liquidity, within its multilateral limit.
    pub fn capacity(&self) -> Cents {
        self.multilateral_headroom().map_or(self.liquidity(), |headroom| headroom.min(self.liquidity()))
    }

    /// Capacity less the value of its central queues.
    pub fn uncommitted_liquidity(&self) -> Cents {
        self.capacity() - self.central_value
    }

    /// Whether it has an outage.
    pub fn is_out(&self, now: Tick) -> bool {
        now < self.outage_until
    }

    /// Credits liquidity committed from its pool.
    pub fn commit(&mut self, amount: Cents) {
        self.committed = amount;
        self.balance += amount;
        self.day_opening += amount;
    }

    /// Payments of its central queues, by rail.
    pub fn queued(&self) -> impl Iterator<Item = &Payment> {
        self.central.iter().flatten()
    }

    /// Value received in the last `ticks` completed ticks, at most [`RECENT_TICKS`].
    pub fn received_recently(&self, ticks: usize) -> Cents {
        self.received[1..].iter().take(ticks).copied().sum()
    }

    /// Credits a receipt from `counterparty`; a deferred one is credited by [`Bank::land`].
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

    /// Debits a payment to `counterparty`.
    pub fn pay(&mut self, amount: Cents, counterparty: usize) {
        self.balance -= amount;
        self.paid_today += amount;
        if let Some(position) = self.bilateral.get_mut(counterparty) {
            *position -= amount;
        }
    }

    /// Credits the deferred receipts of this tick.
    pub fn land(&mut self) {
        let landed = std::mem::take(&mut self.deferred);
        self.balance += landed;
        self.landed += landed;
    }

    /// Overnight loan needed to settle `value`; receipts deferred in this tick do not count.
    pub fn shortfall(&self, value: Cents) -> Cents {
        (value - (self.balance - self.landed).max(Cents::ZERO)).max(Cents::ZERO)
    }

    /// Unsettled payments: internal queue, then central queues.
    pub fn unsettled(&self) -> impl Iterator<Item = &Payment> {
        self.internal.iter().chain(self.queued())
    }

    /// Sort key of the internal queue.
    pub(crate) fn queue_key(payment: &Payment) -> (Reverse<u8>, Tick, PaymentId) {
        (Reverse(payment.urgency), payment.deadline, payment.id)
    }

    /// Inserts a payment into the internal queue by urgency, deadline and arrival.
    pub fn queue(&mut self, payment: Payment) {
        let index = self.internal.partition_point(|other| Self::queue_key(other) < Self::queue_key(&payment));
        self.internal.insert(index, payment);
    }

    /// Updates the urgency of the internal queue and sorts it.
    pub fn escalate(&mut self, escalation: Escalation, now: Tick) {
        let mut has_changed = false;
        for payment in &mut self.internal {
            let urgency = escalation.urgency(payment.priority, payment.deadline, now);
            has_changed |= urgency != payment.urgency;
            payment.urgency = urgency;
        }
        if has_changed {
            self.internal.sort_unstable_by_key(Self::queue_key);
        }
    }

    /// Adds the payment's current charge for delay to that of the bank.
    pub fn start_delay_charge(&mut self, payment: &Payment, prices: &Prices) {
        self.delay_charge += prices.delay(payment);
        if !payment.is_overdue {
            self.next_deadline = self.next_deadline.min(payment.deadline);
        }
    }

    /// Subtracts the payment's current charge for delay from that of the bank.
    pub fn stop_delay_charge(&mut self, payment: &Payment, prices: &Prices) {
        self.delay_charge -= prices.delay(payment);
    }

    /// Charges cents.
    pub fn charge(&mut self, component: Component, amount: Cents) {
        self.tick_costs[component as usize] += amount;
        self.costs[component as usize] += amount;
        self.cost_today += amount;
    }

    /// Accrues a charge in 10^-12 cents.
    ///
    /// # Errors
    /// The name of the component, if its cost exceeds 64 bits.
    pub fn accrue(&mut self, component: Component, charge: i128) -> Result<(), &'static str> {
        if charge == 0 {
            return Ok(());
        }
        let amount = self.accruals[component as usize].charge(charge).ok_or(COMPONENTS[component as usize])?;
        self.charge(component, amount);
        Ok(())
    }

    /// Ends a tick.
    pub fn close_tick(&mut self) {
        self.received.rotate_right(1);
        self.received[0] = Cents::ZERO;
        self.end_step();
    }

    /// Ends a step: its costs are complete.
    pub fn end_step(&mut self) {
        self.is_step_over = true;
    }

    /// Costs since the start of the episode, without an unfinished step.
    pub fn closed_costs(&self) -> Costs {
        if self.is_step_over { self.costs } else { difference(&self.costs, &self.tick_costs) }
    }

    /// Today's costs, by component.
    pub fn costs_today(&self) -> Costs {
        difference(&self.costs, &self.opening_costs)
    }

    /// Adds the delay of a payment that leaves its queues to the statistics.
    pub fn add_delay_value(&mut self, payment: &Payment, now: Tick) {
        let ticks = i128::from(now.0 - payment.arrival.0);
        self.statistics.delay_value += ticks * i128::from(payment.amount.0);
    }

    /// Updates the statistic of liquidity used.
    pub fn update_liquidity_used(&mut self) {
        let used = &mut self.statistics.liquidity_used;
        *used = (*used).max(self.day_opening - self.balance);
    }
}

fn difference(costs: &Costs, less: &Costs) -> Costs {
    std::array::from_fn(|component| costs[component] - less[component])
}
