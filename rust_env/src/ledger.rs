//! The ledger: every bank and every unsettled payment, and the few moves that change them.
//!
//! All that happens to a payment goes through here, so that queues, totals, statistics and events
//! cannot disagree.

use crate::bank::Bank;
use crate::costs::Component;
use crate::events::{Event, EventLog, Mechanism};
use crate::payment::{Decision, Order, Payment, RtgsPriority, split_amounts};
use crate::scenario::QueueDiscipline;
use crate::system_setup::SystemSetup;
use crate::units::{Cents, PaymentId, RailId, Tick};
use std::collections::VecDeque;
use std::sync::Arc;

/// Every bank and every unsettled payment of a system.
pub struct Ledger {
    /// The rules.
    pub setup: Arc<SystemSetup>,
    /// The banks, in the order of the scenario.
    pub banks: Vec<Bank>,
    /// Of the payment that comes or is split off next.
    pub next_id: PaymentId,
    /// What happened, if anybody wants to know.
    pub events: EventLog,
    /// The current tick.
    pub now: Tick,
    /// Payments of this tick that settled the moment they were released.
    pub settled_at_once: u32,
    flows: Vec<Flow>,
}

/// What a bank pays and receives when several payments settle together.
#[derive(Clone, Copy, Default)]
struct Flow {
    paid: Cents,
    received: Cents,
}

impl Ledger {
    /// A ledger without payments; its banks have yet to open.
    #[must_use]
    pub fn new(setup: Arc<SystemSetup>, events: EventLog) -> Self {
        let banks = vec![Bank::default(); setup.banks.len()];
        Self { setup, banks, next_id: PaymentId::FIRST, events, now: Tick(0), settled_at_once: 0, flows: Vec::new() }
    }

    fn new_id(&mut self) -> PaymentId {
        let id = self.next_id;
        self.next_id = PaymentId(id.0.saturating_add(1));
        id
    }

    /// How many payments are unsettled.
    #[must_use]
    pub fn num_unsettled(&self) -> usize {
        self.banks.iter().map(|bank| bank.internal.len() + bank.central.iter().map(VecDeque::len).sum::<usize>()).sum()
    }

    /// A new order joins its sender's internal queue.
    pub fn add_order(&mut self, order: &Order) {
        let mut payment = Payment::new(self.new_id(), order);
        if let Some(escalation) = self.setup.escalation {
            payment.urgency = escalation.urgency(order.priority, order.deadline, self.now);
        }
        self.events.record(|| Event::arrival(&payment));
        let sender = &mut self.banks[order.sender.index()];
        sender.statistics.arrived_count += 1;
        sender.statistics.arrived_value += order.amount;
        sender.start_delay_charge(&payment, &self.setup.prices);
        sender.queue(payment);
    }

    /// Carries out a bank's decisions, in queue order; what has none is held, and so is everything in an outage.
    pub fn release(&mut self, bank: usize) {
        if self.banks[bank].is_out(self.now) {
            self.banks[bank].decisions.clear();
        }
        if self.banks[bank].decisions.is_empty() {
            return;
        }
        let mut queue = std::mem::take(&mut self.banks[bank].internal);
        let mut decisions = std::mem::take(&mut self.banks[bank].decisions);
        let mut next = decisions.drain(..);
        queue.retain_mut(|payment| match next.next().unwrap_or(Decision::Hold) {
            Decision::Hold => true,
            Decision::Release => {
                self.release_payment(*payment);
                false
            }
            Decision::Split(parts) => {
                self.split(payment, parts);
                false
            }
            Decision::Cut(amount) => {
                self.cut(payment, amount);
                true
            }
        });
        drop(next);
        self.banks[bank].internal = queue;
        self.banks[bank].decisions = decisions;
    }

    /// Releases a payment of an internal queue.
    fn release_payment(&mut self, payment: Payment) {
        self.events.record(|| Event::release(&payment));
        if self.settles_at_once(&payment) {
            self.banks[payment.sender.index()].stop_delay_charge(&payment, &self.setup.prices);
            self.settle_at_once(&payment);
        } else {
            self.enqueue(payment);
        }
    }

    /// Replaces a payment by its parts and releases them all.
    fn split(&mut self, original: &Payment, parts: u8) {
        let fee = self.setup.prices.split(parts);
        let bank = &mut self.banks[original.sender.index()];
        bank.stop_delay_charge(original, &self.setup.prices);
        bank.statistics.split_count += i64::from(parts) - 1;
        bank.charge(Component::Split, fee);
        let (payment, sender, amount) = (original.id, original.sender, original.amount);
        self.events.record(|| Event::Split { payment, sender, amount, parts, fee });
        for amount in split_amounts(original.amount, parts) {
            self.release_part(original, amount);
        }
    }

    /// Releases `amount` of a payment as a part of its own; the rest stays where it is.
    fn cut(&mut self, original: &mut Payment, amount: Cents) {
        let fee = self.setup.prices.split(2);
        let bank = &mut self.banks[original.sender.index()];
        bank.stop_delay_charge(original, &self.setup.prices);
        original.amount -= amount;
        bank.start_delay_charge(original, &self.setup.prices);
        bank.statistics.split_count += 1;
        bank.charge(Component::Split, fee);
        let (payment, sender, remaining_amount) = (original.id, original.sender, original.amount);
        self.events.record(|| Event::Cut { payment, sender, released_amount: amount, remaining_amount, fee });
        self.release_part(original, amount);
    }

    /// Releases a part of `original`.
    fn release_part(&mut self, original: &Payment, amount: Cents) {
        let part = original.part(self.new_id(), amount);
        self.events.record(|| Event::release(&part));
        if self.settles_at_once(&part) {
            self.settle_at_once(&part);
        } else {
            self.banks[part.sender.index()].start_delay_charge(&part, &self.setup.prices);
            self.enqueue(part);
        }
    }

    /// Whether a payment need not wait for others to be released: it is first in its queue and can be
    /// paid, and whatever else is paid in this tick, it will be (see [`crate::settlement`]). An event
    /// log tells all releases before it tells what settled.
    fn settles_at_once(&self, payment: &Payment) -> bool {
        self.setup.settles_at_once
            && self.banks[payment.sender.index()].central_value == Cents::ZERO
            && self.can_settle(payment)
            && !self.events.is_recording()
    }

    fn settle_at_once(&mut self, payment: &Payment) {
        self.finalize(payment, Mechanism::Gross);
        self.settled_at_once += 1;
    }

    /// Puts a payment into its sender's central queue.
    fn enqueue(&mut self, mut payment: Payment) {
        let rail = &self.setup.rails[payment.rail.index()];
        let sender = &mut self.banks[payment.sender.index()];
        // Nothing else about the charge depends on where it waits.
        if !self.setup.prices.delay_in_central_queue {
            sender.stop_delay_charge(&payment, &self.setup.prices);
        }
        let class = payment.rtgs_priority.unwrap_or(RtgsPriority::of(payment.urgency));
        (payment.is_released, payment.released, payment.rtgs_priority) = (true, self.now, Some(class));
        let queue = &mut sender.central[payment.rail.index()];
        match rail.queue_discipline {
            QueueDiscipline::Fifo | QueueDiscipline::FifoBypass => queue.push_back(payment),
            QueueDiscipline::Priority => {
                queue.insert(queue.partition_point(|other| other.rtgs_priority >= Some(class)), payment);
            }
        }
        sender.central_value += payment.amount;
        sender.central_floor = sender.central_floor.min(payment.amount);
        if rail.incoming_queue_visible {
            let receiver = &mut self.banks[payment.receiver.index()];
            receiver.incoming_count += 1;
            receiver.incoming_value += payment.amount;
        }
    }

    /// Value of the payments from one bank to another that wait in central queues which show it.
    #[must_use]
    pub fn incoming_value(&self, sender: usize, receiver: usize) -> Cents {
        let rails = self.setup.rails.iter().zip(&self.banks[sender].central);
        let visible = rails.filter(|(rail, _)| rail.incoming_queue_visible).flat_map(|(_, queue)| queue);
        visible.filter(|payment| payment.receiver.index() == receiver).map(|payment| payment.amount).sum()
    }

    /// Most that a bank may pay another one now, whatever its liquidity; `None`: no limit.
    #[must_use]
    pub fn bilateral_headroom(&self, bank: usize, other: usize) -> Option<Cents> {
        let limit = (*self.setup.banks[bank].limits.bilateral.get(other)?)?;
        let received = self.banks[bank].bilateral.get(other).copied().unwrap_or_default();
        Some(limit + received)
    }

    /// Whether a payment can settle by itself now.
    #[must_use]
    pub fn can_settle(&self, payment: &Payment) -> bool {
        let (sender, receiver) = (payment.sender.index(), payment.receiver.index());
        payment.amount <= self.banks[sender].capacity()
            && self.bilateral_headroom(sender, receiver).is_none_or(|headroom| payment.amount <= headroom)
    }

    /// What a payment that a bank releases now to a rail could use.
    ///
    /// Where nothing may pass a blocked payment, all that waits comes first; where it may, what waits
    /// is blocked, and leaves everything to what can be paid.
    #[must_use]
    pub fn free_liquidity(&self, bank: usize, rail: RailId) -> Cents {
        match self.setup.rails[rail.index()].queue_discipline {
            QueueDiscipline::Fifo | QueueDiscipline::Priority => self.banks[bank].uncommitted_liquidity(),
            QueueDiscipline::FifoBypass => self.banks[bank].capacity(),
        }
    }

    /// Settles a payment that its sender's central queue has let go.
    pub fn settle(&mut self, payment: &Payment, mechanism: Mechanism) {
        self.remove_from_central(payment);
        self.finalize(payment, mechanism);
    }

    fn finalize(&mut self, payment: &Payment, mechanism: Mechanism) {
        let is_deferred = self.setup.rails[payment.rail.index()].deferred_crediting;
        let sender = &mut self.banks[payment.sender.index()];
        sender.add_delay_value(payment, self.now);
        sender.statistics.settled_count += 1;
        sender.statistics.settled_value += payment.amount;
        sender.pay(payment.amount, payment.receiver.index());
        let receiver = &mut self.banks[payment.receiver.index()];
        receiver.receive(payment.amount, is_deferred, payment.sender.index());
        self.events.record(|| Event::settlement(payment, mechanism));
    }

    /// Settles payments of one rail in the same instant: even where receipts are deferred, those of
    /// the others pay for a bank's own, and only what it gains on balance waits.
    pub fn settle_together(&mut self, payments: &[Payment], mechanism: Mechanism) {
        self.flows.clear();
        self.flows.resize(self.banks.len(), Flow::default());
        for payment in payments {
            self.flows[payment.sender.index()].paid += payment.amount;
            self.flows[payment.receiver.index()].received += payment.amount;
        }
        let is_deferred =
            payments.first().is_some_and(|payment| self.setup.rails[payment.rail.index()].deferred_crediting);
        payments.iter().for_each(|payment| self.settle(payment, mechanism));
        if is_deferred {
            for (bank, flow) in self.banks.iter_mut().zip(&self.flows) {
                let used = flow.paid.min(flow.received);
                bank.deferred -= used;
                bank.balance += used;
            }
        }
    }

    /// Cancels a payment that its sender's central queue has let go.
    pub fn cancel(&mut self, payment: &Payment) {
        self.remove_from_central(payment);
        let sender = &mut self.banks[payment.sender.index()];
        sender.add_delay_value(payment, self.now);
        sender.statistics.dropped_count += 1;
        self.events.record(|| Event::cancellation(payment));
    }

    /// Moves all of a bank's internal queue into its central queue, to be settled or cancelled by a
    /// day's close: no decision of the bank, so no release.
    pub fn move_to_central(&mut self, bank: usize) {
        let mut queue = std::mem::take(&mut self.banks[bank].internal);
        for payment in queue.drain(..) {
            self.enqueue(payment);
        }
        self.banks[bank].internal = queue;
    }

    fn remove_from_central(&mut self, payment: &Payment) {
        let sender = &mut self.banks[payment.sender.index()];
        sender.stop_delay_charge(payment, &self.setup.prices);
        sender.central_value -= payment.amount;
        if sender.central_value == Cents::ZERO {
            sender.central_floor = Cents(i64::MAX);
        }
        if self.setup.rails[payment.rail.index()].incoming_queue_visible {
            let receiver = &mut self.banks[payment.receiver.index()];
            receiver.incoming_count -= 1;
            receiver.incoming_value -= payment.amount;
        }
    }

    /// Marks what has become overdue by the end of this tick and charges it, once.
    pub fn mark_overdue(&mut self, bank: usize) {
        if self.banks[bank].next_deadline <= self.now {
            self.mark_overdue_until(bank, self.now);
        }
    }

    /// Marks every unsettled payment of a bank overdue, whatever its deadline.
    pub fn mark_all_overdue(&mut self, bank: usize) {
        self.mark_overdue_until(bank, Tick(u32::MAX));
    }

    /// Marks the unsettled payments of a bank with a deadline up to `last`.
    fn mark_overdue_until(&mut self, bank: usize, last: Tick) {
        let Self { setup, banks, events, .. } = self;
        let Bank { internal, central, delay_charge, next_deadline, .. } = &mut banks[bank];
        *next_deadline = Tick(u32::MAX);
        let mut penalty = Cents::ZERO;
        for payment in internal.iter_mut().chain(central.iter_mut().flatten()).filter(|payment| !payment.is_overdue) {
            if payment.deadline <= last {
                *delay_charge -= setup.prices.delay(payment);
                payment.is_overdue = true;
                *delay_charge += setup.prices.delay(payment);
                penalty += setup.prices.deadline();
                events.record(|| Event::overdue(payment, setup.prices.deadline()));
            } else {
                *next_deadline = payment.deadline.min(*next_deadline);
            }
        }
        banks[bank].charge(Component::Deadline, penalty);
    }

    /// Sum of all balances, deferred receipts included.
    #[must_use]
    pub fn money(&self) -> Cents {
        self.banks.iter().map(|bank| bank.balance + bank.deferred).sum()
    }
}
