//! Gross settlement: one payment at a time, in full, against the sender's own liquidity.

use crate::ledger::Ledger;
use crate::payment::Slot;
use crate::scenario::QueueDiscipline;
use std::collections::VecDeque;

/// Gross settlement of the central queues. Holds only scratch space.
#[derive(Clone, Debug, Default)]
pub struct Gross {
    pending: Vec<usize>,
    is_pending: Vec<bool>,
    bypassing: Vec<Slot>,
}

impl Gross {
    /// Settles until nothing more can; returns how many payments settled.
    ///
    /// With blocking heads the result does not depend on the order of the banks: a settlement only
    /// ever adds to what other banks can pay, so every order reaches the same fixed point.
    pub fn settle(&mut self, ledger: &mut Ledger) -> u32 {
        let mut settled = self.settle_heads(ledger);
        if ledger.queue_discipline == QueueDiscipline::FifoBypass {
            loop {
                let bypassed = self.settle_bypassing(ledger);
                if bypassed == 0 {
                    break;
                }
                settled += bypassed + self.settle_heads(ledger);
            }
        }
        settled
    }

    /// Settles heads of queues until every head is blocked.
    fn settle_heads(&mut self, ledger: &mut Ledger) -> u32 {
        self.is_pending.clear();
        self.is_pending.extend(ledger.banks.iter().map(|bank| !bank.central.is_empty()));
        self.pending.clear();
        self.pending.extend((0..ledger.banks.len()).filter(|bank| self.is_pending[*bank]));
        let mut settled = 0;
        while let Some(bank) = self.pending.pop() {
            self.is_pending[bank] = false;
            while let Some(slot) = payable_head(ledger, bank) {
                let receiver = ledger.book.get(slot).receiver.index();
                ledger.banks[bank].central.pop_front();
                ledger.settle(slot);
                settled += 1;
                if !self.is_pending[receiver] && receiver != bank && !ledger.banks[receiver].central.is_empty() {
                    self.is_pending[receiver] = true;
                    self.pending.push(receiver);
                }
            }
        }
        settled
    }

    /// Every bank pays what it can, in queue order, from the liquidity it has before anyone else
    /// pays; so no bank gains from its place in the list.
    fn settle_bypassing(&mut self, ledger: &mut Ledger) -> u32 {
        self.bypassing.clear();
        for bank in &mut ledger.banks {
            let mut liquidity = bank.liquidity();
            let mut queue: VecDeque<Slot> = std::mem::take(&mut bank.central);
            queue.retain(|slot| {
                let amount = ledger.book.get(*slot).amount;
                let is_blocked = amount > liquidity;
                if !is_blocked {
                    liquidity -= amount;
                    self.bypassing.push(*slot);
                }
                is_blocked
            });
            bank.central = queue;
        }
        for slot in &self.bypassing {
            ledger.settle(*slot);
        }
        u32::try_from(self.bypassing.len()).unwrap_or(u32::MAX)
    }
}

fn payable_head(ledger: &Ledger, bank: usize) -> Option<Slot> {
    let bank = &ledger.banks[bank];
    let slot = *bank.central.front()?;
    (ledger.book.get(slot).amount <= bank.liquidity()).then_some(slot)
}
