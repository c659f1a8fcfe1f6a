//! The pages, one file each.

pub(crate) mod actions;
pub(crate) mod audit;
pub(crate) mod dead_letters;
pub(crate) mod group_letters;
pub(crate) mod orders;
pub(crate) mod overview;
pub(crate) mod shipments;
pub(crate) mod topics;
pub(crate) mod verify;
