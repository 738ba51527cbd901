//! Gross settlement: each payment settles alone and in full.

use crate::bank::Bank;
use crate::events::Mechanism;
use crate::ledger::Ledger;
use crate::payment::Payment;
use crate::scenario::QueueDiscipline;
use crate::units::{Cents, RailId};

/// Gross settlement of the central queues; contains only scratch buffers.
#[derive(Clone, Debug, Default)]
pub struct Gross {
    /// Banks with a queue; no bank is added while payments settle.
    waiting: Vec<usize>,
    pending: Vec<usize>,
    is_pending: Vec<bool>,
    /// Whether each bank may be able to pay one of its queued payments.
    ///
    /// True for banks with enough liquidity for one, and for banks that were paid since the last scan of their queue.
    may_pay: Vec<bool>,
    bypassing: Vec<Payment>,
    /// Amount that the scanned queue pays each other bank; empty without bilateral limits.
    paid_to: Vec<Cents>,
    touched: Vec<usize>,
}

impl Gross {
    /// Settles payments of a rail until none can; returns the number of settled payments.
    ///
    /// Where blocked heads block their queues, the result does not depend on the order of the banks: a settlement
    /// only adds liquidity to other banks, so every order reaches the same fixed point.
    pub fn settle(&mut self, ledger: &mut Ledger, rail: RailId) -> u32 {
        self.touched.clear();
        if !ledger.banks.iter().any(may_pay) {
            return 0;
        }
        // The systems of a thread share these buffers, and a panic may have left some of them filled.
        self.pending.clear();
        self.waiting.clear();
        self.waiting.extend((0..ledger.banks.len()).filter(|bank| waits(&ledger.banks[*bank], rail.index())));
        self.is_pending.clear();
        self.is_pending.resize(ledger.banks.len(), false);
        self.may_pay.clear();
        self.may_pay.extend(ledger.banks.iter().map(may_pay));
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

    /// Banks that paid or were paid in the last call, possibly with duplicates.
    pub fn touched(&self) -> &[usize] {
        &self.touched
    }

    fn settle_heads(&mut self, ledger: &mut Ledger, rail: RailId) -> u32 {
        let queue = rail.index();
        for bank in &self.waiting {
            self.is_pending[*bank] = true;
            self.pending.push(*bank);
        }
        let mut settled = 0;
        while let Some(bank) = self.pending.pop() {
            self.is_pending[bank] = false;
            while let Some(payment) = take_payable_head(ledger, bank, queue) {
                let receiver = payment.receiver.index();
                ledger.settle(&payment, Mechanism::Gross);
                self.may_pay[receiver] = true;
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

    /// Settles payments of all banks in queue order and lets them bypass blocked ones.
    ///
    /// Every bank pays from its liquidity before the others pay, so the order of the banks does not matter.
    fn settle_bypassing(&mut self, ledger: &mut Ledger, rail: RailId) -> u32 {
        self.bypassing.clear();
        for index in 0..self.waiting.len() {
            let bank = self.waiting[index];
            if std::mem::take(&mut self.may_pay[bank]) && may_pay(&ledger.banks[bank]) {
                self.scan(ledger, bank, rail.index());
            }
        }
        for payment in &self.bypassing {
            self.may_pay[payment.receiver.index()] = true;
            ledger.settle(payment, Mechanism::Gross);
        }
        u32::try_from(self.bypassing.len()).unwrap_or(u32::MAX)
    }

    /// Moves the payments that a bank can pay from its queue to `bypassing`.
    fn scan(&mut self, ledger: &mut Ledger, bank: usize, rail: usize) {
        self.paid_to.clear();
        self.paid_to.resize(ledger.setup.banks[bank].limits.bilateral.len(), Cents::ZERO);
        let mut liquidity = ledger.banks[bank].capacity();
        let mut queue = std::mem::take(&mut ledger.banks[bank].central[rail]);
        let mut floor = Cents(i64::MAX);
        let (payments, mut kept) = (queue.make_contiguous(), 0);
        for index in 0..payments.len() {
            let (amount, receiver) = (payments[index].amount, payments[index].receiver.index());
            if amount <= liquidity && self.is_within_limit(ledger, bank, receiver, amount) {
                liquidity -= amount;
                self.paid_to.get_mut(receiver).into_iter().for_each(|paid| *paid += amount);
                self.bypassing.push(payments[index]);
            } else {
                floor = floor.min(amount);
                if kept < index {
                    payments[kept] = payments[index];
                }
                kept += 1;
            }
        }
        queue.truncate(kept);
        let bank = &mut ledger.banks[bank];
        bank.central[rail] = queue;
        if let [_] = bank.central.as_slice() {
            bank.central_floor = floor;
        }
    }

    /// Whether the bilateral limit allows `amount` beside the payments of this scan.
    fn is_within_limit(&self, ledger: &Ledger, bank: usize, receiver: usize, amount: Cents) -> bool {
        let Some(paid) = self.paid_to.get(receiver) else { return true };
        ledger.bilateral_headroom(bank, receiver).is_none_or(|headroom| *paid + amount <= headroom)
    }
}

/// Whether a bank has payments in a queue.
///
/// The queue itself is read only where the bank's total, which is in cache, is not zero.
fn waits(bank: &Bank, queue: usize) -> bool {
    bank.central_value > Cents::ZERO && !bank.central[queue].is_empty()
}

/// Whether a bank has the liquidity for its smallest queued payment.
fn may_pay(bank: &Bank) -> bool {
    bank.central_floor <= bank.capacity()
}

fn take_payable_head(ledger: &mut Ledger, bank: usize, rail: usize) -> Option<Payment> {
    let is_payable = may_pay(&ledger.banks[bank]) && ledger.can_settle(ledger.banks[bank].central[rail].front()?);
    if is_payable { ledger.banks[bank].central[rail].pop_front() } else { None }
}
