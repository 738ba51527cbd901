//! Payment orders, payments and the decisions about them.
//!
//! Life cycle: internal queue -> (hold | split | release) -> central queue -> settled. A split replaces a payment by
//! its parts, which are payments themselves.

use crate::units::{BankId, Cents, PaymentId, RailId, Tick};
use serde::{Deserialize, Serialize};

/// Maximum number of ticks to a deadline that is soon.
pub const SOON_TICKS: u32 = 4;

/// Nearness of a deadline.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Nearness {
    /// The deadline is this tick or has passed.
    Due,
    /// The deadline is 1 to 4 ticks away.
    Soon,
    /// The deadline is more than 4 ticks away.
    Later,
}

impl Nearness {
    /// Nearness of `deadline` at `now`.
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

/// Priority class of a payment in a rail's queue, as in TARGET2.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RtgsPriority {
    /// The lowest class; default of priorities 0 to 5.
    Normal,
    /// The middle class; default of priorities 6 to 8.
    Urgent,
    /// The highest class; default of priorities 9 and 10.
    HighlyUrgent,
}

impl RtgsPriority {
    /// Default class of a payment with this priority.
    pub fn of(priority: u8) -> Self {
        match priority {
            0..=5 => Self::Normal,
            6..=8 => Self::Urgent,
            _ => Self::HighlyUrgent,
        }
    }
}

/// A payment order of a bank's customer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Order {
    /// Paying bank.
    pub sender: BankId,
    /// Receiving bank.
    pub receiver: BankId,
    /// Amount.
    pub amount: Cents,
    /// Tick of arrival.
    pub arrival: Tick,
    /// Last tick of on-time settlement.
    pub deadline: Tick,
    /// Priority from 0 to 10; 10 is the most urgent.
    pub priority: u8,
    /// Whether it may be split.
    pub divisible: bool,
    /// Rail of settlement.
    pub rail: RailId,
    /// Class in the rail's queue; `None`: by its urgency at release.
    pub rtgs_priority: Option<RtgsPriority>,
}

impl Order {
    /// The order postponed to `now` by an early close.
    ///
    /// The time from arrival to deadline stays the same.
    #[must_use]
    pub fn postponed_to(mut self, now: Tick) -> Self {
        self.deadline = Tick(self.deadline.0.saturating_add(now.0.saturating_sub(self.arrival.0)));
        self.arrival = self.arrival.max(now);
        self
    }
}

/// Decision about one payment of the internal queue.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub enum Decision {
    /// Keep it in the internal queue.
    Hold,
    /// Release it to settlement.
    Release,
    /// Replace it by this number of equal parts and release them.
    Split(u8),
    /// Release a part of this amount and hold the rest.
    Cut(Cents),
}

/// An unsettled payment.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Serialize)]
pub struct Payment {
    /// Serial number in the episode, by arrival.
    pub id: PaymentId,
    /// The payment that was split, if this is a part.
    pub parent: Option<PaymentId>,
    /// Paying bank.
    pub sender: BankId,
    /// Receiving bank.
    pub receiver: BankId,
    /// Amount.
    pub amount: Cents,
    /// Tick of arrival.
    pub arrival: Tick,
    /// Last tick of on-time settlement.
    pub deadline: Tick,
    /// Priority from 0 to 10; determines the price of its delay.
    pub priority: u8,
    /// Priority plus escalation near the deadline; determines its position in the internal queue.
    pub urgency: u8,
    /// Whether it may be split.
    pub divisible: bool,
    /// Rail of settlement.
    pub rail: RailId,
    /// Class in the rail's queue; `None` until release unless the order sets it.
    pub rtgs_priority: Option<RtgsPriority>,
    /// Whether its deadline has passed and the penalty was charged.
    pub is_overdue: bool,
    /// Whether it was released.
    pub is_released: bool,
    /// Tick at which it joined the central queue; the arrival before that.
    pub released: Tick,
}

impl Payment {
    /// Creates the payment of an order, without escalation.
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

    /// Creates a part of this payment with a new id.
    pub fn part(&self, id: PaymentId, amount: Cents) -> Self {
        Self { id, parent: Some(self.id), amount, ..*self }
    }

    /// Whether it is divisible and has a cent for each of `parts` parts.
    pub fn can_be_split(&self, parts: u8) -> bool {
        self.divisible && self.amount.0 >= i64::from(parts)
    }

    /// Nearness of its deadline.
    pub fn nearness(&self, now: Tick) -> Nearness {
        Nearness::of(self.deadline, now)
    }
}

/// Amounts of `parts` equal parts of `amount`; the last one includes the remainder.
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
