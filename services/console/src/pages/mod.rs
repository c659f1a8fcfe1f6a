//! The pages, one file each.

pub(crate) mod audit;
pub(crate) mod dead_letters;
pub(crate) mod orders;
pub(crate) mod overview;
pub(crate) mod topics;
