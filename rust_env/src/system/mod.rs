//! One running copy of a scenario, and the tick that drives it.

mod accrue;
mod arrive;
mod day;
mod decide;
mod record;
mod roles;
mod saved;
mod state;
mod tick;

pub use roles::Roles;
pub use saved::RestoreError;
pub(crate) use saved::is_marked;
pub use state::System;
pub use tick::TickOutcome;
