//! Gross settlement: one payment at a time, in full, against the sender's own liquidity.

use crate::bank::Bank;
use crate::events::Mechanism;
use crate::ledger::Ledger;
use crate::payment::Slot;
use crate::scenario::QueueDiscipline;
use crate::units::{Cents, RailId};
use std::collections::VecDeque;

/// Gross settlement of the central queues. Holds only scratch space.
#[derive(Clone, Debug, Default)]
pub struct Gross {
    pending: Vec<usize>,
    is_pending: Vec<bool>,
    /// Banks that have been paid since their queue was last walked: no other can pay more than before.
    has_received: Vec<bool>,
    bypassing: Vec<Slot>,
    /// What the bank whose queue is walked pays each other bank; kept for banks with bilateral limits.
    paid_to: Vec<Cents>,
    touched: Vec<usize>,
}

impl Gross {
    /// Settles the payments of a rail until nothing more can; returns how many payments settled.
    ///
    /// With blocking heads the result does not depend on the order of the banks: a settlement only
    /// ever adds to what other banks can pay, so every order reaches the same fixed point.
    pub fn settle(&mut self, ledger: &mut Ledger, rail: RailId) -> u32 {
        self.touched.clear();
        if !ledger.banks.iter().any(|bank| waits(bank, rail.index())) {
            return 0;
        }
        self.is_pending.resize(ledger.banks.len(), false);
        self.has_received.resize(ledger.banks.len(), true);
        let mut settled = self.settle_heads(ledger, rail);
        if ledger.setup.rails[rail.index()].queue_discipline == QueueDiscipline::FifoBypass {
            self.has_received.iter_mut().for_each(|has_received| *has_received = true);
            loop {
                let bypassed = self.settle_bypassing(ledger, rail);
                if bypassed == 0 {
                    break;
                }
                settled += bypassed + self.settle_heads(ledger, rail);
            }
        }
        settled
    }

    /// The banks that paid or were paid when heads last settled, some of them more than once.
    pub fn touched(&self) -> &[usize] {
        &self.touched
    }

    /// Settles heads of queues until every head is blocked.
    fn settle_heads(&mut self, ledger: &mut Ledger, rail: RailId) -> u32 {
        let queue = rail.index();
        self.pending.clear();
        for (index, (bank, is_pending)) in ledger.banks.iter().zip(&mut self.is_pending).enumerate() {
            *is_pending = waits(bank, queue);
            if *is_pending {
                self.pending.push(index);
            }
        }
        let mut settled = 0;
        while let Some(bank) = self.pending.pop() {
            self.is_pending[bank] = false;
            while let Some((slot, receiver)) = payable_head(ledger, bank, rail) {
                ledger.banks[bank].central[queue].pop_front();
                ledger.settle(slot, Mechanism::Gross);
                self.has_received[receiver] = true;
                self.touched.push(bank);
                self.touched.push(receiver);
                settled += 1;
                if !self.is_pending[receiver] && receiver != bank && !ledger.banks[receiver].central[queue].is_empty() {
                    self.is_pending[receiver] = true;
                    self.pending.push(receiver);
                }
            }
        }
        settled
    }

    /// Every bank pays what it can, in queue order, from the liquidity it has before anyone else
    /// pays; so no bank gains from its place in the list.
    fn settle_bypassing(&mut self, ledger: &mut Ledger, rail: RailId) -> u32 {
        self.bypassing.clear();
        for bank in 0..ledger.banks.len() {
            if !std::mem::take(&mut self.has_received[bank]) || !may_bypass(ledger, bank, rail) {
                continue;
            }
            self.paid_to.clear();
            self.paid_to.resize(ledger.setup.banks[bank].limits.bilateral.len(), Cents::ZERO);
            let mut liquidity = ledger.banks[bank].capacity();
            let mut queue: VecDeque<Slot> = std::mem::take(&mut ledger.banks[bank].central[rail.index()]);
            let (slots, mut kept) = (queue.make_contiguous(), 0);
            for place in 0..slots.len() {
                let slot = slots[place];
                let (amount, receiver) = (ledger.book.get(slot).amount, ledger.book.get(slot).receiver.index());
                if amount <= liquidity && self.is_within_limit(ledger, bank, receiver, amount) {
                    liquidity -= amount;
                    self.paid_to.get_mut(receiver).into_iter().for_each(|paid| *paid += amount);
                    self.bypassing.push(slot);
                } else {
                    slots[kept] = slot;
                    kept += 1;
                }
            }
            queue.truncate(kept);
            ledger.banks[bank].central[rail.index()] = queue;
        }
        for slot in &self.bypassing {
            self.has_received[ledger.book.get(*slot).receiver.index()] = true;
            ledger.settle(*slot, Mechanism::Gross);
        }
        u32::try_from(self.bypassing.len()).unwrap_or(u32::MAX)
    }

    /// Whether a bank may pay another one `amount` on top of what it pays it in this walk.
    fn is_within_limit(&self, ledger: &Ledger, bank: usize, receiver: usize, amount: Cents) -> bool {
        let Some(paid) = self.paid_to.get(receiver) else { return true };
        ledger.bilateral_headroom(bank, receiver).is_none_or(|headroom| *paid + amount <= headroom)
    }
}

/// The value is at hand where the queue itself is further away.
fn waits(bank: &Bank, queue: usize) -> bool {
    bank.central_value > Cents::ZERO && !bank.central[queue].is_empty()
}

/// Whether a bank whose head is blocked has the liquidity for any payment behind it.
fn may_bypass(ledger: &Ledger, bank: usize, rail: RailId) -> bool {
    let bank = &ledger.banks[bank];
    let liquidity = bank.capacity();
    let behind = |slot: &Slot| ledger.book.get(*slot).amount <= liquidity;
    waits(bank, rail.index()) && bank.central[rail.index()].iter().skip(1).any(behind)
}

/// The head of a bank's queue, if it can be paid now, and who receives it.
fn payable_head(ledger: &Ledger, bank: usize, rail: RailId) -> Option<(Slot, usize)> {
    let slot = *ledger.banks[bank].central[rail.index()].front()?;
    let payment = ledger.book.get(slot);
    ledger.can_settle(payment).then(|| (slot, payment.receiver.index()))
}
