//! Events that the system records in addition to those of the ledger.

use super::state::System;
use crate::bank::Bank;
use crate::costs::COMPONENTS;
use crate::events::{Event, HoldReason, Obstacle};
use crate::ledger::Ledger;
use crate::payment::{Decision, Payment};
use crate::scenario::QueueDiscipline;
use crate::system_setup::{Rail, Settlement};
use crate::units::{BankId, Cents, bank_at};

impl System {
    /// Records the accounts at the start of an episode.
    pub(super) fn record_first_opening(&mut self) {
        let Ledger { banks, events, .. } = &mut self.ledger;
        for (index, bank) in banks.iter().enumerate() {
            events.record(|| opening_event(bank_at(index), bank, bank.balance, Cents::ZERO));
        }
    }

    /// Records changes of urgency, before they apply.
    pub(super) fn record_urgency(&mut self) {
        let Ledger { banks, events, now, .. } = &mut self.ledger;
        let Some(escalation) = self.setup.escalation.filter(|_| events.is_recording()) else { return };
        for payment in banks.iter().flat_map(|bank| &bank.internal) {
            let urgency = escalation.urgency(payment.priority, payment.deadline, *now);
            if urgency != payment.urgency {
                events.record(|| Event::Urgency { payment: payment.id, sender: payment.sender, urgency });
            }
        }
    }

    /// Records held payments, before the releases.
    pub(super) fn record_holds(&mut self) {
        let Ledger { banks, events, now, .. } = &mut self.ledger;
        if !events.is_recording() {
            return;
        }
        for bank in banks {
            let reason = if bank.is_out(*now) { HoldReason::Outage } else { HoldReason::Decision };
            for (position, payment) in bank.internal.iter().enumerate() {
                let decision = bank.decisions.get(position).copied().unwrap_or(Decision::Hold);
                if reason == HoldReason::Outage || decision == Decision::Hold {
                    events.record(|| Event::hold(payment, reason));
                }
            }
        }
    }

    /// Records payments that joined a central queue and heads that block one.
    pub(super) fn record_waiting(&mut self) {
        if !self.ledger.events.is_recording() {
            return;
        }
        let mut waiting = Vec::new();
        for bank in &self.ledger.banks {
            for (rail, queue) in self.setup.rails.iter().zip(&bank.central) {
                for (position, payment) in queue.iter().enumerate() {
                    let (reason, available) = obstacle(&self.ledger, rail, position, payment);
                    if payment.released == self.ledger.now {
                        waiting.push(Event::queued(payment, u32::try_from(position).unwrap_or(u32::MAX), reason));
                    }
                    if let (0, Some(available)) = (position, available) {
                        waiting.push(Event::limit_hit(payment, reason, available));
                    }
                }
            }
        }
        waiting.into_iter().for_each(|event| self.ledger.events.record(|| event));
    }

    /// Records deferred receipts, before they land.
    pub(super) fn record_landing(&mut self) {
        let Ledger { banks, events, .. } = &mut self.ledger;
        if !events.is_recording() {
            return;
        }
        for (index, bank) in banks.iter().enumerate().filter(|(_, bank)| bank.deferred > Cents::ZERO) {
            events.record(|| Event::Landing { bank: bank_at(index), amount: bank.deferred });
        }
    }

    /// Records the costs of the step.
    pub(super) fn record_costs(&mut self) {
        let Ledger { banks, events, .. } = &mut self.ledger;
        if !events.is_recording() {
            return;
        }
        for (index, bank) in banks.iter().enumerate() {
            for (component, amount) in COMPONENTS.into_iter().zip(bank.tick_costs) {
                if amount != Cents::ZERO {
                    events.record(|| Event::Cost { bank: bank_at(index), component, amount });
                }
            }
        }
    }
}

/// Why a payment at a position of a central queue does not settle.
///
/// With the available amount, if liquidity or a limit is the reason.
fn obstacle(ledger: &Ledger, rail: &Rail, position: usize, payment: &Payment) -> (Obstacle, Option<Cents>) {
    if let Settlement::DeferredNet { .. } = rail.settlement {
        return (Obstacle::Cycle, None);
    }
    if position > 0 && rail.queue_discipline != QueueDiscipline::FifoBypass {
        return (Obstacle::Behind, None);
    }
    let (sender, receiver) = (payment.sender.index(), payment.receiver.index());
    let bank = &ledger.banks[sender];
    let limits = [
        (Obstacle::Liquidity, Some(bank.liquidity())),
        (Obstacle::MultilateralLimit, bank.multilateral_headroom()),
        (Obstacle::BilateralLimit, ledger.bilateral_headroom(sender, receiver)),
    ];
    let binding = limits.into_iter().find(|(_, available)| available.is_some_and(|cents| payment.amount > cents));
    binding.unwrap_or((Obstacle::Behind, None))
}

/// The event of a bank's opening.
pub(super) fn opening_event(id: BankId, bank: &Bank, closing_balance: Cents, loan_repaid: Cents) -> Event {
    Event::Opening {
        bank: id,
        closing_balance,
        loan_repaid,
        balance: bank.balance,
        credit_limit: bank.credit_limit,
        collateral: bank.collateral,
        collateral_credit: bank.collateral_credit,
    }
}
