//! How large payments are: four distributions, each with the mean and standard deviation of the amount itself.

use crate::rng::Stream;
use crate::scenario::{ArrivalConfig, DistributionType};
use crate::units::{Cents, MAX_MONEY};
use rand_distr::{Distribution, Exp, LogNormal, Normal, Uniform};
use std::f64::consts::{FRAC_1_SQRT_2, PI};

/// Distribution of a payment's amount.
#[derive(Clone, Copy, Debug)]
pub enum AmountDistribution {
    /// Cut off at zero.
    Normal(Normal<f64>),
    /// Heavy-tailed.
    Lognormal(LogNormal<f64>),
    /// Between two bounds.
    Uniform(Uniform<f64>),
    /// With a standard deviation equal to its mean.
    Exponential(Exp<f64>),
}

impl AmountDistribution {
    /// The distribution of a valid scenario.
    #[must_use]
    pub fn new(config: &ArrivalConfig) -> Option<Self> {
        let mean = config.amount_mean.0 as f64;
        let deviation = config.amount_std_dev.map(|deviation| deviation.0 as f64);
        match config.distribution_type {
            DistributionType::Normal => {
                let (peak, width) = before_the_cut(mean, deviation?);
                Normal::new(peak, width).ok().map(Self::Normal)
            }
            DistributionType::Lognormal => LogNormal::from_mean_cv(mean, deviation? / mean).ok().map(Self::Lognormal),
            DistributionType::Uniform => {
                let half_width = deviation.map_or(mean - 1.0, |deviation| deviation * 3.0_f64.sqrt());
                Uniform::new_inclusive(mean - half_width, mean + half_width).ok().map(Self::Uniform)
            }
            DistributionType::Exponential => Exp::new(1.0 / mean).ok().map(Self::Exponential),
        }
    }

    /// An amount of at least one cent and at most [`MAX_MONEY`].
    pub fn sample(&self, stream: &mut Stream) -> Cents {
        let amount = match self {
            Self::Normal(normal) => loop {
                let amount = normal.sample(stream);
                // At least every other draw is above zero, as the peak is.
                if amount >= 0.0 {
                    break amount;
                }
            },
            Self::Lognormal(lognormal) => lognormal.sample(stream),
            Self::Uniform(uniform) => uniform.sample(stream),
            Self::Exponential(exponential) => exponential.sample(stream),
        };
        Cents(whole(amount).clamp(1, MAX_MONEY))
    }
}

/// Mean and standard deviation that a normal must have so that, cut off at zero, it has these ones.
///
/// With the cut `a` standard deviations from the peak and `h = pdf(a) / (1 - cdf(a))`, the rest has
/// the mean `h - a` and the variance `1 + a h - h^2`, in units of the uncut standard deviation
/// (Johnson, Kotz and Balakrishnan 1994, Continuous Univariate Distributions 1, section 13.10.1).
fn before_the_cut(mean: f64, deviation: f64) -> (f64, f64) {
    let moments = |cut: f64| {
        let hazard = (-cut * cut / 2.0).exp() / (2.0 * PI).sqrt() / (libm::erfc(cut * FRAC_1_SQRT_2) / 2.0);
        (hazard - cut, (1.0 + cut * hazard - hazard * hazard).max(0.0).sqrt())
    };
    let wanted = deviation / mean;
    // The relative deviation grows with the cut; a normal narrower than a 38th of its mean is never cut.
    let (mut low, mut high) = (-38.0, 0.0);
    if wanted <= 1.0 / 38.0 {
        return (mean, deviation);
    }
    for _ in 0..100 {
        let middle = f64::midpoint(low, high);
        let (mean, deviation) = moments(middle);
        if deviation / mean < wanted { low = middle } else { high = middle }
    }
    let width = mean / moments(low).0;
    (-low * width, width)
}

/// The nearest integer, as `round` finds it, without a call to it.
#[expect(clippy::cast_possible_truncation, reason = "float-to-int `as` saturates")]
pub(crate) fn whole(number: f64) -> i64 {
    let cut = number as i64;
    let rest = number - cut as f64;
    cut.saturating_add(i64::from(rest >= 0.5) - i64::from(rest <= -0.5))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[expect(clippy::cast_possible_truncation, reason = "float-to-int `as` saturates")]
    fn whole_rounds_like_round() {
        let half = 0.499_999_999_999_999_94;
        let halves = (-9..9).map(|number| f64::from(number) / 4.0);
        let large = [1e15 + 0.5, 4_503_599_627_370_497.5, 9e18, 1e19, f64::MAX, f64::INFINITY, f64::NAN, half];
        for number in halves.chain(large) {
            assert_eq!([whole(number), whole(-number)], [number.round() as i64, (-number).round() as i64], "{number}");
        }
    }

    #[test]
    fn the_half_normal_is_found() {
        // The upper half of a standard normal has the mean sqrt(2 / pi) and the variance 1 - 2 / pi.
        let (mean, deviation) = ((2.0 / PI).sqrt(), (1.0 - 2.0 / PI).sqrt());
        let (peak, width) = before_the_cut(mean, deviation);
        assert!(peak.abs() < 1e-6 && (width - 1.0).abs() < 1e-6, "{peak} {width}");
        assert_eq!(before_the_cut(100.0, 1.0), (100.0, 1.0));
    }
}
