//! Policies that decide for a bank inside the engine.

use crate::costs::Prices;
use crate::payment::{Decision, Payment};
use crate::rng::Stream;
use crate::scenario::{PolicyConfig, clamp_u32};
use crate::units::{BankId, Cents, Tick};
use rand::RngExt;

/// Decides for a bank of a system `S` from its full observation.
///
/// Generic, so that players can be defined above the system.
pub trait Player<S>: Send + Sync {
    /// Bank that it decides for.
    fn bank(&self) -> BankId;

    /// Hash of everything that determines its decisions.
    fn fingerprint(&self) -> u64;

    /// Decides about the pool at an opening, else about payments.
    fn play(&self, system: &mut S);
}

/// What a scripted policy knows about its bank.
pub struct PolicyContext<'a> {
    /// Current tick.
    pub now: Tick,
    /// Balance less the value of the central queues.
    pub uncommitted_balance: Cents,
    /// Capacity less the value of the central queues.
    pub uncommitted_liquidity: Cents,
    /// Prices of the cost components.
    pub prices: &'a Prices,
    /// Scratch buffer for indices of the queue.
    pub index_buffer: &'a mut Vec<u32>,
    /// Internal queue.
    pub queue: &'a [Payment],
}

/// A rule that decides about an internal queue.
pub trait ScriptedPolicy: Send + Sync {
    /// Appends a decision for each payment of the queue.
    fn decide(&self, context: &mut PolicyContext<'_>, stream: &mut Stream, decisions: &mut Vec<Decision>);
}

/// Creates the rule of a policy configuration.
///
/// Learners and networks get [`PolicyConfig::ReleaseAll`]: it applies to a learner without decisions from outside, and
/// to a network that decides only about its pool.
pub fn scripted(config: &PolicyConfig) -> Box<dyn ScriptedPolicy> {
    match config {
        PolicyConfig::Learner {} | PolicyConfig::ReleaseAll {} | PolicyConfig::Network { .. } => Box::new(ReleaseAll),
        PolicyConfig::HoldUntilDeadline { margin } => Box::new(HoldUntilDeadline { margin: clamp_u32(*margin) }),
        PolicyConfig::LiquidityAware { buffer } => Box::new(LiquidityAware { buffer: *buffer }),
        PolicyConfig::SplitLarge { parts, threshold } => {
            Box::new(SplitLarge { parts: u8::try_from(*parts).unwrap_or(u8::MAX), threshold: *threshold })
        }
        PolicyConfig::Random { release_probability } => Box::new(Random { release_probability: *release_probability }),
        PolicyConfig::Myopic {} => Box::new(Myopic),
    }
}

struct ReleaseAll;

impl ScriptedPolicy for ReleaseAll {
    fn decide(&self, context: &mut PolicyContext<'_>, _: &mut Stream, decisions: &mut Vec<Decision>) {
        decisions.extend(context.queue.iter().map(|_| Decision::Release));
    }
}

struct HoldUntilDeadline {
    margin: u32,
}

impl ScriptedPolicy for HoldUntilDeadline {
    fn decide(&self, context: &mut PolicyContext<'_>, _: &mut Stream, decisions: &mut Vec<Decision>) {
        let horizon = Tick(context.now.0.saturating_add(self.margin));
        decisions.extend(context.queue.iter().map(|payment| release_if(payment.deadline <= horizon)));
    }
}

struct LiquidityAware {
    buffer: Cents,
}

impl ScriptedPolicy for LiquidityAware {
    fn decide(&self, context: &mut PolicyContext<'_>, _: &mut Stream, decisions: &mut Vec<Decision>) {
        let mut liquidity = context.uncommitted_liquidity;
        decisions.extend(context.queue.iter().map(|payment| {
            let release = payment.deadline <= context.now || liquidity - payment.amount >= self.buffer;
            if release {
                liquidity -= payment.amount;
            }
            release_if(release)
        }));
    }
}

struct SplitLarge {
    parts: u8,
    threshold: Cents,
}

impl ScriptedPolicy for SplitLarge {
    fn decide(&self, context: &mut PolicyContext<'_>, _: &mut Stream, decisions: &mut Vec<Decision>) {
        let mut liquidity = context.uncommitted_liquidity;
        decisions.extend(context.queue.iter().map(|payment| {
            let is_large = payment.amount > self.threshold && payment.amount > liquidity;
            liquidity -= payment.amount;
            if is_large && payment.can_be_split(self.parts) { Decision::Split(self.parts) } else { Decision::Release }
        }));
    }
}

struct Random {
    release_probability: f64,
}

impl ScriptedPolicy for Random {
    fn decide(&self, context: &mut PolicyContext<'_>, stream: &mut Stream, decisions: &mut Vec<Decision>) {
        decisions.extend(context.queue.iter().map(|_| release_if(stream.random::<f64>() < self.release_probability)));
    }
}

/// Releases payments in descending order of their delay cost per cent.
struct Myopic;

impl ScriptedPolicy for Myopic {
    fn decide(&self, context: &mut PolicyContext<'_>, _: &mut Stream, decisions: &mut Vec<Decision>) {
        let PolicyContext { queue, prices, index_buffer: indices, .. } = context;
        let first = decisions.len();
        decisions.extend(queue.iter().map(|_| Decision::Hold));
        let payment = |index: &u32| &queue[*index as usize];
        indices.clear();
        indices.extend((0..).take(queue.len()));
        let relative_cost = |index: &u32| prices.delay(payment(index)) as f64 / payment(index).amount.0 as f64;
        indices.sort_unstable_by(|one, other| relative_cost(other).total_cmp(&relative_cost(one)).then(one.cmp(other)));
        let (mut balance, mut liquidity) = (context.uncommitted_balance, context.uncommitted_liquidity);
        for index in indices.iter() {
            let payment = payment(index);
            let overdraft = prices.overdraft(balance - payment.amount) - prices.overdraft(balance);
            if payment.amount <= liquidity && (payment.amount <= balance || overdraft < prices.delay(payment)) {
                balance -= payment.amount;
                liquidity -= payment.amount;
                decisions[first + *index as usize] = Decision::Release;
            }
        }
    }
}

fn release_if(release: bool) -> Decision {
    if release { Decision::Release } else { Decision::Hold }
}
