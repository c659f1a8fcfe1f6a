//! Finds the orders of many idempotency keys in one query.

use diesel::sql_types::{Array, BigInt, Bytea, Text};
use diesel_async::RunQueryDsl;
use domain::{IdempotencyKey, Owner};

use super::Order;
use super::read::{ORDER_COLUMNS, OrderColumns, OrderRow, lines_of_many, order};
use crate::statement::statement;
use crate::{Connection, StoreError};

/// The order that was created with a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownOrder {
    /// The order.
    pub order: Order,
    /// The fingerprint of the original request, for comparison with a replay.
    pub fingerprint: Vec<u8>,
}

statement! {
    /// LATERAL with LIMIT makes one index probe per key, whatever the planner's size estimates are.
    /// The probe reads the first key at or after the wanted one in key order: of the indexes that
    /// begin with the owner, only the unique one provides that order. For an equality condition the
    /// planner could use any of them. While the tables look empty it uses the wrong one, which
    /// reads all orders of the owner.
    struct FindByKeys { owners: Vec<String>, keys: Vec<String> }
        -> (BigInt, OrderColumns, Bytea);
    "SELECT k.place, " (ORDER_COLUMNS) ", o.fingerprint
     FROM UNNEST(" {Array<Text> = owners} ", " {Array<Text> = keys} ")
        WITH ORDINALITY AS k (owner, idempotency_key, place)
     CROSS JOIN LATERAL (
        SELECT * FROM sales.orders
        WHERE owner = k.owner AND idempotency_key >= k.idempotency_key
        ORDER BY idempotency_key
        LIMIT 1
     ) AS o
     WHERE o.idempotency_key = k.idempotency_key"
}

/// The order of each owner and key, in the order of `keys`; `None` if the key is unused.
pub async fn find_by_keys(
    connection: &mut Connection,
    keys: &[(Owner, IdempotencyKey)],
) -> Result<Vec<Option<KnownOrder>>, StoreError> {
    let find = FindByKeys {
        owners: &keys.iter().map(|(owner, _)| owner.to_string()).collect(),
        keys: &keys.iter().map(|(_, key)| key.as_str().to_owned()).collect(),
    };
    let rows: Vec<(i64, OrderRow, Vec<u8>)> = find.load(connection).await?;
    let mut found = vec![None; keys.len()];
    if rows.is_empty() {
        return Ok(found);
    }
    let lines = lines_of_many(connection, rows.iter().map(|(_, row, _)| row.id).collect()).await?;
    for (place, row, fingerprint) in rows {
        // Equal keys in one batch find the same order.
        let lines = lines.get(&row.id).cloned().unwrap_or_default();
        let order = order(row, lines)?;
        // `WITH ORDINALITY` counts from 1.
        if let Some(slot) = usize::try_from(place - 1).ok().and_then(|at| found.get_mut(at)) {
            *slot = Some(KnownOrder { order, fingerprint });
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use test_kit::World;

    use super::FindByKeys;
    use crate::statement::plan_by_index;

    #[tokio::test(flavor = "multi_thread")]
    async fn keys_are_found_by_the_unique_index_with_a_plan_for_an_empty_table() {
        let world = World::create().await;
        world.database.execute("VACUUM ANALYZE sales.orders").await;
        let none = Vec::new();
        let plan = plan_by_index(&world, &FindByKeys { owners: &none, keys: &none }).await;
        assert!(plan.contains("using orders_owner_idempotency_key_key"), "{plan}");
        assert!(plan.contains("idempotency_key >= "), "{plan}");
        assert!(!plan.contains("Sort"), "{plan}");
    }
}
