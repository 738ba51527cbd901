//! The central queues of a rail, as input of offsets.

use crate::units::Cents;
use std::ops::Range;

/// A payment in a central queue, as input of an offset.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Queued {
    /// Index of the receiver, never that of the sender.
    pub receiver: u16,
    /// Amount, not negative.
    pub amount: Cents,
    /// Whether it joined the queue in this tick.
    pub is_new: bool,
}

/// The central queues of one rail, concatenated by bank; reused between calls.
#[derive(Clone, Debug, Default)]
pub struct Queues {
    /// The payments of all queues, each in queue order.
    pub payments: Vec<Queued>,
    /// Start of each bank's queue in `payments`, and the end of the last one.
    pub starts: Vec<usize>,
    /// Maximum net amount that each bank can pay, not negative.
    ///
    /// It is the smaller one of the liquidity and the headroom of the multilateral limit.
    pub capacity: Vec<Cents>,
    /// Maximum net amount that each bank can pay each other bank, not negative.
    ///
    /// Empty for banks without bilateral limits; `Cents(i64::MAX)` for pairs without a limit.
    pub headroom: Vec<Vec<Cents>>,
    /// Whether payments may bypass a blocked one.
    pub may_bypass: bool,
}

impl Queues {
    /// Removes all banks and keeps the allocated memory.
    pub fn clear(&mut self) {
        self.payments.clear();
        self.starts.clear();
        self.capacity.clear();
        self.headroom.iter_mut().for_each(Vec::clear);
    }

    /// Adds the next bank; negative capacity and headroom become zero.
    pub fn push_bank(
        &mut self,
        queue: impl IntoIterator<Item = Queued>,
        capacity: Cents,
        headroom: impl IntoIterator<Item = Cents>,
    ) {
        let bank = self.banks();
        if bank == 0 {
            self.starts.push(0);
        }
        self.payments.extend(queue);
        self.starts.push(self.payments.len());
        self.capacity.push(capacity.max(Cents::ZERO));
        if self.headroom.len() == bank {
            self.headroom.push(Vec::new());
        }
        self.headroom[bank].extend(headroom.into_iter().map(|amount| amount.max(Cents::ZERO)));
    }

    /// Number of banks.
    pub fn banks(&self) -> usize {
        self.capacity.len()
    }

    /// Index range in `payments` of the queue of `bank`.
    pub fn queue(&self, bank: usize) -> Range<usize> {
        self.starts[bank]..self.starts[bank + 1]
    }

    /// Maximum net amount that `bank` can pay `other`, if it is limited.
    pub(super) fn bilateral_limit(&self, bank: usize, other: usize) -> Option<Cents> {
        self.headroom.get(bank)?.get(other).copied()
    }

    /// Indices of the payments of `bank` that queue order allows in bilateral offsets.
    pub(super) fn offsettable(&self, bank: usize) -> impl Iterator<Item = usize> {
        let queue = self.queue(bank);
        let head = queue.start;
        queue.take_while(move |index| self.may_bypass || self.payments[*index].receiver == self.payments[head].receiver)
    }
}
