//! Deferred net settlement at the end of each cycle.

use crate::events::Mechanism;
use crate::ledger::Ledger;
use crate::payment::Payment;
use crate::units::{Cents, RailId};

/// Settlement of deferred net rails; contains only scratch buffers.
#[derive(Clone, Debug, Default)]
pub struct Net {
    payments: Vec<Payment>,
    owed: Vec<Cents>,
}

impl Net {
    /// Settles the ended cycles of a rail; returns the number of settled payments.
    ///
    /// They settle if every net debtor can pay. Otherwise no payment is unwound: they are tried again in every tick,
    /// together with cycles that end later.
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

    /// Whether the net amounts that a bank owes each other bank respect its limits.
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
