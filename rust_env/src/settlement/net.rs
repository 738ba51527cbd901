//! A deferred net rail: what waits when a cycle ends settles all together, or waits on.

use crate::events::Mechanism;
use crate::ledger::Ledger;
use crate::payment::Payment;
use crate::units::{Cents, RailId};

/// Settlement of deferred net rails. Holds only scratch space.
#[derive(Clone, Debug, Default)]
pub struct Net {
    payments: Vec<Payment>,
    owed: Vec<Cents>,
}

impl Net {
    /// Settles the cycles of a rail that have ended, if every net debtor can pay; returns how many payments settled.
    ///
    /// Nothing is unwound: a cycle that cannot settle stays as it is, is tried again in every tick,
    /// and is joined by the next cycle that ends.
    pub fn settle(&mut self, ledger: &mut Ledger, rail: RailId) -> u32 {
        self.payments.clear();
        for bank in &ledger.banks {
            let ended = bank.in_ended_cycle[rail.index()] as usize;
            self.payments.extend(bank.central[rail.index()].iter().take(ended));
        }
        if self.payments.is_empty() || !self.is_covered(ledger) {
            return 0;
        }
        for bank in &mut ledger.banks {
            let ended = std::mem::take(&mut bank.in_ended_cycle[rail.index()]);
            bank.central[rail.index()].drain(..ended as usize);
        }
        ledger.settle_together(&self.payments, Mechanism::Net);
        u32::try_from(self.payments.len()).unwrap_or(u32::MAX)
    }

    /// Whether every bank can pay what it owes on balance, to all and to each within its limits.
    fn is_covered(&mut self, ledger: &Ledger) -> bool {
        let Self { payments, owed } = self;
        owed.clear();
        owed.resize(ledger.banks.len(), Cents::ZERO);
        for payment in payments {
            owed[payment.sender.index()] += payment.amount;
            owed[payment.receiver.index()] -= payment.amount;
        }
        let covered =
            ledger.banks.iter().zip(owed.iter()).all(|(bank, owed)| *owed <= bank.capacity().max(Cents::ZERO));
        covered && (0..ledger.banks.len()).all(|bank| self.is_within_limits(ledger, bank))
    }

    fn is_within_limits(&mut self, ledger: &Ledger, bank: usize) -> bool {
        if ledger.setup.banks[bank].limits.bilateral.is_empty() {
            return true;
        }
        self.owed.fill(Cents::ZERO);
        for payment in &self.payments {
            if payment.sender.index() == bank {
                self.owed[payment.receiver.index()] += payment.amount;
            } else if payment.receiver.index() == bank {
                self.owed[payment.sender.index()] -= payment.amount;
            }
        }
        self.owed.iter().enumerate().all(|(other, owed)| {
            ledger.bilateral_headroom(bank, other).is_none_or(|headroom| *owed <= headroom.max(Cents::ZERO))
        })
    }
}
