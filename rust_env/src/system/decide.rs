//! Decisions of policies and players.

use super::state::System;
use crate::ledger::Ledger;
use crate::payment::Decision;
use crate::policy::{PolicyContext, ScriptedPolicy};
use crate::units::BankId;

impl System {
    /// Runs policies and players for all banks but learners.
    pub(super) fn decide(&mut self) {
        self.run_policies();
        self.run_players(|system, bank| !system.roles.learners[bank.index()]);
    }

    fn run_policies(&mut self) {
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

    /// Runs the players of the banks for which `decides` holds.
    ///
    /// A player that decides only about its pool leaves the policy's decisions about payments unchanged.
    pub(super) fn run_players(&mut self, decides: impl Fn(&Self, BankId) -> bool) {
        if self.players.is_empty() {
            return;
        }
        let players = std::mem::take(&mut self.players);
        for player in &players {
            if decides(self, player.bank()) {
                player.play(self);
            }
        }
        self.players = players;
    }

    /// Appends the decisions of a scripted policy for a bank.
    ///
    /// A random policy draws from the bank's stream.
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
