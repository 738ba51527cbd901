//! Demand: sampled and scheduled payment orders.

use crate::amounts::{AmountDistribution, round_to_i64};
use crate::payment::{Order, RtgsPriority};
use crate::replay::Replay;
use crate::rng::Stream;
use crate::scenario::{
    ArrivalConfig, PriorityConfig, Scenario, TransactionConfig, banks_by_id, clamp_u32, priority_of, rail,
};
use crate::scheduled_events::ScheduledEvent;
use crate::units::{BankId, Cents, RailId, Tick, bank_at};
use rand::RngExt;
use rand::distr::weighted::WeightedIndex;
use rand_distr::{Distribution, Poisson};

/// A bank's random demand.
#[derive(Clone, Debug)]
pub struct Demand {
    sender: BankId,
    ticks_per_day: u32,
    /// Mean number of orders, by tick of the day.
    rates: Vec<f64>,
    /// Distribution of the number of orders by tick of the day; `None`: rate 0.
    counts: Vec<Option<Poisson<f64>>>,
    amount: AmountDistribution,
    receiver: Choice<BankId>,
    /// Minimum and maximum ticks to the deadline; `None`: the end of the day.
    deadline_range: Option<(u32, u32)>,
    priority: Choice<u8>,
    divisible: bool,
    rail: RailId,
    rtgs_priority: Option<RtgsPriority>,
}

#[derive(Clone, Debug)]
enum Choice<T> {
    Only(T),
    Weighted(Vec<T>, WeightedIndex<f64>),
}

impl Demand {
    /// Compiles the demand of a bank of a valid scenario, if any.
    pub fn new(scenario: &Scenario, index: usize) -> Option<Self> {
        let config = scenario.agents[index].arrival_config.as_ref()?;
        let rates: Vec<f64> = (0..scenario.ticks_per_day).map(|tick| rate_at(config, tick)).collect();
        Some(Self {
            sender: bank_at(index),
            ticks_per_day: clamp_u32(scenario.ticks_per_day),
            counts: rates.iter().map(|rate| Poisson::new(*rate).ok()).collect(),
            rates,
            amount: AmountDistribution::new(config)?,
            receiver: receivers(scenario, config, index)?,
            deadline_range: config.deadline_range.map(|[low, high]| (clamp_u32(low), clamp_u32(high))),
            priority: priorities(&config.priority)?,
            divisible: config.divisible,
            rail: rail(scenario, config.rail.as_deref()),
            rtgs_priority: config.rtgs_priority,
        })
    }

    /// Draws the orders of tick `now` and passes each to `emit`.
    ///
    /// `day_start` is the first tick of the day; `factor` multiplies the usual arrival rate.
    pub fn sample(&self, now: Tick, day_start: Tick, factor: f64, stream: &mut Stream, mut emit: impl FnMut(Order)) {
        let tick_of_day = (now.0 - day_start.0) as usize;
        let count = if factor == 1.0 {
            self.counts[tick_of_day].as_ref().map(|count| count.sample(stream))
        } else {
            Poisson::new(self.rates[tick_of_day] * factor).ok().map(|count| count.sample(stream))
        };
        let day_end = Tick(day_start.0 + self.ticks_per_day - 1);
        for _ in 0..count.map_or(0, round_to_i64) {
            emit(self.order(now, day_end, stream));
        }
    }

    fn order(&self, now: Tick, day_end: Tick, stream: &mut Stream) -> Order {
        Order {
            sender: self.sender,
            receiver: self.receiver.sample(stream),
            amount: self.amount.sample(stream),
            arrival: now,
            deadline: match self.deadline_range {
                Some((low, high)) => Tick((now.0 + stream.random_range(low..=high)).min(day_end.0)),
                None => day_end,
            },
            priority: self.priority.sample(stream),
            divisible: self.divisible,
            rail: self.rail,
            rtgs_priority: self.rtgs_priority,
        }
    }
}

impl<T: Copy> Choice<T> {
    fn new(options: Vec<(T, f64)>) -> Option<Self> {
        let options: Vec<(T, f64)> = options.into_iter().filter(|(_, weight)| *weight > 0.0).collect();
        match options.as_slice() {
            [(only, _)] => Some(Self::Only(*only)),
            _ => {
                let weights = WeightedIndex::new(options.iter().map(|(_, weight)| *weight)).ok()?;
                Some(Self::Weighted(options.into_iter().map(|(option, _)| option).collect(), weights))
            }
        }
    }

    fn sample(&self, stream: &mut Stream) -> T {
        match self {
            Self::Only(only) => *only,
            Self::Weighted(options, weights) => options[weights.sample(stream)],
        }
    }
}

fn rate_at(config: &ArrivalConfig, tick: i64) -> f64 {
    let window = config.time_windows.iter().find(|window| (window.start_tick..window.end_tick).contains(&tick));
    config.rate_per_tick * window.map_or(1.0, |window| window.multiplier)
}

fn receivers(scenario: &Scenario, config: &ArrivalConfig, sender: usize) -> Option<Choice<BankId>> {
    let weights = receiver_weights(scenario, config, sender).enumerate();
    Choice::new(weights.map(|(index, weight)| (bank_at(index), weight)).collect())
}

/// Weight of each bank as the receiver of a payment.
fn receiver_weights(scenario: &Scenario, config: &ArrivalConfig, sender: usize) -> impl Iterator<Item = f64> {
    scenario.agents.iter().enumerate().map(move |(index, bank)| match &config.counterparty_weights {
        Some(weights) => weights.get(&bank.id).copied().unwrap_or(0.0),
        None => f64::from(index != sender),
    })
}

fn priorities(config: &PriorityConfig) -> Option<Choice<u8>> {
    match config {
        PriorityConfig::Fixed(priority) => Some(Choice::Only(priority_of(*priority))),
        PriorityConfig::Weights(weights) => {
            Choice::new(weights.iter().map(|(priority, weight)| (priority_of(*priority), *weight)).collect())
        }
    }
}

/// The initial transactions of a valid scenario, by arrival.
pub fn schedule(scenario: &Scenario) -> Vec<Order> {
    let banks = banks_by_id(scenario);
    let order = |transaction: &TransactionConfig| Order {
        sender: banks[transaction.sender.as_str()],
        receiver: banks[transaction.receiver.as_str()],
        amount: transaction.amount,
        arrival: Tick(clamp_u32(transaction.arrival_tick)),
        deadline: Tick(clamp_u32(transaction.deadline_tick)),
        priority: priority_of(transaction.priority),
        divisible: transaction.divisible,
        rail: rail(scenario, transaction.rail.as_deref()),
        rtgs_priority: transaction.rtgs_priority,
    };
    let mut orders: Vec<Order> = scenario.initial_transactions.iter().map(order).collect();
    orders.sort_by_key(|order| order.arrival);
    orders
}

/// Each bank's expected number of payments per day times their mean squared amount.
///
/// In square cents, of payments sent and received: the variance of a day's change of its balance under independent
/// payments. Sampled demand counts at
/// its usual rate; initial transactions, payments and transfers of `timeline` and replayed payments count by their
/// actual amounts.
pub fn expected_daily_squares(
    scenario: &Scenario,
    timeline: &[(Tick, ScheduledEvent)],
    replay: Option<&Replay>,
) -> Vec<f64> {
    let mut expected = vec![0.0; scenario.agents.len()];
    for (sender, agent) in scenario.agents.iter().enumerate() {
        let Some(config) = &agent.arrival_config else { continue };
        let count: f64 = (0..scenario.ticks_per_day).map(|tick| rate_at(config, tick)).sum();
        let squares = count * AmountDistribution::mean_square(config);
        expected[sender] += squares;
        let total: f64 = receiver_weights(scenario, config, sender).sum();
        for (receiver, weight) in receiver_weights(scenario, config, sender).enumerate() {
            expected[receiver] += squares * weight / total;
        }
    }
    let mut add = |banks: [Option<BankId>; 2], amount: Cents, days: f64| {
        for bank in banks.into_iter().flatten() {
            expected[bank.index()] += (amount.0 as f64).powi(2) / days;
        }
    };
    let (ends, days) = (|order: &Order| [Some(order.sender), Some(order.receiver)], scenario.num_days as f64);
    schedule(scenario).iter().for_each(|order| add(ends(order), order.amount, days));
    for (_, event) in timeline {
        match event {
            ScheduledEvent::Payment(order) => add(ends(order), order.amount, days),
            ScheduledEvent::Transfer { sender, receiver, amount } => add([*sender, *receiver], *amount, days),
            _ => {}
        }
    }
    if let Some(replay) = replay {
        replay.orders().iter().for_each(|order| add(ends(order), order.amount, replay.num_days() as f64));
    }
    expected
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::{Purpose, stream};

    fn scenario(arrival_config: &str) -> Scenario {
        let json = format!(
            r#"{{"ticks_per_day": 10, "agents": [
                {{"id": "A", "balance": 0, "arrival_config": {arrival_config}}},
                {{"id": "B", "balance": 0}}, {{"id": "C", "balance": 0}}]}}"#
        );
        Scenario::from_json(&json).unwrap()
    }

    fn orders(arrival_config: &str, ticks: u32) -> Vec<Order> {
        let demand = Demand::new(&scenario(arrival_config), 0).unwrap();
        let mut stream = stream(1, 0, BankId(0), Purpose::Demand);
        let mut orders = Vec::new();
        for tick in 0..ticks {
            demand.sample(Tick(tick), Tick(tick / 10 * 10), 1.0, &mut stream, |order| orders.push(order));
        }
        orders
    }

    fn mean_and_deviation(orders: &[Order]) -> (f64, f64) {
        let amounts: Vec<f64> = orders.iter().map(|order| order.amount.0 as f64).collect();
        let mean = amounts.iter().sum::<f64>() / amounts.len() as f64;
        let variance = amounts.iter().map(|amount| (amount - mean).powi(2)).sum::<f64>() / amounts.len() as f64;
        (mean, variance.sqrt())
    }

    #[test]
    fn amounts_have_the_mean_and_deviation_of_the_scenario() {
        let given = [
            ("normal", 100_000, Some(20_000), 20_000.0),
            ("normal", 100_000, Some(50_000), 50_000.0),
            ("normal", 100_000, Some(75_000), 75_000.0),
            ("lognormal", 100_000, Some(150_000), 150_000.0),
            ("uniform", 100_000, Some(30_000), 30_000.0),
            ("uniform", 100_000, None, 99_999.0 / 3.0_f64.sqrt()),
            ("exponential", 100_000, None, 100_000.0),
        ];
        for (kind, mean, deviation, expected) in given {
            let deviation = deviation.map_or("null".to_owned(), |deviation: i64| deviation.to_string());
            let config = format!(
                r#"{{"rate_per_tick": 20, "distribution_type": "{kind}", "amount_mean": {mean}, "amount_std_dev": {deviation}}}"#
            );
            let orders = orders(&config, 10_000);
            let (sample_mean, sample_deviation) = mean_and_deviation(&orders);
            assert!((orders.len() as f64 - 200_000.0).abs() < 6.0 * 200_000.0_f64.sqrt(), "{kind} {}", orders.len());
            assert!((sample_mean / mean as f64 - 1.0).abs() < 0.02, "{kind} mean {sample_mean}");
            assert!((sample_deviation / expected - 1.0).abs() < 0.06, "{kind} deviation {sample_deviation}");
            let squares: f64 = orders.iter().map(|order| (order.amount.0 as f64).powi(2)).sum();
            // 20 payments a tick make 200 a day.
            let daily = expected_daily_squares(&scenario(&config), &[], None);
            assert!((squares / 1_000.0 / daily[0] - 1.0).abs() < 0.06, "{kind} squares {squares}");
            // The other two banks receive a half each.
            assert!(daily[1..].iter().all(|half| (half / daily[0] - 0.5).abs() < 1e-12));
        }
    }

    #[test]
    fn mean_squares_are_those_of_the_formulas() {
        let cases = [
            // 300 squared and 400 squared.
            (r#""normal", "amount_mean": 400, "amount_std_dev": 300"#, 250_000.0),
            (r#""lognormal", "amount_mean": 300, "amount_std_dev": 4000"#, 16_090_000.0),
            (r#""uniform", "amount_mean": 100, "amount_std_dev": 30"#, 10_900.0),
            // From 1 to 199: (199^3 - 1) / (3 x 198).
            (r#""uniform", "amount_mean": 100"#, 13_267.0),
            (r#""exponential", "amount_mean": 300"#, 180_000.0),
        ];
        for (distribution, expected) in cases {
            let json = format!(r#"{{"rate_per_tick": 1, "distribution_type": {distribution}}}"#);
            let config: ArrivalConfig = serde_json::from_str(&json).unwrap();
            let mean_square = AmountDistribution::mean_square(&config);
            assert!((mean_square / expected - 1.0).abs() < 1e-12, "{distribution}: {mean_square}");
        }
    }

    #[test]
    fn windows_weights_priorities_and_deadlines_hold() {
        let config = r#"{"rate_per_tick": 1, "distribution_type": "exponential", "amount_mean": 1,
            "counterparty_weights": {"B": 3, "C": 1}, "priority": {"2": 1, "9": 3}, "deadline_range": [1, 4],
            "time_windows": [{"start_tick": 0, "end_tick": 4, "multiplier": 0}, {"start_tick": 4, "end_tick": 6, "multiplier": 5}]}"#;
        let orders = orders(config, 100_000);
        let share = |pick: &dyn Fn(&Order) -> bool| {
            orders.iter().filter(|order| pick(order)).count() as f64 / orders.len() as f64
        };
        assert!((share(&|order| order.receiver == BankId(1)) - 0.75).abs() < 0.01);
        assert!((share(&|order| order.priority == 9) - 0.75).abs() < 0.01);
        assert!((share(&|order| matches!(order.arrival.0 % 10, 4 | 5)) - 10.0 / 14.0).abs() < 0.01);
        assert!(orders.iter().all(|order| order.arrival.0 % 10 >= 4 && order.amount >= Cents(1)));
        assert!(orders.iter().all(|order| order.deadline > order.arrival || order.arrival.0 % 10 == 9));
        assert!(orders.iter().all(|order| order.deadline.0 / 10 == order.arrival.0 / 10));
    }
}
