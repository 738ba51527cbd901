//! Offsets on rails where payments cannot bypass a blocked head.
//!
//! There, an offset of two banks consists of the first payments of both queues, and a bank can be in one such
//! offset at a time.

use super::offset::Offsets;
use super::queues::{Queued, Queues};
use crate::events::Mechanism;
use crate::ledger::Ledger;
use crate::payment::Payment;
use crate::scenario::LsmConfig;
use crate::units::{Cents, RailId};

/// Offsets of the heads of two queues; contains only scratch buffers.
#[derive(Clone, Debug, Default)]
pub struct Heads {
    /// Pairs of banks whose heads pay each other, the lower bank first.
    pairs: Vec<[usize; 2]>,
    /// The two banks of a pair, as banks 0 and 1.
    queues: Queues,
    chosen: Vec<usize>,
    payments: Vec<Payment>,
}

impl Heads {
    /// Offsets pairs of banks, on entry or bilaterally; returns the number of settled payments.
    ///
    /// Only pairs with a bank of `touched` are tried; `touched` becomes the banks of the offsets. The pairs
    /// have no bank in common, so they do not affect each other.
    pub fn offset(
        &mut self,
        ledger: &mut Ledger,
        rail: RailId,
        lsm: LsmConfig,
        offsets: &mut Offsets,
        touched: &mut Vec<usize>,
    ) -> u32 {
        self.pairs.clear();
        for bank in touched.drain(..) {
            let Some(other) = head_receiver(ledger, rail, bank) else { continue };
            if head_receiver(ledger, rail, other) == Some(bank) {
                self.pairs.push([bank.min(other), bank.max(other)]);
            }
        }
        self.pairs.sort_unstable();
        self.pairs.dedup();
        let mut settled = 0;
        for index in 0..self.pairs.len() {
            let pair = self.pairs[index];
            let in_this_pair = self.offset_pair(ledger, rail, pair, lsm, offsets);
            if in_this_pair > 0 {
                settled += in_this_pair;
                touched.extend(pair);
            }
        }
        settled
    }

    fn offset_pair(
        &mut self,
        ledger: &mut Ledger,
        rail: RailId,
        pair: [usize; 2],
        lsm: LsmConfig,
        offsets: &mut Offsets,
    ) -> u32 {
        self.queues.clear();
        for (own, other) in [(pair[0], pair[1]), (pair[1], pair[0])] {
            let receiver = u16::from(own == pair[0]);
            let run = leading_run(ledger, rail, own, other).map(|payment| Queued {
                receiver,
                amount: payment.amount,
                is_new: payment.released == ledger.now,
            });
            let limit = ledger.bilateral_headroom(own, other).unwrap_or(Cents(i64::MAX));
            self.queues.push_bank(run, ledger.banks[own].capacity(), [limit, limit]);
        }
        let mechanism = if lsm.entry_offset && offsets.entry(&self.queues, &mut self.chosen) {
            Mechanism::EntryOffset
        } else if lsm.bilateral && offsets.bilateral(&self.queues, &mut self.chosen) {
            Mechanism::Bilateral
        } else {
            return 0;
        };
        let of_first = self.chosen.partition_point(|index| *index < self.queues.starts[1]);
        self.payments.clear();
        for (bank, count) in pair.into_iter().zip([of_first, self.chosen.len() - of_first]) {
            self.payments.extend(ledger.banks[bank].central[rail.index()].drain(..count));
        }
        ledger.settle_together(&self.payments, mechanism);
        u32::try_from(self.payments.len()).unwrap_or(u32::MAX)
    }
}

fn head_receiver(ledger: &Ledger, rail: RailId, bank: usize) -> Option<usize> {
    Some(ledger.banks[bank].central[rail.index()].front()?.receiver.index())
}

/// The payments at the head of a bank's queue with the receiver `other`.
fn leading_run(ledger: &Ledger, rail: RailId, bank: usize, other: usize) -> impl Iterator<Item = &Payment> {
    let queue = ledger.banks[bank].central[rail.index()].iter();
    queue.take_while(move |payment| payment.receiver.index() == other)
}
