//! Observations: one table of columns. Each row names a column, its unit and its true bounds, says
//! what it means, and computes it; encoder, declared space and docs are made from the same rows.
//!
//! A bank sees what a treasurer sees: its own account, queues and receipts, the clock, and what the
//! rail shows. Never another bank's balance, nor the future.

use super::process::Process;
use crate::bank::{Bank, RECENT_TICKS};
use crate::ledger::Ledger;
use crate::payment::{Nearness, Payment};
use crate::system::System;
use crate::units::{BankId, Cents, RailId, Tick};
use std::collections::VecDeque;

/// A column of the observation.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Field {
    /// Name.
    pub name: &'static str,
    /// Unit.
    pub unit: &'static str,
    /// Smallest value.
    pub low: f32,
    /// Largest value.
    pub high: f32,
    /// Meaning.
    pub doc: &'static str,
}

/// Money is clipped at this many amount scales.
const CLIP: f32 = 10.0;

/// What the encoder looks at, gathered once an observation.
struct View<'a> {
    bank: &'a Bank,
    scale: f32,
    now: u32,
    tick_of_day: u32,
    ticks_per_day: u32,
    later_days: u32,
    num_days: u32,
    is_over: bool,
    slots: f32,
    internal: QueueSummary,
    central_count: f32,
    central_due: Cents,
    head_value: Cents,
    free_liquidity: Cents,
    pool: Cents,
    is_opening: bool,
    cost_scale: f64,
}

/// The internal queue in a few numbers.
#[derive(Clone, Copy, Default)]
struct QueueSummary {
    count: f32,
    value: Cents,
    due: Cents,
    soon: Cents,
    overdue: Cents,
    hidden: Cents,
}

/// What the encoder looks at in a slot.
struct SlotView<'a> {
    view: &'a View<'a>,
    ledger: &'a Ledger,
    bank: usize,
    payment: &'a Payment,
}

/// Makes a table of fields and the function that writes them, in the same order.
macro_rules! columns {
    ($table:ident, $write:ident, $view:ty, $me:ident;
     $($name:ident [$unit:literal, $low:expr, $high:expr] $doc:literal => $value:expr;)*) => {
        /// The columns, in order.
        pub const $table: [Field; [$(stringify!($name)),*].len()] =
            [$(Field { name: stringify!($name), unit: $unit, low: $low, high: $high, doc: $doc }),*];

        fn $write($me: &$view, columns: &mut [f32; $table.len()]) {
            let [$($name),*] = columns;
            $(
                let value: f32 = $value;
                *$name = value.clamp($low, $high);
            )*
        }
    };
}

columns! {
    FIELDS, write_bank, View<'_>, me;
    time_of_day ["days", 0.0, 1.0] "Ticks of today that are over, as a share of the day; 1 when the last day is over." => me.time_of_day();
    days_left ["episodes", 0.0, 1.0] "Days after today, as a share of the episode's days." => me.days_left();
    balance ["amount scale", -CLIP, CLIP] "Account balance; below zero it is overdrawn." => me.money(me.bank.balance);
    liquidity ["amount scale", -CLIP, CLIP] "Balance and unused credit, that on collateral included: what can be paid now." => me.money(me.bank.liquidity());
    free_liquidity ["amount scale", -CLIP, CLIP] "Liquidity, within the multilateral limit, that a payment released now to the first rail could use: what waits in the central queues comes first, unless payments may pass it." => me.money(me.free_liquidity);
    credit_use ["credit", 0.0, 1.0] "Share of the credit in use, that on collateral included." => me.credit_use();
    multilateral_headroom ["amount scale", -CLIP, CLIP] "How much more may be paid today under the multilateral limit; 10 without one." => me.bank.multilateral_headroom().map_or(CLIP, |headroom| me.money(headroom));
    is_opening ["flag", 0.0, 1.0] "Whether this is an opening step: the action commits the pool." => f32::from(u8::from(me.is_opening));
    pool ["amount scale", 0.0, CLIP] "Liquidity pool outside the system." => me.money(me.pool);
    pool_committed ["amount scale", 0.0, CLIP] "Part of it that is committed today." => me.money(me.bank.committed);
    is_out ["flag", 0.0, 1.0] "Whether an outage lets the bank release nothing." => f32::from(u8::from(me.bank.is_out(Tick(me.now))));
    queue_count ["slots", 0.0, CLIP] "Payments in the internal queue, per slot." => me.internal.count / me.slots;
    queue_value ["amount scale", 0.0, CLIP] "Value of the internal queue." => me.money(me.internal.value);
    queue_value_due ["amount scale", 0.0, CLIP] "Part of it whose deadline is this tick or has passed." => me.money(me.internal.due);
    queue_value_soon ["amount scale", 0.0, CLIP] "Part of it whose deadline is 1 to 4 ticks away." => me.money(me.internal.soon);
    queue_value_overdue ["amount scale", 0.0, CLIP] "Part of it that is overdue and charged as such." => me.money(me.internal.overdue);
    queue_value_hidden ["amount scale", 0.0, CLIP] "Part of it beyond the slots." => me.money(me.internal.hidden);
    central_count ["slots", 0.0, CLIP] "Own payments in the central queues, per slot." => me.central_count / me.slots;
    central_value ["amount scale", 0.0, CLIP] "Their value." => me.money(me.bank.central_value);
    central_value_due ["amount scale", 0.0, CLIP] "Part of it whose deadline is this tick or has passed." => me.money(me.central_due);
    central_head_value ["amount scale", 0.0, CLIP] "Amount of the payment at the head of the first rail that has one." => me.money(me.head_value);
    received_last_tick ["amount scale", 0.0, CLIP] "Value received in the last tick, if that was today." => me.money(me.received(1));
    received_last_4_ticks ["amount scale", 0.0, CLIP] "Value received in those of the last 4 ticks that were today." => me.money(me.received(RECENT_TICKS));
    received_today ["amount scale", 0.0, CLIP] "Value received today." => me.money(me.bank.received_today);
    paid_today ["amount scale", 0.0, CLIP] "Value paid today." => me.money(me.bank.paid_today);
    incoming_count ["slots", 0.0, CLIP] "Payments to this bank that wait in other banks' central queues, per slot; those that a rail hides do not count." => me.bank.incoming_count as f32 / me.slots;
    incoming_value ["amount scale", 0.0, CLIP] "Their value." => me.money(me.bank.incoming_value);
    cost_today ["reward units per tick", 0.0, CLIP] "Costs so far today, spread over the ticks of a day." => me.cost_today();
}

columns! {
    SLOT_FIELDS, write_slot, SlotView<'_>, me;
    amount ["amount scale", 0.0, CLIP] "Amount of the payment; 0 in an empty slot, as are all columns." => me.view.money(me.payment.amount);
    ticks_to_deadline ["days", -1.0, 1.0] "Ticks to its deadline, as a share of a day; negative once it has passed." => me.ticks_to_deadline();
    priority ["10", 0.0, 1.0] "Its priority as the customer gave it, by which its delay is priced." => f32::from(me.payment.priority) / 10.0;
    age ["days", 0.0, 1.0] "Ticks since it arrived, as a share of a day." => me.age();
    divisible ["flag", 0.0, 1.0] "Whether it may be split." => f32::from(u8::from(me.payment.divisible));
    affordable ["flag", 0.0, 1.0] "Whether the free liquidity of its rail covers it, within the bilateral limit to its receiver." => f32::from(u8::from(me.is_affordable()));
    bilateral_position ["amount scale", -CLIP, CLIP] "Value received from its receiver today, less value paid to it." => me.bilateral_position();
    incoming_value ["amount scale", 0.0, CLIP] "Value of its receiver's payments to this bank that wait in central queues; those that a rail hides do not count." => me.incoming_value();
}

/// Every column of an observation with `slots` slots, in order.
pub fn fields(slots: usize) -> impl Iterator<Item = (String, Field)> {
    let bank = FIELDS.iter().map(|field| (field.name.to_owned(), *field));
    let slots = (0..slots)
        .flat_map(|slot| SLOT_FIELDS.iter().map(move |field| (format!("slot_{slot}_{}", field.name), *field)));
    bank.chain(slots)
}

/// Number of columns of an observation with `slots` slots.
#[must_use]
pub fn size(slots: usize) -> usize {
    FIELDS.len() + slots * SLOT_FIELDS.len()
}

impl Process {
    /// Length of a learner's observation.
    #[must_use]
    pub fn observation_size(&self) -> usize {
        size(self.slots)
    }

    /// Writes what learner number `learner` sees into `out` (`observation_size` columns).
    pub fn write_observation(&self, system: &System, learner: usize, out: &mut [f32]) {
        let (id, ledger) = (self.learners[learner], &system.ledger);
        let view = self.view(system, id, self.reward_scales[learner]);
        let Some((bank_columns, slot_columns)) = out.split_first_chunk_mut() else { return };
        write_bank(&view, bank_columns);
        let mut slots = slot_columns.as_chunks_mut().0.iter_mut();
        for (payment, columns) in self.slot_payments(ledger, id).zip(&mut slots) {
            write_slot(&SlotView { view: &view, ledger, bank: id.index(), payment }, columns);
        }
        slots.into_slice().as_flattened_mut().fill(0.0);
    }

    fn view<'a>(&self, system: &'a System, id: BankId, reward_scale: f64) -> View<'a> {
        let (setup, ledger) = (&system.setup, &system.ledger);
        let bank = &ledger.banks[id.index()];
        let now = ledger.now.0;
        let is_due = |payment: &&Payment| payment.nearness(Tick(now)) == Nearness::Due;
        View {
            bank,
            scale: 1.0 / setup.banks[id.index()].amount_scale.0 as f32,
            now,
            tick_of_day: system.tick_of_day(),
            ticks_per_day: setup.ticks_per_day,
            later_days: setup.num_days - 1 - system.day(),
            num_days: setup.num_days,
            is_over: system.is_over(),
            slots: self.slots as f32,
            internal: QueueSummary::of(&bank.internal, now, self.slots),
            central_count: bank.central.iter().map(VecDeque::len).sum::<usize>() as f32,
            central_due: bank.queued().filter(is_due).map(|payment| payment.amount).sum(),
            head_value: bank.queued().next().map_or(Cents::ZERO, |payment| payment.amount),
            free_liquidity: ledger.free_liquidity(id.index(), RailId(0)),
            pool: setup.banks[id.index()].pool,
            is_opening: system.is_opening(),
            cost_scale: reward_scale * f64::from(setup.ticks_per_day),
        }
    }
}

impl QueueSummary {
    fn of(payments: &[Payment], now: u32, visible: usize) -> Self {
        let mut summary = Self { count: payments.len() as f32, ..Self::default() };
        for (place, payment) in payments.iter().enumerate() {
            summary.value += payment.amount;
            match payment.nearness(Tick(now)) {
                Nearness::Due => summary.due += payment.amount,
                Nearness::Soon => summary.soon += payment.amount,
                Nearness::Later => {}
            }
            if payment.is_overdue {
                summary.overdue += payment.amount;
            }
            if place >= visible {
                summary.hidden += payment.amount;
            }
        }
        summary
    }
}

impl View<'_> {
    fn money(&self, amount: Cents) -> f32 {
        amount.0 as f32 * self.scale
    }

    fn time_of_day(&self) -> f32 {
        if self.is_over { 1.0 } else { self.tick_of_day as f32 / self.ticks_per_day as f32 }
    }

    fn days_left(&self) -> f32 {
        self.later_days as f32 / self.num_days as f32
    }

    fn credit_use(&self) -> f32 {
        let overdraft = -self.bank.balance.min(Cents::ZERO);
        if overdraft == Cents::ZERO { 0.0 } else { overdraft.0 as f32 / self.bank.credit().0 as f32 }
    }

    fn received(&self, ticks: usize) -> Cents {
        self.bank.received_recently(ticks)
    }

    #[expect(clippy::cast_possible_truncation, reason = "an observation has 32 bits")]
    fn cost_today(&self) -> f32 {
        (self.bank.cost_today.0 as f64 / self.cost_scale) as f32
    }
}

impl SlotView<'_> {
    fn in_days(&self, ticks: i64) -> f32 {
        ticks as f32 / self.view.ticks_per_day as f32
    }

    fn ticks_to_deadline(&self) -> f32 {
        self.in_days(i64::from(self.payment.deadline.0) - i64::from(self.view.now))
    }

    fn age(&self) -> f32 {
        self.in_days(i64::from(self.view.now) - i64::from(self.payment.arrival.0))
    }

    fn is_affordable(&self) -> bool {
        let (ledger, amount) = (self.ledger, self.payment.amount);
        let headroom = ledger.bilateral_headroom(self.bank, self.payment.receiver.index());
        let free_liquidity = match self.payment.rail {
            RailId(0) => self.view.free_liquidity,
            rail => ledger.free_liquidity(self.bank, rail),
        };
        amount <= free_liquidity && headroom.is_none_or(|headroom| amount <= headroom)
    }

    fn bilateral_position(&self) -> f32 {
        let position = self.view.bank.bilateral.get(self.payment.receiver.index());
        position.map_or(0.0, |position| self.view.money(*position))
    }

    fn incoming_value(&self) -> f32 {
        if self.view.bank.incoming_count == 0 {
            return 0.0;
        }
        let value = self.ledger.incoming_value(self.payment.receiver.index(), self.bank);
        self.view.money(value)
    }
}
