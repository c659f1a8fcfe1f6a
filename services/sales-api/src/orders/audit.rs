//! The record of what operators do over the API.

use serde_json::Value;
use service_kit::Chain;
use store::operator_actions::{self, NewAction};
use store::{Connection, Database};

use crate::auth::Caller;
use crate::orders::error::OrderError;

/// Acts on a connection. If the caller is an operator, the action is recorded before it begins, and
/// its outcome afterwards. What owners do with their own orders is not recorded.
pub(crate) async fn recorded<T>(
    database: &Database,
    caller: &Caller,
    action: &'static str,
    parameters: &Value,
    act: impl AsyncFnOnce(&mut Connection) -> Result<T, OrderError>,
) -> Result<T, OrderError> {
    let mut connection = database.connection().await?;
    if !caller.is_operator() {
        return act(&mut connection).await;
    }
    let parameters = &parameters.to_string();
    let new = NewAction { subject: Some(&caller.owner), action, parameters };
    let id = operator_actions::begin(&mut connection, &new).await?;
    let result = act(&mut connection).await;
    let outcome = match &result {
        Ok(_) => "done".to_owned(),
        Err(error) => format!("failed: {}", Chain(error)),
    };
    if let Err(error) = operator_actions::finish(&mut connection, id, &outcome).await {
        tracing::warn!(action, id, error = %Chain(&error), "outcome of an operator's action not recorded");
    }
    result
}
