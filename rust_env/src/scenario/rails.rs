//! The settlement rails.

use super::defaults::yes;
use serde::{Deserialize, Serialize};

/// A settlement rail.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct RailConfig {
    /// Unique, `^[A-Z0-9_]+$`.
    pub id: String,
    /// How it settles.
    #[serde(default)]
    pub settlement_type: SettlementType,
    /// Who may pay before whom in the central queue.
    #[serde(default)]
    pub queue_discipline: QueueDiscipline,
    /// Whether a bank sees what is queued in its favour.
    #[serde(default = "yes")]
    pub incoming_queue_visible: bool,
    /// What saves liquidity beyond settling queues one payment at a time.
    #[serde(default)]
    pub lsm: LsmConfig,
    /// Whether receipts can be used only from the next tick on.
    #[serde(default)]
    pub deferred_crediting: bool,
    /// Ticks from one cycle of a deferred net rail to the next.
    #[serde(default)]
    pub cycle_ticks: Option<i64>,
}

/// How a rail settles.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum SettlementType {
    /// Gross, as soon as the sender's liquidity allows.
    #[default]
    Immediate,
    /// Net: all that waits at the end of a cycle settles together, or waits on.
    DeferredNet,
}

/// The liquidity-saving mechanism of a gross rail, tried in this order once single payments are stuck.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct LsmConfig {
    /// A newcomer that would queue is offset against its receiver's queued payments to its sender.
    pub entry_offset: bool,
    /// Payments between two banks settle together.
    pub bilateral: bool,
    /// The largest set of payments between all banks that can settle together does so.
    pub multilateral: bool,
}

/// Who may pay before whom in a bank's central queue.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum QueueDiscipline {
    /// First in, first out: a blocked head blocks its bank.
    #[default]
    Fifo,
    /// First in, first out, but what can be paid may pass what cannot.
    FifoBypass,
    /// The most urgent first, first in first out among equals: a blocked head blocks its bank.
    Priority,
}

pub(super) fn default_rails() -> Vec<RailConfig> {
    vec![RailConfig {
        id: "RTGS".to_owned(),
        settlement_type: SettlementType::default(),
        queue_discipline: QueueDiscipline::default(),
        incoming_queue_visible: true,
        lsm: LsmConfig::default(),
        deferred_crediting: false,
        cycle_ticks: None,
    }]
}
