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
}

impl Gross {
    /// Settles the payments of a rail until nothing more can; returns how many payments settled.
    ///
    /// With blocking heads the result does not depend on the order of the banks: a settlement only
    /// ever adds to what other banks can pay, so every order reaches the same fixed point.
    pub fn settle(&mut self, ledger: &mut Ledger, rail: RailId) -> u32 {
        self.has_received.clear();
        self.has_received.resize(ledger.banks.len(), true);
        let mut settled = self.settle_heads(ledger, rail);
        if ledger.setup.rails[rail.index()].queue_discipline == QueueDiscipline::FifoBypass {
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

    /// Settles heads of queues until every head is blocked.
    fn settle_heads(&mut self, ledger: &mut Ledger, rail: RailId) -> u32 {
        let queue = rail.index();
        self.is_pending.clear();
        // The value is at hand where the queue itself is further away.
        let waits = |bank: &Bank| bank.central_value > Cents::ZERO && !bank.central[queue].is_empty();
        self.is_pending.extend(ledger.banks.iter().map(waits));
        self.pending.clear();
        self.pending.extend((0..ledger.banks.len()).filter(|bank| self.is_pending[*bank]));
        let mut settled = 0;
        while let Some(bank) = self.pending.pop() {
            self.is_pending[bank] = false;
            while let Some(slot) = payable_head(ledger, bank, rail) {
                let receiver = ledger.book.get(slot).receiver.index();
                ledger.banks[bank].central[queue].pop_front();
                ledger.settle(slot, Mechanism::Gross);
                self.has_received[receiver] = true;
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
            if !std::mem::take(&mut self.has_received[bank]) {
                continue;
            }
            let first = self.bypassing.len();
            let mut liquidity = ledger.banks[bank].capacity();
            let mut queue: VecDeque<Slot> = std::mem::take(&mut ledger.banks[bank].central[rail.index()]);
            queue.retain(|slot| {
                let amount = ledger.book.get(*slot).amount;
                let is_payable = amount <= liquidity && is_within_limit(ledger, &self.bypassing[first..], *slot);
                if is_payable {
                    liquidity -= amount;
                    self.bypassing.push(*slot);
                }
                !is_payable
            });
            ledger.banks[bank].central[rail.index()] = queue;
        }
        for slot in &self.bypassing {
            self.has_received[ledger.book.get(*slot).receiver.index()] = true;
            ledger.settle(*slot, Mechanism::Gross);
        }
        u32::try_from(self.bypassing.len()).unwrap_or(u32::MAX)
    }
}

/// Whether a payment stays within its sender's bilateral limit when `earlier` ones are paid as well.
fn is_within_limit(ledger: &Ledger, earlier: &[Slot], slot: Slot) -> bool {
    let payment = ledger.book.get(slot);
    let Some(headroom) = ledger.bilateral_headroom(payment.sender.index(), payment.receiver.index()) else {
        return true;
    };
    let same = earlier.iter().map(|slot| ledger.book.get(*slot)).filter(|other| other.receiver == payment.receiver);
    payment.amount + same.map(|other| other.amount).sum::<Cents>() <= headroom
}

fn payable_head(ledger: &Ledger, bank: usize, rail: RailId) -> Option<Slot> {
    let slot = *ledger.banks[bank].central[rail.index()].front()?;
    ledger.can_settle(ledger.book.get(slot)).then_some(slot)
}
