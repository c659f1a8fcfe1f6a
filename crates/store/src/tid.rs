//! The place of a row in its table (`ctid`): the cheapest way to a row that was just read.
//!
//! The place of a deleted row is used again, and an update or `VACUUM FULL` moves a row. So a
//! statement that finds a row by its place compares its key too.

use std::io::Write;

use diesel::deserialize::{self, FromSql, FromSqlRow};
use diesel::expression::AsExpression;
use diesel::pg::{Pg, PgValue};
use diesel::query_builder::QueryId;
use diesel::serialize::{self, IsNull, Output, ToSql};
use diesel::sql_types::SqlType;

/// The SQL type `tid`, with the object ids of `pg_type`.
#[derive(Debug, SqlType, QueryId)]
#[diesel(postgres_type(oid = 27, array_oid = 1010))]
pub(crate) struct TidSql;

/// A value of the type: number of the block and of the item in it, in network byte order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, AsExpression, FromSqlRow)]
#[diesel(sql_type = TidSql)]
pub(crate) struct Tid([u8; 6]);

impl FromSql<TidSql, Pg> for Tid {
    fn from_sql(value: PgValue<'_>) -> deserialize::Result<Self> {
        Ok(Self(value.as_bytes().try_into()?))
    }
}

impl ToSql<TidSql, Pg> for Tid {
    fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, Pg>) -> serialize::Result {
        out.write_all(&self.0)?;
        Ok(IsNull::No)
    }
}
