//! Actions: decoding, masks and encoding of scripted decisions.
//!
//! In `slots` mode an action has a component for each slot: hold, release or split. In `fraction` mode its only
//! component is the share of the queue's value to release. In an opening step its last component is the share of the
//! pool to commit; in `slots` mode that component has no other purpose.

use super::layout::{ActionMode, SHARES};
use super::process::Process;
use crate::ledger::Ledger;
use crate::payment::{Decision, Payment};
use crate::system::System;
use crate::units::{BankId, Cents, Rate};

/// Choice that holds a payment, or releases or commits nothing.
pub const HOLD: i64 = 0;
/// Choice that releases a payment.
pub const RELEASE: i64 = 1;
/// First of the choices that split a payment, in the order of `split_parts`.
pub const FIRST_SPLIT: i64 = 2;

/// What an action decides in a step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum ActionTarget {
    /// The share of the pool to commit.
    Pool,
    /// Each slot's payment.
    Slots,
    /// The share of the internal queue's value to release.
    Share,
    /// Nothing, for this reason.
    Nothing(&'static str),
}

impl Process {
    /// What a learner's action decides in the current step.
    pub fn target(&self, system: &System, learner: BankId) -> ActionTarget {
        let bank = &system.ledger.banks[learner.index()];
        if system.is_opening() {
            let has_pool = system.setup.banks[learner.index()].pool > Cents::ZERO;
            return match self.layout.pool {
                None => ActionTarget::Nothing("the learner does not decide about its pool"),
                Some(_) if has_pool => ActionTarget::Pool,
                Some(_) => ActionTarget::Nothing("the bank has no pool to commit"),
            };
        }
        match self.action_mode {
            _ if !self.decides.includes_payments() => {
                ActionTarget::Nothing("the learner does not decide about its payments")
            }
            _ if bank.is_out(system.ledger.now) => ActionTarget::Nothing("the bank has an outage"),
            ActionMode::Fraction if bank.internal.is_empty() => ActionTarget::Nothing("the queue is empty"),
            ActionMode::Fraction => ActionTarget::Share,
            ActionMode::Slots => ActionTarget::Slots,
        }
    }

    /// Decodes a valid choice for a slot.
    pub fn decision(&self, action: i64) -> Decision {
        match action {
            HOLD => Decision::Hold,
            RELEASE => Decision::Release,
            split => {
                let index = usize::try_from(split - FIRST_SPLIT).unwrap_or_default();
                Decision::Split(self.split_parts[index])
            }
        }
    }

    /// Encodes a decision about a slot.
    ///
    /// # Errors
    /// The number of parts, if no such split is available.
    pub fn action(&self, decision: Decision) -> Result<i64, u8> {
        match decision {
            Decision::Hold | Decision::Cut(_) => Ok(HOLD),
            Decision::Release => Ok(RELEASE),
            Decision::Split(parts) => {
                let index = self.split_parts.iter().position(|offered| *offered == parts).ok_or(parts)?;
                i64::try_from(index).map(|index| FIRST_SPLIT + index).map_err(|_| parts)
            }
        }
    }

    /// The payments in the slots.
    pub fn slot_payments<'a>(&self, ledger: &'a Ledger, learner: BankId) -> std::slice::Iter<'a, Payment> {
        let queue = &ledger.banks[learner.index()].internal;
        queue[..queue.len().min(self.slots)].iter()
    }

    /// Writes the action mask, of [`Layout::mask_size`](super::Layout::mask_size) flags.
    pub fn write_mask(&self, system: &System, learner: BankId, mask: &mut [bool]) {
        mask.copy_from_slice(&self.layout.idle_mask);
        match self.target(system, learner) {
            ActionTarget::Nothing(_) => {}
            ActionTarget::Slots => self.write_slot_mask(&system.ledger, learner, mask),
            ActionTarget::Pool => mask[self.layout.mask_size() - self.layout.pool_shares()..].fill(true),
            ActionTarget::Share => mask.fill(true),
        }
    }

    fn write_slot_mask(&self, ledger: &Ledger, learner: BankId, mask: &mut [bool]) {
        for (payment, flags) in self.slot_payments(ledger, learner).zip(mask.chunks_mut(2 + self.split_parts.len())) {
            flags[1] = true;
            for (flag, parts) in flags[2..].iter_mut().zip(&self.split_parts) {
                *flag = payment.can_be_split(*parts);
            }
        }
    }

    /// Index of the first illegal component of an action, with the reason.
    pub fn first_illegal(&self, system: &System, learner: BankId, actions: &[i64]) -> Option<(usize, &'static str)> {
        let target = self.target(system, learner);
        let mut payments = self.slot_payments(&system.ledger, learner);
        let mut reason = |head: usize, action: i64| match target {
            ActionTarget::Slots if head < self.layout.slots => illegal_reason(self.decision(action), payments.next()),
            _ if action == HOLD => None,
            ActionTarget::Nothing(reason) => Some(reason),
            ActionTarget::Slots => Some("the pool is committed in an opening step"),
            ActionTarget::Pool if Some(head) != self.layout.pool => Some("an opening step only commits the pool"),
            ActionTarget::Pool | ActionTarget::Share => None,
        };
        actions.iter().enumerate().find_map(|(head, action)| reason(head, *action).map(|reason| (head, reason)))
    }

    /// Executes a learner's action; illegal components hold.
    ///
    /// Returns the number of illegal components.
    pub fn apply_actions(&self, system: &mut System, learner: BankId, actions: &[i64]) -> i64 {
        match self.target(system, learner) {
            ActionTarget::Slots => self.apply_slots(&mut system.ledger, learner, actions),
            ActionTarget::Share => {
                release_share(&mut system.ledger, learner, actions[0]);
                0
            }
            ActionTarget::Pool => {
                let Some((share, others)) = actions.split_last() else { return 0 };
                let highest = self.layout.pool_shares() - 1;
                system.decide_pool(learner, Rate::from_fraction(*share as f64 / highest as f64));
                count_not_hold(others)
            }
            ActionTarget::Nothing(_) => count_not_hold(actions),
        }
    }

    fn apply_slots(&self, ledger: &mut Ledger, learner: BankId, actions: &[i64]) -> i64 {
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
        // Empty slots may only hold, and the pool is committed in another step.
        illegal + count_not_hold(actions.as_slice())
    }

    /// Encodes a scripted policy's decisions as the nearest action.
    ///
    /// `share` is the committed share of the pool, `decisions` those about the internal queue.
    ///
    /// # Errors
    /// The number of parts, if no such split is available.
    pub fn scripted_action(
        &self,
        system: &System,
        learner: BankId,
        share: Rate,
        decisions: &[Decision],
        out: &mut [i64],
    ) -> Result<(), u8> {
        out.fill(HOLD);
        match self.target(system, learner) {
            ActionTarget::Nothing(_) => {}
            ActionTarget::Pool => {
                if let Some(out) = out.last_mut() {
                    *out = nearest(share.as_fraction(), self.layout.pool_shares());
                }
            }
            ActionTarget::Share => out[0] = nearest(released_share(&system.ledger, learner, decisions), SHARES),
            ActionTarget::Slots => {
                for (out, decision) in out.iter_mut().take(self.layout.slots).zip(decisions) {
                    *out = self.action(*decision)?;
                }
            }
        }
        Ok(())
    }
}

fn count_not_hold(actions: &[i64]) -> i64 {
    actions.iter().map(|action| i64::from(*action != HOLD)).sum()
}

/// Why a decision about a slot is illegal, if it is.
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

/// Releases `action` twentieths of the internal queue's value in queue order.
///
/// The value is rounded down to cents. The marginal payment is split if divisible; else it and all later ones are held.
fn release_share(ledger: &mut Ledger, learner: BankId, action: i64) {
    let mut decisions = std::mem::take(&mut ledger.banks[learner.index()].decisions);
    decisions.clear();
    let queue = &ledger.banks[learner.index()].internal;
    let value = queue.iter().map(|payment| payment.amount).sum();
    let highest = (SHARES - 1) as f64;
    let mut remaining = Rate::from_fraction(action as f64 / highest).share_of(value);
    for payment in queue {
        if payment.amount > remaining {
            if payment.divisible && remaining > Cents::ZERO {
                decisions.push(Decision::Cut(remaining));
            }
            break;
        }
        decisions.push(Decision::Release);
        remaining -= payment.amount;
    }
    ledger.banks[learner.index()].decisions = decisions;
}

/// Share of the internal queue's value released by `decisions`.
fn released_share(ledger: &Ledger, learner: BankId, decisions: &[Decision]) -> f64 {
    let (mut released, mut total) = (Cents::ZERO, Cents::ZERO);
    for (payment, decision) in ledger.banks[learner.index()].internal.iter().zip(decisions) {
        let amount = payment.amount;
        total += amount;
        released += match decision {
            Decision::Hold => Cents::ZERO,
            Decision::Cut(part) => *part,
            Decision::Release | Decision::Split(_) => amount,
        };
    }
    if total > Cents::ZERO { released.0 as f64 / total.0 as f64 } else { 0.0 }
}

#[expect(clippy::cast_possible_truncation, reason = "a small number of choices")]
fn nearest(share: f64, choices: usize) -> i64 {
    (share * (choices - 1) as f64).round() as i64
}
