//! Medians, and a bootstrap interval for the median of ratios taken in pairs.

/// The middle of the values; the mean of the two middle ones of an even number.
pub fn median(values: &[f64]) -> f64 {
    assert!(!values.is_empty(), "a median needs a value");
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    if sorted.len().is_multiple_of(2) { f64::midpoint(sorted[middle - 1], sorted[middle]) } else { sorted[middle] }
}

/// The value below which a share of the values lies.
pub fn quantile(values: &[f64], share: f64) -> f64 {
    assert!(!values.is_empty(), "a quantile needs a value");
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted[((sorted.len() - 1) as f64 * share).round() as usize]
}

/// A median with its 95 % interval.
#[derive(Clone, Copy, Debug)]
pub struct Estimate {
    /// The median of the values.
    pub median: f64,
    /// 2.5 % of the resampled medians are lower.
    pub low: f64,
    /// 2.5 % of the resampled medians are higher.
    pub high: f64,
}

impl Estimate {
    /// Resamples the values with replacement 4,000 times, from a fixed seed: the same values give the same interval.
    pub fn of(values: &[f64]) -> Self {
        let mut random = fastrand::Rng::with_seed(0x5eed);
        let medians: Vec<f64> = (0..4_000)
            .map(|_| median(&values.iter().map(|_| values[random.usize(..values.len())]).collect::<Vec<_>>()))
            .collect();
        Self { median: median(values), low: quantile(&medians, 0.025), high: quantile(&medians, 0.975) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_of_an_even_number_is_between_the_two_middle_values() {
        assert_eq!(median(&[4.0, 1.0, 3.0, 2.0]), 2.5);
        assert_eq!(median(&[3.0, 1.0, 2.0]), 2.0);
    }

    #[test]
    fn the_interval_holds_the_median_and_is_a_point_when_all_values_agree() {
        let estimate = Estimate::of(&[0.8, 0.9, 1.0, 1.1, 1.2]);
        assert!(estimate.low <= estimate.median && estimate.median <= estimate.high);
        let constant = Estimate::of(&[1.0; 5]);
        assert_eq!((constant.low, constant.high), (1.0, 1.0));
    }
}
