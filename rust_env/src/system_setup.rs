//! The compiled scenario, shared by all its systems.

use crate::amounts::round_to_i64;
use crate::arrivals::{Demand, expected_daily_squares, schedule};
use crate::costs::Prices;
use crate::error::ScenarioError;
use crate::hash;
use crate::payment::Order;
use crate::replay::Replay;
use crate::scenario::{
    AgentConfig, Bounds, EndOfDay, EscalationConfig, Load, LsmConfig, Overnight, PolicyConfig, QueueDiscipline,
    RailConfig, Scenario, SettlementType, clamp_u32, conflict, priority_of,
};
use crate::scheduled_events::{ScheduledEvent, timeline};
use crate::units::{BankId, Cents, Rate, Tick};
use std::sync::Arc;

/// A validated scenario in engine units.
pub struct SystemSetup {
    /// Number of ticks of a day.
    pub ticks_per_day: u32,
    /// Number of days of an episode.
    pub num_days: u32,
    /// Number of ticks of an episode.
    pub episode_ticks: u32,
    /// Root of the seed tree.
    pub seed: u64,
    /// Banks, in the order of the scenario.
    pub banks: Vec<BankSetup>,
    /// Rails, in the order of the scenario.
    pub rails: Vec<Rail>,
    /// Prices of the cost components.
    pub prices: Prices,
    /// Initial transactions, by arrival.
    pub schedule: Vec<Order>,
    /// Scheduled events, by tick.
    pub timeline: Vec<(Tick, ScheduledEvent)>,
    /// Replayed payments, if the scenario names a payments file.
    pub replay: Option<Arc<Replay>>,
    /// Whether a covered head of a queue can settle on release.
    ///
    /// True on a single gross rail without priority classes, where the other banks' decisions cannot block it.
    pub settles_at_once: bool,
    /// Escalation of priorities near deadlines, if any.
    pub escalation: Option<Escalation>,
    /// Treatment of unsettled payments at the end of a day.
    pub end_of_day: EndOfDay,
    /// Treatment of balances between days.
    pub overnight: Overnight,
    /// Hash of the scenario and its replayed payments.
    pub fingerprint: u64,
    pub(crate) bounds: Bounds,
}

/// Compiled configuration of a bank.
pub struct BankSetup {
    /// Unique id.
    pub id: String,
    /// Opening balance.
    pub balance: Cents,
    /// Maximum uncollateralised overdraft.
    pub credit_limit: Cents,
    /// Value of its pledged assets.
    pub collateral: Cents,
    /// Share of the collateral value without credit.
    pub haircut: Rate,
    /// Liquidity outside the system that it can commit at a day's opening.
    pub pool: Cents,
    /// Share of the pool that it commits unless a learner or player decides.
    pub pool_share: Rate,
    /// Limits of its net payments per day.
    pub limits: Limits,
    /// Random demand of its customers, if any.
    pub demand: Option<Demand>,
    /// Policy for its payments unless it is a learner.
    pub policy: PolicyConfig,
    /// Unit of amounts in its observations; see [`amount_scale`].
    pub amount_scale: Cents,
}

/// Limits of a bank's net payments per day.
#[derive(Clone, Debug, Default)]
pub struct Limits {
    /// Limit to each bank; empty if there is none.
    pub bilateral: Vec<Option<Cents>>,
    /// Limit to all banks together.
    pub multilateral: Option<Cents>,
}

/// Compiled configuration of a rail.
#[derive(Clone, Debug)]
pub struct Rail {
    /// Unique id.
    pub id: String,
    /// Settlement type.
    pub settlement: Settlement,
    /// Order of a bank's central queue.
    pub queue_discipline: QueueDiscipline,
    /// Whether a bank sees queued payments to it.
    pub incoming_queue_visible: bool,
    /// Whether receipts become usable in the next tick.
    pub deferred_crediting: bool,
}

/// Settlement type of a rail.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Settlement {
    /// Gross settlement with a liquidity-saving mechanism.
    Gross(LsmConfig),
    /// Net settlement in cycles.
    DeferredNet {
        /// Ticks between the ends of two cycles.
        cycle_ticks: u32,
    },
}

/// Escalation of priorities near deadlines.
#[derive(Clone, Copy, Debug)]
pub struct Escalation {
    ticks: u32,
    boost: u8,
}

impl Escalation {
    fn new(config: EscalationConfig) -> Self {
        Self { ticks: clamp_u32(config.ticks), boost: priority_of(config.boost) }
    }

    /// Urgency of a payment: priority plus a share of the boost.
    ///
    /// At most 10. The share grows linearly from 0, `ticks` before the deadline, to 1 at the deadline.
    pub fn urgency(self, priority: u8, deadline: Tick, now: Tick) -> u8 {
        let left = deadline.0.saturating_sub(now.0).min(self.ticks);
        let gained = u64::from(self.boost) * u64::from(self.ticks - left) / u64::from(self.ticks);
        priority.saturating_add(u8::try_from(gained).unwrap_or(u8::MAX)).min(10)
    }
}

impl SystemSetup {
    /// Validates and compiles a scenario and the payments of its file.
    ///
    /// # Errors
    /// [`ScenarioError`] if the scenario is not valid, or payments are missing or unexpected.
    pub fn new(scenario: &Scenario, replay: Option<Arc<Replay>>) -> Result<Self, ScenarioError> {
        scenario.validate()?;
        check_replay(scenario, replay.as_deref())?;
        let replayed = replay.as_deref().map_or_else(Load::default, |replay| replay.max_load(scenario.num_days));
        let timeline = timeline(scenario);
        let daily_squares = expected_daily_squares(scenario, &timeline, replay.as_deref());
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
            amount_scale: amount_scale(agent, daily_squares[index]),
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
            timeline,
            escalation: scenario.priority_escalation.map(Escalation::new),
            end_of_day: scenario.end_of_day,
            overnight: scenario.overnight,
            fingerprint: fingerprint(scenario, replay.as_deref()),
            bounds: scenario.bounds(replayed),
            replay,
        })
    }

    /// The bank with this id.
    pub fn bank(&self, id: &str) -> Option<BankId> {
        let index = self.banks.iter().position(|bank| bank.id == id)?;
        u16::try_from(index).ok().map(BankId)
    }
}

impl Limits {
    fn new(scenario: &Scenario, agent: &AgentConfig) -> Self {
        let limits = &agent.limits.bilateral;
        let banks = scenario.agents.iter().take(if limits.is_empty() { 0 } else { usize::MAX });
        let bilateral = banks.map(|other| limits.get(&other.id).copied()).collect();
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
    // The description and the paths of files do not change a run.
    let mut rules = Scenario { description: String::new(), payments_file: None, ..scenario.clone() };
    for agent in &mut rules.agents {
        if let PolicyConfig::Network { weights, .. } = &mut agent.policy {
            weights.clear();
        }
    }
    let payments = replay.map_or(0, Replay::fingerprint).to_le_bytes();
    // Serialising plain data to memory cannot fail.
    hash::fingerprint([serde_json::to_vec(&rules).unwrap_or_default().as_slice(), &payments])
}

fn check_replay(scenario: &Scenario, replay: Option<&Replay>) -> Result<(), ScenarioError> {
    let allowed = match (&scenario.payments_file, replay) {
        (None, None) => return Ok(()),
        (Some(_), Some(replay)) if replay.fits(scenario) => return Ok(()),
        (Some(_), Some(_)) => "the payments were read for other banks or another number of ticks per day",
        (Some(_), None) => "the payments of this file must be read and passed with the scenario",
        (None, Some(_)) => "must name the file of the payments that were passed with the scenario",
    };
    conflict("payments_file", format!("{:?}", scenario.payments_file.as_deref().unwrap_or_default()), allowed)
}

/// Unit of a bank's amounts in observations, at least one cent.
///
/// Root of the expected number of payments that it sends and receives per day times their mean squared amount: the
/// standard deviation of a day's change of its balance under independent payments. A bank without payments has its
/// opening liquidity as unit.
fn amount_scale(agent: &AgentConfig, daily_squares: f64) -> Cents {
    let opening_liquidity = (agent.balance + agent.credit_limit + agent.collateral + agent.liquidity_pool).0 as f64;
    let scale = if daily_squares > 0.0 { daily_squares.sqrt() } else { opening_liquidity };
    Cents(round_to_i64(scale).max(1))
}
