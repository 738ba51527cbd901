//! A payment and its life cycle.
//!
//! internal queue -> (hold | split | release) -> central queue -> settled. A split replaces a
//! payment by its parts, which are payments like any other.

use crate::units::{BankId, Cents, PaymentId, RailId, Tick};
use serde::{Deserialize, Serialize};

/// Ticks within which a deadline counts as soon.
pub const SOON_TICKS: u32 = 4;

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

impl Nearness {
    /// How near `deadline` is at `now`.
    #[must_use]
    pub fn of(deadline: Tick, now: Tick) -> Self {
        if deadline <= now {
            Self::Due
        } else if deadline.0 <= now.0.saturating_add(SOON_TICKS) {
            Self::Soon
        } else {
            Self::Later
        }
    }
}

/// Class of a payment in a rail's queue, as TARGET2 has them.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RtgsPriority {
    /// After all others; priorities 0 to 5 unless the payment says otherwise.
    Normal,
    /// Before the normal ones; priorities 6 to 8.
    Urgent,
    /// Before all others; priorities 9 and 10.
    HighlyUrgent,
}

impl RtgsPriority {
    /// The class of a payment that names none.
    #[must_use]
    pub fn of(priority: u8) -> Self {
        match priority {
            0..=5 => Self::Normal,
            6..=8 => Self::Urgent,
            _ => Self::HighlyUrgent,
        }
    }
}

/// A payment order as it reaches the bank.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Order {
    /// Paying bank.
    pub sender: BankId,
    /// Receiving bank.
    pub receiver: BankId,
    /// Amount.
    pub amount: Cents,
    /// When it came.
    pub arrival: Tick,
    /// Last tick at which it settles on time.
    pub deadline: Tick,
    /// 0 to 10, 10 most urgent.
    pub priority: u8,
    /// Whether it may be split.
    pub divisible: bool,
    /// Its rail.
    pub rail: RailId,
    /// Its class in the rail's queue, if it has its own.
    pub rtgs_priority: Option<RtgsPriority>,
}

impl Order {
    /// The same order as it comes `now`: one that an early close has kept away has as long as it would have had.
    #[must_use]
    pub fn postponed_to(mut self, now: Tick) -> Self {
        self.deadline = Tick(self.deadline.0.saturating_add(now.0.saturating_sub(self.arrival.0)));
        self.arrival = self.arrival.max(now);
        self
    }
}

/// What to do with one payment of the internal queue.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub enum Decision {
    /// Leave it.
    Hold,
    /// Send it to settlement.
    Release,
    /// Replace it by this many equal parts and send them to settlement.
    Split(u8),
    /// Send this much of it to settlement, less than all, as a part of its own.
    Cut(Cents),
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
    /// A new order, as urgent as its priority.
    #[must_use]
    pub fn new(id: PaymentId, order: &Order) -> Self {
        Self {
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
        }
    }

    /// A part of this payment, with an id of its own.
    #[must_use]
    pub fn part(&self, id: PaymentId, amount: Cents) -> Self {
        Self { id, parent: Some(self.id), amount, ..*self }
    }

    /// Whether it may be replaced by this many parts: divisible, with a cent for every part.
    #[must_use]
    pub fn can_be_split(&self, parts: u8) -> bool {
        self.divisible && self.amount.0 >= i64::from(parts)
    }

    /// How near its deadline is.
    #[must_use]
    pub fn nearness(&self, now: Tick) -> Nearness {
        Nearness::of(self.deadline, now)
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
}
