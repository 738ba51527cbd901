//! Distributions of payment amounts, by the mean and standard deviation of the amount.

use crate::rng::Stream;
use crate::scenario::{ArrivalConfig, DistributionType};
use crate::units::{Cents, MAX_MONEY};
use rand_distr::{Distribution, Exp, LogNormal, Normal, Uniform};
use std::f64::consts::{FRAC_1_SQRT_2, PI};

/// Distribution of a payment's amount.
#[derive(Clone, Copy, Debug)]
pub enum AmountDistribution {
    /// Normal, truncated at zero.
    Normal(Normal<f64>),
    /// Lognormal.
    Lognormal(LogNormal<f64>),
    /// Uniform between two bounds.
    Uniform(Uniform<f64>),
    /// Exponential.
    Exponential(Exp<f64>),
}

impl AmountDistribution {
    /// The distribution of a valid arrival configuration.
    pub fn new(config: &ArrivalConfig) -> Option<Self> {
        let mean = config.amount_mean.0 as f64;
        let deviation = config.amount_std_dev.map(|deviation| deviation.0 as f64);
        match config.distribution_type {
            DistributionType::Normal => {
                let (peak, width) = untruncated_params(mean, deviation?);
                Normal::new(peak, width).ok().map(Self::Normal)
            }
            DistributionType::Lognormal => LogNormal::from_mean_cv(mean, deviation? / mean).ok().map(Self::Lognormal),
            DistributionType::Uniform => {
                let half_width = uniform_half_width(mean, deviation);
                Uniform::new_inclusive(mean - half_width, mean + half_width).ok().map(Self::Uniform)
            }
            DistributionType::Exponential => Exp::new(1.0 / mean).ok().map(Self::Exponential),
        }
    }

    /// Mean of the squared amount under a valid arrival configuration, before rounding and limits.
    ///
    /// The mean squared plus the variance, which the truncation of a normal keeps.
    pub fn mean_square(config: &ArrivalConfig) -> f64 {
        let mean = config.amount_mean.0 as f64;
        let given = config.amount_std_dev.map(|deviation| deviation.0 as f64);
        let deviation = match config.distribution_type {
            DistributionType::Normal | DistributionType::Lognormal => given.unwrap_or_default(),
            DistributionType::Uniform => uniform_half_width(mean, given) / 3.0_f64.sqrt(),
            DistributionType::Exponential => mean,
        };
        mean * mean + deviation * deviation
    }

    /// Draws an amount between one cent and [`MAX_MONEY`].
    pub fn sample(&self, stream: &mut Stream) -> Cents {
        let amount = match self {
            Self::Normal(normal) => loop {
                let amount = normal.sample(stream);
                // The peak is not negative, so at least every other draw is accepted.
                if amount >= 0.0 {
                    break amount;
                }
            },
            Self::Lognormal(lognormal) => lognormal.sample(stream),
            Self::Uniform(uniform) => uniform.sample(stream),
            Self::Exponential(exponential) => exponential.sample(stream),
        };
        Cents(round_to_i64(amount).clamp(1, MAX_MONEY))
    }
}

/// Half of a uniform distribution's width; by default it starts at one cent.
fn uniform_half_width(mean: f64, deviation: Option<f64>) -> f64 {
    deviation.map_or(mean - 1.0, |deviation| deviation * 3.0_f64.sqrt())
}

/// Parameters of the normal that has this mean and deviation once truncated at zero.
///
/// With the truncation point `a` standard deviations from the peak and `h = pdf(a) / (1 - cdf(a))`, the truncated
/// distribution has the mean `h - a` and the variance `1 + a h - h^2`, in units of the untruncated standard
/// deviation (Johnson, Kotz and Balakrishnan 1994, Continuous Univariate Distributions 1, section 13.10.1).
fn untruncated_params(mean: f64, deviation: f64) -> (f64, f64) {
    let moments = |point: f64| {
        let hazard = (-point * point / 2.0).exp() / (2.0 * PI).sqrt() / (libm::erfc(point * FRAC_1_SQRT_2) / 2.0);
        (hazard - point, (1.0 + point * hazard - hazard * hazard).max(0.0).sqrt())
    };
    let target = deviation / mean;
    // The relative deviation grows with the truncation point; below a 38th, truncation has no effect.
    let (mut low, mut high) = (-38.0, 0.0);
    if target <= 1.0 / 38.0 {
        return (mean, deviation);
    }
    for _ in 0..100 {
        let middle = f64::midpoint(low, high);
        let (mean, deviation) = moments(middle);
        if deviation / mean < target { low = middle } else { high = middle }
    }
    let width = mean / moments(low).0;
    (-low * width, width)
}

/// Rounds to the nearest integer like `f64::round`, without a call to libm.
#[expect(clippy::cast_possible_truncation, reason = "float-to-int `as` saturates")]
pub(crate) fn round_to_i64(number: f64) -> i64 {
    let truncated = number as i64;
    let rest = number - truncated as f64;
    truncated.saturating_add(i64::from(rest >= 0.5) - i64::from(rest <= -0.5))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[expect(clippy::cast_possible_truncation, reason = "float-to-int `as` saturates")]
    fn round_to_i64_rounds_like_round() {
        let half = 0.499_999_999_999_999_94;
        let halves = (-9..9).map(|number| f64::from(number) / 4.0);
        let large = [1e15 + 0.5, 4_503_599_627_370_497.5, 9e18, 1e19, f64::MAX, f64::INFINITY, f64::NAN, half];
        for number in halves.chain(large) {
            assert_eq!(
                [round_to_i64(number), round_to_i64(-number)],
                [number.round() as i64, (-number).round() as i64],
                "{number}"
            );
        }
    }

    #[test]
    fn untruncated_params_of_a_half_normal() {
        // The upper half of a standard normal has the mean sqrt(2 / pi) and the variance 1 - 2 / pi.
        let (mean, deviation) = ((2.0 / PI).sqrt(), (1.0 - 2.0 / PI).sqrt());
        let (peak, width) = untruncated_params(mean, deviation);
        assert!(peak.abs() < 1e-6 && (width - 1.0).abs() < 1e-6, "{peak} {width}");
        assert_eq!(untruncated_params(100.0, 1.0), (100.0, 1.0));
    }
}
