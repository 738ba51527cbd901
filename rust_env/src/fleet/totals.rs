//! What a learner's episode has come to so far.

use crate::costs::Costs;
use crate::ledger::Ledger;

/// Names of [`Totals::integers`], costs apart.
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

/// What a bank's episode has come to so far.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Totals {
    /// Counts, and money in cents, by [`TOTAL_NAMES`].
    pub integers: [i64; TOTAL_NAMES.len()],
    /// By [`RATIO_NAMES`]: share of the value arrived that has settled before a day's close (1 if none
    /// arrived; what an overnight loan settles has not), and mean ticks from arrival to settlement,
    /// weighted by value, the unsettled counted with what they have waited (0 if none arrived). Both
    /// are weighted by value, as in the simulations of Leinonen and Soramaki (1999).
    pub ratios: [f64; RATIO_NAMES.len()],
    /// Costs by component.
    pub costs: Costs,
}

impl Totals {
    /// The totals of the bank at `index`.
    #[must_use]
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
