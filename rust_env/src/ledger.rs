//! The ledger: every bank and every unsettled payment, and the few moves that change them.
//!
//! All that happens to a payment goes through here, so that queues, totals, statistics and events
//! cannot disagree.

use crate::arrivals::Order;
use crate::bank::Bank;
use crate::costs::{Component, Prices};
use crate::events::{Event, EventLog};
use crate::payment::{Book, Payment, Slot, split_amounts};
use crate::policy::Decision;
use crate::scenario::QueueDiscipline;
use crate::units::{Cents, Tick};
use std::sync::Arc;

/// Every bank and every unsettled payment of a system.
pub struct Ledger {
    /// What waiting, borrowing and splitting cost.
    pub prices: Arc<Prices>,
    /// Who may pay before whom in a bank's central queue.
    pub queue_discipline: QueueDiscipline,
    /// The banks, in the order of the scenario.
    pub banks: Vec<Bank>,
    /// The unsettled payments.
    pub book: Book,
    /// What happened, if anybody wants to know.
    pub events: EventLog,
    /// The current tick.
    pub now: Tick,
}

impl Ledger {
    /// A new order joins its sender's internal queue.
    pub fn enter(&mut self, order: &Order) {
        let slot = self.book.enter(order);
        let statistics = &mut self.banks[order.sender.index()].statistics;
        statistics.arrived_count += 1;
        statistics.arrived_value += order.amount;
        self.events.record(|| Event::arrival(self.book.get(slot)));
        self.add(slot);
        self.banks[order.sender.index()].queue(slot, &self.book);
    }

    /// Carries out a bank's decisions, in queue order; what has none is held.
    pub fn release(&mut self, bank: usize) {
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
        });
        drop(next);
        self.banks[bank].internal = queue;
        self.banks[bank].decisions = decisions;
    }

    /// Replaces a payment by its parts and releases them all.
    fn split(&mut self, slot: Slot, parts: u8) {
        self.subtract(slot);
        let whole = self.book.remove(slot);
        let fee = self.prices.split(parts);
        let bank = &mut self.banks[whole.sender.index()];
        bank.statistics.split_count += i64::from(parts) - 1;
        bank.charge(Component::Split, fee);
        self.events.record(|| Event::Split { payment: whole.id, bank: whole.sender, parts, fee });
        for amount in split_amounts(whole.amount, parts) {
            let part = self.book.enter_part(&whole, amount);
            self.add(part);
            self.submit(part);
        }
    }

    /// Sends a payment to settlement.
    fn submit(&mut self, slot: Slot) {
        let payment = self.book.get(slot);
        self.events.record(|| Event::Release { payment: payment.id, parent: payment.parent, bank: payment.sender });
        self.enqueue(slot);
    }

    /// Puts a payment into its sender's central queue.
    fn enqueue(&mut self, slot: Slot) {
        self.subtract(slot);
        self.book.get_mut(slot).is_released = true;
        self.add(slot);
        let payment = self.book.get(slot);
        let (sender, receiver, amount) = (payment.sender.index(), payment.receiver.index(), payment.amount);
        let queue = &mut self.banks[sender].central;
        match self.queue_discipline {
            QueueDiscipline::Fifo | QueueDiscipline::FifoBypass => queue.push_back(slot),
            QueueDiscipline::Priority => {
                let place = queue.partition_point(|other| self.book.get(*other).priority >= payment.priority);
                queue.insert(place, slot);
            }
        }
        self.banks[sender].central_value += amount;
        self.banks[receiver].incoming_count += 1;
        self.banks[receiver].incoming_value += amount;
    }

    /// Settles a payment that its sender's central queue has let go.
    pub fn settle(&mut self, slot: Slot) {
        let payment = self.leave_central(slot);
        self.banks[payment.sender.index()].statistics.settled_count += 1;
        self.banks[payment.sender.index()].statistics.settled_value += payment.amount;
        self.banks[payment.sender.index()].pay(payment.amount, payment.receiver.index());
        self.banks[payment.receiver.index()].receive(payment.amount, payment.sender.index(), self.now);
        self.events.record(|| Event::Settlement {
            payment: payment.id,
            sender: payment.sender,
            receiver: payment.receiver,
            amount: payment.amount,
        });
    }

    /// Cancels a payment that its sender's central queue has let go.
    pub fn cancel(&mut self, slot: Slot) {
        let payment = self.leave_central(slot);
        self.banks[payment.sender.index()].statistics.dropped_count += 1;
        self.events.record(|| Event::Cancellation {
            payment: payment.id,
            bank: payment.sender,
            amount: payment.amount,
        });
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
        self.subtract(slot);
        let payment = self.book.remove(slot);
        let sender = &mut self.banks[payment.sender.index()];
        sender.central_value -= payment.amount;
        let ticks = i128::from(self.now.0 - payment.arrival.0);
        sender.statistics.delay_value += ticks * i128::from(payment.amount.0);
        let receiver = &mut self.banks[payment.receiver.index()];
        receiver.incoming_count -= 1;
        receiver.incoming_value -= payment.amount;
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
        for slot in internal.iter().chain(&central) {
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
        for slot in internal.iter().chain(&central) {
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
        let (id, sender) = (payment.id, payment.sender);
        self.add(slot);
        self.banks[sender.index()].charge(Component::Deadline, self.prices.deadline());
        self.events.record(|| Event::Overdue { payment: id, bank: sender });
    }

    /// The payments of a bank that have not settled, internal queue first.
    pub fn unsettled(&self, bank: usize) -> impl Iterator<Item = &Payment> {
        let bank = &self.banks[bank];
        bank.internal.iter().chain(&bank.central).map(|slot| self.book.get(*slot))
    }

    /// Sum of all balances.
    #[must_use]
    pub fn money(&self) -> Cents {
        self.banks.iter().map(|bank| bank.balance).sum()
    }

    /// From now on the payment's delay is charged, at its present price.
    fn add(&mut self, slot: Slot) {
        let payment = self.book.get(slot);
        let bank = &mut self.banks[payment.sender.index()];
        bank.delay_charge += self.prices.delay(payment);
        if !payment.is_overdue {
            bank.next_deadline = bank.next_deadline.min(payment.deadline);
        }
    }

    /// The payment's delay is no longer charged at its present price.
    fn subtract(&mut self, slot: Slot) {
        let payment = self.book.get(slot);
        self.banks[payment.sender.index()].delay_charge -= self.prices.delay(payment);
    }
}
