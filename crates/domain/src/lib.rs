//! The business rules, without database, HTTP, Kafka or JSON.
//!
//! Every value is validated when it is constructed (`Quantity::try_from(3)`), so other code does
//! not check it again. The status of an order changes only through [`OrderStatus::progress`].

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
pub use status::{DeliveryStep, OrderStatus, Progress, UnknownStatus, UnknownStep};
pub use text::{CustomerId, IdempotencyKey, IdempotencyKeyError, Owner, ProductId, TextError};
