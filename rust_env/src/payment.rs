//! A payment, its life cycle, and the book that owns them all.
//!
//! internal queue -> (hold | split | release) -> central queue -> settled. A split replaces a
//! payment by its parts, which are payments like any other.

use crate::arrivals::Order;
use crate::scenario::RtgsPriority;
use crate::units::{BankId, Cents, PaymentId, RailId, Tick};
use serde::{Deserialize, Serialize};

/// Ticks within which a deadline counts as soon.
const SOON: u32 = 4;

/// How near a payment's deadline is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Nearness {
    /// This tick, or passed.
    Due,
    /// 1 to 4 ticks away.
    Soon,
    /// Further away.
    Later,
}

/// A payment that has not settled.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Serialize)]
pub struct Payment {
    /// Serial number within the episode, in order of arrival.
    pub id: PaymentId,
    /// The payment this is a part of.
    pub parent: Option<PaymentId>,
    /// Paying bank.
    pub sender: BankId,
    /// Receiving bank.
    pub receiver: BankId,
    /// Amount.
    pub amount: Cents,
    /// When the order came.
    pub arrival: Tick,
    /// Last tick at which it settles on time.
    pub deadline: Tick,
    /// 0 to 10, 10 most urgent; what its delay costs depends on it.
    pub priority: u8,
    /// Its priority with what it has gained near its deadline; its place in the internal queue depends on it.
    pub urgency: u8,
    /// Whether it may be split.
    pub divisible: bool,
    /// Its rail.
    pub rail: RailId,
    /// Its class in the rail's queue; by its urgency at its release unless its order said otherwise.
    pub rtgs_priority: Option<RtgsPriority>,
    /// Whether its deadline has passed and been charged.
    pub is_overdue: bool,
    /// Whether its bank has released it.
    pub is_released: bool,
    /// When it joined the central queue, if it has.
    pub released: Tick,
}

impl Payment {
    /// Whether it may be replaced by this many parts: divisible, with a cent for every part.
    #[must_use]
    pub fn can_be_split(&self, parts: u8) -> bool {
        self.divisible && self.amount.0 >= i64::from(parts)
    }

    /// How near its deadline is.
    #[must_use]
    pub fn nearness(&self, now: Tick) -> Nearness {
        if self.deadline <= now {
            Nearness::Due
        } else if self.deadline.0 <= now.0 + SOON {
            Nearness::Soon
        } else {
            Nearness::Later
        }
    }
}

/// Where the book keeps a payment; valid until the payment leaves the book.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Slot(u32);

/// Owns every unsettled payment of a system. Settled ones make room for new ones.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub struct Book {
    payments: Vec<Payment>,
    free: Vec<Slot>,
    next_id: u64,
}

impl Book {
    /// Forgets everything, but keeps the memory.
    pub fn clear(&mut self) {
        self.payments.clear();
        self.free.clear();
        self.next_id = 0;
    }

    /// An empty book that goes on with the ids of this one.
    #[must_use]
    pub fn without_payments(&self) -> Self {
        Self { next_id: self.next_id, ..Self::default() }
    }

    /// Enters a new order, as urgent as its priority.
    pub fn enter(&mut self, order: &Order) -> Slot {
        let id = self.new_id();
        self.insert(Payment {
            id,
            parent: None,
            sender: order.sender,
            receiver: order.receiver,
            amount: order.amount,
            arrival: order.arrival,
            deadline: order.deadline,
            priority: order.priority,
            urgency: order.priority,
            divisible: order.divisible,
            rail: order.rail,
            rtgs_priority: order.rtgs_priority,
            is_overdue: false,
            is_released: false,
            released: order.arrival,
        })
    }

    /// A part of `whole`, with an id of its own; it has yet to be put in.
    pub fn part(&mut self, whole: &Payment, amount: Cents) -> Payment {
        Payment { id: self.new_id(), parent: Some(whole.id), amount, ..*whole }
    }

    /// Takes a payment out.
    pub fn remove(&mut self, slot: Slot) -> Payment {
        self.free.push(slot);
        self.payments[slot.0 as usize]
    }

    /// The payment in `slot`.
    #[must_use]
    pub fn get(&self, slot: Slot) -> &Payment {
        &self.payments[slot.0 as usize]
    }

    /// The payment in `slot`, to change it.
    pub fn get_mut(&mut self, slot: Slot) -> &mut Payment {
        &mut self.payments[slot.0 as usize]
    }

    /// How many payments are unsettled.
    #[must_use]
    pub fn len(&self) -> usize {
        self.payments.len() - self.free.len()
    }

    /// Whether everything has settled.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn new_id(&mut self) -> PaymentId {
        self.next_id += 1;
        PaymentId(self.next_id)
    }

    /// Puts a payment in.
    pub fn insert(&mut self, payment: Payment) -> Slot {
        if let Some(slot) = self.free.pop() {
            self.payments[slot.0 as usize] = payment;
            return slot;
        }
        // Four billion unsettled payments do not fit any memory before they would overflow this.
        let slot = Slot(u32::try_from(self.payments.len()).unwrap_or(u32::MAX));
        self.payments.push(payment);
        slot
    }
}

/// The amounts of `parts` equal parts of `amount`; the remainder goes to the last.
///
/// `parts` must be at least 1 and at most `amount`.
pub fn split_amounts(amount: Cents, parts: u8) -> impl Iterator<Item = Cents> {
    let (count, each) = (i64::from(parts), amount.0 / i64::from(parts));
    (1..=count).map(move |part| Cents(if part == count { amount.0 - each * (count - 1) } else { each }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_part_takes_the_remainder() {
        let parts: Vec<i64> = split_amounts(Cents(11), 4).map(|part| part.0).collect();
        assert_eq!(parts, [2, 2, 2, 5]);
    }

    #[test]
    fn the_book_reuses_room_but_not_ids() {
        let order = Order {
            sender: BankId(0),
            receiver: BankId(1),
            amount: Cents(5),
            arrival: Tick(0),
            deadline: Tick(1),
            priority: 5,
            divisible: true,
            rail: RailId(0),
            rtgs_priority: None,
        };
        let mut book = Book::default();
        for id in 1..=100 {
            let slot = book.enter(&order);
            assert_eq!(book.remove(slot).id, PaymentId(id));
        }
        assert!(book.is_empty());
        assert_eq!(book.payments.len(), 1);
    }
}
