//! Which order the next request places: a new one, or one that was placed before.

use std::collections::VecDeque;

/// How many of the orders that were placed are kept to be repeated.
const KEPT: usize = 1000;

/// What one request places. The number makes the key and the body, so a repeat has those of the first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Order {
    pub(crate) number: u64,
    /// Whether the order was placed before, so that the answer has to be a replay.
    pub(crate) repeat: bool,
}

/// Deals out orders so that the wanted share of them are repeats.
#[derive(Debug)]
pub(crate) struct Orders {
    repeat_percent: u8,
    new: u64,
    repeats: u64,
    placed: VecDeque<u64>,
}

impl Orders {
    pub(crate) fn new(repeat_percent: u8) -> Self {
        Self { repeat_percent, new: 0, repeats: 0, placed: VecDeque::with_capacity(KEPT) }
    }

    /// The next one. Only what has been answered is repeated; a repeat that finds nothing yet is made up for later.
    pub(crate) fn next(&mut self) -> Order {
        let dealt = self.new + self.repeats + 1;
        let repeats_due = dealt * u64::from(self.repeat_percent) / 100;
        if self.repeats < repeats_due
            && let Some(number) = self.placed.pop_front()
        {
            self.placed.push_back(number);
            self.repeats += 1;
            return Order { number, repeat: true };
        }
        self.new += 1;
        Order { number: self.new, repeat: false }
    }

    /// Notes that an order has been accepted.
    pub(crate) fn placed(&mut self, order: Order) {
        if self.repeat_percent == 0 || order.repeat {
            return;
        }
        if self.placed.len() == KEPT {
            self.placed.pop_front();
        }
        self.placed.push_back(order.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn deal(orders: &mut Orders, count: usize) -> Vec<Order> {
        (0..count)
            .map(|_| {
                let order = orders.next();
                orders.placed(order);
                order
            })
            .collect()
    }

    #[test]
    fn the_wanted_share_repeats_orders_that_were_placed() {
        let mut orders = Orders::new(25);
        let dealt = deal(&mut orders, 400);
        assert_eq!(dealt.iter().filter(|order| order.repeat).count(), 100);
        for (place, order) in dealt.iter().enumerate() {
            let first = Order { number: order.number, repeat: false };
            assert_eq!(dealt[..place].contains(&first), order.repeat, "{order:?}");
        }
    }

    #[test]
    fn what_has_no_answer_yet_is_not_repeated_and_the_repeats_are_made_up_for() {
        let mut orders = Orders::new(50);
        let waiting: Vec<_> = (0..10).map(|_| orders.next()).collect();
        assert!(waiting.iter().all(|order| !order.repeat));
        orders.placed(waiting[3]);
        let next: Vec<_> = (0..10).map(|_| orders.next()).collect();
        assert_eq!(next, [Order { number: 4, repeat: true }; 10]);
    }

    #[test]
    fn without_repeats_every_order_is_new() {
        let mut orders = Orders::new(0);
        let numbers: Vec<_> = deal(&mut orders, 3).iter().map(|order| order.number).collect();
        assert_eq!(numbers, [1, 2, 3]);
    }
}
