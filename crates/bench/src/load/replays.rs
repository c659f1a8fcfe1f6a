//! Chooses the order of the next request: a new one, or a replay of an earlier one.

use std::collections::VecDeque;

/// Number of placed orders that are kept for replays.
const KEPT: usize = 1000;

/// The order of one request. Its number determines the key and the body, so a replay has the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Order {
    pub(crate) number: u64,
    /// Whether the order was placed before, so that the response must be a replay.
    pub(crate) is_replay: bool,
}

/// Hands out orders, of which the configured share are replays.
#[derive(Debug)]
pub(crate) struct Orders {
    repeat_percent: u8,
    new: u64,
    replays: u64,
    placed: VecDeque<u64>,
}

impl Orders {
    pub(crate) fn new(repeat_percent: u8) -> Self {
        Self { repeat_percent, new: 0, replays: 0, placed: VecDeque::with_capacity(KEPT) }
    }

    /// The next order. Only an order with a response is replayed. If there is none yet, replays
    /// catch up later.
    pub(crate) fn next(&mut self) -> Order {
        let handed_out = self.new + self.replays + 1;
        let replays_due = handed_out * u64::from(self.repeat_percent) / 100;
        if self.replays < replays_due
            && let Some(number) = self.placed.pop_front()
        {
            self.placed.push_back(number);
            self.replays += 1;
            return Order { number, is_replay: true };
        }
        self.new += 1;
        Order { number: self.new, is_replay: false }
    }

    /// Records that an order was accepted.
    pub(crate) fn placed(&mut self, order: Order) {
        if self.repeat_percent == 0 || order.is_replay {
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

    fn hand_out(orders: &mut Orders, count: usize) -> Vec<Order> {
        (0..count)
            .map(|_| {
                let order = orders.next();
                orders.placed(order);
                order
            })
            .collect()
    }

    #[test]
    fn the_configured_share_replays_placed_orders() {
        let mut orders = Orders::new(25);
        let handed_out = hand_out(&mut orders, 400);
        assert_eq!(handed_out.iter().filter(|order| order.is_replay).count(), 100);
        for (place, order) in handed_out.iter().enumerate() {
            let first = Order { number: order.number, is_replay: false };
            assert_eq!(handed_out[..place].contains(&first), order.is_replay, "{order:?}");
        }
    }

    #[test]
    fn orders_without_a_response_are_not_replayed_and_replays_catch_up() {
        let mut orders = Orders::new(50);
        let waiting: Vec<_> = (0..10).map(|_| orders.next()).collect();
        assert!(waiting.iter().all(|order| !order.is_replay));
        orders.placed(waiting[3]);
        let next: Vec<_> = (0..10).map(|_| orders.next()).collect();
        assert_eq!(next, [Order { number: 4, is_replay: true }; 10]);
    }

    #[test]
    fn without_replays_every_order_is_new() {
        let mut orders = Orders::new(0);
        let numbers: Vec<_> = hand_out(&mut orders, 3).iter().map(|order| order.number).collect();
        assert_eq!(numbers, [1, 2, 3]);
    }
}
