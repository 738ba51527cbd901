//! The day of an interbank payment system: integers in, integers out.
//!
//! One business day, as [`system::System`] plays it: every tick, customers bring payment orders
//! ([`arrivals`], [`amounts`]), which join their bank's internal queue ([`bank`], [`payment`]). Each bank decides
//! what to release, hold or split - by a rule ([`policy`]), by a trained [network](players) or from outside ([`decision`]). Released
//! payments settle, gross and final, as far as the sender's balance and credit go, or wait in the
//! central queue ([`settlement`]). Then waiting and borrowing are charged ([`costs`]), and on the
//! last tick the day's rule decides what becomes of what is left.
//!
//! A [`fleet::Fleet`] plays many such days at once and turns them into observations, masks and
//! rewards. A [`scenario::Scenario`] defines it all.

#![cfg_attr(test, allow(clippy::unwrap_used))]
#![allow(clippy::cast_precision_loss, reason = "floats only describe money, they never hold it")]

pub mod amounts;
pub mod arrivals;
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
pub mod scheduled_events;
pub mod settlement;
pub mod setup;
pub mod system;
pub mod system_setup;
pub mod units;

#[cfg(feature = "python")]
mod python;
