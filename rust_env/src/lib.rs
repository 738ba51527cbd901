//! Engine of an interbank payment system, in integer cents and ticks.
//!
//! A [`scenario::Scenario`] defines a payment system; a [`system::System`] simulates its days tick by tick. In every
//! tick, payment orders arrive (`arrivals`, `amounts`) and join the internal queue of their bank ([`payment`],
//! [`bank`]). Each bank releases, holds or splits its payments by a rule ([`policy`]), by a trained network
//! ([`players`]) or by decisions from outside ([`decision`]). Released payments settle if the sender's liquidity
//! covers them, or wait in the central queue ([`settlement`]). Then costs accrue ([`costs`]). The day's last tick
//! applies the end-of-day rule to unsettled payments.
//!
//! A [`fleet::Fleet`] steps many systems together and writes observations, masks and rewards.

#![cfg_attr(test, allow(clippy::unwrap_used))]
#![allow(clippy::cast_precision_loss, reason = "floats only describe money, they never hold it")]

mod amounts;
mod arrivals;
pub mod bank;
pub mod costs;
pub mod decision;
pub mod error;
pub mod events;
pub mod fleet;
mod hash;
pub mod ledger;
pub mod payment;
pub mod players;
pub mod policy;
pub mod replay;
pub mod rng;
pub mod scenario;
mod scheduled_events;
pub mod settlement;
pub mod setup;
pub mod system;
pub mod system_setup;
pub mod units;

#[cfg(feature = "python")]
mod python;
