//! Lists: pages by key, with an opaque cursor.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use kos_model::Violation;
use kos_repository::{Fitting, Repository};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use crate::problem::Result;

const DEFAULT_LIMIT: u32 = 50;
const MAX_LIMIT: u32 = 200;

/// Which page of a list.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct PageQuery {
    /// How many items, 1 to 200; 50 when not given. A page of very long texts (8 MiB) ends earlier.
    #[param(value_type = Option<u32>, minimum = 1, maximum = 200)]
    limit: Option<String>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

/// A page that was asked for.
pub(crate) struct PageRequest {
    pub(crate) limit: u32,
    pub(crate) after: Option<Uuid>,
}

/// One page of a list.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Page<T> {
    /// The items.
    data: Vec<T>,
    /// Whether there are more.
    has_more: bool,
    /// Give this as `cursor` to read on.
    next_cursor: Option<String>,
}

impl PageQuery {
    /// For lists that have parameters of their own.
    pub(crate) const fn new(limit: Option<String>, cursor: Option<String>) -> Self {
        Self { limit, cursor }
    }

    pub(crate) fn check(&self) -> Result<PageRequest> {
        let limit = self.check_limit()?;
        let read = |cursor: &String| Uuid::try_parse(cursor).map_err(|_edited| edited());
        Ok(PageRequest { limit, after: self.cursor.as_ref().map(read).transpose()? })
    }

    /// For lists whose pages end at more than an id: their cursors are sealed, for the list of this name alone.
    pub(crate) fn check_sealed<K: DeserializeOwned>(
        &self,
        repository: &Repository,
        list: &str,
    ) -> Result<SealedRequest<K>> {
        let limit = self.check_limit()?;
        let read = |cursor: &String| {
            let sealed = URL_SAFE_NO_PAD.decode(cursor).ok();
            let key = sealed.and_then(|sealed| repository.token_open(list, &sealed));
            key.and_then(|key| serde_json::from_slice(&key).ok()).ok_or_else(edited)
        };
        let after = self.cursor.as_ref().map(read).transpose()?;
        Ok(SealedRequest { repository: repository.clone(), list: list.to_owned(), limit, after })
    }

    fn check_limit(&self) -> std::result::Result<u32, Violation> {
        let limit = self.limit.as_ref().map_or(Some(DEFAULT_LIMIT), |text| text.parse().ok());
        let limit = limit.filter(|limit| (1..=MAX_LIMIT).contains(limit));
        limit.ok_or_else(|| Violation::new("limit", "out_of_range", "must be a number from 1 to 200"))
    }
}

fn edited() -> Violation {
    Violation::new("cursor", "invalid_cursor", "must be a `next_cursor` of this list in this order, as it was given")
}

/// A page that was asked for, of a list with sealed cursors.
pub(crate) struct SealedRequest<K> {
    repository: Repository,
    list: String,
    limit: u32,
    pub(crate) after: Option<K>,
}

impl<K: Serialize> SealedRequest<K> {
    /// One more than the page holds, to know whether there are more.
    pub(crate) const fn fetch(&self) -> u32 {
        self.limit + 1
    }

    pub(crate) fn page<R, T>(
        &self,
        rows: impl Into<Fitting<R>>,
        key: impl Fn(&R) -> K,
        view: impl Fn(R) -> T,
    ) -> Result<Page<T>> {
        let (rows, has_more) = cut(rows.into(), self.limit);
        let next_cursor = rows.last().filter(|_| has_more).map(|row| self.seal(&key(row))).transpose()?;
        Ok(Page { data: rows.into_iter().map(view).collect(), has_more, next_cursor })
    }

    fn seal(&self, key: &K) -> Result<String> {
        // Numbers, times and ids always serialise.
        let key = serde_json::to_vec(key).unwrap_or_default();
        Ok(URL_SAFE_NO_PAD.encode(self.repository.token_seal(&self.list, &key)?))
    }
}

impl PageRequest {
    /// One more than the page holds, to know whether there are more.
    pub(crate) const fn fetch(&self) -> u32 {
        self.limit + 1
    }

    pub(crate) fn page<R, T>(&self, rows: Vec<R>, key: impl Fn(&R) -> Uuid, view: impl Fn(R) -> T) -> Page<T> {
        Page::cut(rows, self.limit, |row| key(row).to_string(), view)
    }
}

impl<T> Page<T> {
    /// The first `limit` rows; those that follow say that there are more.
    pub(crate) fn cut<R>(
        rows: impl Into<Fitting<R>>,
        limit: u32,
        cursor: impl Fn(&R) -> String,
        view: impl Fn(R) -> T,
    ) -> Self {
        let (rows, has_more) = cut(rows.into(), limit);
        let next_cursor = rows.last().filter(|_| has_more).map(cursor);
        Self { data: rows.into_iter().map(view).collect(), has_more, next_cursor }
    }
}

/// At most `limit` rows, and whether there are more.
fn cut<R>(fitting: Fitting<R>, limit: u32) -> (Vec<R>, bool) {
    let Fitting { mut rows, is_cut } = fitting;
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let has_more = is_cut || rows.len() > limit;
    rows.truncate(limit);
    (rows, has_more)
}
