//! Rows that are published together.

use std::collections::HashSet;

use uuid::Uuid;

/// Keeps the first row of each order: a row that cannot be published must not be overtaken by the
/// next one.
pub(crate) fn oldest_per_order<R>(rows: Vec<R>, order: impl Fn(&R) -> Uuid) -> Vec<R> {
    let mut orders = HashSet::with_capacity(rows.len());
    rows.into_iter().filter(|row| orders.insert(order(row))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_has_the_oldest_row_of_each_order() {
        let (a, b) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let batch = oldest_per_order(vec![(a, 1), (a, 2), (b, 3)], |(order, _)| *order);
        assert_eq!(batch, [(a, 1), (b, 3)]);
    }
}
