//! Accrual of costs and crediting of deferred receipts.

use super::state::System;
use crate::bank::Bank;
use crate::costs::Component;
use crate::error::TickError;
use crate::scenario::EndOfDay;
use crate::system_setup::SystemSetup;
use crate::units::Tick;

impl System {
    /// Charges collateral, before deferred receipts land.
    pub(super) fn charge_collateral(&mut self) -> Result<(), TickError> {
        if !self.setup.prices.has_collateral_price() {
            return Ok(());
        }
        self.accrue_each(Component::Collateral, |setup, bank, index| {
            setup.prices.collateral(bank.collateral, bank.balance, bank.credit_limit, setup.banks[index].haircut)
        })
    }

    /// Credits deferred receipts.
    pub(super) fn land_receipts(&mut self) {
        if self.setup.rails.iter().any(|rail| rail.deferred_crediting) {
            self.record_landing();
            self.ledger.banks.iter_mut().for_each(Bank::land);
        }
    }

    /// Charges overdraft and delay, and marks overdue payments.
    pub(super) fn accrue(&mut self) -> Result<(), TickError> {
        let is_delay_free = self.settles_without_delay_charge();
        for index in 0..self.ledger.banks.len() {
            let bank = &mut self.ledger.banks[index];
            bank.update_liquidity_used();
            let delay = if is_delay_free { 0 } else { bank.delay_charge };
            let charges =
                [(Component::Overdraft, self.setup.prices.overdraft(bank.balance)), (Component::Delay, delay)];
            for (component, charge) in charges {
                bank.accrue(component, charge)
                    .map_err(|component| overflow(&self.setup, index, component, self.ledger.now))?;
            }
            self.ledger.mark_overdue(index);
        }
        Ok(())
    }

    /// Charges each bank the amount that `charge` returns, in 10^-12 cents.
    pub(super) fn accrue_each(
        &mut self,
        component: Component,
        charge: impl Fn(&SystemSetup, &Bank, usize) -> i128,
    ) -> Result<(), TickError> {
        for index in 0..self.ledger.banks.len() {
            let bank = &mut self.ledger.banks[index];
            let amount = charge(&self.setup, bank, index);
            bank.accrue(component, amount)
                .map_err(|component| overflow(&self.setup, index, component, self.ledger.now))?;
        }
        Ok(())
    }

    /// Whether this tick's unsettled payments settle by overnight loans without a charge for delay.
    fn settles_without_delay_charge(&self) -> bool {
        let setup = &self.setup;
        !setup.prices.delay_at_close && setup.end_of_day == EndOfDay::Borrow && self.is_last_tick_of_day()
    }
}

fn overflow(setup: &SystemSetup, bank: usize, component: &'static str, now: Tick) -> TickError {
    TickError::CostOverflow { bank: setup.banks[bank].id.clone(), component, tick: now.0 }
}
