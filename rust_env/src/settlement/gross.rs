//! Gross settlement: one payment at a time, in full, against the sender's own liquidity.

use crate::bank::Bank;
use crate::events::Mechanism;
use crate::ledger::Ledger;
use crate::payment::Payment;
use crate::scenario::QueueDiscipline;
use crate::units::{Cents, RailId};

/// Gross settlement of the central queues. Holds only scratch space.
#[derive(Clone, Debug, Default)]
pub struct Gross {
    /// Banks with a queue. Nobody joins them while payments settle.
    waiting: Vec<usize>,
    pending: Vec<usize>,
    is_pending: Vec<bool>,
    /// Banks that have the means for some payment, or have been paid since their queue was last walked: no other can
    /// pay anything.
    may_pay: Vec<bool>,
    bypassing: Vec<Payment>,
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
        if !ledger.banks.iter().any(may_pay) {
            return 0;
        }
        // Threads share this room, and a panic in another system may have left something in it.
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

    /// The banks that paid or were paid when heads last settled, some of them more than once.
    pub fn touched(&self) -> &[usize] {
        &self.touched
    }

    /// Settles heads of queues until every head is blocked.
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

    /// Every bank pays what it can, in queue order, from the liquidity it has before anyone else
    /// pays; so no bank gains from its place in the list.
    fn settle_bypassing(&mut self, ledger: &mut Ledger, rail: RailId) -> u32 {
        self.bypassing.clear();
        for place in 0..self.waiting.len() {
            let bank = self.waiting[place];
            if std::mem::take(&mut self.may_pay[bank]) && may_pay(&ledger.banks[bank]) {
                self.walk(ledger, bank, rail.index());
            }
        }
        for payment in &self.bypassing {
            self.may_pay[payment.receiver.index()] = true;
            ledger.settle(payment, Mechanism::Gross);
        }
        u32::try_from(self.bypassing.len()).unwrap_or(u32::MAX)
    }

    /// Takes out of a bank's queue what it can pay.
    fn walk(&mut self, ledger: &mut Ledger, bank: usize, rail: usize) {
        self.paid_to.clear();
        self.paid_to.resize(ledger.setup.banks[bank].limits.bilateral.len(), Cents::ZERO);
        let mut liquidity = ledger.banks[bank].capacity();
        let mut queue = std::mem::take(&mut ledger.banks[bank].central[rail]);
        let mut floor = Cents(i64::MAX);
        let (payments, mut kept) = (queue.make_contiguous(), 0);
        for place in 0..payments.len() {
            let (amount, receiver) = (payments[place].amount, payments[place].receiver.index());
            if amount <= liquidity && self.is_within_limit(ledger, bank, receiver, amount) {
                liquidity -= amount;
                self.paid_to.get_mut(receiver).into_iter().for_each(|paid| *paid += amount);
                self.bypassing.push(payments[place]);
            } else {
                floor = floor.min(amount);
                if kept < place {
                    payments[kept] = payments[place];
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

/// Whether a bank has the liquidity for any of its queued payments.
fn may_pay(bank: &Bank) -> bool {
    bank.central_floor <= bank.capacity()
}

/// Takes the head out of a bank's queue if it can be paid now.
fn take_payable_head(ledger: &mut Ledger, bank: usize, rail: usize) -> Option<Payment> {
    let is_payable = may_pay(&ledger.banks[bank]) && ledger.can_settle(ledger.banks[bank].central[rail].front()?);
    if is_payable { ledger.banks[bank].central[rail].pop_front() } else { None }
}
