//! Topics, records and consumer groups.

pub(crate) mod group;
pub(crate) mod poison;
pub(crate) mod topics;
