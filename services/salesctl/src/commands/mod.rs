//! The commands, one file each.

pub(crate) mod audit;
pub(crate) mod contracts;
pub(crate) mod demo;
mod discard;
pub(crate) mod dlq;
pub(crate) mod migrate;
pub(crate) mod orders;
pub(crate) mod outbox;
mod redrive;
pub(crate) mod repair;
pub(crate) mod seed;
pub(crate) mod shipments;
pub(crate) mod token;
pub(crate) mod topics;
pub(crate) mod verify;
