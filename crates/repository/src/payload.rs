//! Payloads on their way into and out of the database: JSON's text, as it is.

use std::io::Write;

use diesel::deserialize::{self, FromSql, FromSqlRow};
use diesel::expression::AsExpression;
use diesel::pg::{Pg, PgValue};
use diesel::serialize::{self, IsNull, Output, ToSql};
use diesel::sql_types::Json;
use kos_model::Payload;

/// A payload that is written.
#[derive(Clone, Copy, Debug, AsExpression)]
#[diesel(sql_type = Json)]
pub(crate) struct WrittenPayload<'a>(pub(crate) &'a Payload);

impl ToSql<Json, Pg> for WrittenPayload<'_> {
    fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, Pg>) -> serialize::Result {
        out.write_all(self.0.as_str().as_bytes())?;
        Ok(IsNull::No)
    }
}

/// A payload that is read.
#[derive(Clone, Debug, FromSqlRow)]
pub(crate) struct ReadPayload(pub(crate) Payload);

impl FromSql<Json, Pg> for ReadPayload {
    fn from_sql(value: PgValue<'_>) -> deserialize::Result<Self> {
        Ok(Self(serde_json::from_slice(value.as_bytes())?))
    }
}
