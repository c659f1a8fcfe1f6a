use store::rebuild::EventKind;

/// A set of events of one order, in one byte.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct EventSet(u8);

impl EventSet {
    pub(crate) fn add(&mut self, event: EventKind) {
        self.0 |= bit(event);
    }

    pub(crate) const fn has(self, event: EventKind) -> bool {
        self.0 & bit(event) != 0
    }

    pub(crate) const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Its events, in the order of [`EventKind::ALL`].
    pub(crate) fn iter(self) -> impl Iterator<Item = EventKind> {
        EventKind::ALL.into_iter().filter(move |event| self.has(*event))
    }
}

impl FromIterator<EventKind> for EventSet {
    fn from_iter<I: IntoIterator<Item = EventKind>>(events: I) -> Self {
        Self(events.into_iter().fold(0, |bits, event| bits | bit(event)))
    }
}

const fn bit(event: EventKind) -> u8 {
    1 << event as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_has_exactly_the_events_that_were_added() {
        for event in EventKind::ALL {
            let mut set = EventSet::default();
            assert!(set.is_empty());
            set.add(event);
            set.add(event);
            assert_eq!(set.iter().collect::<Vec<_>>(), [event]);
            assert_eq!(set.iter().collect::<EventSet>(), set);
            assert!(set.has(event) && !set.is_empty());
        }
        let all: EventSet = EventKind::ALL.into_iter().collect();
        assert_eq!(all.iter().count(), EventKind::ALL.len());
    }
}
