//! Statements whose text is one of few: each connection prepares and plans them once. With [`diesel::sql_query`] it does
//! so every time, which costs more than most of them do.

use std::marker::PhantomData;

use diesel::pg::Pg;
use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};
use diesel::result::QueryResult;
use diesel::serialize::ToSql;
use diesel::sql_types::{HasSqlType, Untyped};

/// A statement as it stands, with `$1` and so on for what is bound; rows are read by the names of their columns. The
/// connection keeps it as long as it lives.
pub(crate) const fn statement(sql: &str) -> Statement<'_> {
    Statement { sql, is_kept: true }
}

/// As [`statement`], for one of many texts, which is prepared for this time alone.
pub(crate) const fn unkept(sql: &str) -> Statement<'_> {
    Statement { sql, is_kept: false }
}

/// See [`statement`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct Statement<'a> {
    sql: &'a str,
    is_kept: bool,
}

/// A statement with one more value.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bound<Q, Value, Kind> {
    query: Q,
    value: Value,
    kind: PhantomData<Kind>,
}

/// Binds values in the order of their numbers.
pub(crate) trait Bind: Sized {
    fn bind<Kind, Value>(self, value: Value) -> Bound<Self, Value, Kind> {
        Bound { query: self, value, kind: PhantomData }
    }
}

impl Bind for Statement<'_> {}

impl<Q, Value, Kind> Bind for Bound<Q, Value, Kind> {}

impl QueryFragment<Pg> for Statement<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        if !self.is_kept {
            out.unsafe_to_cache_prepared();
        }
        out.push_sql(self.sql);
        // With each value diesel writes its number. The statement says where they belong, and here they are a remark.
        out.push_sql("\n-- ");
        Ok(())
    }
}

impl<Q, Value, Kind> QueryFragment<Pg> for Bound<Q, Value, Kind>
where
    Pg: HasSqlType<Kind>,
    Q: QueryFragment<Pg>,
    Value: ToSql<Kind, Pg>,
{
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        self.query.walk_ast(out.reborrow())?;
        out.push_bind_param::<Kind, Value>(&self.value)
    }
}

/// Told apart by their text.
impl QueryId for Statement<'_> {
    type QueryId = ();
    const HAS_STATIC_QUERY_ID: bool = false;
}

impl<Q, Value, Kind> QueryId for Bound<Q, Value, Kind> {
    type QueryId = ();
    const HAS_STATIC_QUERY_ID: bool = false;
}

impl Query for Statement<'_> {
    type SqlType = Untyped;
}

impl<Q, Value, Kind> Query for Bound<Q, Value, Kind> {
    type SqlType = Untyped;
}
