//! Why a use case failed.

use domain::{DeliveryStep, OrderStatus};
use openssl::error::ErrorStack;
use store::StoreError;

use crate::inventory::StockError;
use crate::orders::currencies::UnknownCurrency;
use crate::orders::cursor::CursorError;
use crate::orders::writer::BatchError;

/// Why a use case failed. A create that is refused does not use up its idempotency key. After a
/// database error the order may be stored: a replay finds out.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OrderError {
    #[error("no such order")]
    NoOrder,
    #[error("the idempotency key was used for another order")]
    KeyReused,
    #[error(transparent)]
    Currency(#[from] UnknownCurrency),
    #[error(transparent)]
    Stock(#[from] StockError),
    #[error(transparent)]
    Write(#[from] BatchError),
    #[error("idempotency conflict without a matching order")]
    MissingOrder,
    #[error("this token may not simulate deliveries")]
    MayNotSimulate,
    #[error("the order is {status}: it cannot be {} now", .step.as_str())]
    StatusConflict { status: OrderStatus, step: DeliveryStep },
    #[error("a request to cancel the order has not been decided")]
    CancellationPending,
    #[error("the order is {0}: it cannot be cancelled any more")]
    AlreadyShipped(OrderStatus),
    #[error(transparent)]
    Cursor(#[from] CursorError),
    #[error("the end of the feed is not known yet")]
    EndUnknown,
    #[error("the cursor of the next page cannot be encrypted")]
    Encrypt(#[from] ErrorStack),
    #[error(transparent)]
    Store(#[from] StoreError),
}
