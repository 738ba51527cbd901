//! Observations: one table defines the columns of encoder, observation space and documentation.
//!
//! A bank observes what a treasurer sees: its own account, queues and receipts, the clock, and the queues that rails
//! show. It observes neither other banks' balances nor the future.

use super::process::Process;
use crate::bank::{Bank, RECENT_TICKS};
use crate::ledger::Ledger;
use crate::payment::{Nearness, Payment, SOON_TICKS};
use crate::system::System;
use crate::units::{BankId, Cents, RailId, Tick};
use std::collections::VecDeque;

/// Description of an observation column.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Field {
    /// Name.
    pub name: &'static str,
    /// Unit.
    pub unit: &'static str,
    /// Lower bound.
    pub low: f32,
    /// Upper bound.
    pub high: f32,
    /// Meaning.
    pub doc: &'static str,
}

/// Bound of amounts in amount scales, ticks in days and credit in use.
const CLIP: f32 = 10.0;
/// Bound of incoming queues, in amount scales: a small bank may have large counterparties.
const INCOMING_CLIP: f32 = 20.0;
/// Amounts of this many per amount scale are the unit of logarithms: basis points.
const BASIS_POINTS: f32 = 10_000.0;
/// Bound of logarithms of amounts: just above that of an amount of [`CLIP`] scales.
const LOG_CLIP: f32 = 5.01;
/// Bound of logarithms of counts: just above that of a million payments.
const LOG_COUNT_CLIP: f32 = 6.01;

/// Inputs of the encoder for the columns of a bank.
struct BankContext<'a> {
    bank: &'a Bank,
    scale: f32,
    now: u32,
    tick_of_day: u32,
    ticks_per_day: u32,
    later_days: u32,
    num_days: u32,
    is_over: bool,
    internal: QueueSummary,
    central_count: f32,
    central_due: Cents,
    head_value: Cents,
    free_liquidity: Cents,
    pool: Cents,
    is_opening: bool,
}

/// Totals of the internal queue.
#[derive(Clone, Copy, Default)]
struct QueueSummary {
    count: f32,
    value: Cents,
    due: Cents,
    soon: Cents,
    overdue: Cents,
    hidden: Cents,
}

/// Inputs of the encoder for the columns of a slot.
struct SlotContext<'a> {
    at_bank: &'a BankContext<'a>,
    ledger: &'a Ledger,
    bank: usize,
    payment: &'a Payment,
}

/// Defines a table of columns and the function that writes them.
macro_rules! columns {
    ($table:ident, $write:ident, $context:ty, $me:ident;
     $($name:ident [$unit:literal, $low:expr, $high:expr] $doc:literal => $value:expr;)*) => {
        /// Columns, in order.
        pub const $table: [Field; [$(stringify!($name)),*].len()] =
            [$(Field { name: stringify!($name), unit: $unit, low: $low, high: $high, doc: $doc }),*];

        fn $write($me: &$context, columns: &mut [f32; $table.len()]) {
            let [$($name),*] = columns;
            $(
                let value: f32 = $value;
                *$name = value.clamp($low, $high);
            )*
        }
    };
}

columns! {
    FIELDS, write_bank, BankContext<'_>, me;
    time_of_day ["days", 0.0, 1.0] "Elapsed ticks of the day, as a share of the day; 1 after the last day." => if me.is_over { 1.0 } else { me.tick_of_day as f32 / me.ticks_per_day as f32 };
    days_left ["episodes", 0.0, 1.0] "Remaining days after this one, as a share of the episode's days." => me.later_days as f32 / me.num_days as f32;
    balance ["amount scale", -CLIP, CLIP] "Account balance; negative in an overdraft." => me.money(me.bank.balance);
    liquidity ["amount scale", -CLIP, CLIP] "Balance plus unused credit, including credit on collateral." => me.money(me.bank.liquidity());
    free_liquidity ["amount scale", -CLIP, CLIP] "Liquidity, within the multilateral limit, available to a payment released now to the first rail: queued payments come first, unless payments may bypass them." => me.money(me.free_liquidity);
    credit_use ["credit", 0.0, CLIP] "Share of the credit in use, including credit on collateral; above 1 if a loan at the end of a day exceeds it." => me.credit_use();
    multilateral_headroom ["amount scale", -CLIP, CLIP] "Remaining net payments today under the multilateral limit; 10 without one." => me.bank.multilateral_headroom().map_or(CLIP, |headroom| me.money(headroom));
    is_opening ["flag", 0.0, 1.0] "Whether this is an opening step, in which the action commits the pool." => f32::from(u8::from(me.is_opening));
    pool ["amount scale", 0.0, CLIP] "Liquidity pool outside the system." => me.money(me.pool);
    pool_committed ["amount scale", 0.0, CLIP] "Part of the pool that is committed today." => me.money(me.bank.committed);
    is_out ["flag", 0.0, 1.0] "Whether the bank has an outage and cannot release payments." => f32::from(u8::from(me.bank.is_out(Tick(me.now))));
    queue_count ["log10 payments", 0.0, LOG_COUNT_CLIP] "log10(1 + the number of payments in the internal queue)." => log_count(me.internal.count);
    queue_value ["amount scale", 0.0, CLIP] "Value of the internal queue." => me.money(me.internal.value);
    queue_value_due ["amount scale", 0.0, CLIP] "Part of it whose deadline is this tick or has passed." => me.money(me.internal.due);
    queue_value_soon ["amount scale", 0.0, CLIP] "Part of it whose deadline is 1 to 4 ticks away." => me.money(me.internal.soon);
    queue_value_overdue ["amount scale", 0.0, CLIP] "Part of it that is overdue." => me.money(me.internal.overdue);
    queue_value_hidden ["amount scale", 0.0, CLIP] "Part of it beyond the slots." => me.money(me.internal.hidden);
    central_count ["log10 payments", 0.0, LOG_COUNT_CLIP] "log10(1 + the number of own payments in the central queues)." => log_count(me.central_count);
    central_value ["amount scale", 0.0, CLIP] "Their value." => me.money(me.bank.central_value);
    central_value_due ["amount scale", 0.0, CLIP] "Part of it whose deadline is this tick or has passed." => me.money(me.central_due);
    central_head_value ["amount scale", 0.0, CLIP] "Amount of the head of the first non-empty central queue." => me.money(me.head_value);
    received_last_tick ["amount scale", 0.0, CLIP] "Value received in the last tick, if it was today." => me.money(me.bank.received_recently(1));
    received_last_4_ticks ["amount scale", 0.0, CLIP] "Value received today in the last 4 ticks." => me.money(me.bank.received_recently(RECENT_TICKS));
    received_today ["amount scale", 0.0, CLIP] "Value received today." => me.money(me.bank.received_today);
    paid_today ["amount scale", 0.0, CLIP] "Value paid today." => me.money(me.bank.paid_today);
    incoming_count ["log10 payments", 0.0, LOG_COUNT_CLIP] "log10(1 + the number of incoming payments in visible central queues)." => log_count(me.bank.incoming_count as f32);
    incoming_value ["amount scale", 0.0, INCOMING_CLIP] "Their value." => me.money(me.bank.incoming_value);
    cost_today ["log10 basis points", 0.0, LOG_CLIP] "log10(1 + costs per tick), with the costs since the start of the day, divided by the ticks of a day, in basis points of the amount scale." => me.cost_today();
    throughput_due ["share", 0.0, 1.0] "Part of the day's value that is still to be sent by the next throughput time; 0 without a throughput rule." => 0.0;
    ticks_to_throughput ["days", 0.0, 1.0] "Ticks to the next throughput time, as a share of a day; 0 without a throughput rule." => 0.0;
}

columns! {
    SLOT_FIELDS, write_slot, SlotContext<'_>, me;
    amount ["amount scale", 0.0, CLIP] "Amount of the payment; all columns of an empty slot are 0." => me.at_bank.money(me.payment.amount);
    log_amount ["log10 basis points", 0.0, LOG_CLIP] "log10(1 + amount), with the amount in basis points of the amount scale: tells small payments apart." => me.log_amount();
    ticks_to_deadline ["days", -CLIP, CLIP] "Ticks to the deadline, as a share of a day; negative after the deadline." => me.ticks_to_deadline();
    is_overdue ["flag", 0.0, 1.0] "Whether the deadline has passed and the penalty was charged." => f32::from(u8::from(me.payment.is_overdue));
    is_due ["flag", 0.0, 1.0] "Whether the deadline is this tick and the payment is not overdue." => me.is_due_within(0, 0);
    is_due_next ["flag", 0.0, 1.0] "Whether the deadline is the next tick and the payment is not overdue." => me.is_due_within(1, 1);
    is_due_soon ["flag", 0.0, 1.0] "Whether the deadline is 2 to 4 ticks away and the payment is not overdue." => me.is_due_within(2, SOON_TICKS);
    priority ["10", 0.0, 1.0] "Priority without escalation, which determines the price of delay." => f32::from(me.payment.priority) / 10.0;
    age ["days", 0.0, CLIP] "Ticks since the arrival, as a share of a day." => me.age();
    divisible ["flag", 0.0, 1.0] "Whether the payment may be split." => f32::from(u8::from(me.payment.divisible));
    affordable ["flag", 0.0, 1.0] "Whether the free liquidity of its rail covers it, within the bilateral limit to its receiver." => f32::from(u8::from(me.is_affordable()));
    bilateral_position ["amount scale", -CLIP, CLIP] "Value received from the receiver today, less value paid to it." => me.bilateral_position();
    incoming_value ["amount scale", 0.0, INCOMING_CLIP] "Value of the receiver's payments to this bank in visible central queues." => me.incoming_value();
}

/// Names and descriptions of all columns of an observation with `slots` slots.
pub fn fields(slots: usize) -> impl Iterator<Item = (String, Field)> {
    let bank = FIELDS.iter().map(|field| (field.name.to_owned(), *field));
    let slots = (0..slots)
        .flat_map(|slot| SLOT_FIELDS.iter().map(move |field| (format!("slot_{slot}_{}", field.name), *field)));
    bank.chain(slots)
}

/// Number of columns of an observation with `slots` slots.
pub fn size(slots: usize) -> usize {
    FIELDS.len() + slots * SLOT_FIELDS.len()
}

impl Process {
    /// Number of columns of a learner's observation.
    pub fn observation_size(&self) -> usize {
        size(self.slots)
    }

    /// Writes the observation of the learner at index `learner`.
    ///
    /// `out` has [`Process::observation_size`] columns.
    pub fn write_observation(&self, system: &System, learner: usize, out: &mut [f32]) {
        let (id, ledger) = (self.learners[learner], &system.ledger);
        let context = self.context(system, id);
        let Some((bank_columns, slot_columns)) = out.split_first_chunk_mut() else { return };
        write_bank(&context, bank_columns);
        let mut slots = slot_columns.as_chunks_mut().0.iter_mut();
        for (payment, columns) in self.slot_payments(ledger, id).zip(&mut slots) {
            write_slot(&SlotContext { at_bank: &context, ledger, bank: id.index(), payment }, columns);
        }
        slots.into_slice().as_flattened_mut().fill(0.0);
    }

    fn context<'a>(&self, system: &'a System, id: BankId) -> BankContext<'a> {
        let (setup, ledger) = (&system.setup, &system.ledger);
        let bank = &ledger.banks[id.index()];
        let now = ledger.now.0;
        let is_due = |payment: &&Payment| payment.nearness(Tick(now)) == Nearness::Due;
        BankContext {
            bank,
            scale: 1.0 / setup.banks[id.index()].amount_scale.0 as f32,
            now,
            tick_of_day: system.tick_of_day(),
            ticks_per_day: setup.ticks_per_day,
            later_days: setup.num_days - 1 - system.day(),
            num_days: setup.num_days,
            is_over: system.is_over(),
            internal: QueueSummary::of(&bank.internal, now, self.slots),
            central_count: bank.central.iter().map(VecDeque::len).sum::<usize>() as f32,
            central_due: bank.queued().filter(is_due).map(|payment| payment.amount).sum(),
            head_value: bank.queued().next().map_or(Cents::ZERO, |payment| payment.amount),
            free_liquidity: ledger.free_liquidity(id.index(), RailId(0)),
            pool: setup.banks[id.index()].pool,
            is_opening: system.is_opening(),
        }
    }
}

impl QueueSummary {
    fn of(payments: &[Payment], now: u32, slots: usize) -> Self {
        let mut summary = Self { count: payments.len() as f32, ..Self::default() };
        for (index, payment) in payments.iter().enumerate() {
            summary.value += payment.amount;
            match payment.nearness(Tick(now)) {
                Nearness::Due => summary.due += payment.amount,
                Nearness::Soon => summary.soon += payment.amount,
                Nearness::Later => {}
            }
            if payment.is_overdue {
                summary.overdue += payment.amount;
            }
            if index >= slots {
                summary.hidden += payment.amount;
            }
        }
        summary
    }
}

fn log_count(count: f32) -> f32 {
    libm::log10f(1.0 + count)
}

impl BankContext<'_> {
    fn money(&self, amount: Cents) -> f32 {
        amount.0 as f32 * self.scale
    }

    fn credit_use(&self) -> f32 {
        let overdraft = -self.bank.balance.min(Cents::ZERO);
        if overdraft == Cents::ZERO { 0.0 } else { overdraft.0 as f32 / self.bank.credit().0 as f32 }
    }

    fn cost_today(&self) -> f32 {
        libm::log10f(1.0 + self.money(self.bank.cost_today) * BASIS_POINTS / self.ticks_per_day as f32)
    }
}

impl SlotContext<'_> {
    fn log_amount(&self) -> f32 {
        libm::log10f(1.0 + self.at_bank.money(self.payment.amount) * BASIS_POINTS)
    }

    /// Flag of a payment, not overdue, with `low` to `high` ticks left.
    fn is_due_within(&self, low: u32, high: u32) -> f32 {
        let left = self.payment.deadline.0.saturating_sub(self.at_bank.now);
        f32::from(u8::from(!self.payment.is_overdue && (low..=high).contains(&left)))
    }

    fn in_days(&self, ticks: i64) -> f32 {
        ticks as f32 / self.at_bank.ticks_per_day as f32
    }

    fn ticks_to_deadline(&self) -> f32 {
        self.in_days(i64::from(self.payment.deadline.0) - i64::from(self.at_bank.now))
    }

    fn age(&self) -> f32 {
        self.in_days(i64::from(self.at_bank.now) - i64::from(self.payment.arrival.0))
    }

    fn is_affordable(&self) -> bool {
        let (ledger, amount) = (self.ledger, self.payment.amount);
        let headroom = ledger.bilateral_headroom(self.bank, self.payment.receiver.index());
        let free_liquidity = match self.payment.rail {
            RailId(0) => self.at_bank.free_liquidity,
            rail => ledger.free_liquidity(self.bank, rail),
        };
        amount <= free_liquidity && headroom.is_none_or(|headroom| amount <= headroom)
    }

    fn bilateral_position(&self) -> f32 {
        let position = self.at_bank.bank.bilateral.get(self.payment.receiver.index());
        position.map_or(0.0, |position| self.at_bank.money(*position))
    }

    fn incoming_value(&self) -> f32 {
        if self.at_bank.bank.incoming_count == 0 {
            return 0.0;
        }
        let value = self.ledger.incoming_value(self.payment.receiver.index(), self.bank);
        self.at_bank.money(value)
    }
}
