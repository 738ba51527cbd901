//! Phases of a tick.

use super::state::{Stage, System};
use crate::bank::Bank;
use crate::costs::Costs;
use crate::error::TickError;
use crate::events::Event;
use crate::settlement::settle;
use crate::system_setup::Settlement;
use crate::units::{Cents, Tick};

/// Results of a tick, for all banks together.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct TickOutcome {
    /// Tick of the results.
    pub tick: Tick,
    /// Number of arrived orders.
    pub arrivals: u32,
    /// Number of settled payments.
    pub settlements: u32,
    /// Number of cancelled payments.
    pub dropped: u32,
    /// Number of unsettled payments in internal and central queues.
    pub queue_depth: usize,
    /// Value of settled payments.
    pub settled_value: Cents,
    /// Costs of all banks.
    pub costs: Costs,
}

impl System {
    /// Simulates a tick.
    ///
    /// # Errors
    /// [`TickError`] if the episode is over or a cost exceeds 64 bits.
    pub fn tick(&mut self) -> Result<TickOutcome, TickError> {
        self.begin_tick()?;
        self.finish_tick()
    }

    /// Simulates the first half of a tick, up to the decisions.
    ///
    /// Opens the day if necessary. No-op within a tick.
    ///
    /// # Errors
    /// [`TickError`] if the episode is over or a cost exceeds 64 bits.
    pub fn begin_tick(&mut self) -> Result<(), TickError> {
        self.begin_day()?;
        if self.progress.stage == Stage::Opening {
            self.commit_pools()?;
        }
        if self.progress.stage == Stage::BeforeTick {
            self.open_tick();
            self.apply_scheduled_events();
            self.add_arrivals();
            self.progress.stage = Stage::InTick;
        }
        Ok(())
    }

    /// Simulates the second half of a tick with the decisions in [`System::decisions_mut`].
    ///
    /// # Errors
    /// [`TickError`] if the episode is over or a cost exceeds 64 bits.
    pub fn finish_tick(&mut self) -> Result<TickOutcome, TickError> {
        self.begin_tick()?;
        let (tick, arrivals, value) = (self.ledger.now, self.progress.arrivals, self.settled_value());
        let (settlements, dropped) = self.play_tick()?;
        let banks = &self.ledger.banks;
        Ok(TickOutcome {
            tick,
            arrivals,
            settlements,
            dropped,
            queue_depth: self.ledger.num_unsettled(),
            settled_value: self.settled_value() - value,
            costs: std::array::from_fn(|component| banks.iter().map(|bank| bank.tick_costs[component]).sum()),
        })
    }

    /// Simulates the second half of a tick.
    ///
    /// Returns the numbers of settled and dropped payments.
    pub(crate) fn play_tick(&mut self) -> Result<(u32, u32), TickError> {
        self.begin_tick()?;
        self.decide();
        self.release();
        let settled = self.settle();
        self.charge_collateral()?;
        self.land_receipts();
        self.accrue()?;
        let (settled_at_close, dropped) = if self.is_last_tick_of_day() { self.end_day()? } else { (0, 0) };
        self.record_costs();
        self.ledger.banks.iter_mut().for_each(Bank::close_tick);
        (self.progress.arrivals, self.progress.first_sampled) = (0, None);
        self.advance();
        Ok((settled + settled_at_close, dropped))
    }

    fn open_tick(&mut self) {
        let now = self.ledger.now;
        self.ledger.events.record(|| Event::Tick { tick: now });
        self.record_urgency();
        for bank in &mut self.ledger.banks {
            bank.open_tick();
            if let Some(escalation) = self.setup.escalation {
                bank.escalate(escalation, now);
            }
        }
    }

    fn release(&mut self) {
        self.record_holds();
        for bank in 0..self.ledger.banks.len() {
            self.ledger.release(bank);
        }
    }

    fn settle(&mut self) -> u32 {
        self.end_cycles();
        let settled = std::mem::take(&mut self.ledger.settled_at_once) + settle(&mut self.ledger);
        self.record_waiting();
        settled
    }

    /// Ends due cycles of deferred net rails; the day's last tick ends all.
    fn end_cycles(&mut self) {
        for (index, rail) in self.setup.rails.iter().enumerate() {
            let Settlement::DeferredNet { cycle_ticks } = rail.settlement else { continue };
            if self.is_last_tick_of_day() || (self.tick_of_day() + 1).is_multiple_of(cycle_ticks) {
                for bank in &mut self.ledger.banks {
                    bank.in_ended_cycle[index] = u32::try_from(bank.central[index].len()).unwrap_or(u32::MAX);
                }
            }
        }
    }

    fn advance(&mut self) {
        if self.is_last_tick_of_day() {
            self.progress.day += 1;
            self.ledger.now = self.day_start();
            self.progress.stage = Stage::BeforeDay;
        } else {
            self.ledger.now = Tick(self.ledger.now.0 + 1);
            self.progress.stage = Stage::BeforeTick;
        }
        self.progress.closes_early = false;
    }

    fn settled_value(&self) -> Cents {
        self.ledger.banks.iter().map(|bank| bank.statistics.settled_value).sum()
    }
}
