//! The record of what operators do over the API.

use auth::Caller;
use serde_json::Value;
use service_kit::Chain;
use store::operator_actions::{self, NewAction};
use store::{Connection, Database};

use crate::orders::error::OrderError;

/// Acts on a connection. If the caller is an operator, the action is recorded before it begins, and
/// its outcome afterwards, which `describe` tells. What owners do with their own orders is not recorded.
pub(crate) async fn recorded<T>(
    database: &Database,
    caller: &Caller,
    action: &'static str,
    parameters: &Value,
    act: impl AsyncFnOnce(&mut Connection) -> Result<T, OrderError>,
    describe: impl FnOnce(&T) -> &'static str,
) -> Result<T, OrderError> {
    let act = async || act(&mut *database.connection().await?).await;
    if !caller.is_operator() {
        return act().await;
    }
    let parameters = &parameters.to_string();
    let new = NewAction { subject: Some(&caller.owner), action, parameters };
    operator_actions::recorded(database, &new, act, |result| match result {
        Ok(done) => describe(done).to_owned(),
        Err(error) => format!("failed: {}", Chain(error)),
    })
    .await
}
