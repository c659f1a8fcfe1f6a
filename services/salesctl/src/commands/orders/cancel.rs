//! `salesctl orders cancel`.

use std::process::ExitCode;
use std::time::Duration;

use conf::Conf;
use contracts::http::{CancelOrder, CancellationRequest, CancellationState, OrderDetails};
use contracts::timestamp_text;
use domain::{OrderId, Owner};
use service_kit::config::within;
use tokio::time::{Instant, sleep};

use super::{Access, TOKEN_LIFE};
use crate::api::Api;
use crate::failure::Failure;
use crate::output::Output;
use crate::recorded::Operator;

/// Interval between two polls for the decision.
const INTERVAL: Duration = Duration::from_millis(200);

#[derive(Conf)]
pub(super) struct Cancel {
    #[conf(flatten)]
    access: Access,

    /// The order's id
    #[conf(pos)]
    id: OrderId,

    /// Why the order is cancelled; shown in its history
    #[conf(long)]
    reason: Option<String>,

    /// Maximum time in seconds until delivery-service has decided
    #[conf(long, default_value = "30", value_parser = within(1..=86_400))]
    timeout: u64,

    // The subject of the token, which the API records. `API_TOKEN` has its own.
    #[conf(flatten)]
    operator: Operator,

    #[conf(flatten)]
    output: Output,
}

impl Cancel {
    pub(super) async fn run(self) -> Result<ExitCode, Failure> {
        let max_wait = Duration::from_secs(self.timeout);
        let operator = self.operator.name();
        let subject = operator.as_ref().map_or("salesctl", Owner::as_str);
        let api = self.access.api(subject, true, TOKEN_LIFE + max_wait)?;
        let request = CancelOrder { reason: self.reason.clone() };
        let order = api.cancel(self.id, &request, self.access.max_wait()).await?;
        let order = self.decided(&api, order, Instant::now() + max_wait).await?;
        self.output.print(&order, || super::describe(&order))?;
        Ok(match order.cancellation {
            Some(CancellationState::Cancelled) => ExitCode::SUCCESS,
            _ => ExitCode::FAILURE,
        })
    }

    /// Polls until the request is decided, or until `deadline`.
    async fn decided(
        &self,
        api: &Api,
        mut order: OrderDetails,
        deadline: Instant,
    ) -> Result<OrderDetails, Failure> {
        while order.cancellation == Some(CancellationState::Requested) {
            if Instant::now() >= deadline {
                eprintln!("error: the request was not decided within {} s", self.timeout);
                break;
            }
            sleep(INTERVAL).await;
            order = api.order_with_retry(order.order_id, self.access.max_wait()).await?;
        }
        Ok(order)
    }
}

/// One line about a request to cancel an order.
pub(super) fn describe(state: CancellationState, request: &CancellationRequest) -> String {
    let CancellationRequest { requested_by, reason, requested_at, refusal } = request;
    let at = timestamp_text(*requested_at);
    let reason = reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
    let outcome = match (state, refusal) {
        (CancellationState::Requested, _) => "not decided yet".to_owned(),
        (CancellationState::Cancelled, _) => "cancelled".to_owned(),
        (CancellationState::Refused, Some(refusal)) => {
            format!("refused at {}: {}", timestamp_text(refusal.at), refusal.reason)
        }
        (CancellationState::Refused, None) => "refused".to_owned(),
    };
    format!("  {at}  cancellation requested by {requested_by}{reason} ({outcome})")
}
