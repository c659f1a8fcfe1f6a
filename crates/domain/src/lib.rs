//! The rules of selling, and nothing else: no database, no HTTP, no Kafka, no JSON.
//!
//! Every value is parsed on its way in (`Quantity::try_from(3)`), so no layer below checks it again, and an
//! order's status changes only through [`OrderStatus::progress`].

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
