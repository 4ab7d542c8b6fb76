//! The parameters that several of the graph's queries have.

use std::ops::RangeInclusive;

use kos_graph::Direction;
use kos_model::{KnowledgeId, LinkName, Violation};

type Checked<T> = Result<T, Violation>;

/// An id that must be there.
pub(crate) fn id(name: &'static str, text: Option<&str>) -> Checked<KnowledgeId> {
    let text = text.ok_or_else(|| Violation::new(name, "missing", "is required: add it"))?;
    text.parse().map_err(|_not_an_id| Violation::new(name, "invalid_id", "must be a UUID"))
}

/// A whole number.
pub(crate) fn number(name: &'static str, text: Option<&str>, usual: u32, range: RangeInclusive<u32>) -> Checked<u32> {
    let number = text.map_or(Some(usual), |text| text.parse().ok()).filter(|number| range.contains(number));
    let detail = || format!("must be a number from {} to {}", range.start(), range.end());
    number.ok_or_else(|| Violation::new(name, "out_of_range", detail()))
}

/// Names of kinds, parted by commas; none when not given.
pub(crate) fn kinds(text: Option<&str>) -> Checked<Vec<LinkName>> {
    let parse = |name: &str| {
        let parsed = name.trim().parse::<LinkName>();
        parsed.map_err(|error| Violation::new("kinds", "unknown_kind", error.to_string()))
    };
    text.map_or_else(|| Ok(Vec::new()), |text| text.split(',').map(parse).collect())
}

/// A direction; both when not given.
pub(crate) fn direction(text: Option<&str>) -> Checked<Direction> {
    let parsed = text.map_or(Ok(Direction::Both), str::parse);
    parsed.map_err(|_unknown| Violation::new("direction", "unknown_direction", "must be out, in or both"))
}

/// A weight; 0 when not given.
pub(crate) fn min_weight(text: Option<&str>) -> Checked<f64> {
    let weight = text.map_or(Some(0.0), |text| text.parse().ok()).filter(|weight| (0.0..=1.0).contains(weight));
    weight.ok_or_else(|| Violation::new("min_weight", "out_of_range", "must be a number from 0 to 1"))
}

/// A yes or no; no when not given.
pub(crate) fn flag(name: &'static str, text: Option<&str>) -> Checked<bool> {
    let flag = text.map_or(Some(false), |text| text.parse().ok());
    flag.ok_or_else(|| Violation::new(name, "invalid_flag", "must be true or false"))
}
