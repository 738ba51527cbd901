//! Validation of parsed states.
//!
//! A checksum detects damage but not forgery. These rules hold in every state of a scenario; without them a state
//! could index out of range, exceed 64 bits or draw forever.

use super::saved_state::{RestoreError, State};
use super::state::{Progress, Stage};
use crate::bank::Bank;
use crate::costs::Costs;
use crate::payment::{Decision, Payment};
use crate::rng::Stream;
use crate::scenario::{Load, MAX_PARTS, MAX_TOTAL};
use crate::scheduled_events::ScheduledEvent;
use crate::system_setup::{Settlement, SystemSetup};
use crate::units::{Cents, PaymentId, Rate, Tick};
use rand::Rng;

/// Largest count of a statistic, and largest number of an episode.
const MAX_COUNT: i64 = 1 << 62;
/// Largest product of value and ticks of a statistic.
const MAX_DELAY_VALUE: i128 = 1 << 100;

type Checked = Result<(), RestoreError>;

/// Rejects a state that its scenario cannot reach.
pub(super) fn validate(setup: &SystemSetup, state: &State) -> Checked {
    let (now, progress, banks, next_id, demand_streams, policy_streams) = state;
    let state = Checker { setup, now: *now, progress, banks, next_id: *next_id };
    require(banks.len() == setup.banks.len(), "number of banks")?;
    for streams in [demand_streams, policy_streams] {
        require(streams.len() == banks.len() && !streams.iter().any(is_stuck), "random streams")?;
    }
    state.check_clock()?;
    state.check_cursors()?;
    state.check_scheduled_events()?;
    for (index, bank) in banks.iter().enumerate() {
        state.check_queues(index, bank)?;
        state.check_account(index, bank)?;
        check_statistics(bank)?;
        check_costs(bank)?;
    }
    state.check_incoming()?;
    state.check_arrivals()?;
    state.check_totals()
}

struct Checker<'a> {
    setup: &'a SystemSetup,
    now: Tick,
    progress: &'a Progress,
    banks: &'a [Bank],
    next_id: PaymentId,
}

impl Checker<'_> {
    fn check_clock(&self) -> Checked {
        let Self { setup, now, progress, .. } = self;
        let (now, ticks_per_day) = (u64::from(now.0), u64::from(setup.ticks_per_day));
        let day_start = u64::from(progress.day) * ticks_per_day;
        let is_on_time = match progress.stage {
            Stage::BeforeDay => progress.day <= setup.num_days && now == day_start,
            Stage::Opening => progress.day < setup.num_days && now == day_start,
            Stage::BeforeTick | Stage::InTick => {
                progress.day < setup.num_days && (day_start..day_start + ticks_per_day).contains(&now)
            }
        };
        require(is_on_time, "tick")?;
        require(progress.episode < MAX_COUNT.cast_unsigned(), "episode")?;
        let is_in_tick = progress.stage == Stage::InTick;
        require(is_in_tick || !progress.closes_early, "early close")?;
        let first = progress.first_sampled;
        require(first.is_some() == is_in_tick && first.is_none_or(|first| first <= self.next_id), "sampled payments")?;
        require(self.next_id.0.get() < MAX_COUNT.cast_unsigned(), "next payment id")
    }

    fn check_cursors(&self) -> Checked {
        let Self { setup, progress, now, .. } = self;
        let schedule = |index: usize| setup.schedule.get(index).map(|order| order.arrival);
        let timeline = |index: usize| setup.timeline.get(index).map(|(tick, _)| *tick);
        self.check_cursor(progress.next_scheduled_order, setup.schedule.len(), *now, schedule)?;
        self.check_cursor(progress.next_scheduled_event, setup.timeline.len(), *now, timeline)?;
        match &setup.replay {
            Some(replay) if progress.stage != Stage::BeforeDay => {
                let orders = replay.day(progress.seed, progress.episode, setup.num_days, progress.day);
                let arrival = |index: usize| orders.get(index).map(|order| order.arrival);
                let tick_of_day = Tick(now.0 - progress.day * setup.ticks_per_day);
                self.check_cursor(progress.next_replayed_order, orders.len(), tick_of_day, arrival)
            }
            _ => Ok(()),
        }
    }

    /// Checks that, within a tick, exactly everything before a cursor is due.
    fn check_cursor(&self, cursor: u32, length: usize, now: Tick, tick_of: impl Fn(usize) -> Option<Tick>) -> Checked {
        let next = cursor as usize;
        let is_past_due = next.checked_sub(1).is_none_or(|last| tick_of(last).is_some_and(|tick| tick <= now));
        let is_next_later = self.progress.stage != Stage::InTick || tick_of(next).is_none_or(|tick| tick > now);
        require(next <= length && is_past_due && is_next_later, "position in the scheduled or replayed payments")
    }

    /// Checks what only scheduled events change: credit limits, collateral, outages and arrival rates.
    fn check_scheduled_events(&self) -> Checked {
        let opening = self.setup.banks.iter().map(|bank| (bank.credit_limit, bank.collateral, Tick(0), 1.0));
        let mut expected: Vec<(Cents, Cents, Tick, f64)> = opening.collect();
        for (_, event) in &self.setup.timeline[..self.progress.next_scheduled_event as usize] {
            match *event {
                ScheduledEvent::Credit { bank, credit_limit } => expected[bank.index()].0 = credit_limit,
                ScheduledEvent::Collateral { bank, collateral } => expected[bank.index()].1 = collateral,
                ScheduledEvent::Outage { bank, until } => {
                    let outage = &mut expected[bank.index()].2;
                    *outage = (*outage).max(until);
                }
                ScheduledEvent::ArrivalRate { bank, multiplier } => {
                    let banks = expected.iter_mut().enumerate();
                    banks
                        .filter(|(index, _)| bank.is_none_or(|bank| bank.index() == *index))
                        .for_each(|(_, expected)| expected.3 = multiplier);
                }
                ScheduledEvent::Payment(_) | ScheduledEvent::Transfer { .. } | ScheduledEvent::EarlyClose => {}
            }
        }
        let found =
            self.banks.iter().map(|bank| (bank.credit_limit, bank.collateral, bank.outage_until, bank.arrival_factor));
        require(found.eq(expected), "credit limits, collateral, outages and arrival rates")
    }

    fn check_queues(&self, index: usize, bank: &Bank) -> Checked {
        let rails = self.setup.rails.len();
        require(bank.central.len() == rails && bank.in_ended_cycle.len() == rails, "number of rails")?;
        for ((rail, queue), ended) in self.setup.rails.iter().zip(&bank.central).zip(&bank.in_ended_cycle) {
            let is_net = matches!(rail.settlement, Settlement::DeferredNet { .. });
            require(*ended == 0 || is_net && *ended as usize <= queue.len(), "ended cycles")?;
        }
        for (payment, rail) in bank.internal.iter().map(|payment| (payment, None)).chain(
            bank.central
                .iter()
                .enumerate()
                .flat_map(|(rail, queue)| queue.iter().map(move |payment| (payment, Some(rail)))),
        ) {
            self.check_payment(index, payment, rail)?;
        }
        let key = Bank::queue_key;
        require(bank.internal.is_sorted_by(|one, other| key(one) < key(other)), "order of the internal queue")?;
        require(bank.decisions.len() <= bank.internal.len(), "number of decisions")?;
        let is_possible = |(decision, payment): (&Decision, &Payment)| match *decision {
            Decision::Hold | Decision::Release => true,
            Decision::Split(parts) => (2..=MAX_PARTS).contains(&parts) && payment.can_be_split(parts),
            Decision::Cut(amount) => payment.divisible && amount > Cents::ZERO && amount < payment.amount,
        };
        require(bank.decisions.iter().zip(&bank.internal).all(is_possible), "decisions")
    }

    /// Checks a payment of an internal queue, or of a rail's central queue.
    fn check_payment(&self, bank: usize, payment: &Payment, rail: Option<usize>) -> Checked {
        let receiver = payment.receiver.index();
        let is_queued_here = payment.sender.index() == bank
            && payment.is_released == rail.is_some()
            && payment.rail.index() < self.setup.rails.len()
            && rail.is_none_or(|rail| payment.rail.index() == rail && payment.rtgs_priority.is_some());
        let is_past = payment.id < self.next_id && payment.arrival <= self.now && payment.released <= self.now;
        require(is_queued_here && receiver != bank && receiver < self.banks.len(), "parties and rail of a payment")?;
        require(
            payment.amount > Cents::ZERO && payment.priority <= 10 && payment.urgency <= 10,
            "amount of a payment",
        )?;
        require(is_past && (!payment.is_overdue || payment.deadline < self.now), "ticks of a payment")
    }

    fn check_account(&self, index: usize, bank: &Bank) -> Checked {
        let setup = &self.setup.banks[index];
        require(
            bank.multilateral_limit == setup.limits.multilateral
                && bank.collateral_credit == setup.haircut.complement().share_of(bank.collateral),
            "limits",
        )?;
        let share = bank.pool_decision.unwrap_or_default();
        require(share >= Rate::default() && share.complement() >= Rate::default(), "decision about the pool")?;
        let is_committed = matches!(self.progress.stage, Stage::BeforeTick | Stage::InTick);
        let highest = if is_committed { setup.pool } else { Cents::ZERO };
        require((Cents::ZERO..=highest).contains(&bank.committed), "committed liquidity")?;
        let is_money = |amount: Cents| i128::from(amount.0.unsigned_abs()) <= MAX_TOTAL;
        let amounts = [bank.balance, bank.day_opening, bank.landed, bank.loan];
        require(amounts.into_iter().all(is_money) && bank.deferred == Cents::ZERO, "balance")?;
        require(bank.landed >= Cents::ZERO && bank.loan >= Cents::ZERO, "receipts and loans")?;
        let (received, paid) = (i128::from(bank.received_today.0), i128::from(bank.paid_today.0));
        let recent = bank.received.iter().all(|amount| *amount >= Cents::ZERO) && total(bank.received) <= received;
        require(recent && paid >= 0 && paid <= i128::from(bank.statistics.settled_value.0), "flows of the day")?;
        let is_bounded = |position: &Cents| i128::from(position.0.unsigned_abs()) <= received + paid;
        let is_net = total(bank.bilateral.iter().copied()) == received - paid && bank.bilateral.iter().all(is_bounded);
        require(bank.bilateral.is_empty() || is_net, "bilateral positions")?;
        let central: i128 = total(bank.queued().map(|payment| payment.amount));
        require(central == i128::from(bank.central_value.0), "value of the central queues")?;
        let delay: i128 = bank.unsettled().map(|payment| self.setup.prices.delay(payment)).sum();
        require(delay == bank.delay_charge, "charge for delay")?;
        let deadlines = bank.unsettled().filter(|payment| !payment.is_overdue).map(|payment| payment.deadline);
        require(deadlines.min().is_none_or(|next| bank.next_deadline <= next), "next deadline")
    }

    fn check_incoming(&self) -> Checked {
        let mut expected = vec![(0, 0); self.banks.len()];
        for payment in self.banks.iter().flat_map(Bank::queued) {
            if self.setup.rails[payment.rail.index()].incoming_queue_visible {
                let (count, value) = &mut expected[payment.receiver.index()];
                *count += 1;
                *value += i128::from(payment.amount.0);
            }
        }
        let found = self.banks.iter().map(|bank| (bank.incoming_count, i128::from(bank.incoming_value.0)));
        require(found.eq(expected), "incoming payments")
    }

    /// Checks the number of this tick's arrivals and the sampled ones' ids.
    fn check_arrivals(&self) -> Checked {
        let is_in_tick = self.progress.stage == Stage::InTick;
        let arrived = self.banks.iter().flat_map(|bank| &bank.internal).filter(|payment| payment.arrival == self.now);
        let count = if is_in_tick { arrived.count() } else { 0 };
        require(count == self.progress.arrivals as usize, "number of arrivals")?;
        let first = self.progress.first_sampled.unwrap_or(self.next_id);
        let is_sampled = |(index, payment): (usize, &Payment)| {
            payment.arrival == self.now && !payment.is_released && self.setup.banks[index].demand.is_some()
        };
        let banks = self.banks.iter().enumerate();
        let mut sampled = banks.flat_map(|(index, bank)| bank.unsettled().map(move |payment| (index, payment)));
        require(sampled.all(|payment| payment.1.id < first || is_sampled(payment)), "sampled payments")
    }

    /// Checks totals, so that the rest of the episode cannot exceed 64 bits.
    fn check_totals(&self) -> Checked {
        let sum = |amount: fn(&Bank) -> Cents| total(self.banks.iter().map(amount));
        require(sum(|bank| bank.statistics.arrived_value) <= MAX_TOTAL, "value of all payments")?;
        require(sum(|bank| bank.received_today) <= sum(|bank| bank.statistics.settled_value), "flows of the day")?;
        let opening = total(self.setup.banks.iter().map(|bank| bank.balance));
        let money = sum(|bank| bank.balance) - opening;
        require(money == i128::from(self.progress.external.0), "money from outside")?;
        let overdrawn = -sum(|bank| bank.balance.min(Cents::ZERO));
        let unsettled = self.banks.iter().flat_map(Bank::unsettled);
        let (count, value) = unsettled.fold((0_u32, 0), |(count, value), payment| {
            (count.saturating_add(1), value + i128::from(payment.amount.0))
        });
        let opening = self.banks.iter().map(|bank| i128::from(bank.day_opening.0.unsigned_abs())).max().unwrap_or(0);
        let balances = sum(|bank| bank.balance.max(Cents::ZERO)) + overdrawn + opening;
        let bounds = &self.setup.bounds;
        let extent = (balances + value) as f64 + bounds.money;
        require(extent <= 2.0 * MAX_TOTAL as f64, "balances")?;
        let unsettled = Load { count: f64::from(count), value: value as f64 };
        let costs = total(self.banks.iter().flat_map(|bank| bank.costs)) as f64;
        let rest = bounds.cost + bounds.prices.increase(unsettled, overdrawn as f64);
        require(costs + rest <= 2.0 * MAX_TOTAL as f64, "costs")
    }
}

fn check_statistics(bank: &Bank) -> Checked {
    let statistics = &bank.statistics;
    let is_count = |count: &i64| (0..=MAX_COUNT).contains(count);
    let [arrived, settled, dropped, split] =
        [statistics.arrived_count, statistics.settled_count, statistics.dropped_count, statistics.split_count];
    require([arrived, settled, dropped, split].iter().all(is_count), "numbers of payments")?;
    let (count, value) =
        bank.unsettled().fold((0_i128, 0), |(count, value), payment| (count + 1, value + i128::from(payment.amount.0)));
    let entered = i128::from(arrived) + i128::from(split);
    require(entered == i128::from(settled) + i128::from(dropped) + count, "numbers of payments")?;
    let accounted = i128::from(statistics.settled_value.0) + value;
    let arrived_value = i128::from(statistics.arrived_value.0);
    require(accounted <= arrived_value && arrived_value <= MAX_TOTAL, "value of payments")?;
    require((Cents::ZERO..=statistics.settled_value).contains(&statistics.lent_value), "value of loans")?;
    let used = i128::from(statistics.liquidity_used.0);
    require((0..=MAX_TOTAL).contains(&used) && (0..=MAX_DELAY_VALUE).contains(&statistics.delay_value), "statistics")
}

fn check_costs(bank: &Bank) -> Checked {
    let is_ascending = |lower: &Costs, upper: &Costs| lower.iter().zip(upper).all(|(lower, upper)| lower <= upper);
    let zero = Costs::default();
    let parts = [&bank.tick_costs, &bank.opening_costs];
    require(parts.iter().all(|part| is_ascending(&zero, part) && is_ascending(part, &bank.costs)), "costs")?;
    require(total(bank.costs) <= MAX_TOTAL, "costs")?;
    let today = total(bank.costs) - total(bank.opening_costs);
    require(today == i128::from(bank.cost_today.0), "costs of the day")?;
    require(bank.accruals.iter().all(|accrual| accrual.is_valid()), "remainders of costs")
}

fn total(amounts: impl IntoIterator<Item = Cents>) -> i128 {
    amounts.into_iter().map(|amount| i128::from(amount.0)).sum()
}

/// Whether a stream has the state from which every draw is 0.
fn is_stuck(stream: &Stream) -> bool {
    let mut stream = stream.clone();
    (0..4).all(|_| stream.next_u64() == 0)
}

fn require(is_possible: bool, part: &'static str) -> Checked {
    if is_possible { Ok(()) } else { Err(RestoreError::Impossible { part }) }
}
