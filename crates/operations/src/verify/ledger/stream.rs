use store::rebuild::EventKind;

/// A topic of order events.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Stream {
    /// The events of sales-api, read by delivery-service.
    Orders,
    /// The events of delivery-service, read by status-consumer.
    Deliveries,
}

impl Stream {
    pub(crate) const ALL: [Self; 2] = [Self::Orders, Self::Deliveries];

    /// The topic of the event.
    pub(crate) const fn of(event: EventKind) -> Self {
        match event {
            EventKind::Created | EventKind::CancellationRequested => Self::Orders,
            EventKind::Shipped
            | EventKind::CancellationRefused
            | EventKind::Delivered
            | EventKind::Cancelled => Self::Deliveries,
        }
    }

    /// The events of the topic.
    pub(crate) fn events(self) -> impl Iterator<Item = EventKind> {
        EventKind::ALL.into_iter().filter(move |event| Self::of(*event) == self)
    }

    pub(crate) const fn reader(self) -> &'static str {
        match self {
            Self::Orders => "delivery-service",
            Self::Deliveries => "status-consumer",
        }
    }
}
