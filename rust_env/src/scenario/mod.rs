//! The scenario: the definition of a payment system and its days.
//!
//! Keys, defaults and ranges equal those of `paysim_gym/scenario/models.py`. Parsing rejects unknown keys and
//! wrong types; [`Scenario::validate`] rejects everything else that the engine cannot simulate.

mod checker;
mod checks;
mod config;
mod defaults;
mod events;
mod parts;
mod prices;
mod rails;
mod read;
mod totals;
mod validate;
mod validate_events;

pub use checks::minutes_of_day;
pub(crate) use checks::{MAX_PARTS, NOT_ITSELF, conflict, in_range};
pub use config::{
    AgentConfig, ArrivalConfig, DistributionType, EndOfDay, EscalationConfig, LimitConfig, Overnight, PolicyConfig,
    PriorityConfig, Scenario, TimeWindow, TransactionConfig,
};
pub(crate) use config::{banks_by_id, clamp_u32, priority_of, rail};
pub use events::{
    ArrivalRateEvent, CollateralEvent, CreditEvent, EarlyCloseEvent, EventConfig, OutageEvent, PaymentEvent,
    TransferEvent,
};
pub use parts::validate_part;
pub use prices::{CollateralCharged, CostConfig, OverdraftTier};
pub use rails::{LsmConfig, QueueDiscipline, RailConfig, SettlementType};
pub use read::UniqueMap;
pub(crate) use read::read_json;
pub(crate) use totals::{Bounds, Load, MAX_TOTAL};
