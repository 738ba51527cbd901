//! A validated scenario in the engine's own units, shared by every system that plays it.

use crate::arrivals::{Demand, expected_daily_payments, schedule};
use crate::costs::Prices;
use crate::error::ScenarioError;
use crate::hash;
use crate::payment::Order;
use crate::replay::Replay;
use crate::scenario::{
    AgentConfig, EndOfDay, EscalationConfig, LsmConfig, Overnight, PolicyConfig, QueueDiscipline, RailConfig, Scenario,
    SettlementType, clamp_u32, conflict, priority_of,
};
use crate::scheduled_events::{ScheduledEvent, timeline};
use crate::units::{BankId, Cents, Rate, Tick};
use std::sync::Arc;

/// A validated scenario in the engine's own units.
pub struct SystemSetup {
    /// Ticks in a day.
    pub ticks_per_day: u32,
    /// Days in an episode.
    pub num_days: u32,
    /// Ticks in an episode.
    pub episode_ticks: u32,
    /// Root of the seed tree.
    pub seed: u64,
    /// The banks, in the order of the scenario.
    pub banks: Vec<BankSetup>,
    /// The rails, in the order of the scenario.
    pub rails: Vec<Rail>,
    /// What waiting, borrowing and splitting cost.
    pub prices: Prices,
    /// Payments known in advance, by arrival.
    pub schedule: Vec<Order>,
    /// What happens when, by tick.
    pub timeline: Vec<(Tick, ScheduledEvent)>,
    /// Real payments.
    pub replay: Option<Arc<Replay>>,
    /// Whether a payment that is first in its queue when released, and can be paid, settles whatever others do: on
    /// a single gross rail where nothing can come before it.
    pub settles_at_once: bool,
    /// How payments gain urgency.
    pub escalation: Option<Escalation>,
    /// What becomes of unsettled payments.
    pub end_of_day: EndOfDay,
    /// What becomes of balances.
    pub overnight: Overnight,
    /// Tells scenarios and their payments apart.
    pub fingerprint: u64,
}

/// What defines a bank.
pub struct BankSetup {
    /// Its id.
    pub id: String,
    /// Opening balance.
    pub balance: Cents,
    /// How far the balance may fall below zero.
    pub credit_limit: Cents,
    /// Value of its pledged assets.
    pub collateral: Cents,
    /// Share of that value that gives no credit.
    pub haircut: Rate,
    /// Money outside the system that it may commit at the opening of a day.
    pub pool: Cents,
    /// Share of the pool that it commits, unless it is a learner that decides so.
    pub pool_share: Rate,
    /// How much more than it receives it may pay in a day.
    pub limits: Limits,
    /// Its random demand.
    pub demand: Option<Demand>,
    /// What decides for it unless it is a learner; a learner that nobody teaches releases everything.
    pub policy: PolicyConfig,
    /// The unit of its amounts in observations: see [`amount_scale`].
    pub amount_scale: Cents,
}

/// How much more than it receives a bank may pay in a day.
#[derive(Clone, Debug, Default)]
pub struct Limits {
    /// By bank, where there is such a limit; empty if there is none.
    pub bilateral: Vec<Option<Cents>>,
    /// To all banks together.
    pub multilateral: Option<Cents>,
}

/// A rail.
#[derive(Clone, Debug)]
pub struct Rail {
    /// Its id.
    pub id: String,
    /// How it settles.
    pub settlement: Settlement,
    /// Who may pay before whom in a bank's central queue.
    pub queue_discipline: QueueDiscipline,
    /// Whether a bank sees what is queued in its favour.
    pub incoming_queue_visible: bool,
    /// Whether receipts can be used only from the next tick on.
    pub deferred_crediting: bool,
}

/// How a rail settles.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Settlement {
    /// Gross, with what saves liquidity beyond that.
    Gross(LsmConfig),
    /// Net, every so many ticks of a day.
    DeferredNet {
        /// Ticks from one cycle to the next.
        cycle_ticks: u32,
    },
}

/// How payments gain urgency as their deadline comes near.
#[derive(Clone, Copy, Debug)]
pub struct Escalation {
    ticks: u32,
    boost: u8,
}

impl Escalation {
    fn new(config: EscalationConfig) -> Self {
        Self { ticks: clamp_u32(config.ticks), boost: priority_of(config.boost) }
    }

    /// The urgency of a payment: its priority, and a part of the boost that grows evenly from nothing,
    /// `ticks` before the deadline, to all of it at the deadline.
    #[must_use]
    pub fn urgency(self, priority: u8, deadline: Tick, now: Tick) -> u8 {
        let left = deadline.0.saturating_sub(now.0).min(self.ticks);
        let gained = u64::from(self.boost) * u64::from(self.ticks - left) / u64::from(self.ticks);
        priority.saturating_add(u8::try_from(gained).unwrap_or(u8::MAX)).min(10)
    }
}

impl SystemSetup {
    /// Prepares a scenario with the payments of its file.
    ///
    /// # Errors
    /// [`ScenarioError`] if the scenario is not valid, or payments are missing or come unasked.
    pub fn new(scenario: &Scenario, replay: Option<Arc<Replay>>) -> Result<Self, ScenarioError> {
        scenario.validate()?;
        check_replay(scenario, replay.as_deref())?;
        let days = expected_daily_payments(scenario, replay.as_deref());
        let bank = |(index, agent): (usize, &AgentConfig)| BankSetup {
            id: agent.id.clone(),
            balance: agent.balance,
            credit_limit: agent.credit_limit,
            collateral: agent.collateral,
            haircut: Rate::from_fraction(agent.collateral_haircut),
            pool: agent.liquidity_pool,
            pool_share: Rate::from_fraction(agent.liquidity_share),
            limits: Limits::new(scenario, agent),
            demand: Demand::new(scenario, index),
            policy: agent.policy.clone(),
            amount_scale: amount_scale(agent, days[index]),
        };
        Ok(Self {
            ticks_per_day: clamp_u32(scenario.ticks_per_day),
            num_days: clamp_u32(scenario.num_days),
            episode_ticks: clamp_u32(scenario.ticks_per_day * scenario.num_days),
            seed: scenario.seed,
            banks: scenario.agents.iter().enumerate().map(bank).collect(),
            rails: scenario.rails.iter().map(Rail::new).collect(),
            prices: Prices::new(&scenario.costs),
            settles_at_once: settles_at_once(&scenario.rails),
            schedule: schedule(scenario),
            timeline: timeline(scenario),
            escalation: scenario.priority_escalation.map(Escalation::new),
            end_of_day: scenario.end_of_day,
            overnight: scenario.overnight,
            fingerprint: fingerprint(scenario, replay.as_deref()),
            replay,
        })
    }

    /// The bank with this id.
    #[must_use]
    pub fn bank(&self, id: &str) -> Option<BankId> {
        let index = self.banks.iter().position(|bank| bank.id == id)?;
        u16::try_from(index).ok().map(BankId)
    }
}

impl Limits {
    fn new(scenario: &Scenario, agent: &AgentConfig) -> Self {
        let given = &agent.limits.bilateral;
        let banks = scenario.agents.iter().take(if given.is_empty() { 0 } else { usize::MAX });
        let bilateral = banks.map(|other| given.get(&other.id).copied()).collect();
        Self { bilateral, multilateral: agent.limits.multilateral }
    }
}

impl Rail {
    fn new(config: &RailConfig) -> Self {
        let settlement = match config.settlement_type {
            SettlementType::Immediate => Settlement::Gross(config.lsm),
            SettlementType::DeferredNet => {
                Settlement::DeferredNet { cycle_ticks: clamp_u32(config.cycle_ticks.unwrap_or(1)) }
            }
        };
        Self {
            id: config.id.clone(),
            settlement,
            queue_discipline: config.queue_discipline,
            incoming_queue_visible: config.incoming_queue_visible,
            deferred_crediting: config.deferred_crediting,
        }
    }
}

fn settles_at_once(rails: &[RailConfig]) -> bool {
    matches!(rails, [rail] if rail.settlement_type == SettlementType::Immediate && rail.queue_discipline != QueueDiscipline::Priority)
}

fn fingerprint(scenario: &Scenario, replay: Option<&Replay>) -> u64 {
    // Neither what it says about itself nor where its files stand changes what is played.
    let mut rules = Scenario { description: String::new(), payments_file: None, ..scenario.clone() };
    for agent in &mut rules.agents {
        if let PolicyConfig::Network { weights, .. } = &mut agent.policy {
            weights.clear();
        }
    }
    let payments = replay.map_or(0, Replay::fingerprint).to_le_bytes();
    // Plain data in memory: there is nothing that could fail.
    hash::fingerprint([serde_json::to_vec(&rules).unwrap_or_default().as_slice(), &payments])
}

fn check_replay(scenario: &Scenario, replay: Option<&Replay>) -> Result<(), ScenarioError> {
    let problem = match (&scenario.payments_file, replay) {
        (None, None) => return Ok(()),
        (Some(_), Some(replay)) if replay.fits(scenario) => return Ok(()),
        (Some(_), Some(_)) => "the payments given were read for other banks or another clock",
        (Some(_), None) => "the payments of this file must be read and given beside the scenario",
        (None, Some(_)) => "must name the file of the payments that are given beside the scenario",
    };
    conflict("payments_file", format!("{:?}", scenario.payments_file.as_deref().unwrap_or_default()), problem)
}

/// Mean amount of a bank's own payments times the square root of their expected number a day: the
/// size of the swing that independent payments give its balance. Its opening liquidity if it pays
/// nobody; at least one cent.
fn amount_scale(agent: &AgentConfig, (count, value): (f64, f64)) -> Cents {
    let swing = if count > 0.0 { value / count * count.sqrt() } else { 0.0 };
    let own = (agent.balance + agent.credit_limit + agent.collateral + agent.liquidity_pool).0 as f64;
    let scale = if swing > 0.0 { swing } else { own };
    #[expect(clippy::cast_possible_truncation, reason = "float-to-int `as` saturates")]
    Cents((scale.round() as i64).max(1))
}
