#![doc = include_str!("../README.md")]

mod currency;
mod fingerprint;
mod line;
mod metadata;
mod money;
mod order;
mod status;
mod text;

pub use currency::{Currency, CurrencyError};
pub use fingerprint::Fingerprint;
pub use line::{OrderLine, Quantity, QuantityError};
pub use metadata::{Metadata, TooManyPairs};
pub use money::{Money, MoneyError};
pub use order::{DraftError, OrderDraft, OrderId, OrderIdError};
pub use status::{DeliveryStep, OrderStatus, Progress, UnknownStatus};
pub use text::{
    CancellationReason, CustomerId, DiscardReason, ExternalReference, IdempotencyKey,
    IdempotencyKeyError, MetadataKey, MetadataValue, MetadataValueError, Owner, ProductId,
    TextError,
};
