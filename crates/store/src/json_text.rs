//! The text of a JSON column, read without parsing it.

use diesel::deserialize::{self, FromSql, FromSqlRow};
use diesel::pg::{Pg, PgValue};
use diesel::sql_types::{Json, Jsonb};

/// The version of the binary format of `jsonb`, which precedes the text.
const JSONB_VERSION: u8 = 1;

/// The text of a value of type `json` or `jsonb`.
#[derive(Clone, Debug, FromSqlRow)]
pub(crate) struct JsonText(String);

impl From<JsonText> for String {
    fn from(text: JsonText) -> Self {
        text.0
    }
}

impl FromSql<Json, Pg> for JsonText {
    fn from_sql(value: PgValue<'_>) -> deserialize::Result<Self> {
        Ok(Self(str::from_utf8(value.as_bytes())?.to_owned()))
    }
}

impl FromSql<Jsonb, Pg> for JsonText {
    fn from_sql(value: PgValue<'_>) -> deserialize::Result<Self> {
        match value.as_bytes() {
            [JSONB_VERSION, text @ ..] => Ok(Self(str::from_utf8(text)?.to_owned())),
            _ => Err("unknown version of jsonb".into()),
        }
    }
}
