//! A validated scenario in the engine's own units, shared by every system that plays it.

use crate::arrivals::{Demand, Order, clamp_u32, expected_day, schedule};
use crate::costs::Prices;
use crate::error::ScenarioError;
use crate::policy::{ScriptedPolicy, scripted};
use crate::scenario::{AgentConfig, EndOfDay, Overnight, QueueDiscipline, Scenario};
use crate::units::{BankId, Cents};
use std::sync::Arc;

/// A validated scenario in the engine's own units.
pub struct Setup {
    /// Ticks in a day.
    pub ticks_per_day: u32,
    /// Ticks in an episode.
    pub episode_ticks: u32,
    /// Root of the seed tree.
    pub seed: u64,
    /// The banks, in the order of the scenario.
    pub banks: Vec<BankSetup>,
    /// Discipline of the rail's central queue.
    pub queue_discipline: QueueDiscipline,
    /// Whether a bank sees what is queued in its favour.
    pub incoming_queue_visible: bool,
    /// What waiting, borrowing and splitting cost.
    pub prices: Arc<Prices>,
    /// Payments known in advance, by arrival.
    pub schedule: Vec<Order>,
    /// What becomes of unsettled payments.
    pub end_of_day: EndOfDay,
    /// What becomes of balances.
    pub overnight: Overnight,
}

/// What defines a bank.
pub struct BankSetup {
    /// Its id.
    pub id: String,
    /// Opening balance.
    pub balance: Cents,
    /// How far the balance may fall below zero.
    pub credit_limit: Cents,
    /// Its random demand.
    pub demand: Option<Demand>,
    /// What decides for it unless it is a learner; a learner that nobody teaches releases everything.
    pub policy: Box<dyn ScriptedPolicy>,
    /// The unit of its amounts in observations: see [`amount_scale`].
    pub amount_scale: Cents,
}

impl Setup {
    /// Prepares a scenario.
    ///
    /// # Errors
    /// [`ScenarioError`] if the scenario is not valid.
    pub fn new(scenario: &Scenario) -> Result<Self, ScenarioError> {
        scenario.validate()?;
        let bank = |(index, agent): (usize, &AgentConfig)| BankSetup {
            id: agent.id.clone(),
            balance: agent.balance,
            credit_limit: agent.credit_limit,
            demand: Demand::new(scenario, index),
            policy: scripted(&agent.policy),
            amount_scale: amount_scale(scenario, index),
        };
        let rail = &scenario.rails[0];
        Ok(Self {
            ticks_per_day: clamp_u32(scenario.ticks_per_day),
            episode_ticks: clamp_u32(scenario.ticks_per_day * scenario.num_days),
            seed: scenario.seed,
            banks: scenario.agents.iter().enumerate().map(bank).collect(),
            queue_discipline: rail.queue_discipline,
            incoming_queue_visible: rail.incoming_queue_visible,
            prices: Arc::new(Prices::new(&scenario.costs)),
            schedule: schedule(scenario),
            end_of_day: scenario.end_of_day,
            overnight: scenario.overnight,
        })
    }

    /// The bank with this id.
    #[must_use]
    pub fn bank(&self, id: &str) -> Option<BankId> {
        let index = self.banks.iter().position(|bank| bank.id == id)?;
        u16::try_from(index).ok().map(BankId)
    }
}

/// Mean amount of a bank's own payments times the square root of their expected number a day: the
/// size of the swing that independent payments give its balance. Its opening liquidity if it pays
/// nobody; at least one cent.
fn amount_scale(scenario: &Scenario, index: usize) -> Cents {
    let (count, mean) = expected_day(scenario, index);
    let agent = &scenario.agents[index];
    let swing = mean * count.sqrt();
    let scale = if swing > 0.0 { swing } else { (agent.balance + agent.credit_limit).0 as f64 };
    #[expect(clippy::cast_possible_truncation, reason = "float-to-int `as` saturates")]
    Cents((scale.round() as i64).max(1))
}
