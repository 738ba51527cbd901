//! Decisions inside a system: those of rules and of players.

use super::state::System;
use crate::ledger::Ledger;
use crate::payment::Decision;
use crate::policy::{PolicyContext, ScriptedPolicy};
use crate::units::BankId;

impl System {
    /// Scripted banks and networks decide; learners have decided already.
    pub(super) fn decide(&mut self) {
        self.decide_by_rule();
        self.run_players(|system, bank| !system.roles.learners[bank.index()]);
    }

    fn decide_by_rule(&mut self) {
        let Self { ledger, roles, policy_streams, index_buffer, .. } = self;
        for (index, policy) in roles.policies.iter().enumerate() {
            if roles.learners[index] || ledger.banks[index].internal.is_empty() {
                continue;
            }
            let mut decisions = std::mem::take(&mut ledger.banks[index].decisions);
            decisions.clear();
            policy.decide(&mut context(ledger, index_buffer, index), &mut policy_streams[index], &mut decisions);
            ledger.banks[index].decisions = decisions;
        }
    }

    /// Lets players decide about what is to be decided now, for the banks of which `is_free` holds. A rule has
    /// decided about their payments, which is what stands where a player decides about its pool only.
    pub(super) fn run_players(&mut self, is_free: impl Fn(&Self, BankId) -> bool) {
        if self.players.is_empty() {
            return;
        }
        let players = std::mem::take(&mut self.players);
        for player in &players {
            if is_free(self, player.bank()) {
                player.play(self);
            }
        }
        self.players = players;
    }

    /// Appends what a scripted policy would do now in the place of a bank.
    ///
    /// A policy that rolls dice takes them from the bank's own stream.
    pub fn append_scripted_decisions(
        &mut self,
        bank: BankId,
        policy: &dyn ScriptedPolicy,
        decisions: &mut Vec<Decision>,
    ) {
        let Self { ledger, policy_streams, index_buffer, .. } = self;
        policy.decide(&mut context(ledger, index_buffer, bank.index()), &mut policy_streams[bank.index()], decisions);
    }
}

fn context<'a>(ledger: &'a Ledger, index_buffer: &'a mut Vec<u32>, index: usize) -> PolicyContext<'a> {
    let bank = &ledger.banks[index];
    PolicyContext {
        now: ledger.now,
        uncommitted_balance: bank.balance - bank.central_value,
        uncommitted_liquidity: bank.uncommitted_liquidity(),
        prices: &ledger.setup.prices,
        index_buffer,
        queue: &bank.internal,
    }
}
