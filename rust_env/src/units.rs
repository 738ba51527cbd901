//! Units: money in integer cents, prices in parts per 10^12, time in ticks.

use serde::{Deserialize, Serialize};
use std::iter::Sum;
use std::num::NonZeroU64;
use std::ops::{Add, AddAssign, Neg, Sub, SubAssign};

/// Largest amount, balance or fee of a scenario: 10^15 cents.
///
/// The balances and credit limits of a thousand banks still sum to less than 2^62.
pub const MAX_MONEY: i64 = 1_000_000_000_000_000;

/// An amount of money in cents.
///
/// `+` and `-` panic on overflow, also in release builds.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(transparent)]
pub struct Cents(pub i64);

impl Cents {
    /// No money.
    pub const ZERO: Self = Self(0);
}

impl Add for Cents {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self(self.0 + other.0)
    }
}

impl Sub for Cents {
    type Output = Self;
    fn sub(self, other: Self) -> Self {
        Self(self.0 - other.0)
    }
}

impl AddAssign for Cents {
    fn add_assign(&mut self, other: Self) {
        self.0 += other.0;
    }
}

impl SubAssign for Cents {
    fn sub_assign(&mut self, other: Self) {
        self.0 -= other.0;
    }
}

impl Neg for Cents {
    type Output = Self;
    fn neg(self) -> Self {
        Self(-self.0)
    }
}

impl Sum for Cents {
    fn sum<I: Iterator<Item = Self>>(amounts: I) -> Self {
        amounts.fold(Self::ZERO, Add::add)
    }
}

/// A point in time: ticks since the start of the episode.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(transparent)]
pub struct Tick(pub u32);

/// The index of a bank in the scenario's `agents` list.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(transparent)]
pub struct BankId(pub u16);

impl BankId {
    /// This bank's index into any per-bank array.
    pub fn index(self) -> usize {
        usize::from(self.0)
    }
}

/// The id of the bank at `index`, which is at most 999.
pub fn bank_at(index: usize) -> BankId {
    BankId(u16::try_from(index).unwrap_or(u16::MAX))
}

/// The index of a rail in the scenario's `rails` list.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(transparent)]
pub struct RailId(pub u8);

impl RailId {
    /// This rail's index into any per-rail array.
    pub fn index(self) -> usize {
        usize::from(self.0)
    }
}

/// A payment's serial number, unique within an episode; from 1.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(transparent)]
pub struct PaymentId(pub NonZeroU64);

impl PaymentId {
    /// The first id of an episode.
    pub const FIRST: Self = Self(NonZeroU64::MIN);
}

/// A price: a fraction per tick (or per day) in parts per 10^12.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(transparent)]
pub struct Rate(i64);

impl Rate {
    /// Number of parts in a rate of 1.
    pub const ONE: i64 = 1_000_000_000_000;

    /// The rate nearest to `fraction`, whose absolute value must be below 2^23.
    #[expect(clippy::cast_possible_truncation, reason = "float-to-int `as` saturates")]
    pub fn from_fraction(fraction: f64) -> Self {
        Self((fraction * Self::ONE as f64).round() as i64)
    }

    /// The rate as a fraction.
    pub fn as_fraction(self) -> f64 {
        self.0 as f64 / Self::ONE as f64
    }

    /// 1 minus this rate.
    pub fn complement(self) -> Self {
        Self(Self::ONE - self.0)
    }

    /// This share of `base`, rounded down to whole cents.
    ///
    /// The rate must be between 0 and 1.
    pub fn share_of(self, base: Cents) -> Cents {
        // A share of 64 bits of cents fits 64 bits.
        Cents(i64::try_from(self.of(base).div_euclid(i128::from(Self::ONE))).unwrap_or(base.0))
    }

    /// The smallest base whose share is at least `part`; `None` at rate 0.
    pub fn base_for(self, part: Cents) -> Option<Cents> {
        let (scaled, rate) = (i128::from(part.0) * i128::from(Self::ONE), i128::from(self.0));
        if rate == 0 {
            None
        } else {
            i64::try_from(scaled.div_euclid(rate) + i128::from(scaled.rem_euclid(rate) > 0)).ok().map(Cents)
        }
    }

    /// The exact charge of this rate on `base`, in 10^-12 cents.
    pub fn of(self, base: Cents) -> i128 {
        i128::from(self.0) * i128::from(base.0)
    }
}

/// Converts exact charges into whole cents and carries the remainder.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize)]
pub struct Accrual {
    remainder: i64,
}

impl Accrual {
    /// Whether the remainder is less than a cent.
    pub(crate) fn is_valid(&self) -> bool {
        (0..Rate::ONE).contains(&self.remainder)
    }

    /// Adds `charge`, in 10^-12 cents, and returns the whole cents now owed.
    ///
    /// The charge must not be negative. Returns `None` if the cents do not fit in 64 bits.
    pub fn charge(&mut self, charge: i128) -> Option<Cents> {
        let total = charge + i128::from(self.remainder);
        // 64-bit division is faster and usually suffices: this runs for every bank in every tick.
        if let Ok(small) = u64::try_from(total) {
            let one = Rate::ONE.cast_unsigned();
            self.remainder = (small % one).cast_signed();
            return Some(Cents((small / one).cast_signed()));
        }
        let one = i128::from(Rate::ONE);
        self.remainder = i64::try_from(total.rem_euclid(one)).ok()?;
        i64::try_from(total.div_euclid(one)).ok().map(Cents)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accrual_carries_fractions_of_a_cent() {
        // 0.3 cents a tick: 0, 0, 0 and 1 cents are owed, and 0.2 cents remain.
        let charge = Rate::from_fraction(0.003).of(Cents(100));
        let mut accrual = Accrual::default();
        let cents: Vec<i64> = (0..4).map(|_| accrual.charge(charge).unwrap().0).collect();
        assert_eq!(cents, [0, 0, 0, 1]);
        assert_eq!(accrual.remainder, Rate::ONE / 5);
    }

    #[test]
    fn accrual_of_one_large_charge_equals_accrual_of_its_parts() {
        let big = i128::from(i64::MAX) * 3 + 7;
        let (mut single, mut parts) = (Accrual::default(), Accrual::default());
        let total = single.charge(big).unwrap();
        let third = big / 3;
        let piecewise: Cents = [third, third, big - 2 * third].iter().map(|c| parts.charge(*c).unwrap()).sum();
        assert_eq!(total, piecewise);
        assert_eq!(single.remainder, parts.remainder);
    }

    #[test]
    fn accrual_returns_none_beyond_64_bits_of_cents() {
        assert_eq!(Accrual::default().charge(i128::MAX - Rate::ONE as i128), None);
    }
}
