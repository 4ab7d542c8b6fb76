//! What belongs to a domain or an expert that goes is given to another one, piece by piece: each piece is a transaction
//! of its own, so that nobody waits long, and each item has its event, and its history, as when somebody changes it by
//! hand. What others have taken away meanwhile stays where they put it. Cut off in between, it goes on when the same
//! is asked again.

use crate::event::Emitted;

/// A piece that was moved.
#[derive(Debug)]
pub(crate) struct Moved {
    /// One of its events that have listeners, if any has; they are left to the claims.
    pub(crate) heard: Option<Emitted>,
    /// Whether nothing is left to move.
    pub(crate) is_all: bool,
}

impl Moved {
    /// Takes several kinds together: the events, and whether nothing is left of any.
    pub(crate) fn together<const KINDS: usize>(kinds: [Self; KINDS]) -> (Vec<Emitted>, bool) {
        let is_all = kinds.iter().all(|moved| moved.is_all);
        (kinds.into_iter().filter_map(|moved| moved.heard).collect(), is_all)
    }
}
