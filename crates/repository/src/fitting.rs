//! Lists of whole texts: they end before an answer grows too large to be held.

use std::pin::pin;

use diesel::QueryResult;
use futures_util::{Stream, TryStreamExt as _};

/// Texts of one answer in bytes, but for the last of them.
const MOST: usize = 8 << 20;

/// Rows of a list, as many as one answer holds.
#[derive(Clone, Debug, PartialEq)]
pub struct Fitting<R> {
    /// The rows.
    pub rows: Vec<R>,
    /// Whether more follow that would have been too much.
    pub is_cut: bool,
}

impl<R> Fitting<R> {
    /// The same rows, read.
    pub(crate) fn map<T>(self, read: impl FnMut(R) -> T) -> Fitting<T> {
        Fitting { rows: self.rows.into_iter().map(read).collect(), is_cut: self.is_cut }
    }
}

impl<R> From<Vec<R>> for Fitting<R> {
    fn from(rows: Vec<R>) -> Self {
        Self { rows, is_cut: false }
    }
}

/// Takes rows until the texts in them are too much for an answer. Of what then still comes nothing is kept.
pub(crate) async fn fitting<R>(
    rows: impl Stream<Item = QueryResult<R>>,
    bytes: impl Fn(&R) -> usize,
) -> QueryResult<Fitting<R>> {
    let (mut rows, mut taken, mut held) = (pin!(rows), Vec::new(), 0);
    while let Some(row) = rows.try_next().await? {
        if held >= MOST {
            return Ok(Fitting { rows: taken, is_cut: true });
        }
        held += bytes(&row);
        taken.push(row);
    }
    Ok(Fitting { rows: taken, is_cut: false })
}
