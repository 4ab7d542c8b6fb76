//! Lists in an order of the caller's choice. Their cursor holds the order and the last row's place in it.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use kos_model::{Violation, Violations};
use kos_repository::{Fitting, Listed, Order, Part, Place, SortColumn};
use uuid::Uuid;

use crate::page::{Page, PageQuery};

/// The parameters that every sorted list has.
pub(crate) struct Sorting {
    pub(crate) sort: Option<String>,
    pub(crate) limit: Option<String>,
    pub(crate) cursor: Option<String>,
}

/// A page of a sorted list that was asked for.
pub(crate) struct SortedRequest {
    /// As it was asked for: a column's name, with `-` before it from the last to the first.
    sort: String,
    limit: u32,
    part: Part,
}

impl Sorting {
    /// Reads what was asked for; `usual` is the order when nobody asks for one.
    ///
    /// # Errors
    /// Every broken rule, after the `faults` that were found elsewhere in the query.
    pub(crate) fn check(
        self,
        columns: &'static [SortColumn],
        usual: &str,
        mut faults: Violations,
    ) -> Result<SortedRequest, Violations> {
        let sort = self.sort.unwrap_or_else(|| usual.to_owned());
        let order = faults.take(order(columns, &sort));
        let page = PageQuery::new(self.limit, None).check();
        let page = page.map_err(|error| error.violations().iter().cloned().for_each(|fault| faults.push(fault))).ok();
        let read = |cursor: String| order.map(|order| place(&cursor, &sort, order)).transpose();
        let after = faults.take(self.cursor.map_or(Ok(None), read));
        match (order, page, after) {
            (Some(order), Some(page), Some(after)) if faults.is_empty() => {
                let part = Part { order, after, limit: page.fetch() };
                Ok(SortedRequest { sort, limit: page.limit, part })
            }
            _ => Err(faults),
        }
    }
}

impl SortedRequest {
    /// One more than the page holds, to know whether there are more.
    pub(crate) fn part(&self) -> Part {
        self.part.clone()
    }

    pub(crate) fn page<R, T>(
        &self,
        rows: impl Into<Fitting<Listed<R>>>,
        id: impl Fn(&R) -> Uuid,
        view: impl Fn(R) -> T,
    ) -> Page<T> {
        let cursor = |row: &Listed<R>| {
            let place = (self.sort.as_str(), row.key.as_str(), id(&row.record));
            URL_SAFE_NO_PAD.encode(serde_json::to_vec(&place).unwrap_or_default())
        };
        Page::cut(rows, self.limit, cursor, |row| view(row.record))
    }
}

fn order(columns: &'static [SortColumn], sort: &str) -> Result<Order, Violation> {
    let (name, descending) = sort.strip_prefix('-').map_or((sort, false), |name| (name, true));
    let column = columns.iter().find(|column| column.name == name);
    column.map(|column| Order { column, descending }).ok_or_else(|| {
        let names: Vec<String> = columns.iter().map(|column| format!("{0}, -{0}", column.name)).collect();
        Violation::new("sort", "unknown_word", format!("must be one of {}", names.join(", ")))
    })
}

fn place(cursor: &str, sort: &str, order: Order) -> Result<Place, Violation> {
    let read = || {
        let (sorted_by, key, id): (String, String, Uuid) =
            serde_json::from_slice(&URL_SAFE_NO_PAD.decode(cursor).ok()?).ok()?;
        (sorted_by == sort && order.column.reads(&key)).then_some(Place { key, id })
    };
    read().ok_or_else(|| {
        let detail = "must be a `next_cursor` of this list in this order: begin again without it";
        Violation::new("cursor", "invalid_cursor", detail)
    })
}
