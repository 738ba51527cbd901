//! Multilateral sets that start from all queued payments and remove some.

use super::queues::Queues;
use crate::units::Cents;

/// Net amounts that banks pay if a set of queued payments settles.
#[derive(Clone, Debug, Default)]
pub struct NetAmounts {
    /// Net amount that each bank pays.
    outflows: Vec<Cents>,
    /// Net amount that each bank with bilateral limits pays each other bank.
    outflows_to: Vec<Vec<Cents>>,
    /// Number of bilateral limits that each bank exceeds.
    exceeded: Vec<usize>,
}

impl NetAmounts {
    /// Sets them to those of the empty set.
    pub fn clear(&mut self, queues: &Queues) {
        let banks = queues.banks();
        self.outflows.clear();
        self.outflows.resize(banks, Cents::ZERO);
        self.outflows_to.resize_with(banks.max(self.outflows_to.len()), Vec::new);
        for (outflows, headroom) in self.outflows_to.iter_mut().zip(&queues.headroom) {
            outflows.clear();
            outflows.resize(headroom.len(), Cents::ZERO);
        }
        self.exceeded.clear();
        self.exceeded.resize(banks, 0);
    }

    /// Whether a bank cannot pay its net amount, or exceeds a limit.
    pub fn is_infeasible(&self, queues: &Queues, bank: usize) -> bool {
        self.outflows[bank] > queues.capacity[bank] || self.exceeded[bank] > 0
    }

    /// Capacity of a bank less its net amount; negative for a shortfall.
    pub fn surplus(&self, queues: &Queues, bank: usize) -> Cents {
        difference(queues.capacity[bank], self.outflows[bank])
    }

    /// Bilateral limit less the net amount, if there is one.
    pub fn surplus_to(&self, queues: &Queues, bank: usize, other: usize) -> Option<Cents> {
        queues.bilateral_limit(bank, other).map(|limit| difference(limit, self.outflows_to[bank][other]))
    }

    /// Adds a payment to the set; a negative amount removes it.
    pub fn add(&mut self, queues: &Queues, sender: usize, receiver: usize, amount: Cents) {
        self.outflows[sender] += amount;
        self.outflows[receiver] -= amount;
        self.add_to_pair(queues, sender, receiver, amount);
        self.add_to_pair(queues, receiver, sender, -amount);
    }

    fn add_to_pair(&mut self, queues: &Queues, bank: usize, other: usize, amount: Cents) {
        if let Some(limit) = queues.bilateral_limit(bank, other) {
            let outflow = &mut self.outflows_to[bank][other];
            self.exceeded[bank] -= usize::from(*outflow > limit);
            *outflow += amount;
            self.exceeded[bank] += usize::from(*outflow > limit);
        }
    }
}

/// A limit, possibly the largest integer, less a net amount.
fn difference(limit: Cents, outflow: Cents) -> Cents {
    Cents(limit.0.saturating_sub(outflow.0))
}

/// The gridlock-resolution algorithm of Bech and Soramäki; contains only scratch buffers.
///
/// It starts from all queued payments and removes the last one of any bank whose net amount is infeasible. No
/// feasible set contains such a payment, as removing payments of other banks only reduces what they pay the bank.
/// Source: Gridlock resolution in interbank payment systems, Bank of Finland Discussion Paper 9/2001.
#[derive(Clone, Debug, Default)]
pub struct Netting {
    /// End of the settling part of each queue.
    ends: Vec<usize>,
    net: NetAmounts,
    pending: Vec<usize>,
    is_pending: Vec<bool>,
}

impl Netting {
    /// Sets `chosen` to the largest feasible set of first payments of all queues.
    pub fn resolve(&mut self, queues: &Queues, chosen: &mut Vec<usize>) {
        self.start(queues);
        while let Some(bank) = self.pending.pop() {
            self.is_pending[bank] = false;
            while self.net.is_infeasible(queues, bank) {
                self.ends[bank] -= 1;
                let payment = queues.payments[self.ends[bank]];
                let receiver = usize::from(payment.receiver);
                self.net.add(queues, bank, receiver, -payment.amount);
                self.check(queues, receiver);
            }
        }
        chosen.clear();
        chosen.extend(queues.starts.iter().zip(&self.ends).flat_map(|(start, end)| *start..*end));
    }

    fn start(&mut self, queues: &Queues) {
        let banks = queues.banks();
        self.ends.clear();
        self.ends.extend(queues.starts.iter().skip(1));
        self.net.clear(queues);
        for bank in 0..banks {
            for payment in &queues.payments[queues.queue(bank)] {
                self.net.add(queues, bank, usize::from(payment.receiver), payment.amount);
            }
        }
        self.pending.clear();
        self.is_pending.clear();
        self.is_pending.resize(banks, false);
        (0..banks).for_each(|bank| self.check(queues, bank));
    }

    fn check(&mut self, queues: &Queues, bank: usize) {
        if !self.is_pending[bank] && self.net.is_infeasible(queues, bank) {
            self.is_pending[bank] = true;
            self.pending.push(bank);
        }
    }
}
