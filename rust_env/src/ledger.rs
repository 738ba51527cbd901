//! The ledger: banks, unsettled payments and the operations on them.
//!
//! Every change of a payment goes through the ledger, so that queues, totals, statistics and events agree.

use crate::bank::Bank;
use crate::costs::Component;
use crate::events::{Event, EventLog, Mechanism};
use crate::payment::{Decision, Order, Payment, RtgsPriority, split_amounts};
use crate::scenario::QueueDiscipline;
use crate::system_setup::SystemSetup;
use crate::units::{Cents, PaymentId, RailId, Tick};
use std::collections::VecDeque;
use std::sync::Arc;

/// Banks and unsettled payments of a system.
pub struct Ledger {
    /// Compiled scenario.
    pub setup: Arc<SystemSetup>,
    /// Banks, in the order of the scenario.
    pub banks: Vec<Bank>,
    /// Id of the next payment or part.
    pub next_id: PaymentId,
    /// Log of events.
    pub events: EventLog,
    /// Current tick.
    pub now: Tick,
    /// Number of payments of this tick that settled on release.
    pub settled_at_once: u32,
    flows: Vec<Flow>,
}

/// Total payments and receipts of a bank in a simultaneous settlement.
#[derive(Clone, Copy, Default)]
struct Flow {
    paid: Cents,
    received: Cents,
}

impl Ledger {
    /// Creates a ledger without payments; its banks must be reset.
    pub fn new(setup: Arc<SystemSetup>, events: EventLog) -> Self {
        let banks = vec![Bank::default(); setup.banks.len()];
        Self { setup, banks, next_id: PaymentId::FIRST, events, now: Tick(0), settled_at_once: 0, flows: Vec::new() }
    }

    fn new_id(&mut self) -> PaymentId {
        let id = self.next_id;
        self.next_id = PaymentId(id.0.saturating_add(1));
        id
    }

    /// Number of unsettled payments.
    pub fn num_unsettled(&self) -> usize {
        self.banks.iter().map(|bank| bank.internal.len() + bank.central.iter().map(VecDeque::len).sum::<usize>()).sum()
    }

    /// Adds an arriving order to its sender's internal queue.
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

    /// Removes a bank's orders from the id `first` on, and its decisions.
    ///
    /// The orders must be in its internal queue. Returns their number.
    pub(crate) fn remove_orders_from(&mut self, bank: usize, first: PaymentId) -> u32 {
        let Self { setup, banks, .. } = self;
        let mut queue = std::mem::take(&mut banks[bank].internal);
        let mut removed = 0;
        for payment in queue.extract_if(.., |payment| payment.id >= first) {
            banks[bank].stop_delay_charge(&payment, &setup.prices);
            banks[bank].statistics.arrived_count -= 1;
            banks[bank].statistics.arrived_value -= payment.amount;
            removed += 1;
        }
        banks[bank].internal = queue;
        banks[bank].decisions.clear();
        removed
    }

    /// Executes a bank's decisions in queue order.
    ///
    /// A payment without a decision is held; in an outage all are.
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

    fn release_payment(&mut self, payment: Payment) {
        self.events.record(|| Event::release(&payment));
        if self.settles_at_once(&payment) {
            self.banks[payment.sender.index()].stop_delay_charge(&payment, &self.setup.prices);
            self.settle_at_once(&payment);
        } else {
            self.enqueue(payment);
        }
    }

    /// Replaces a payment by its parts and releases these.
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

    /// Releases a part of a payment; the rest stays in the internal queue.
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

    /// Whether a payment can settle on release with the same result as in settlement.
    ///
    /// It is the head of its queue and covered, so it settles in this tick in any order of releases. Not with an
    /// event log, which has all releases before the settlements.
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

    fn enqueue(&mut self, mut payment: Payment) {
        let rail = &self.setup.rails[payment.rail.index()];
        let sender = &mut self.banks[payment.sender.index()];
        // The queue affects the charge in no other way.
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

    /// Value of payments from `sender` to `receiver` in visible central queues.
    pub fn incoming_value(&self, sender: usize, receiver: usize) -> Cents {
        let rails = self.setup.rails.iter().zip(&self.banks[sender].central);
        let visible = rails.filter(|(rail, _)| rail.incoming_queue_visible).flat_map(|(_, queue)| queue);
        visible.filter(|payment| payment.receiver.index() == receiver).map(|payment| payment.amount).sum()
    }

    /// Remaining net payments from a bank to another one today; `None`: no limit.
    pub fn bilateral_headroom(&self, bank: usize, other: usize) -> Option<Cents> {
        let limit = (*self.setup.banks[bank].limits.bilateral.get(other)?)?;
        let received = self.banks[bank].bilateral.get(other).copied().unwrap_or_default();
        Some(limit + received)
    }

    /// Whether liquidity and limits cover a payment.
    pub fn can_settle(&self, payment: &Payment) -> bool {
        let (sender, receiver) = (payment.sender.index(), payment.receiver.index());
        payment.amount <= self.banks[sender].capacity()
            && self.bilateral_headroom(sender, receiver).is_none_or(|headroom| payment.amount <= headroom)
    }

    /// Liquidity available to a payment that the bank releases now to a rail.
    ///
    /// Queued payments come first, unless payments may bypass them.
    pub fn free_liquidity(&self, bank: usize, rail: RailId) -> Cents {
        match self.setup.rails[rail.index()].queue_discipline {
            QueueDiscipline::Fifo | QueueDiscipline::Priority => self.banks[bank].uncommitted_liquidity(),
            QueueDiscipline::FifoBypass => self.banks[bank].capacity(),
        }
    }

    /// Settles a payment that was removed from its central queue.
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

    /// Settles payments of one rail simultaneously.
    ///
    /// On a rail with deferred crediting, receipts cover payments of the same call; only net receipts are deferred.
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

    /// Cancels a payment that was removed from its central queue.
    pub fn cancel(&mut self, payment: &Payment) {
        self.remove_from_central(payment);
        let sender = &mut self.banks[payment.sender.index()];
        sender.add_delay_value(payment, self.now);
        sender.statistics.dropped_count += 1;
        self.events.record(|| Event::cancellation(payment));
    }

    /// Moves a bank's internal queue to its central queues for the end of day.
    ///
    /// The bank did not decide so: the event log shows no release.
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

    /// Marks payments that become overdue in this tick and charges the penalty.
    pub fn mark_overdue(&mut self, bank: usize) {
        let Self { setup, banks, events, now, .. } = self;
        if banks[bank].next_deadline > *now {
            return;
        }
        let Bank { internal, central, delay_charge, next_deadline, .. } = &mut banks[bank];
        *next_deadline = Tick(u32::MAX);
        let mut penalty = Cents::ZERO;
        for payment in internal.iter_mut().chain(central.iter_mut().flatten()).filter(|payment| !payment.is_overdue) {
            if payment.deadline <= *now {
                *delay_charge -= setup.prices.delay(payment);
                payment.is_overdue = true;
                *delay_charge += setup.prices.delay(payment);
                penalty += setup.prices.deadline_penalty;
                events.record(|| Event::overdue(payment, setup.prices.deadline_penalty));
            } else {
                *next_deadline = payment.deadline.min(*next_deadline);
            }
        }
        banks[bank].charge(Component::Deadline, penalty);
    }

    /// Sum of all balances, including deferred receipts.
    pub fn money(&self) -> Cents {
        self.banks.iter().map(|bank| bank.balance + bank.deferred).sum()
    }
}
