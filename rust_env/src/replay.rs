//! Replay of recorded payments, day by day.

use crate::error::ScenarioError;
use crate::hash::fingerprint_words;
use crate::payment::Order;
use crate::scenario::{Load, NOT_ITSELF, Scenario, conflict, in_range};
use crate::units::{BankId, Cents, MAX_MONEY, RailId, Tick};

/// One row of a payments file.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PaymentRecord {
    /// Day of the file, from 0.
    pub day: i64,
    /// Tick of the day.
    pub tick: i64,
    /// Index of the paying bank in the scenario.
    pub sender: i64,
    /// Index of the receiving bank in the scenario.
    pub receiver: i64,
    /// Amount in cents.
    pub amount: i64,
    /// Last tick of the day for on-time settlement; -1: the day's last tick.
    pub deadline: i64,
    /// Priority from 0 to 10.
    pub priority: i64,
    /// Whether it may be split.
    pub divisible: bool,
}

/// The payments of a file, by day.
///
/// Arrivals and deadlines are ticks of the day.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Replay {
    orders: Vec<Order>,
    /// Index in `orders` of each day's start; one more entry than days.
    starts: Vec<usize>,
    /// Banks and ticks per day of the scenario that they were read for.
    shape: (Vec<String>, i64),
}

impl Replay {
    /// Validates the rows of a file and sorts them by day and tick.
    ///
    /// # Errors
    /// [`ScenarioError`] if a row does not fit the scenario, or there are too many or too few.
    pub fn new(scenario: &Scenario, records: impl Iterator<Item = PaymentRecord>) -> Result<Self, ScenarioError> {
        let mut days: Vec<(i64, Order)> = Vec::with_capacity(records.size_hint().0);
        for (index, record) in records.enumerate() {
            check(scenario, &record).map_err(|error| error.under(&format!("payments[{index}].")))?;
            days.push((record.day, order(scenario, &record)));
        }
        days.sort_by_key(|(day, order)| (*day, order.arrival));
        let last_day = days.last().map_or(-1, |(day, _)| *day);
        in_range("payments_file", last_day + 1, 1, 1_000_000, " (days)")?;
        let starts = (0..=last_day + 1).map(|day| days.partition_point(|(other, _)| *other < day)).collect();
        let replay =
            Self { orders: days.into_iter().map(|(_, order)| order).collect(), starts, shape: shape(scenario) };
        scenario.validate_load(replay.max_load(scenario.num_days))?;
        Ok(replay)
    }

    /// Whether the scenario has the banks and ticks per day they were read for.
    pub fn fits(&self, scenario: &Scenario) -> bool {
        self.shape == shape(scenario)
    }

    /// The payments of day `day` of an episode.
    ///
    /// Episode 0 of seed 0 starts on the first day of the file; each further episode and each further seed starts
    /// `num_days` later, cyclically.
    pub fn day(&self, seed: u64, episode: u64, num_days: u32, day: u32) -> &[Order] {
        let days = self.num_days() as u128;
        let first = (u128::from(seed) + u128::from(episode)) * u128::from(num_days);
        let day = usize::try_from((first + u128::from(day)) % days).unwrap_or_default();
        &self.orders[self.starts[day]..self.starts[day + 1]]
    }

    /// Number of days in the file.
    pub fn num_days(&self) -> usize {
        self.starts.len() - 1
    }

    /// All payments, by day.
    pub fn orders(&self) -> &[Order] {
        &self.orders
    }

    /// Hash of all payments.
    pub fn fingerprint(&self) -> u64 {
        let starts = self.starts.iter().map(|start| *start as u64);
        let orders = self.orders.iter().flat_map(|order| {
            let ticks = u64::from(order.arrival.0) << 32 | u64::from(order.deadline.0);
            let banks = u64::from(order.sender.0) << 16 | u64::from(order.receiver.0);
            let rank = u64::from(order.priority) << 1 | u64::from(order.divisible);
            [ticks, banks, rank, order.amount.0.unsigned_abs()]
        });
        fingerprint_words(starts.chain(orders))
    }

    /// Upper bound of the payments of an episode.
    pub(crate) fn max_load(&self, num_days: i64) -> Load {
        let days = self.starts.windows(2).map(|ends| &self.orders[ends[0]..ends[1]]);
        let loads = days.map(|day| (day.len() as f64, day.iter().map(|order| order.amount.0 as f64).sum::<f64>()));
        let (count, value) = loads.fold((0.0_f64, 0.0_f64), |max, load| (max.0.max(load.0), max.1.max(load.1)));
        Load { count: count * num_days as f64, value: value * num_days as f64 }
    }
}

fn shape(scenario: &Scenario) -> (Vec<String>, i64) {
    (scenario.agents.iter().map(|agent| agent.id.clone()).collect(), scenario.ticks_per_day)
}

fn check(scenario: &Scenario, record: &PaymentRecord) -> Result<(), ScenarioError> {
    let last_bank = i64::try_from(scenario.agents.len()).unwrap_or(i64::MAX) - 1;
    let last_tick = scenario.ticks_per_day - 1;
    in_range("day", record.day, 0, 999_999, "")?;
    in_range("tick", record.tick, 0, last_tick, " (ticks)")?;
    in_range("sender", record.sender, 0, last_bank, "")?;
    in_range("receiver", record.receiver, 0, last_bank, "")?;
    in_range("amount", record.amount, 1, MAX_MONEY, " (cents)")?;
    in_range("priority", record.priority, 0, 10, "")?;
    if record.deadline != -1 {
        in_range("deadline", record.deadline, record.tick, last_tick, " (ticks)")?;
    }
    if record.sender == record.receiver {
        return conflict("receiver", record.receiver, NOT_ITSELF);
    }
    Ok(())
}

fn order(scenario: &Scenario, record: &PaymentRecord) -> Order {
    let bank = |index: i64| BankId(u16::try_from(index).unwrap_or_default());
    let tick = |tick: i64| Tick(u32::try_from(tick).unwrap_or_default());
    Order {
        sender: bank(record.sender),
        receiver: bank(record.receiver),
        amount: Cents(record.amount),
        arrival: tick(record.tick),
        deadline: tick(if record.deadline < 0 { scenario.ticks_per_day - 1 } else { record.deadline }),
        priority: u8::try_from(record.priority).unwrap_or_default(),
        divisible: record.divisible,
        rail: RailId(0),
        rtgs_priority: None,
    }
}
