#![doc = include_str!("../README.md")]

mod fingerprint;
mod line;
mod money;
mod order;
mod status;
mod text;

pub use fingerprint::Fingerprint;
pub use line::{OrderLine, Quantity, QuantityError};
pub use money::{Money, MoneyError};
pub use order::{DraftError, OrderDraft, OrderId, OrderIdError};
pub use status::{DeliveryStep, OrderStatus, Progress, UnknownStatus};
pub use text::{
    CancellationReason, CustomerId, IdempotencyKey, IdempotencyKeyError, Owner, ProductId,
    TextError,
};
