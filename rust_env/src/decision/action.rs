//! Actions: what the numbers that a learner sends decide, which of them are legal, and how a
//! scripted policy would put its decisions into such numbers.
//!
//! In `slots` mode there is a number for each of the first payments of the internal queue: hold,
//! release or split. In `fraction` mode one number is the share of the queue's value to release. In
//! an opening step the first number is the share of the pool to commit.

use super::process::{ActionMode, Decides, Process, SHARES};
use crate::ledger::Ledger;
use crate::payment::{Decision, Payment};
use crate::system::System;
use crate::units::{BankId, Cents, Rate};

/// Leave the payment; release or commit nothing.
pub const HOLD: i64 = 0;
/// Send it to settlement.
pub const RELEASE: i64 = 1;
/// The first of the splits, in the order of `split_parts`.
pub const FIRST_SPLIT: i64 = 2;
/// What a learner's action is about in this step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Subject {
    /// The pool.
    Pool,
    /// The payments in the slots.
    Slots,
    /// A share of the internal queue's value.
    Share,
    /// Nothing, and why.
    Nothing(&'static str),
}

impl Process {
    /// What a learner's action is about now.
    #[must_use]
    pub fn subject(&self, system: &System, learner: BankId) -> Subject {
        let bank = &system.ledger.banks[learner.index()];
        if system.is_opening() {
            let has_pool = system.setup.banks[learner.index()].pool > Cents::ZERO;
            return match self.decides {
                Decides::Payments => Subject::Nothing("the learner decides about its payments only"),
                _ if has_pool => Subject::Pool,
                _ => Subject::Nothing("the bank has no pool to commit"),
            };
        }
        match self.action_mode {
            _ if self.decides == Decides::Pool => Subject::Nothing("the learner decides about its pool only"),
            _ if bank.is_out(system.ledger.now) => Subject::Nothing("the bank's outage lets it release nothing"),
            ActionMode::Fraction if bank.internal.is_empty() => Subject::Nothing("the queue is empty"),
            ActionMode::Fraction => Subject::Share,
            ActionMode::Slots => Subject::Slots,
        }
    }

    /// What action number `action` decides about a payment in a slot; it must be one.
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

    /// The action number of a decision about a payment in a slot.
    ///
    /// # Errors
    /// The number of parts, if no split into that many is on offer.
    pub fn action(&self, decision: Decision) -> Result<i64, u8> {
        match decision {
            Decision::Hold | Decision::Cut(_) => Ok(HOLD),
            Decision::Release => Ok(RELEASE),
            Decision::Split(parts) => {
                let place = self.split_parts.iter().position(|offered| *offered == parts).ok_or(parts)?;
                i64::try_from(place).map(|place| FIRST_SPLIT + place).map_err(|_| parts)
            }
        }
    }

    /// The payments that a learner now decides about, slot by slot.
    pub fn slot_payments<'a>(&self, ledger: &'a Ledger, learner: BankId) -> std::slice::Iter<'a, Payment> {
        let queue = &ledger.banks[learner.index()].internal;
        queue[..queue.len().min(self.slots)].iter()
    }

    /// Writes which actions are legal: heads x choices flags.
    pub fn write_mask(&self, system: &System, learner: BankId, mask: &mut [bool]) {
        mask.copy_from_slice(&self.idle_mask);
        match self.subject(system, learner) {
            Subject::Nothing(_) => {}
            Subject::Slots => self.write_slot_mask(&system.ledger, learner, mask),
            Subject::Pool | Subject::Share => mask[..self.choices()].fill(true),
        }
    }

    /// Opens to the payments in the slots what an idle mask closes.
    fn write_slot_mask(&self, ledger: &Ledger, learner: BankId, mask: &mut [bool]) {
        for (payment, flags) in self.slot_payments(ledger, learner).zip(mask.chunks_mut(self.choices())) {
            flags[1] = true;
            for (flag, parts) in flags[2..].iter_mut().zip(&self.split_parts) {
                *flag = payment.can_be_split(*parts);
            }
        }
    }

    /// The first illegal number of a learner's action, and why it is.
    #[must_use]
    pub fn first_illegal(&self, system: &System, learner: BankId, actions: &[i64]) -> Option<(usize, &'static str)> {
        let subject = self.subject(system, learner);
        let mut payments = self.slot_payments(&system.ledger, learner);
        let reason = |head: usize, action: i64| match subject {
            Subject::Slots => illegal_reason(self.decision(action), payments.next()),
            _ if action == HOLD => None,
            Subject::Nothing(reason) => Some(reason),
            _ if head > 0 => Some("only the first number counts when a pool is committed"),
            Subject::Pool | Subject::Share => None,
        };
        first_some(actions, reason)
    }

    /// Turns a learner's action into what its bank does in this step; illegal numbers hold.
    /// Returns how many were illegal.
    pub fn decide(&self, system: &mut System, learner: BankId, actions: &[i64]) -> i64 {
        match self.subject(system, learner) {
            Subject::Slots => self.decide_slots(&mut system.ledger, learner, actions),
            Subject::Share => {
                release_share(&mut system.ledger, learner, actions[0]);
                0
            }
            Subject::Pool => {
                let highest = self.choices() - 1;
                system.decide_pool(learner, Rate::from_fraction(actions[0] as f64 / highest as f64));
                count_not_hold(&actions[1..])
            }
            Subject::Nothing(_) => count_not_hold(actions),
        }
    }

    fn decide_slots(&self, ledger: &mut Ledger, learner: BankId, actions: &[i64]) -> i64 {
        let mut decisions = std::mem::take(&mut ledger.banks[learner.index()].decisions);
        decisions.clear();
        let mut illegal = 0;
        let mut actions = actions.iter();
        for (payment, action) in self.slot_payments(ledger, learner).zip(&mut actions) {
            let decision = self.decision(*action);
            let is_illegal = illegal_reason(decision, Some(payment)).is_some();
            illegal += i64::from(is_illegal);
            decisions.push(if is_illegal { Decision::Hold } else { decision });
        }
        ledger.banks[learner.index()].decisions = decisions;
        // Empty slots may only hold.
        illegal + count_not_hold(actions.as_slice())
    }

    /// The action nearest to what a scripted policy decides in a learner's place.
    ///
    /// `share` is that of the pool which the bank would commit, `decisions` are those about its queue.
    ///
    /// # Errors
    /// The number of parts, if a slot cannot express a split into that many.
    pub fn scripted_action(
        &self,
        system: &System,
        learner: BankId,
        share: Rate,
        decisions: &[Decision],
        out: &mut [i64],
    ) -> Result<(), u8> {
        out.fill(HOLD);
        match self.subject(system, learner) {
            Subject::Nothing(_) => {}
            Subject::Pool => out[0] = nearest(share.as_fraction(), self.choices()),
            Subject::Share => out[0] = nearest(released_share(&system.ledger, learner, decisions), SHARES),
            Subject::Slots => {
                for (out, decision) in out.iter_mut().zip(decisions) {
                    *out = self.action(*decision)?;
                }
            }
        }
        Ok(())
    }
}

/// How many actions are not to hold.
fn count_not_hold(actions: &[i64]) -> i64 {
    actions.iter().map(|action| i64::from(*action != HOLD)).sum()
}

fn first_some(
    actions: &[i64],
    mut reason: impl FnMut(usize, i64) -> Option<&'static str>,
) -> Option<(usize, &'static str)> {
    actions.iter().enumerate().find_map(|(head, action)| reason(head, *action).map(|reason| (head, reason)))
}

/// Why a decision about the payment in a slot is not legal.
fn illegal_reason(decision: Decision, payment: Option<&Payment>) -> Option<&'static str> {
    match (decision, payment) {
        (Decision::Hold, _) | (Decision::Release | Decision::Cut(_), Some(_)) => None,
        (_, None) => Some("the slot is empty and may only hold"),
        (Decision::Split(_), Some(payment)) if !payment.divisible => Some("the payment is not divisible"),
        (Decision::Split(parts), Some(payment)) if !payment.can_be_split(parts) => {
            Some("the payment has fewer cents than the split has parts")
        }
        (Decision::Split(_), Some(_)) => None,
    }
}

/// Releases `action` twentieths of the internal queue's value, rounded down to the cent, in queue
/// order. The payment at the margin is cut if it is divisible; else it is held, with all that follow.
fn release_share(ledger: &mut Ledger, learner: BankId, action: i64) {
    let mut decisions = std::mem::take(&mut ledger.banks[learner.index()].decisions);
    decisions.clear();
    let queue = &ledger.banks[learner.index()].internal;
    let value = queue.iter().map(|payment| payment.amount).sum();
    let highest = (SHARES - 1) as f64;
    let mut left = Rate::from_fraction(action as f64 / highest).share_of(value);
    for payment in queue {
        if payment.amount > left {
            if payment.divisible && left > Cents::ZERO {
                decisions.push(Decision::Cut(left));
            }
            break;
        }
        decisions.push(Decision::Release);
        left -= payment.amount;
    }
    ledger.banks[learner.index()].decisions = decisions;
}

/// Share of the internal queue's value that the decisions release.
fn released_share(ledger: &Ledger, learner: BankId, decisions: &[Decision]) -> f64 {
    let (mut released, mut all) = (Cents::ZERO, Cents::ZERO);
    for (payment, decision) in ledger.banks[learner.index()].internal.iter().zip(decisions) {
        let amount = payment.amount;
        all += amount;
        released += match decision {
            Decision::Hold => Cents::ZERO,
            Decision::Cut(part) => *part,
            Decision::Release | Decision::Split(_) => amount,
        };
    }
    if all > Cents::ZERO { released.0 as f64 / all.0 as f64 } else { 0.0 }
}

#[expect(clippy::cast_possible_truncation, reason = "a share of a few choices")]
fn nearest(share: f64, choices: usize) -> i64 {
    (share * (choices - 1) as f64).round() as i64
}
