//! Multilateral sets of long queues where payments may bypass.

use super::netting::NetAmounts;
use super::queues::Queues;
use crate::units::Cents;

/// Maximum number of last payments that a bank compares for a removal.
const MAX_COMPARED: usize = 64;

/// Removal of payments to close shortfalls; contains only scratch buffers.
///
/// In each round every bank with an infeasible net amount removes one payment before the others react, so the order
/// of the banks does not matter. The work is linear in the number of payments.
#[derive(Clone, Debug, Default)]
pub struct Repair {
    net: NetAmounts,
    /// Last chosen payment of each bank.
    last: Vec<Option<usize>>,
    /// The chosen payment before each chosen one in its queue.
    previous: Vec<Option<usize>>,
    removals: Vec<Removal>,
}

#[derive(Clone, Copy, Debug)]
struct Removal {
    bank: usize,
    index: usize,
    /// The chosen payment after it in its queue.
    next: Option<usize>,
    /// Part of the shortfall that it closes.
    closed: Cents,
    /// Its amount, and the shortfall that its receiver gets.
    lost: Cents,
}

impl Repair {
    /// Reduces `is_chosen`, over all queued payments, to a feasible set.
    pub fn reduce(&mut self, queues: &Queues, is_chosen: &mut [bool]) {
        self.start(queues, is_chosen);
        loop {
            self.removals.clear();
            for bank in 0..queues.banks() {
                if self.net.is_infeasible(queues, bank) {
                    let removal = self.removal(queues, bank);
                    self.removals.extend(removal);
                }
            }
            if self.removals.is_empty() {
                return;
            }
            for Removal { bank, index, next, .. } in self.removals.iter().copied() {
                let payment = queues.payments[index];
                self.net.add(queues, bank, usize::from(payment.receiver), -payment.amount);
                is_chosen[index] = false;
                let previous = self.previous[index];
                *next.map_or(&mut self.last[bank], |next| &mut self.previous[next]) = previous;
            }
        }
    }

    fn start(&mut self, queues: &Queues, is_chosen: &[bool]) {
        self.net.clear(queues);
        self.last.clear();
        self.previous.clear();
        self.previous.resize(queues.payments.len(), None);
        for bank in 0..queues.banks() {
            let mut last = None;
            for index in queues.queue(bank).filter(|index| is_chosen[*index]) {
                let payment = queues.payments[index];
                self.net.add(queues, bank, usize::from(payment.receiver), payment.amount);
                self.previous[index] = last.replace(index);
            }
            self.last.push(last);
        }
    }

    /// The payment whose removal loses least for each cent of shortfall.
    ///
    /// Of equal ones it is the last.
    fn removal(&self, queues: &Queues, bank: usize) -> Option<Removal> {
        let shortfall = -self.net.surplus(queues, bank);
        let (mut best, mut next, mut compared): (Option<Removal>, _, _) = (None, None, 0);
        let mut position = self.last[bank];
        while let Some(index) = position.filter(|_| compared < MAX_COMPARED || best.is_none()) {
            let (amount, receiver) = (queues.payments[index].amount, usize::from(queues.payments[index].receiver));
            let excess = self.net.surplus_to(queues, bank, receiver).map_or(Cents::ZERO, |surplus| -surplus);
            let closed = shortfall.max(excess).min(amount);
            let covered = self.net.surplus(queues, receiver).max(Cents::ZERO).min(amount);
            let removal = Removal { bank, index, next, closed, lost: amount + amount - covered };
            if closed > Cents::ZERO && best.is_none_or(|best| removal.is_better(&best)) {
                best = Some(removal);
            }
            compared += 1;
            next = Some(index);
            position = self.previous[index];
        }
        best
    }
}

impl Removal {
    fn is_better(&self, other: &Self) -> bool {
        let [lost, closed, other_lost, other_closed] =
            [self.lost, self.closed, other.lost, other.closed].map(|amount| i128::from(amount.0));
        lost * other_closed < other_lost * closed
    }
}
