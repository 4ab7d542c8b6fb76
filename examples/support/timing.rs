//! What was measured, in numbers that can be printed.

/// The value that so many percent of the sorted ones do not exceed; 0 where there are none.
#[must_use]
pub fn quantile(sorted: &[f64], share: usize) -> f64 {
    sorted.get(sorted.len().saturating_sub(1) * share / 100).copied().unwrap_or_default()
}

/// A count as a number to reckon with; without end where it is beyond four thousand million.
#[must_use]
pub fn float(count: usize) -> f64 {
    u32::try_from(count).map_or(f64::INFINITY, f64::from)
}
