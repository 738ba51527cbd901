//! Opening and end of a day.

use super::record::opening_event;
use super::state::{Stage, System};
use crate::bank::Bank;
use crate::costs::Component;
use crate::error::TickError;
use crate::events::{Event, Mechanism};
use crate::ledger::Ledger;
use crate::payment::Payment;
use crate::scenario::{EndOfDay, Overnight};
use crate::units::{BankId, Cents, Rate, bank_at};

impl System {
    /// Opens a day, up to the commitment of the pools. No-op within a day.
    ///
    /// # Errors
    /// [`TickError::EpisodeOver`].
    pub fn begin_day(&mut self) -> Result<(), TickError> {
        if self.progress.stage != Stage::BeforeDay {
            return Ok(());
        }
        if self.is_over() {
            return Err(TickError::EpisodeOver { ticks: self.setup.episode_ticks });
        }
        let (day, tick) = (self.day(), self.ledger.now);
        self.ledger.events.record(|| Event::Day { day, tick });
        if self.ledger.now.0 > 0 {
            self.open_accounts();
        } else {
            self.record_first_opening();
        }
        self.progress.next_replayed_order = 0;
        self.ledger.banks.iter_mut().for_each(|bank| bank.begin_step());
        self.progress.stage = Stage::Opening;
        Ok(())
    }

    /// Commits the pools as a step with its own costs.
    ///
    /// # Errors
    /// [`TickError`] if the episode is over or a cost exceeds 64 bits.
    pub fn finish_opening(&mut self) -> Result<(), TickError> {
        self.begin_day()?;
        if self.progress.stage == Stage::Opening {
            self.commit_pools()?;
            self.record_costs();
            self.ledger.banks.iter_mut().for_each(Bank::end_step);
        }
        Ok(())
    }

    /// Sets the share of its pool that a bank commits at this opening.
    pub fn decide_pool(&mut self, bank: BankId, share: Rate) {
        self.ledger.banks[bank.index()].pool_decision = Some(share);
    }

    fn open_accounts(&mut self) {
        for (index, (bank, setup)) in self.ledger.banks.iter_mut().zip(&self.setup.banks).enumerate() {
            let (closing, loan) = (bank.balance, bank.loan);
            let opening = match self.setup.overnight {
                Overnight::Carry => closing - loan,
                Overnight::Reset => setup.balance,
            };
            self.progress.external += opening - closing;
            bank.balance = opening;
            bank.loan = Cents::ZERO;
            bank.open_day();
            self.ledger.events.record(|| opening_event(bank_at(index), bank, closing, loan));
        }
    }

    /// Credits and charges the liquidity committed from each pool.
    pub(super) fn commit_pools(&mut self) -> Result<(), TickError> {
        self.run_players(|system, bank| system.ledger.banks[bank.index()].pool_decision.is_none());
        for (index, (bank, setup)) in self.ledger.banks.iter_mut().zip(&self.setup.banks).enumerate() {
            let share = bank.pool_decision.take().unwrap_or(setup.pool_share);
            let amount = share.share_of(setup.pool);
            bank.commit(amount);
            self.progress.external += amount;
            if amount > Cents::ZERO {
                self.ledger.events.record(|| Event::PoolCommitment { bank: bank_at(index), amount });
            }
        }
        self.progress.stage = Stage::BeforeTick;
        self.accrue_each(Component::Liquidity, |setup, bank, _| setup.prices.liquidity(bank.committed))
    }

    /// Ends the day: charges unsettled payments, applies the end-of-day rule and returns the pools.
    ///
    /// Returns the numbers of settled and dropped payments.
    pub(super) fn end_day(&mut self) -> Result<(u32, u32), TickError> {
        self.charge_unsettled()?;
        let unsettled = u32::try_from(self.ledger.num_unsettled()).unwrap_or(u32::MAX);
        let done = match self.setup.end_of_day {
            EndOfDay::Carry => (0, 0),
            EndOfDay::Drop => {
                self.empty_queues(Ledger::cancel);
                (0, unsettled)
            }
            EndOfDay::Borrow => {
                self.lend();
                self.empty_queues(|ledger, payment| ledger.settle(payment, Mechanism::Close));
                self.land_receipts();
                (unsettled, 0)
            }
        };
        self.return_pools();
        let day = self.day();
        self.ledger.events.record(|| Event::DayEnd { day });
        Ok(done)
    }

    fn charge_unsettled(&mut self) -> Result<(), TickError> {
        for index in 0..self.ledger.banks.len() {
            let unsettled = self.ledger.banks[index].unsettled();
            let (count, value) =
                unsettled.fold((0, Cents::ZERO), |(count, value), payment| (count + 1, value + payment.amount));
            let bank = &mut self.ledger.banks[index];
            (bank.unsettled_count, bank.unsettled_value) = (count, value);
            if self.setup.end_of_day == EndOfDay::Borrow {
                bank.statistics.lent_value += value;
                bank.loan = bank.shortfall(value);
            }
            let borrowed = bank.loan;
            if count > 0 {
                let id = bank_at(index);
                let event = || Event::EndOfDay { bank: id, unsettled_count: count, unsettled_value: value, borrowed };
                self.ledger.events.record(event);
            }
        }
        self.accrue_each(Component::EndOfDay, |setup, bank, _| {
            let is_lent = setup.end_of_day == EndOfDay::Borrow;
            setup.prices.end_of_day(bank.unsettled_count, if is_lent { bank.loan } else { bank.unsettled_value })
        })
    }

    fn lend(&mut self) {
        for bank in &mut self.ledger.banks {
            bank.balance += bank.loan;
            self.progress.external += bank.loan;
        }
    }

    fn empty_queues(&mut self, take: impl Fn(&mut Ledger, &Payment)) {
        for index in 0..self.ledger.banks.len() {
            self.ledger.move_to_central(index);
            for rail in 0..self.setup.rails.len() {
                self.ledger.banks[index].in_ended_cycle[rail] = 0;
                while let Some(payment) = self.ledger.banks[index].central[rail].pop_front() {
                    take(&mut self.ledger, &payment);
                }
            }
        }
    }

    /// Debits the committed liquidity, even if the balance falls below its limit.
    fn return_pools(&mut self) {
        for (index, bank) in self.ledger.banks.iter_mut().enumerate() {
            let amount = std::mem::take(&mut bank.committed);
            bank.balance -= amount;
            self.progress.external -= amount;
            if amount > Cents::ZERO {
                self.ledger.events.record(|| Event::PoolReturn { bank: bank_at(index), amount });
            }
        }
    }
}
