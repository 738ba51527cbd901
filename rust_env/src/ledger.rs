//! The ledger: every bank and every unsettled payment, and the few moves that change them.
//!
//! All that happens to a payment goes through here, so that queues, totals, statistics and events
//! cannot disagree.

use crate::arrivals::Order;
use crate::bank::Bank;
use crate::costs::Component;
use crate::events::{Event, EventLog, Mechanism};
use crate::payment::{Book, Payment, Slot, split_amounts};
use crate::policy::Decision;
use crate::scenario::{QueueDiscipline, RtgsPriority};
use crate::setup::Setup;
use crate::units::{Cents, RailId, Tick};
use std::sync::Arc;

/// Every bank and every unsettled payment of a system.
pub struct Ledger {
    /// The rules.
    pub setup: Arc<Setup>,
    /// The banks, in the order of the scenario.
    pub banks: Vec<Bank>,
    /// The unsettled payments.
    pub book: Book,
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
    pub fn new(setup: Arc<Setup>, events: EventLog) -> Self {
        let banks = vec![Bank::default(); setup.banks.len()];
        Self { setup, banks, book: Book::default(), events, now: Tick(0), settled_at_once: 0, flows: Vec::new() }
    }

    /// A new order joins its sender's internal queue.
    pub fn enter(&mut self, order: &Order) {
        let slot = self.book.enter(order);
        if let Some(escalation) = self.setup.escalation {
            self.book.get_mut(slot).urgency = escalation.urgency(order.priority, order.deadline, self.now);
        }
        let statistics = &mut self.banks[order.sender.index()].statistics;
        statistics.arrived_count += 1;
        statistics.arrived_value += order.amount;
        self.events.record(|| Event::arrival(self.book.get(slot)));
        self.add(slot);
        self.banks[order.sender.index()].queue(slot, &self.book);
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
        queue.retain(|slot| match next.next().unwrap_or(Decision::Hold) {
            Decision::Hold => true,
            Decision::Release => {
                self.submit(*slot);
                false
            }
            Decision::Split(parts) => {
                self.split(*slot, parts);
                false
            }
            Decision::Cut(amount) => {
                self.cut(*slot, amount);
                true
            }
        });
        drop(next);
        self.banks[bank].internal = queue;
        self.banks[bank].decisions = decisions;
    }

    /// Replaces a payment by its parts and releases them all.
    fn split(&mut self, slot: Slot, parts: u8) {
        let whole = self.book.remove(slot);
        self.free_of_charge(&whole);
        let fee = self.setup.prices.split(parts);
        let bank = &mut self.banks[whole.sender.index()];
        bank.statistics.split_count += i64::from(parts) - 1;
        bank.charge(Component::Split, fee);
        self.events.record(|| Event::Split { payment: whole.id, bank: whole.sender, amount: whole.amount, parts, fee });
        for amount in split_amounts(whole.amount, parts) {
            self.submit_part(&whole, amount);
        }
    }

    /// Releases `amount` of a payment as a part of its own; the rest stays where it is.
    fn cut(&mut self, slot: Slot, amount: Cents) {
        self.subtract(slot);
        let whole = self.book.get_mut(slot);
        whole.amount -= amount;
        let whole = *whole;
        self.add(slot);
        let fee = self.setup.prices.split(2);
        let bank = &mut self.banks[whole.sender.index()];
        bank.statistics.split_count += 1;
        bank.charge(Component::Split, fee);
        self.events.record(|| Event::Cut { payment: whole.id, bank: whole.sender, amount, rest: whole.amount, fee });
        self.submit_part(&whole, amount);
    }

    /// Sends a payment to settlement.
    fn submit(&mut self, slot: Slot) {
        let payment = self.book.get(slot);
        self.events.record(|| Event::release(payment));
        if self.settles_at_once(payment) {
            let payment = self.book.remove(slot);
            self.free_of_charge(&payment);
            self.settle_at_once(&payment);
        } else {
            self.enqueue(slot);
        }
    }

    /// Sends a part of `whole` to settlement.
    fn submit_part(&mut self, whole: &Payment, amount: Cents) {
        let part = self.book.part(whole, amount);
        self.events.record(|| Event::release(&part));
        if self.settles_at_once(&part) {
            self.settle_at_once(&part);
        } else {
            let slot = self.book.insert(part);
            self.add(slot);
            self.enqueue(slot);
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
        self.make_final(payment, Mechanism::Gross);
        self.settled_at_once += 1;
    }

    /// Puts a payment into its sender's central queue.
    fn enqueue(&mut self, slot: Slot) {
        // Nothing else about the charge depends on where it waits.
        if !self.setup.prices.delay_in_central_queue {
            self.subtract(slot);
        }
        let payment = self.book.get_mut(slot);
        payment.is_released = true;
        payment.released = self.now;
        let class = payment.rtgs_priority.unwrap_or(RtgsPriority::of(payment.urgency));
        payment.rtgs_priority = Some(class);
        let (amount, receiver, rail_id) = (payment.amount, payment.receiver.index(), payment.rail.index());
        let sender = &mut self.banks[payment.sender.index()];
        let rail = &self.setup.rails[rail_id];
        let queue = &mut sender.central[rail_id];
        match rail.queue_discipline {
            QueueDiscipline::Fifo | QueueDiscipline::FifoBypass => queue.push_back(slot),
            QueueDiscipline::Priority => {
                let place = queue.partition_point(|other| self.book.get(*other).rtgs_priority >= Some(class));
                queue.insert(place, slot);
            }
        }
        sender.central_value += amount;
        if rail.incoming_queue_visible {
            let receiver = &mut self.banks[receiver];
            receiver.incoming_count += 1;
            receiver.incoming_value += amount;
        }
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
    pub fn settle(&mut self, slot: Slot, mechanism: Mechanism) {
        let payment = self.leave_central(slot);
        self.make_final(&payment, mechanism);
    }

    fn make_final(&mut self, payment: &Payment, mechanism: Mechanism) {
        let is_deferred = self.setup.rails[payment.rail.index()].deferred_crediting;
        let sender = &mut self.banks[payment.sender.index()];
        sender.note_wait(payment, self.now);
        sender.statistics.settled_count += 1;
        sender.statistics.settled_value += payment.amount;
        sender.pay(payment.amount, payment.receiver.index());
        let receiver = &mut self.banks[payment.receiver.index()];
        receiver.receive(payment.amount, is_deferred, payment.sender.index(), self.now);
        self.events.record(|| Event::settlement(payment, mechanism));
    }

    /// Settles payments of one rail in the same instant: even where receipts are deferred, those of
    /// the others pay for a bank's own, and only what it gains on balance waits.
    pub fn settle_together(&mut self, slots: &[Slot], mechanism: Mechanism) {
        self.flows.clear();
        self.flows.resize(self.banks.len(), Flow::default());
        for slot in slots {
            let payment = self.book.get(*slot);
            self.flows[payment.sender.index()].paid += payment.amount;
            self.flows[payment.receiver.index()].received += payment.amount;
        }
        let is_deferred =
            slots.first().is_some_and(|slot| self.setup.rails[self.book.get(*slot).rail.index()].deferred_crediting);
        slots.iter().for_each(|slot| self.settle(*slot, mechanism));
        if is_deferred {
            for (bank, flow) in self.banks.iter_mut().zip(&self.flows) {
                let used = flow.paid.min(flow.received);
                bank.deferred -= used;
                bank.balance += used;
            }
        }
    }

    /// Cancels a payment that its sender's central queue has let go.
    pub fn cancel(&mut self, slot: Slot) {
        let payment = self.leave_central(slot);
        let sender = &mut self.banks[payment.sender.index()];
        sender.note_wait(&payment, self.now);
        sender.statistics.dropped_count += 1;
        self.events.record(|| Event::cancellation(&payment));
    }

    /// Moves all of a bank's internal queue into its central queue, to be settled or cancelled by a
    /// day's close: no decision of the bank, so no release.
    pub fn collect(&mut self, bank: usize) {
        let mut queue = std::mem::take(&mut self.banks[bank].internal);
        for slot in queue.drain(..) {
            self.enqueue(slot);
        }
        self.banks[bank].internal = queue;
    }

    fn leave_central(&mut self, slot: Slot) -> Payment {
        let payment = self.book.remove(slot);
        self.free_of_charge(&payment);
        self.banks[payment.sender.index()].central_value -= payment.amount;
        if self.setup.rails[payment.rail.index()].incoming_queue_visible {
            let receiver = &mut self.banks[payment.receiver.index()];
            receiver.incoming_count -= 1;
            receiver.incoming_value -= payment.amount;
        }
        payment
    }

    /// Marks what has become overdue by the end of this tick and charges it, once.
    pub fn mark_overdue(&mut self, bank: usize) {
        if self.banks[bank].next_deadline > self.now {
            return;
        }
        let mut next = Tick(u32::MAX);
        let (internal, central) =
            (std::mem::take(&mut self.banks[bank].internal), std::mem::take(&mut self.banks[bank].central));
        for slot in internal.iter().chain(central.iter().flatten()) {
            let payment = self.book.get(*slot);
            if payment.is_overdue {
                continue;
            }
            if payment.deadline <= self.now {
                self.become_overdue(*slot);
            } else {
                next = next.min(payment.deadline);
            }
        }
        let bank = &mut self.banks[bank];
        (bank.internal, bank.central, bank.next_deadline) = (internal, central, next);
    }

    /// Marks every unsettled payment of a bank overdue, whatever its deadline.
    pub fn mark_all_overdue(&mut self, bank: usize) {
        let (internal, central) =
            (std::mem::take(&mut self.banks[bank].internal), std::mem::take(&mut self.banks[bank].central));
        for slot in internal.iter().chain(central.iter().flatten()) {
            if !self.book.get(*slot).is_overdue {
                self.become_overdue(*slot);
            }
        }
        (self.banks[bank].internal, self.banks[bank].central) = (internal, central);
    }

    fn become_overdue(&mut self, slot: Slot) {
        self.subtract(slot);
        let payment = self.book.get_mut(slot);
        payment.is_overdue = true;
        let sender = payment.sender;
        self.add(slot);
        let penalty = self.setup.prices.deadline();
        self.banks[sender.index()].charge(Component::Deadline, penalty);
        self.events.record(|| Event::overdue(self.book.get(slot), penalty));
    }

    /// The payments of a bank that have not settled, internal queue first.
    pub fn unsettled(&self, bank: usize) -> impl Iterator<Item = &Payment> {
        let bank = &self.banks[bank];
        bank.internal.iter().chain(bank.queued()).map(|slot| self.book.get(*slot))
    }

    /// Sum of all balances, deferred receipts included.
    #[must_use]
    pub fn money(&self) -> Cents {
        self.banks.iter().map(|bank| bank.balance + bank.deferred).sum()
    }

    /// From now on the payment's delay is charged, at its present price.
    fn add(&mut self, slot: Slot) {
        let payment = self.book.get(slot);
        let bank = &mut self.banks[payment.sender.index()];
        bank.delay_charge += self.setup.prices.delay(payment);
        if !payment.is_overdue {
            bank.next_deadline = bank.next_deadline.min(payment.deadline);
        }
    }

    /// The payment's delay is no longer charged at its present price.
    fn subtract(&mut self, slot: Slot) {
        let payment = self.book.get(slot);
        self.banks[payment.sender.index()].delay_charge -= self.setup.prices.delay(payment);
    }

    /// The same for one that has left the book.
    fn free_of_charge(&mut self, payment: &Payment) {
        self.banks[payment.sender.index()].delay_charge -= self.setup.prices.delay(payment);
    }
}
