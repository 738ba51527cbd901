//! Totals of a learner's episode.

use crate::costs::Costs;
use crate::ledger::Ledger;

/// Names of [`Totals::integers`].
pub const TOTAL_NAMES: [&str; 8] = [
    "arrived_count",
    "arrived_value",
    "settled_count",
    "settled_value",
    "dropped_count",
    "split_count",
    "liquidity_used",
    "cost",
];

/// Names of [`Totals::ratios`].
pub const RATIO_NAMES: [&str; 2] = ["settlement_rate", "mean_delay"];

/// Totals of a bank since the start of the episode.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Totals {
    /// Counts and amounts in cents, by [`TOTAL_NAMES`].
    pub integers: [i64; TOTAL_NAMES.len()],
    /// Value-weighted ratios, by [`RATIO_NAMES`].
    ///
    /// `settlement_rate`: share of the arrived value that settled, without overnight loans; 1 without arrivals.
    /// `mean_delay`: mean ticks from arrival to settlement, or to now if unsettled; 0 without arrivals. Both as in
    /// the simulations of Leinonen and Soramaki (1999).
    pub ratios: [f64; RATIO_NAMES.len()],
    /// Costs, by component.
    pub costs: Costs,
}

impl Totals {
    /// Computes the totals of the bank at `index`.
    pub fn of(ledger: &Ledger, index: usize) -> Self {
        let bank = &ledger.banks[index];
        let (statistics, costs) = (&bank.statistics, bank.closed_costs());
        let waiting =
            bank.unsettled().map(|payment| i128::from(payment.amount.0) * i128::from(ledger.now.0 - payment.arrival.0));
        let delay = statistics.delay_value + waiting.sum::<i128>();
        let settled = statistics.settled_value - statistics.lent_value;
        let share = |part: f64, empty: f64| {
            if statistics.arrived_value.0 == 0 { empty } else { part / statistics.arrived_value.0 as f64 }
        };
        Self {
            integers: [
                statistics.arrived_count,
                statistics.arrived_value.0,
                statistics.settled_count,
                statistics.settled_value.0,
                statistics.dropped_count,
                statistics.split_count,
                statistics.liquidity_used.0,
                costs.iter().map(|cost| cost.0).sum(),
            ],
            ratios: [share(settled.0 as f64, 1.0), share(delay as f64, 0.0)],
            costs,
        }
    }
}
