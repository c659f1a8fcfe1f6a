//! Percentiles of a list of values.

/// The values in ascending order.
pub(crate) fn sorted(mut values: Vec<f64>) -> Vec<f64> {
    values.sort_by(f64::total_cmp);
    values
}

/// A percentile of sorted values; `None` if there are none.
pub(crate) fn percentile(sorted: &[f64], percent: usize) -> Option<f64> {
    sorted.get((sorted.len() * percent / 100).min(sorted.len().checked_sub(1)?)).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentile_is_one_of_the_values() {
        let values = sorted(vec![3.0, 1.0, 4.0, 2.0]);
        assert_eq!(
            [0, 50, 99, 100].map(|it| percentile(&values, it)),
            [1.0, 3.0, 4.0, 4.0].map(Some)
        );
        assert_eq!(percentile(&[], 50), None);
    }
}
