//! The scenario: everything that defines a payment system and its days, as people write it.
//!
//! The same keys, defaults and ranges as `paysim_gym/scenario/models.py`. Reading refuses unknown keys and
//! wrong types; [`Scenario::validate`] refuses everything else that the engine could not play.

mod checker;
mod checks;
mod config;
mod convert;
mod defaults;
mod events;
mod prices;
mod rails;
mod read;
mod totals;
mod validate;
mod validate_events;

pub(crate) use checks::{MOST_PARTS, conflict, in_range};
pub use config::{
    AgentConfig, ArrivalConfig, DistributionType, EndOfDay, EscalationConfig, LimitConfig, Overnight, PolicyConfig,
    PriorityConfig, Scenario, TimeWindow, TransactionConfig,
};
pub(crate) use convert::{banks_by_id, clamp_u32, priority_of, rail};
pub use events::{
    ArrivalRateEvent, CollateralEvent, CreditEvent, EarlyCloseEvent, EventConfig, OutageEvent, PaymentEvent,
    TransferEvent,
};
pub use prices::{CollateralCharged, CostConfig, OverdraftTier};
pub use rails::{LsmConfig, QueueDiscipline, RailConfig, SettlementType};
pub use read::UniqueMap;
pub(crate) use read::read_json;
pub(crate) use totals::Load;
