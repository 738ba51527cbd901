//! Configuration of settlement rails.

use super::defaults::yes;
use serde::{Deserialize, Serialize};

/// A settlement rail.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct RailConfig {
    /// Unique, `^[A-Z0-9_]+$`.
    pub id: String,
    /// Gross or net settlement.
    #[serde(default)]
    pub settlement_type: SettlementType,
    /// Order of settlement within a central queue.
    #[serde(default)]
    pub queue_discipline: QueueDiscipline,
    /// Whether a bank sees the payments queued in its favour.
    #[serde(default = "yes")]
    pub incoming_queue_visible: bool,
    /// Liquidity-saving mechanism.
    #[serde(default)]
    pub lsm: LsmConfig,
    /// Whether receipts are credited only at the end of the tick.
    #[serde(default)]
    pub deferred_crediting: bool,
    /// Length in ticks of the cycles of a deferred net rail.
    pub cycle_ticks: Option<i64>,
}

/// Settlement type of a rail.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum SettlementType {
    /// Real-time gross settlement, as soon as the sender's liquidity allows.
    #[default]
    Immediate,
    /// Net settlement of all queued payments at the end of each cycle.
    DeferredNet,
}

/// Liquidity-saving mechanism of a gross rail.
///
/// Its offsets are tried in this order when no single payment can settle; where payments may bypass blocked ones,
/// the multilateral one comes first.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct LsmConfig {
    /// Offset of a new payment against its receiver's queued payments to its sender.
    pub entry_offset: bool,
    /// Offset of queued payments between two banks.
    pub bilateral: bool,
    /// Offset of the largest feasible set of queued payments between all banks.
    pub multilateral: bool,
}

/// Order of settlement within a bank's central queue.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum QueueDiscipline {
    /// First in, first out; a blocked head blocks the queue.
    #[default]
    Fifo,
    /// First in, first out; payments may bypass blocked ones.
    FifoBypass,
    /// By priority class, then first in, first out; a blocked head blocks the queue.
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
