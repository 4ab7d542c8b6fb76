//! Lists in an order of the caller's choice: by key and id, so that a page goes on where the last one ended,
//! whatever was added or removed meanwhile.

use chrono::{Datelike as _, NaiveDateTime, Timelike as _};
use diesel::deserialize::QueryableByName;
use diesel::pg::Pg;
use diesel::row::NamedRow;
use diesel::sql_types::Text;
use uuid::Uuid;

/// Longest key that a place may hold, in bytes: the longest name.
const MAX_KEY: usize = 2_000;

/// What a list can be sorted by.
#[derive(Debug, PartialEq, Eq)]
pub struct SortColumn {
    /// Its name in the API.
    pub name: &'static str,
    /// Its value in SQL; never null.
    expression: &'static str,
    kind: Kind,
}

#[derive(Debug, PartialEq, Eq)]
enum Kind {
    Text,
    Time,
    Number,
}

/// An order of a list. Rows whose keys are equal are in the order of their ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Order {
    /// By what.
    pub column: &'static SortColumn,
    /// From the last to the first.
    pub descending: bool,
}

/// A row's place in a sorted list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Its key, as Postgres writes it; must be one that [`SortColumn::reads`].
    pub key: String,
    /// Its id.
    pub id: Uuid,
}

/// Which part of a sorted list.
#[derive(Clone, Debug)]
pub struct Part {
    /// In this order.
    pub order: Order,
    /// After this place; from the start when none.
    pub after: Option<Place>,
    /// At most so many.
    pub limit: u32,
}

/// A row of a sorted list.
#[derive(Clone, Debug, PartialEq)]
pub struct Listed<R> {
    /// The row.
    pub record: R,
    /// Its key, as Postgres writes it.
    pub key: String,
}

impl SortColumn {
    pub(crate) const fn text(name: &'static str, expression: &'static str) -> Self {
        Self { name, expression, kind: Kind::Text }
    }

    pub(crate) const fn time(name: &'static str, expression: &'static str) -> Self {
        Self { name, expression, kind: Kind::Time }
    }

    pub(crate) const fn number(name: &'static str, expression: &'static str) -> Self {
        Self { name, expression, kind: Kind::Number }
    }

    /// Whether a text can be a key of this column: Postgres fails on one that cannot.
    #[must_use]
    pub fn reads(&self, key: &str) -> bool {
        match self.kind {
            Kind::Text => key.len() <= MAX_KEY && !key.contains('\0'),
            Kind::Time => key == "infinity" || is_time(key),
            Kind::Number => key.parse::<i32>().is_ok(),
        }
    }
}

/// Whether Postgres would write a time so: our sessions are at UTC, and no time is of another era.
fn is_time(key: &str) -> bool {
    let Some(time) = key.strip_suffix("+00") else { return false };
    let is_shaped = time.bytes().enumerate().all(|(place, byte)| match place {
        4 | 7 => byte == b'-',
        10 => byte == b' ',
        13 | 16 => byte == b':',
        19 => byte == b'.',
        _ => byte.is_ascii_digit(),
    });
    let read = NaiveDateTime::parse_from_str(time, "%Y-%m-%d %H:%M:%S%.f");
    let is_read = read.is_ok_and(|time| time.year() >= 1 && time.nanosecond() < 1_000_000_000);
    is_shaped && is_read && (time.len() == 19 || (21..=26).contains(&time.len()))
}

impl Kind {
    const fn sql(&self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Time => "timestamptz",
            Self::Number => "integer",
        }
    }
}

impl Part {
    /// A whole statement: the columns and tables (the one that is listed called `it`), the conditions, the order.
    /// Its first three parameters are the place's key and id, and the limit.
    pub(crate) fn select(&self, columns: &str, tables: &str, conditions: &str) -> String {
        let SortColumn { expression, kind, .. } = self.order.column;
        let kind = kind.sql();
        let (beyond, direction) = if self.order.descending { ("<", "DESC") } else { (">", "ASC") };
        format!(
            "SELECT {columns}, ({expression})::text AS sort_key FROM {tables} \
             WHERE ($1 IS NULL OR ({expression}, it.id) {beyond} ($1::{kind}, $2)) AND {conditions} \
             ORDER BY {expression} {direction}, it.id {direction} LIMIT $3"
        )
    }

    pub(crate) fn key(&self) -> Option<&str> {
        self.after.as_ref().map(|place| place.key.as_str())
    }

    pub(crate) fn id(&self) -> Option<Uuid> {
        self.after.as_ref().map(|place| place.id)
    }
}

impl<R> Listed<R> {
    /// With the row read.
    pub(crate) fn try_map<T, E>(self, read: impl FnOnce(R) -> Result<T, E>) -> Result<Listed<T>, E> {
        Ok(Listed { record: read(self.record)?, key: self.key })
    }
}

impl<R: QueryableByName<Pg>> QueryableByName<Pg> for Listed<R> {
    fn build<'a>(row: &impl NamedRow<'a, Pg>) -> diesel::deserialize::Result<Self> {
        Ok(Self { record: R::build(row)?, key: NamedRow::get::<Text, String>(row, "sort_key")? })
    }
}
