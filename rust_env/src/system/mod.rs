//! A running copy of a scenario, advanced tick by tick.

mod accrue;
mod begin_tick;
mod day;
mod decide;
mod outcomes;
mod record;
mod saved_state;
mod serialization;
mod state;
mod tick;
mod validation;

pub use outcomes::{BankOutcome, BankOutcomes};
pub use saved_state::RestoreError;
pub(crate) use saved_state::has_current_format;
pub use state::{Roles, System};
pub use tick::TickOutcome;
