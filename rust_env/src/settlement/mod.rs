//! Settlement: what moves released payments from the central queue to finality.

mod gross;

pub use gross::Gross;
