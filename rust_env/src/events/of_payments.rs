//! Constructors of the events of a payment.

use super::event::{Event, HoldReason, Mechanism, Obstacle};
use crate::payment::Payment;
use crate::units::Cents;

impl Event {
    /// The arrival of `payment`.
    pub fn arrival(payment: &Payment) -> Self {
        Self::Arrival {
            payment: payment.id,
            sender: payment.sender,
            receiver: payment.receiver,
            amount: payment.amount,
            deadline_tick: payment.deadline,
            priority: payment.priority,
            urgency: payment.urgency,
            divisible: payment.divisible,
            rail: payment.rail,
        }
    }

    /// The holding of `payment`.
    pub fn hold(payment: &Payment, reason: HoldReason) -> Self {
        Self::Hold {
            payment: payment.id,
            sender: payment.sender,
            receiver: payment.receiver,
            amount: payment.amount,
            deadline_tick: payment.deadline,
            reason,
        }
    }

    /// The release of `payment`.
    pub fn release(payment: &Payment) -> Self {
        Self::Release {
            payment: payment.id,
            parent: payment.parent,
            sender: payment.sender,
            receiver: payment.receiver,
            amount: payment.amount,
            deadline_tick: payment.deadline,
            rail: payment.rail,
        }
    }

    /// The queueing of `payment` in the central queue.
    pub fn queued(payment: &Payment, position: u32, reason: Obstacle) -> Self {
        Self::Queued {
            payment: payment.id,
            parent: payment.parent,
            sender: payment.sender,
            receiver: payment.receiver,
            amount: payment.amount,
            deadline_tick: payment.deadline,
            rail: payment.rail,
            position,
            reason,
        }
    }

    /// The blocking of `payment`, the head of its queue.
    pub fn limit_hit(payment: &Payment, reason: Obstacle, available: Cents) -> Self {
        Self::LimitHit {
            payment: payment.id,
            sender: payment.sender,
            receiver: payment.receiver,
            amount: payment.amount,
            rail: payment.rail,
            reason,
            available,
        }
    }

    /// The settlement of `payment`.
    pub fn settlement(payment: &Payment, mechanism: Mechanism) -> Self {
        Self::Settlement {
            payment: payment.id,
            parent: payment.parent,
            sender: payment.sender,
            receiver: payment.receiver,
            amount: payment.amount,
            arrival_tick: payment.arrival,
            deadline_tick: payment.deadline,
            rail: payment.rail,
            mechanism,
        }
    }

    /// The missed deadline of `payment`.
    pub fn overdue(payment: &Payment, penalty: Cents) -> Self {
        Self::Overdue {
            payment: payment.id,
            sender: payment.sender,
            receiver: payment.receiver,
            amount: payment.amount,
            deadline_tick: payment.deadline,
            penalty,
        }
    }

    /// The cancellation of `payment`.
    pub fn cancellation(payment: &Payment) -> Self {
        Self::Cancellation {
            payment: payment.id,
            parent: payment.parent,
            sender: payment.sender,
            receiver: payment.receiver,
            amount: payment.amount,
            arrival_tick: payment.arrival,
            deadline_tick: payment.deadline,
            rail: payment.rail,
        }
    }
}
