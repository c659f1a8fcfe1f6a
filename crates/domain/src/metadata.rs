//! The client's own data of an order, which the system stores and returns unchanged.

use std::collections::BTreeMap;

use crate::{MetadataKey, MetadataValue};

/// Pairs of a key and a text, at most [`Metadata::MAX_PAIRS`], sorted by key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Metadata(BTreeMap<MetadataKey, MetadataValue>);

/// There are more than [`Metadata::MAX_PAIRS`] pairs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must have at most 20 pairs")]
pub struct TooManyPairs;

impl Metadata {
    /// Maximum number of pairs of one order.
    pub const MAX_PAIRS: usize = 20;

    /// The pairs, sorted by key.
    pub fn pairs(&self) -> impl ExactSizeIterator<Item = (&str, &str)> {
        self.0.iter().map(|(key, value)| (key.as_str(), value.as_str()))
    }

    /// Whether there is no pair.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl TryFrom<BTreeMap<MetadataKey, MetadataValue>> for Metadata {
    type Error = TooManyPairs;

    fn try_from(pairs: BTreeMap<MetadataKey, MetadataValue>) -> Result<Self, TooManyPairs> {
        if pairs.len() > Self::MAX_PAIRS { Err(TooManyPairs) } else { Ok(Self(pairs)) }
    }
}

impl From<&Metadata> for BTreeMap<String, String> {
    fn from(metadata: &Metadata) -> Self {
        metadata.pairs().map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metadata(pairs: usize) -> Result<Metadata, TooManyPairs> {
        let pair = |number: usize| {
            let key = MetadataKey::try_from(format!("key-{number}")).unwrap();
            (key, MetadataValue::try_from("value".to_owned()).unwrap())
        };
        Metadata::try_from((0..pairs).map(pair).collect::<BTreeMap<_, _>>())
    }

    #[test]
    fn metadata_has_at_most_twenty_pairs() {
        assert!(metadata(0).unwrap().is_empty());
        assert_eq!(metadata(20).unwrap().pairs().len(), 20);
        assert_eq!(metadata(21), Err(TooManyPairs));
    }
}
