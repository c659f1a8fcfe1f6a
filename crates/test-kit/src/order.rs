//! A sample order.

use domain::{OrderDraft, OrderLine};

/// An order of one widget.
pub fn order_draft() -> OrderDraft {
    let line = OrderLine {
        product_id: "widget".to_owned().try_into().unwrap(),
        quantity: 1.try_into().unwrap(),
        price: "29.99".parse().unwrap(),
    };
    OrderDraft::new("customer-1".to_owned().try_into().unwrap(), vec![line]).unwrap()
}
