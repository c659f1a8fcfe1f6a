//! Actions that take long: they report their progress, and can be stopped from anywhere.

use diesel::OptionalExtension;
use diesel::sql_types::{BigInt, Nullable, Text, Uuid as SqlUuid};
use diesel_async::{AsyncConnection, RunQueryDsl};
use domain::Owner;
use uuid::Uuid;

use super::NewAction;
use super::list::{Action, running};
use crate::statement::statement;
use crate::{Connection, StoreError};

/// Whether an action runs: one that has not reported for so long was interrupted.
pub(super) const REPORTED_LATELY: &str = "(finished_at IS NULL AND reported_at IS NOT NULL AND reported_at > now() - interval '10 seconds')";

/// How a long action begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Start<'a> {
    /// Who does what.
    pub new: NewAction<'a>,
    /// The id of the request. The same request starts one action.
    pub request: Option<Uuid>,
    /// What the action changes. Of the actions with the same target, one at a time runs.
    pub target: Option<&'a str>,
}

/// The result of a [`begin`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Began {
    /// The action has begun, and has this id.
    Now(i64),
    /// The same request began this action before.
    Before(i64),
    /// This action with the same target is running.
    Busy(Box<Action>),
}

statement! {
    /// Transactions with the same target run one after the other.
    struct LockTarget { target: str } -> ();
    "SELECT pg_advisory_xact_lock(hashtext('operator action'), hashtext(" {Text = target} "))"
}

statement! {
    struct BeginLong { subject: Option<String>, action: str, parameters: str, request: Option<Uuid>, target: Option<String> }
        -> BigInt;
    "INSERT INTO sales.operator_actions (subject, action, parameters, request_id, target, reported_at)
     VALUES (COALESCE(" {Nullable<Text> = subject} ", current_user), " {Text = action} ", " {Text = parameters} "::json,
         " {Nullable<SqlUuid> = request} ", " {Nullable<Text> = target} ", now())
     ON CONFLICT (request_id) WHERE request_id IS NOT NULL DO NOTHING
     RETURNING id"
}

statement! {
    struct OfRequest { request: Uuid } -> BigInt;
    "SELECT id FROM sales.operator_actions WHERE request_id = " {SqlUuid = request}
}

/// Records that a long action begins. From now on it has to [`report`].
pub async fn begin(connection: &mut Connection, start: &Start<'_>) -> Result<Began, StoreError> {
    connection.transaction(async |connection| begin_in_txn(connection, start).await).await
}

async fn begin_in_txn(connection: &mut Connection, start: &Start<'_>) -> Result<Began, StoreError> {
    let Start { new: NewAction { subject, action, parameters }, request, target } = start;
    if let Some(request) = request {
        let before = OfRequest { request }.get_result(connection).await.optional()?;
        if let Some(id) = before {
            return Ok(Began::Before(id));
        }
    }
    if let Some(target) = target {
        LockTarget { target }.execute(connection).await?;
        if let Some(running) = running(connection, target).await? {
            return Ok(Began::Busy(Box::new(running)));
        }
    }
    let (subject, target) = (&subject.map(Owner::to_string), &target.map(str::to_owned));
    let begin = BeginLong { subject, action, parameters, request, target };
    match (begin.get_result(connection).await.optional()?, request) {
        (Some(id), _) => Ok(Began::Now(id)),
        // The same request has begun it at this moment.
        (None, Some(request)) => {
            Ok(Began::Before(OfRequest { request }.get_result(connection).await?))
        }
        (None, None) => Err(diesel::result::Error::NotFound.into()),
    }
}

statement! {
    struct Report { id: i64, done: i64, total: i64 } -> Nullable<Text>;
    "UPDATE sales.operator_actions SET done = " {BigInt = done} ", total = " {BigInt = total} ", reported_at = now()
     WHERE id = " {BigInt = id} " RETURNING stop_requested_by"
}

/// Reports that an action runs, and how far it is. Returns who has asked to stop it.
pub async fn report(
    connection: &mut Connection,
    id: i64,
    done: i64,
    total: i64,
) -> Result<Option<String>, StoreError> {
    Ok(Report { id: &id, done: &done, total: &total }.get_result(connection).await?)
}

statement! {
    struct RequestStop { id: i64, subject: str } -> ();
    "UPDATE sales.operator_actions SET stop_requested_by = " {Text = subject} "
     WHERE id = " {BigInt = id} " AND finished_at IS NULL AND stop_requested_by IS NULL"
}

/// Asks a running action to stop. Returns whether this request is the first, and the action had not
/// ended.
pub async fn request_stop(
    connection: &mut Connection,
    id: i64,
    subject: &Owner,
) -> Result<bool, StoreError> {
    let request = RequestStop { id: &id, subject: &subject.to_string() };
    Ok(request.execute(connection).await? == 1)
}

statement! {
    struct Finish { id: i64, outcome: str, done: i64, total: i64, result: Option<String> } -> ();
    "UPDATE sales.operator_actions SET outcome = " {Text = outcome} ", finished_at = now(), done = " {BigInt = done} ",
         total = " {BigInt = total} ", result = " {Nullable<Text> = result} "::json
     WHERE id = " {BigInt = id}
}

/// Records the outcome of a long action, with what is done of how many, and with its result as JSON.
pub async fn finish(
    connection: &mut Connection,
    id: i64,
    outcome: &str,
    (done, total): (i64, i64),
    result: Option<String>,
) -> Result<(), StoreError> {
    let finish = Finish { id: &id, outcome, done: &done, total: &total, result: &result };
    finish.execute(connection).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use test_kit::World;

    use domain::Owner;
    use uuid::Uuid;

    use super::super::{NewAction, find, latest};
    use super::{Began, Start, begin, finish, report, request_stop};

    const NEW: NewAction<'static> = NewAction { subject: None, action: "test", parameters: "{}" };

    #[tokio::test(flavor = "multi_thread")]
    async fn a_request_begins_one_action_however_often_it_is_sent() {
        let world = World::create().await;
        let database = world.store();
        let request = Some(Uuid::new_v4());
        let begin = async || {
            let connection = &mut *database.connection().await.unwrap();
            begin(connection, &Start { new: NEW, request, target: None }).await.unwrap()
        };
        let all: [Began; 3] = futures::join!(begin(), begin(), begin()).into();
        assert_eq!(all.iter().filter(|it| matches!(it, Began::Now(_))).count(), 1, "{all:?}");
        assert_eq!(all.iter().filter(|it| matches!(it, Began::Before(_))).count(), 2, "{all:?}");
        assert_eq!(world.database.count("SELECT count(*) FROM sales.operator_actions").await, 1);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn one_action_at_a_time_runs_on_a_target_and_an_interrupted_one_does_not_count() {
        let world = World::create().await;
        let database = world.store();
        let begin = async |target| {
            let connection = &mut *database.connection().await.unwrap();
            begin(connection, &Start { new: NEW, request: None, target }).await.unwrap()
        };
        let both = futures::join!(begin(Some("a")), begin(Some("a")));
        let id = match &both {
            (Began::Now(id), Began::Busy(running)) | (Began::Busy(running), Began::Now(id)) => {
                assert_eq!(running.id, *id);
                *id
            }
            both => panic!("{both:?}"),
        };
        assert!(matches!(begin(Some("b")).await, Began::Now(_)));
        assert!(matches!(begin(None).await, Began::Now(_)));
        let silent =
            "UPDATE sales.operator_actions SET reported_at = now() - interval '11 seconds'";
        world.database.execute(silent).await;
        assert!(matches!(begin(Some("a")).await, Began::Now(new) if new > id));
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn an_action_reports_its_progress_and_reads_who_stops_it() {
        let world = World::create().await;
        let database = world.store();
        let connection = &mut *database.connection().await.unwrap();
        let start = Start { new: NEW, request: None, target: None };
        let Began::Now(id) = begin(connection, &start).await.unwrap() else { panic!() };
        assert_eq!(report(connection, id, 3, 10).await.unwrap(), None);
        let [carol, dave] = ["carol", "dave"].map(|it| Owner::try_from(it.to_owned()).unwrap());
        assert!(request_stop(connection, id, &carol).await.unwrap());
        assert!(!request_stop(connection, id, &dave).await.unwrap());
        assert_eq!(report(connection, id, 4, 10).await.unwrap(), Some("carol".to_owned()));
        let running = latest(connection, None, None, 10).await.unwrap().remove(0);
        assert!(running.is_running, "{running:?}");
        let result = Some(r#"{"a":1}"#.to_owned());
        finish(connection, id, "done", (5, 10), result).await.unwrap();
        let (action, result) = find(connection, id).await.unwrap().unwrap();
        assert_eq!((action.done, action.total, action.is_running), (Some(5), Some(10), false));
        assert_eq!(result.as_deref(), Some(r#"{"a":1}"#));
        assert!(!request_stop(connection, id, &dave).await.unwrap());
    }
}
