//! Actions: for each of the first payments of the internal queue, hold, release or split.

use super::Process;
use crate::ledger::Ledger;
use crate::payment::Payment;
use crate::policy::Decision;
use crate::units::BankId;

/// Leave the payment.
pub const HOLD: i64 = 0;
/// Send it to settlement.
pub const RELEASE: i64 = 1;
/// The first of the splits, in the order of `split_parts`.
pub const FIRST_SPLIT: i64 = 2;

impl Process {
    /// What action number `action` decides; it must be one.
    #[must_use]
    pub fn decision(&self, action: i64) -> Decision {
        match action {
            HOLD => Decision::Hold,
            RELEASE => Decision::Release,
            split => {
                let place = usize::try_from(split - FIRST_SPLIT).unwrap_or_default();
                Decision::Split(self.split_parts[place])
            }
        }
    }

    /// The action number of a decision.
    ///
    /// # Errors
    /// The number of parts, if no split into that many is on offer.
    pub fn action(&self, decision: Decision) -> Result<i64, u8> {
        match decision {
            Decision::Hold => Ok(HOLD),
            Decision::Release => Ok(RELEASE),
            Decision::Split(parts) => {
                let place = self.split_parts.iter().position(|offered| *offered == parts).ok_or(parts)?;
                i64::try_from(place).map(|place| FIRST_SPLIT + place).map_err(|_| parts)
            }
        }
    }

    /// The payments that a learner now decides about, slot by slot.
    pub fn slot_payments<'a>(
        &self,
        ledger: &'a Ledger,
        learner: BankId,
    ) -> impl Iterator<Item = &'a Payment> + use<'a> {
        let queue = ledger.banks[learner.index()].internal.iter().take(self.slots);
        queue.map(|slot| ledger.book.get(*slot))
    }

    /// Writes which actions are legal: `slots` x `actions_per_slot` flags.
    pub fn write_mask(&self, ledger: &Ledger, learner: BankId, mask: &mut [bool]) {
        let mut payments = self.slot_payments(ledger, learner);
        for flags in mask.chunks_exact_mut(self.actions_per_slot()) {
            let payment = payments.next();
            flags[0] = true;
            flags[1] = payment.is_some();
            for (flag, parts) in flags[2..].iter_mut().zip(&self.split_parts) {
                *flag = payment.is_some_and(|payment| payment.can_be_split(*parts));
            }
        }
    }

    /// Why a decision about the payment in a slot is not legal.
    #[must_use]
    pub fn objection(&self, decision: Decision, payment: Option<&Payment>) -> Option<&'static str> {
        match (decision, payment) {
            (Decision::Hold, _) | (Decision::Release, Some(_)) => None,
            (_, None) => Some("the slot is empty and may only hold"),
            (Decision::Split(_), Some(payment)) if !payment.divisible => Some("the payment is not divisible"),
            (Decision::Split(parts), Some(payment)) if !payment.can_be_split(parts) => {
                Some("the payment has fewer cents than the split has parts")
            }
            (Decision::Split(_), Some(_)) => None,
        }
    }

    /// Turns a learner's actions into decisions about its queue; illegal ones hold.
    /// Returns how many were illegal.
    pub fn decide(&self, ledger: &mut Ledger, learner: BankId, actions: &[i64]) -> i64 {
        let mut decisions = std::mem::take(&mut ledger.banks[learner.index()].decisions);
        decisions.clear();
        let mut illegal = 0;
        let mut payments = self.slot_payments(ledger, learner);
        for action in actions {
            let (decision, payment) = (self.decision(*action), payments.next());
            let is_illegal = self.objection(decision, payment).is_some();
            illegal += i64::from(is_illegal);
            if payment.is_some() {
                decisions.push(if is_illegal { Decision::Hold } else { decision });
            }
        }
        drop(payments);
        ledger.banks[learner.index()].decisions = decisions;
        illegal
    }
}
